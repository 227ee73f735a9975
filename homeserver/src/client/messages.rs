//! Pages of timelines, and what stood around an event
//! ([spec v1.19](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmessages)).

use engine::timeline::{self, ContextRequest, Direction, MessagesRequest};
use http::Method;
use ruma::MilliSecondsSinceUnixEpoch;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::body::{event_filter, event_id, invalid, json, limit, room_id, token};
use crate::app::App;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes};

/// Events of a page, if the client doesn't say: the specification's number.
const PAGE_DEFAULT: usize = 10;
/// Events of a page at most: bounds the work of one answer.
const PAGE_MAX: usize = 250;

/// This family's calls.
#[must_use]
pub fn routes(mut routes: Routes) -> Routes {
    for version in ["v3", "r0"] {
        let at = |rest: &str| format!("/_matrix/client/{version}/rooms/{{room_id}}/{rest}");
        routes = routes.raw(Method::GET, &at("messages"), Access::Required, messages).raw(
            Method::GET,
            &at("context/{event_id}"),
            Access::Required,
            context,
        );
    }
    routes
        .raw(Method::GET, "/_matrix/client/v1/rooms/{room_id}/timestamp_to_event", Access::Required, timestamp_to_event)
        .raw(
            Method::GET,
            "/_matrix/client/unstable/org.matrix.msc3030/rooms/{room_id}/timestamp_to_event",
            Access::Required,
            timestamp_to_event,
        )
}

/// Which way, as the address says it. It has to, but some clients leave it out and mean forwards.
pub(super) fn direction(text: Option<&str>) -> Result<Direction, ApiError> {
    match text {
        Some("b") => Ok(Direction::Backward),
        Some("f") | None => Ok(Direction::Forward),
        _ => Err(invalid("dir is `b` or `f`")),
    }
}

async fn messages(app: App, request: RawRequest) -> Answer {
    #[derive(Deserialize)]
    struct Query {
        from: Option<String>,
        to: Option<String>,
        dir: Option<String>,
        limit: Option<u64>,
        filter: Option<String>,
    }
    #[derive(Serialize)]
    struct Body {
        chunk: Vec<Box<RawValue>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        end: Option<String>,
        start: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        state: Vec<Box<RawValue>>,
    }
    let query: Query = request.query()?;
    let filter = event_filter(query.filter.as_deref())?;
    let (requester, room_id) = (request.requester()?, room_id(&request)?);
    // Whether they may read the room comes first: a stranger learns nothing by a wrong argument.
    app.read(|cx| engine::room::Viewer::reader(cx, &room_id, &requester.user_id).map(drop))?;
    let asked = MessagesRequest {
        requester,
        room_id: &room_id,
        from: token(query.from.as_deref())?,
        to: token(query.to.as_deref())?,
        direction: direction(query.dir.as_deref())?,
        limit: limit(query.limit.or(filter.limit), PAGE_DEFAULT, PAGE_MAX),
        filter: &filter,
    };
    let page = app.read(|cx| timeline::messages(cx, &asked))?;
    let end = page.end.map(|end| end.encode());
    json(&Body { chunk: page.events, end, start: page.start.encode(), state: page.state })
}

async fn context(app: App, request: RawRequest) -> Answer {
    #[derive(Deserialize)]
    struct Query {
        limit: Option<u64>,
        filter: Option<String>,
    }
    #[derive(Serialize)]
    struct Body {
        end: String,
        event: Box<RawValue>,
        events_after: Vec<Box<RawValue>>,
        events_before: Vec<Box<RawValue>>,
        start: String,
        state: Vec<Box<RawValue>>,
    }
    let query: Query = request.query()?;
    let filter = event_filter(query.filter.as_deref())?;
    let asked = ContextRequest {
        requester: request.requester()?,
        room_id: &room_id(&request)?,
        event_id: &event_id(&request)?,
        limit: limit(query.limit.or(filter.limit), PAGE_DEFAULT, PAGE_MAX),
        filter: &filter,
    };
    let context = app.read(|cx| timeline::context(cx, &asked))?;
    json(&Body {
        end: context.end.encode(),
        event: context.event,
        events_after: context.events_after,
        events_before: context.events_before,
        start: context.start.encode(),
        state: context.state,
    })
}

async fn timestamp_to_event(app: App, request: RawRequest) -> Answer {
    #[derive(Deserialize)]
    struct Query {
        ts: MilliSecondsSinceUnixEpoch,
        dir: Option<String>,
    }
    let query: Query = request.query()?;
    let (requester, room_id, direction) = (request.requester()?, room_id(&request)?, direction(query.dir.as_deref())?);
    let (event_id, ts) = app.read(|cx| timeline::event_at(cx, requester, &room_id, query.ts, direction))?;
    json(&serde_json::json!({ "event_id": event_id, "origin_server_ts": ts }))
}
