//! Messages to devices
//! ([spec v1.19, Client-Server API § Send-to-Device messaging](https://spec.matrix.org/v1.19/client-server-api/#send-to-device-messaging)).

use engine::Reject;
use engine::to_device::{self, SendToDevice};
use ruma::api::client::to_device::send_event_to_device;

use crate::app::App;
use crate::http::{ApiError, Routes, Ruma};

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes.ruma(send)
}

/// `PUT /sendToDevice/{eventType}/{txnId}`
async fn send(
    app: App,
    request: Ruma<send_event_to_device::v3::Request>,
) -> Result<send_event_to_device::v3::Response, ApiError> {
    let requester = request.requester()?.clone();
    let body = request.body;
    let contents = || body.messages.values().flat_map(|devices| devices.values());
    if !contents().all(|content| content.json().get().starts_with('{')) {
        return Err(Reject::bad_json("the content of a message to a device has to be a JSON object").into());
    }
    let messages = body
        .messages
        .into_iter()
        .map(|(user_id, devices)| {
            (user_id, devices.into_iter().map(|(device_id, content)| (device_id, content.into_json())).collect())
        })
        .collect();
    let command =
        SendToDevice { requester, event_type: body.event_type.to_string(), txn_id: body.txn_id.to_string(), messages };
    app.run(|cx| to_device::send(cx, &command)).await?;
    Ok(send_event_to_device::v3::Response::new())
}
