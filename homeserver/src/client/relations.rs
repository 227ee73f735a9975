//! What relates to an event, and threads
//! ([spec v1.19, Client-Server API § Forming relationships between events](https://spec.matrix.org/v1.19/client-server-api/#forming-relationships-between-events)).

use engine::timeline::{self, Direction, RelationsRequest, ThreadsRequest};
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::body::{event_id, invalid, json, limit, room_id, token};
use super::messages::direction;
use crate::app::App;
use crate::http::{Access, Answer, RawRequest, Routes};

/// Events of a page, if the client doesn't say.
const PAGE_DEFAULT: usize = 50;
/// Events of a page at most: bounds the work of one answer.
const PAGE_MAX: usize = 250;

/// This family's calls.
#[must_use]
pub fn routes(mut routes: Routes) -> Routes {
    for rest in ["", "/{rel_type}", "/{rel_type}/{event_type}"] {
        let path = format!("/_matrix/client/v1/rooms/{{room_id}}/relations/{{event_id}}{rest}");
        routes = routes.raw(Method::GET, &path, Access::Required, relations);
    }
    routes.raw(Method::GET, "/_matrix/client/v1/rooms/{room_id}/threads", Access::Required, threads)
}

async fn relations(app: App, request: RawRequest) -> Answer {
    #[derive(Deserialize)]
    struct Query {
        from: Option<String>,
        to: Option<String>,
        dir: Option<String>,
        limit: Option<u64>,
        #[serde(default)]
        recurse: bool,
    }
    #[derive(Serialize)]
    struct Body {
        chunk: Vec<Box<RawValue>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next_batch: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        prev_batch: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        recursion_depth: Option<u64>,
    }
    let query: Query = request.query()?;
    let given = |name: &str| request.params.iter().find(|(param, _)| param == name).map(|(_, value)| value.clone());
    let (rel_type, event_type) = (given("rel_type"), given("event_type"));
    let asked = RelationsRequest {
        requester: request.requester()?,
        room_id: &room_id(&request)?,
        event_id: &event_id(&request)?,
        rel_type: rel_type.as_deref(),
        event_type: event_type.as_deref(),
        from: token(query.from.as_deref())?,
        to: token(query.to.as_deref())?,
        direction: query.dir.as_deref().map_or(Ok(Direction::Backward), |dir| direction(Some(dir)))?,
        limit: limit(query.limit, PAGE_DEFAULT, PAGE_MAX).max(1),
        recurse: query.recurse,
    };
    let page = app.read(|cx| timeline::relations(cx, &asked))?;
    json(&Body {
        chunk: page.events,
        next_batch: page.next_batch.map(|token| token.encode()),
        prev_batch: query.from,
        recursion_depth: page.recursion_depth,
    })
}

async fn threads(app: App, request: RawRequest) -> Answer {
    #[derive(Deserialize)]
    struct Query {
        from: Option<String>,
        include: Option<String>,
        limit: Option<u64>,
    }
    #[derive(Serialize)]
    struct Body {
        chunk: Vec<Box<RawValue>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next_batch: Option<String>,
    }
    let query: Query = request.query()?;
    let participated = match query.include.as_deref() {
        None | Some("all") => false,
        Some("participated") => true,
        Some(_) => return Err(invalid("include is `all` or `participated`")),
    };
    let asked = ThreadsRequest {
        requester: request.requester()?,
        room_id: &room_id(&request)?,
        from: token(query.from.as_deref())?,
        limit: limit(query.limit, PAGE_DEFAULT, PAGE_MAX).max(1),
        participated,
    };
    let page = app.read(|cx| timeline::threads(cx, &asked))?;
    json(&Body { chunk: page.events, next_batch: page.next_batch.map(|token| token.encode()) })
}
