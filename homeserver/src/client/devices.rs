//! Devices ([spec v1.19, § Device management](https://spec.matrix.org/v1.19/client-server-api/#device-management), MSC4190).

use engine::account::{self, DeleteDevices, UpdateDevice};
use engine::tables::DeviceRow;
use http::{Method, StatusCode};
use ruma::OwnedDeviceId;
use ruma::api::client::device::{delete_device, delete_devices, get_device, get_devices};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::interactive;
use crate::app::App;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes, Ruma, empty_response, json_response};

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    let mut routes = routes.parsed(list).parsed(get).ruma(delete).ruma(delete_several);
    for path in ["/_matrix/client/r0/devices/{device_id}", "/_matrix/client/v3/devices/{device_id}"] {
        routes = routes.raw(Method::PUT, path, Access::Required, update);
    }
    routes
}

/// ruma's device has `null` for what is not there. Addresses are not kept.
#[derive(Serialize)]
struct Device {
    device_id: OwnedDeviceId,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    last_seen_ts: u64,
}

fn to_client(row: DeviceRow) -> Device {
    Device { device_id: row.device_id, display_name: row.display_name, last_seen_ts: row.last_seen.as_ms() }
}

/// `GET /devices`
async fn list(app: App, request: Ruma<get_devices::v3::Request>) -> Answer {
    let user_id = &request.requester()?.user_id;
    let rows = app.read(|cx| Ok(account::devices(cx, user_id)?))?;
    let devices: Vec<Device> = rows.into_iter().map(to_client).collect();
    Ok(json_response(&json!({ "devices": devices })))
}

/// `GET /devices/{deviceId}`
async fn get(app: App, request: Ruma<get_device::v3::Request>) -> Answer {
    let user_id = &request.requester()?.user_id;
    let row = app.read(|cx| account::device(cx, user_id, &request.body.device_id))?;
    Ok(json_response(&json!(to_client(row))))
}

#[derive(Deserialize)]
struct UpdateBody {
    #[serde(default)]
    display_name: Option<String>,
}

/// `PUT /devices/{deviceId}`: 201 when an application service makes a device (MSC4190), which ruma's response cannot say.
async fn update(app: App, request: RawRequest) -> Answer {
    let body: UpdateBody = request.json()?;
    let requester = request.requester()?.clone();
    let command = UpdateDevice { requester, device_id: request.param("device_id").into(), display_name: body.display_name };
    let made = app.run(|cx| account::update_device(cx, &command)).await?;
    let mut response = empty_response();
    if made {
        *response.status_mut() = StatusCode::CREATED;
    }
    Ok(response)
}

/// `DELETE /devices/{deviceId}`
async fn delete(app: App, request: Ruma<delete_device::v3::Request>) -> Result<delete_device::v3::Response, ApiError> {
    let requester = request.requester()?;
    let operation = format!("delete {}", request.body.device_id);
    interactive::authenticate(&app, requester, request.body.auth.as_ref(), &operation).await?;
    let command = DeleteDevices { user_id: requester.user_id.clone(), device_ids: vec![request.body.device_id.clone()] };
    app.run(|cx| account::delete_devices(cx, &command)).await?;
    Ok(delete_device::v3::Response::new())
}

/// `POST /delete_devices`
async fn delete_several(
    app: App,
    request: Ruma<delete_devices::v3::Request>,
) -> Result<delete_devices::v3::Response, ApiError> {
    let requester = request.requester()?;
    interactive::authenticate(&app, requester, request.body.auth.as_ref(), "delete_devices").await?;
    let command = DeleteDevices { user_id: requester.user_id.clone(), device_ids: request.body.devices.clone() };
    app.run(|cx| account::delete_devices(cx, &command)).await?;
    Ok(delete_devices::v3::Response::new())
}
