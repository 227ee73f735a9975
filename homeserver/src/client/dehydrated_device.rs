//! Dehydrated devices (MSC3814, `org.matrix.msc3814.v1`).

use engine::keys::{self, DehydratedEvents, PutDehydratedDevice};
use engine::sync::Token;
use http::Method;
use journal::Stamp;
use ruma::api::client::dehydrated_device::{delete_dehydrated_device, get_dehydrated_device, put_dehydrated_device};
use ruma::serde::Raw;
use serde::Deserialize;
use serde_json::json;

use crate::app::App;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes, Ruma, json_response};

const EVENTS: &str = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device/{device_id}/events";

/// This family's calls. The inbox is read with `GET` by the MSC as it is now, with `POST` by older clients.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes.ruma(get).ruma(put).ruma(delete).raw(Method::GET, EVENTS, Access::Required, events).raw(
        Method::POST,
        EVENTS,
        Access::Required,
        events_of_older_clients,
    )
}

/// `GET /dehydrated_device`: 404 `M_NOT_FOUND` tells a client that there is none, and that the server knows what it asks for.
async fn get(
    app: App,
    request: Ruma<get_dehydrated_device::unstable::Request>,
) -> Result<get_dehydrated_device::unstable::Response, ApiError> {
    let user_id = &request.requester()?.user_id;
    let row = app.read(|cx| keys::dehydrated_device(cx, user_id))?;
    Ok(get_dehydrated_device::unstable::Response::new(row.device_id, Raw::from_json(row.device_data)))
}

/// `PUT /dehydrated_device`
async fn put(
    app: App,
    request: Ruma<put_dehydrated_device::unstable::Request>,
) -> Result<put_dehydrated_device::unstable::Response, ApiError> {
    let user_id = request.requester()?.user_id.clone();
    let body = request.body;
    let command = PutDehydratedDevice {
        user_id,
        device_id: body.device_id,
        display_name: body.initial_device_display_name,
        device_data: body.device_data.into_json(),
        device_keys: body.device_keys,
        one_time_keys: body.one_time_keys,
        fallback_keys: body.fallback_keys,
    };
    let device_id = app.run(|cx| keys::put_dehydrated_device(cx, &command)).await?;
    Ok(put_dehydrated_device::unstable::Response::new(device_id))
}

/// `DELETE /dehydrated_device`
async fn delete(
    app: App,
    request: Ruma<delete_dehydrated_device::unstable::Request>,
) -> Result<delete_dehydrated_device::unstable::Response, ApiError> {
    let user_id = &request.requester()?.user_id;
    let device_id = app.run(|cx| keys::delete_dehydrated_device(cx, user_id)).await?;
    Ok(delete_dehydrated_device::unstable::Response::new(device_id))
}

/// `GET /dehydrated_device/{device_id}/events`: `next_batch` is there exactly if there is another page; a client that finds
/// one asks again.
async fn events(app: App, request: RawRequest) -> Answer {
    #[derive(Deserialize)]
    struct Query {
        from: Option<String>,
    }
    let query: Query = request.query()?;
    let page = page(&app, &request, query.from.as_deref())?;
    let mut answer = json!({ "events": page.events });
    if page.more {
        answer["next_batch"] = token(&app, &page).into();
    }
    Ok(json_response(&answer))
}

/// The same as `POST`, as the MSC was until 2026: `next_batch` is always there, and an empty page is the end.
async fn events_of_older_clients(app: App, request: RawRequest) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        next_batch: Option<String>,
    }
    let body: Body = request.json()?;
    let page = page(&app, &request, body.next_batch.as_deref())?;
    Ok(json_response(&json!({ "events": page.events, "next_batch": token(&app, &page) })))
}

fn page(app: &App, request: &RawRequest, from: Option<&str>) -> Result<DehydratedEvents, ApiError> {
    let from = from.map_or(Ok(Stamp::ZERO), |from| Token::decode(from).map(|token| token.known()))?;
    let user_id = &request.requester()?.user_id;
    app.read(|cx| keys::dehydrated_events(cx, user_id, request.param("device_id"), from))
}

fn token(app: &App, page: &DehydratedEvents) -> String {
    Token::at(page.next.next(), app.clock.now()).encode()
}
