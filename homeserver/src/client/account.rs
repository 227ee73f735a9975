//! The account itself: password, closing it, third-party identifiers
//! ([spec v1.19, § Account management](https://spec.matrix.org/v1.19/client-server-api/#account-management)).

use engine::Reject;
use engine::account::{self, ChangePassword, Deactivate, Secret};
use engine::keys::backup;
use http::Method;
use ruma::api::client::account::{ThirdPartyIdRemovalStatus, change_password, deactivate, get_3pids};

use super::interactive;
use crate::app::App;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes, Ruma};

/// Calls that would add, prove or use an e-mail address or telephone number.
const NO_THIRD_PARTY_IDS: [(Access, &str); 11] = [
    (Access::Required, "/account/3pid"),
    (Access::Required, "/account/3pid/add"),
    (Access::Required, "/account/3pid/bind"),
    (Access::Required, "/account/3pid/delete"),
    (Access::Required, "/account/3pid/unbind"),
    (Access::None, "/account/3pid/email/requestToken"),
    (Access::None, "/account/3pid/msisdn/requestToken"),
    (Access::None, "/account/password/email/requestToken"),
    (Access::None, "/account/password/msisdn/requestToken"),
    (Access::None, "/register/email/requestToken"),
    (Access::None, "/register/msisdn/requestToken"),
];

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    let mut routes = routes.ruma(set_password).ruma(close).ruma(third_party_ids);
    for root in ["/_matrix/client/r0", "/_matrix/client/v3"] {
        for (access, path) in NO_THIRD_PARTY_IDS {
            routes = routes.raw(Method::POST, &format!("{root}{path}"), access, no_third_party_ids);
        }
    }
    routes
}

/// `POST /account/password`
async fn set_password(
    app: App,
    request: Ruma<change_password::v3::Request>,
) -> Result<change_password::v3::Response, ApiError> {
    let requester = request.requester()?.clone();
    interactive::authenticate(&app, &requester, request.body.auth.as_ref(), "account/password").await?;
    let password_hash = app.passwords.hash(Secret::new(request.body.new_password), app.entropy).await?;
    let command = ChangePassword { requester, password_hash, logout_devices: request.body.logout_devices };
    app.run(|cx| account::change_password(cx, &command)).await?;
    Ok(change_password::v3::Response::new())
}

/// `POST /account/deactivate`
async fn close(app: App, request: Ruma<deactivate::v3::Request>) -> Result<deactivate::v3::Response, ApiError> {
    let requester = request.requester()?;
    interactive::authenticate(&app, requester, request.body.auth.as_ref(), "account/deactivate").await?;
    // Key backups first, which may be larger than a batch: if this is interrupted, the account is still there to be closed.
    while app.run(|cx| backup::delete_all(cx, &requester.user_id)).await? {}
    let command = Deactivate { user_id: requester.user_id.clone(), erase: request.body.erase };
    app.run(|cx| account::deactivate(cx, &command)).await?;
    Ok(deactivate::v3::Response::new(ThirdPartyIdRemovalStatus::NoSupport))
}

/// `GET /account/3pid`: accounts here have no e-mail addresses or telephone numbers.
async fn third_party_ids(_: App, request: Ruma<get_3pids::v3::Request>) -> Result<get_3pids::v3::Response, ApiError> {
    request.requester()?;
    Ok(get_3pids::v3::Response::new(Vec::new()))
}

/// What would change that.
async fn no_third_party_ids(_: App, _: RawRequest) -> Answer {
    Err(Reject::ThreepidDenied("accounts have no e-mail addresses or telephone numbers here".into()).into())
}
