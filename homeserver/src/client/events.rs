//! Single events, and the state of rooms
//! ([spec v1.19, Client-Server API § Getting events for a room](https://spec.matrix.org/v1.19/client-server-api/#getting-events-for-a-room)).

use engine::timeline;
use http::Method;
use ruma::events::StateEventType;
use serde::Deserialize;

use super::body::{event_id, json, room_id};
use crate::app::App;
use crate::http::{Access, Answer, RawRequest, Routes};

/// This family's calls.
#[must_use]
pub fn routes(mut routes: Routes) -> Routes {
    for version in ["v3", "r0"] {
        let at = |rest: &str| format!("/_matrix/client/{version}/rooms/{{room_id}}/{rest}");
        routes = routes
            .raw(Method::GET, &at("event/{event_id}"), Access::Required, event)
            .raw(Method::GET, &at("state"), Access::Required, state)
            .raw(Method::GET, &at("state/{event_type}"), Access::Required, state_event)
            .raw(Method::GET, &at("state/{event_type}/"), Access::Required, state_event)
            .raw(Method::GET, &at("state/{event_type}/{state_key}"), Access::Required, state_event);
    }
    routes
}

async fn event(app: App, request: RawRequest) -> Answer {
    let (requester, room_id, event_id) = (request.requester()?, room_id(&request)?, event_id(&request)?);
    json(&app.read(|cx| timeline::event(cx, requester, &room_id, &event_id))?)
}

async fn state(app: App, request: RawRequest) -> Answer {
    let (requester, room_id) = (request.requester()?, room_id(&request)?);
    json(&app.read(|cx| timeline::room_state(cx, &requester.user_id, &room_id))?)
}

async fn state_event(app: App, request: RawRequest) -> Answer {
    #[derive(Deserialize)]
    struct Query {
        format: Option<String>,
    }
    let query: Query = request.query()?;
    let (requester, room_id) = (request.requester()?, room_id(&request)?);
    let event_type = StateEventType::from(request.param("event_type"));
    let state_key = request.param("state_key");
    let (event, content) = app.read(|cx| timeline::state_event(cx, &requester.user_id, &room_id, &event_type, state_key))?;
    json(if query.format.as_deref() == Some("event") { &event } else { &content })
}
