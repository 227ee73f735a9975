//! The account itself: password, closing it, third-party identifiers
//! ([spec v1.19, § Account management](https://spec.matrix.org/v1.19/client-server-api/#account-management)).

use engine::account::{self, ChangePassword, Deactivate, Secret};
use ruma::api::client::account::{ThirdPartyIdRemovalStatus, change_password, deactivate, get_3pids};

use super::interactive;
use crate::app::App;
use crate::http::{ApiError, Routes, Ruma};

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes.ruma(set_password).ruma(close).ruma(third_party_ids)
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
    let command = Deactivate { user_id: requester.user_id.clone() };
    app.run(|cx| account::deactivate(cx, &command)).await?;
    Ok(deactivate::v3::Response::new(ThirdPartyIdRemovalStatus::NoSupport))
}

/// `GET /account/3pid`: accounts here have no e-mail addresses or telephone numbers.
async fn third_party_ids(_: App, request: Ruma<get_3pids::v3::Request>) -> Result<get_3pids::v3::Response, ApiError> {
    request.requester()?;
    Ok(get_3pids::v3::Response::new(Vec::new()))
}
