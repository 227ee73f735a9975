//! Server administration
//! ([spec v1.19, § Server administration](https://spec.matrix.org/v1.19/client-server-api/#server-administration)).

use engine::account::{self, Moderate, Restriction};
use http::Method;
use ruma::api::client::admin::{is_user_locked, is_user_suspended, lock_user, suspend_user};
use ruma::{OwnedUserId, UserId};
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes, Ruma, json_response};

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    let mut routes = routes.ruma(is_locked).ruma(lock).ruma(is_suspended).ruma(suspend);
    for root in ["/_matrix/client/r0", "/_matrix/client/v3"] {
        routes = routes.raw(Method::GET, &format!("{root}/admin/whois/{{user_id}}"), Access::Required, whois);
    }
    routes
}

/// `GET /admin/whois/{userId}`. Addresses and programs of clients are not kept, so there are none to tell.
async fn whois(app: App, request: RawRequest) -> Answer {
    let by = &request.requester()?.user_id;
    let user_id =
        UserId::parse(request.param("user_id")).map_err(|_| engine::Reject::invalid_param("this is not a user id"))?;
    let devices = app.read(|cx| account::whois(cx, by, &user_id))?;
    let devices: Map<String, Value> = devices
        .into_iter()
        .map(|device| {
            let connection = json!({ "last_seen": device.last_seen });
            (device.device_id.to_string(), json!({ "sessions": [{ "connections": [connection] }] }))
        })
        .collect();
    Ok(json_response(&json!({ "user_id": user_id, "devices": devices })))
}

/// `GET /admin/lock/{userId}`
async fn is_locked(app: App, request: Ruma<is_user_locked::v1::Request>) -> Result<is_user_locked::v1::Response, ApiError> {
    let by = &request.requester()?.user_id;
    let locked = app.read(|cx| account::is_restricted(cx, by, &request.body.user_id, Restriction::Lock))?;
    Ok(is_user_locked::v1::Response::new(locked))
}

/// `PUT /admin/lock/{userId}`
async fn lock(app: App, request: Ruma<lock_user::v1::Request>) -> Result<lock_user::v1::Response, ApiError> {
    let by = request.requester()?.user_id.clone();
    moderate(&app, by, request.body.user_id, Restriction::Lock, request.body.locked).await?;
    Ok(lock_user::v1::Response::new(request.body.locked))
}

/// `GET /admin/suspend/{userId}`
async fn is_suspended(
    app: App,
    request: Ruma<is_user_suspended::v1::Request>,
) -> Result<is_user_suspended::v1::Response, ApiError> {
    let by = &request.requester()?.user_id;
    let suspended = app.read(|cx| account::is_restricted(cx, by, &request.body.user_id, Restriction::Suspend))?;
    Ok(is_user_suspended::v1::Response::new(suspended))
}

/// `PUT /admin/suspend/{userId}`
async fn suspend(app: App, request: Ruma<suspend_user::v1::Request>) -> Result<suspend_user::v1::Response, ApiError> {
    let by = request.requester()?.user_id.clone();
    moderate(&app, by, request.body.user_id, Restriction::Suspend, request.body.suspended).await?;
    Ok(suspend_user::v1::Response::new(request.body.suspended))
}

async fn moderate(
    app: &App,
    by: OwnedUserId,
    user_id: OwnedUserId,
    restriction: Restriction,
    on: bool,
) -> Result<(), ApiError> {
    let command = Moderate { by: Some(by), user_id, restriction, on };
    app.run(|cx| account::moderate(cx, &command)).await
}
