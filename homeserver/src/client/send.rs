//! Sending events
//! ([spec v1.19, Client-Server API § Sending events to a room](https://spec.matrix.org/v1.19/client-server-api/#sending-events-to-a-room)).

use engine::Requester;
use engine::room::redact::{RedactEvent, redact_event};
use engine::room::send::{SendEvent, SendState, send_event, send_state};
use journal::Timestamp;
use ruma::MilliSecondsSinceUnixEpoch;
use ruma::api::client::message::send_message_event;
use ruma::api::client::redact::redact_event as redact_call;
use ruma::api::client::state::send_state_event;

use crate::app::App;
use crate::http::{ApiError, Routes, Ruma};

/// The empty state key may be left out of the path.
const WITHOUT_STATE_KEY: [&str; 4] = [
    "/_matrix/client/v3/rooms/{room_id}/state/{event_type}",
    "/_matrix/client/v3/rooms/{room_id}/state/{event_type}/",
    "/_matrix/client/r0/rooms/{room_id}/state/{event_type}",
    "/_matrix/client/r0/rooms/{room_id}/state/{event_type}/",
];

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    let routes = routes.ruma(send).ruma(state).ruma(redact);
    WITHOUT_STATE_KEY.into_iter().fold(routes, |routes, path| routes.ruma_at(path, &[""], state))
}

/// `PUT /rooms/{roomId}/send/{eventType}/{txnId}`
async fn send(
    app: App,
    request: Ruma<send_message_event::v3::Request>,
) -> Result<send_message_event::v3::Response, ApiError> {
    let requester = request.requester()?.clone();
    let body = request.body;
    let command = SendEvent {
        timestamp: service_timestamp(&requester, body.timestamp),
        sender: requester.user_id,
        device_id: requester.device_id,
        room_id: body.room_id,
        event_type: body.event_type.to_string().into(),
        txn_id: body.txn_id,
        content: body.body.into_json(),
    };
    let event_id = app.run(|cx| send_event(cx, &command)).await?;
    Ok(send_message_event::v3::Response::new(event_id))
}

/// `PUT /rooms/{roomId}/state/{eventType}/{stateKey}`
async fn state(app: App, request: Ruma<send_state_event::v3::Request>) -> Result<send_state_event::v3::Response, ApiError> {
    let requester = request.requester()?.clone();
    let body = request.body;
    let command = SendState {
        timestamp: service_timestamp(&requester, body.timestamp),
        sender: requester.user_id,
        room_id: body.room_id,
        event_type: body.event_type,
        state_key: body.state_key,
        content: body.body.into_json(),
    };
    let event_id = app.run(|cx| send_state(cx, &command)).await?;
    Ok(send_state_event::v3::Response::new(event_id))
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
