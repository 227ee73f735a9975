//! Events that wait to be sent ([MSC4140](https://github.com/matrix-org/matrix-spec-proposals/pull/4140)). How they come to wait
//! is with the other events: `send.rs`.

use engine::Reject;
use engine::room::delayed::{self, DelayedAction};
use engine::tables::DelayedRow;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes, empty_response, json_response};

/// This family's calls. Whoever knows an event's id may act on it: that is how a call's media server does.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    const PATH: &str = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events";
    routes
        .raw(Method::GET, PATH, Access::Required, list)
        .raw(Method::GET, &format!("{PATH}/{{delay_id}}"), Access::Required, get)
        .raw(Method::POST, &format!("{PATH}/{{delay_id}}"), Access::None, act_as_told)
        .raw(Method::POST, &format!("{PATH}/{{delay_id}}/{{action}}"), Access::None, act)
}

/// `GET /delayed_events`
async fn list(app: App, request: RawRequest) -> Answer {
    let user_id = &request.requester()?.user_id;
    let rows = app.read(|cx| delayed::of_user(cx, user_id))?;
    Ok(json_response(&json!({ "delayed_events": rows.iter().map(described).collect::<Vec<_>>() })))
}

/// `GET /delayed_events/{delay_id}`
async fn get(app: App, request: RawRequest) -> Answer {
    let user_id = &request.requester()?.user_id;
    let rows = app.read(|cx| delayed::of_user(cx, user_id))?;
    let row = rows.iter().find(|row| row.delay_id == request.param("delay_id"));
    Ok(json_response(&described(row.ok_or_else(|| Reject::not_found("no such event of yours waits to be sent"))?)))
}

/// `POST /delayed_events/{delay_id}/{action}`
async fn act(app: App, request: RawRequest) -> Answer {
    let action = action(request.param("action")).ok_or_else(ApiError::unrecognized_path)?;
    app.run(|cx| delayed::act(cx, request.param("delay_id"), action)).await?;
    Ok(empty_response())
}

/// `POST /delayed_events/{delay_id}` with the action in the body, as clients of the proposal's earlier form ask.
async fn act_as_told(app: App, request: RawRequest) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        action: String,
    }
    let body: Body = request.json()?;
    let action = action(&body.action).ok_or_else(|| Reject::invalid_param("`action` is send, cancel or restart"))?;
    app.run(|cx| delayed::act(cx, request.param("delay_id"), action)).await?;
    Ok(empty_response())
}

fn action(text: &str) -> Option<DelayedAction> {
    match text {
        "cancel" => Some(DelayedAction::Cancel),
        "restart" => Some(DelayedAction::Restart),
        "send" => Some(DelayedAction::Send),
        _ => None,
    }
}

fn described(row: &DelayedRow) -> Value {
    let mut event = json!({
        "delay_id": row.delay_id,
        "room_id": row.room_id,
        "type": row.event_type,
        "delay": row.delay_ms,
        "running_since": row.running_since.as_ms(),
        "content": row.content,
    });
    if let Some(state_key) = &row.state_key {
        event["state_key"] = state_key.as_str().into();
    }
    event
}
