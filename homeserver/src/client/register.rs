//! Making accounts ([spec v1.19, § Account registration](https://spec.matrix.org/v1.19/client-server-api/#account-registration)).

use engine::account::{self, Register, Secret};
use engine::tables::UserKind;
use http::StatusCode;
use ruma::api::client::account::get_username_availability;
use ruma::api::client::account::register::{self, LoginType, RegistrationKind};
use serde_json::json;

use super::body::invalid;
use super::{interactive, session};
use crate::app::App;
use crate::http::{Answer, ApiError, Routes, Ruma, json_response};

/// Characters of a user name that the server chooses.
const LOCALPART_LENGTH: usize = 12;

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes.parsed(register).ruma(is_available)
}

fn closed() -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "M_FORBIDDEN", "accounts are not made here: whoever runs this server makes them")
}

/// `POST /register`
async fn register(app: App, request: Ruma<register::v3::Request>) -> Answer {
    let appservice = request.requester.as_ref().and_then(|requester| requester.appservice.clone());
    let body = request.body;
    match body.kind {
        RegistrationKind::User => {}
        RegistrationKind::Guest => {
            let message = "this server has no guest accounts";
            return Err(ApiError::new(StatusCode::FORBIDDEN, "M_GUEST_ACCESS_FORBIDDEN", message));
        }
        _ => return Err(invalid("the kind of an account is user or guest")),
    }
    let by_appservice = body.login_type == Some(LoginType::ApplicationService);
    if by_appservice && appservice.is_none() {
        return Err(ApiError::missing_token());
    }
    if !by_appservice && !app.config.registration.open {
        return Err(closed());
    }
    let appservice = appservice.filter(|_| by_appservice);
    let localpart = match body.username.map(|name| name.to_lowercase()) {
        Some(name) => localpart_of(&app, name),
        None if by_appservice => {
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "M_MISSING_PARAM", "`username` is missing"));
        }
        None => app.entropy.id(LOCALPART_LENGTH),
    };
    // Asked before the proof, so that a taken name is not told after all the trouble.
    app.read(|cx| account::check_available(cx, &localpart, appservice.as_deref()))?;
    if !by_appservice {
        interactive::authenticate_registration(&app, body.auth.as_ref()).await?;
    }
    let password_hash = match body.password.filter(|_| !by_appservice) {
        Some(password) => Some(app.passwords.hash(Secret::new(password), app.entropy).await?),
        None => None,
    };
    // Most clients that register say that they can refresh, and then don't: their token lives as long as the device.
    let tokens = session::new_tokens(&app, false);
    let device = session::new_device(&app, body.device_id, body.initial_device_display_name, tokens.clone());
    let command = Register {
        localpart,
        kind: if by_appservice { UserKind::Appservice } else { UserKind::Plain },
        password_hash,
        appservice,
        device: (!body.inhibit_login).then_some(device),
        admin: false,
    };
    let (user_id, session) = app.run(|cx| account::register(cx, &command)).await?;
    // ruma's response has `null` for a device that was not asked for.
    let mut response = json!({ "user_id": user_id });
    if let Some(session) = session {
        response["access_token"] = json!(tokens.access_token.expose());
        response["device_id"] = json!(session.device_id);
        if let Some(expires_in_ms) = session.expires_in_ms {
            response["expires_in_ms"] = json!(expires_in_ms);
        }
    }
    Ok(json_response(&response))
}

/// Some application services send the whole id.
fn localpart_of(app: &App, name: String) -> String {
    let whole = name.strip_prefix('@').and_then(|rest| rest.strip_suffix(app.server.name.as_str())?.strip_suffix(':'));
    whole.map(ToOwned::to_owned).unwrap_or(name)
}

/// `GET /register/available`
async fn is_available(
    app: App,
    request: Ruma<get_username_availability::v3::Request>,
) -> Result<get_username_availability::v3::Response, ApiError> {
    if !app.config.registration.open {
        return Err(closed());
    }
    app.read(|cx| account::check_available(cx, &request.body.username.to_lowercase(), None))?;
    Ok(get_username_availability::v3::Response::new(true))
}
