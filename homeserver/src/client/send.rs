//! Sending events
//! ([spec v1.19, Client-Server API § Sending events to a room](https://spec.matrix.org/v1.19/client-server-api/#sending-events-to-a-room)).

use engine::Requester;
use engine::room::delayed::{Schedule, schedule};
use engine::room::redact::{RedactEvent, redact_event};
use engine::room::send::{SendEvent, SendState, send_event, send_state};
use http::Method;
use journal::Timestamp;
use ruma::api::client::redact::redact_event as redact_call;
use ruma::{MilliSecondsSinceUnixEpoch, OwnedTransactionId};
use serde::Deserialize;
use serde_json::json;

use super::body::room_id;
use crate::app::App;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes, Ruma, json_response};

/// The empty state key may be left out of the path.
const STATE_PATHS: [&str; 3] = ["state/{event_type}/{state_key}", "state/{event_type}", "state/{event_type}/"];

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    ["r0", "v3"].into_iter().fold(routes.ruma(redact), |routes, version| {
        let at = |rest: &str| format!("/_matrix/client/{version}/rooms/{{room_id}}/{rest}");
        let routes = routes.raw(Method::PUT, &at("send/{event_type}/{txn_id}"), Access::Required, send);
        STATE_PATHS.into_iter().fold(routes, |routes, path| routes.raw(Method::PUT, &at(path), Access::Required, state))
    })
}

/// What the address may say of an event.
#[derive(Deserialize)]
struct Query {
    ts: Option<MilliSecondsSinceUnixEpoch>,
    #[serde(rename = "org.matrix.msc4140.delay")]
    delay: Option<u64>,
}

/// `PUT /rooms/{roomId}/send/{eventType}/{txnId}`
async fn send(app: App, request: RawRequest) -> Answer {
    let (query, requester) = (request.query::<Query>()?, request.requester()?.clone());
    let (event_type, txn_id) = (request.param("event_type"), OwnedTransactionId::from(request.param("txn_id")));
    if let Some(delay_ms) = query.delay {
        return wait(&app, &request, Delayed { txn_id: Some(txn_id), state_key: None, delay_ms }).await;
    }
    let command = SendEvent {
        timestamp: service_timestamp(&requester, query.ts),
        sender: requester.user_id,
        device_id: requester.device_id,
        room_id: room_id(&request)?,
        event_type: event_type.into(),
        txn_id,
        content: request.json()?,
    };
    let event_id = app.run(|cx| send_event(cx, &command)).await?;
    Ok(json_response(&json!({ "event_id": event_id })))
}

/// `PUT /rooms/{roomId}/state/{eventType}/{stateKey}`
async fn state(app: App, request: RawRequest) -> Answer {
    let (query, requester) = (request.query::<Query>()?, request.requester()?.clone());
    let state_key = request.param("state_key").to_owned();
    if let Some(delay_ms) = query.delay {
        return wait(&app, &request, Delayed { txn_id: None, state_key: Some(state_key), delay_ms }).await;
    }
    let command = SendState {
        timestamp: service_timestamp(&requester, query.ts),
        sender: requester.user_id,
        room_id: room_id(&request)?,
        event_type: request.param("event_type").into(),
        state_key,
        content: request.json()?,
    };
    let event_id = app.run(|cx| send_state(cx, &command)).await?;
    Ok(json_response(&json!({ "event_id": event_id })))
}

/// How an event waits.
struct Delayed {
    txn_id: Option<OwnedTransactionId>,
    state_key: Option<String>,
    delay_ms: u64,
}

/// Has the event wait (MSC4140).
async fn wait(app: &App, request: &RawRequest, how: Delayed) -> Answer {
    let command = Schedule {
        requester: request.requester()?.clone(),
        room_id: room_id(request)?,
        event_type: request.param("event_type").to_owned(),
        state_key: how.state_key,
        txn_id: how.txn_id,
        content: request.json()?,
        delay_ms: how.delay_ms,
        delay_id: app.entropy.token(""),
    };
    let delay_id = app.run(|cx| schedule(cx, &command)).await?;
    Ok(json_response(&json!({ "delay_id": delay_id })))
}

/// `PUT /rooms/{roomId}/redact/{eventId}/{txnId}`
async fn redact(app: App, request: Ruma<redact_call::v3::Request>) -> Result<redact_call::v3::Response, ApiError> {
    let requester = request.requester()?.clone();
    let body = request.body;
    let command = RedactEvent {
        sender: requester.user_id,
        device_id: requester.device_id,
        room_id: body.room_id,
        event_id: body.event_id,
        txn_id: body.txn_id,
        reason: body.reason,
    };
    let event_id = app.run(|cx| redact_event(cx, &command)).await?;
    Ok(redact_call::v3::Response::new(event_id))
}

/// Only an application service may say when something was sent
/// ([spec v1.19, Application Service API § Timestamp massaging](https://spec.matrix.org/v1.19/application-service-api/#timestamp-massaging)).
fn service_timestamp(requester: &Requester, timestamp: Option<MilliSecondsSinceUnixEpoch>) -> Option<Timestamp> {
    let timestamp = timestamp.filter(|_| requester.appservice.is_some())?;
    Some(Timestamp::from_ms(timestamp.get().into()))
}
