//! Logging in and out ([spec v1.19, § Login](https://spec.matrix.org/v1.19/client-server-api/#login)).

use std::time::Duration;

use engine::Reject;
use engine::account::{self, DeviceChoice, Login, LoginProof, NewDevice, NewTokens, Refresh, Secret, Session};
use engine::policy::{self, Standing};
use http::{Method, StatusCode};
use ruma::api::client::account::whoami;
use ruma::api::client::session::{get_login_token, logout, logout_all, refresh_token};
use ruma::api::client::uiaa::UserIdentifier;
use ruma::{OwnedDeviceId, OwnedUserId};
use serde::Deserialize;
use serde_json::json;

use super::interactive;
use crate::app::App;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes, Ruma, json_response};

/// Characters of a device id that the server chooses.
const DEVICE_ID_LENGTH: usize = 10;

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    let mut routes = routes;
    for path in ["/_matrix/client/r0/login", "/_matrix/client/v3/login"] {
        routes = routes.raw(Method::GET, path, Access::None, login_flows).raw(
            Method::POST,
            path,
            Access::AppserviceOptional,
            login,
        );
    }
    let routes = routes.ruma(refresh).ruma(log_out).even_locked().ruma(log_out_everywhere).even_locked();
    routes.ruma(who_am_i).ruma(login_token)
}

/// `GET /login`
async fn login_flows(app: App, _: RawRequest) -> Answer {
    let mut flows = vec![json!({ "type": "m.login.password" }), json!({ "type": "m.login.token", "get_login_token": true })];
    if !app.server.appservices.is_empty() {
        flows.push(json!({ "type": "m.login.application_service" }));
    }
    if app.jwt.is_some() {
        flows.push(json!({ "type": "org.matrix.login.jwt" }));
    }
    Ok(json_response(&json!({ "flows": flows })))
}

/// The body of `POST /login`. Not ruma's type, which gives up on a body without `type`.
#[derive(Deserialize)]
struct LoginBody {
    r#type: String,
    #[serde(default)]
    identifier: Option<UserIdentifier>,
    /// Deprecated since r0.4.0, still sent.
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    device_id: Option<OwnedDeviceId>,
    #[serde(default)]
    initial_device_display_name: Option<String>,
    #[serde(default)]
    refresh_token: bool,
}

/// `POST /login`
async fn login(app: App, request: RawRequest) -> Answer {
    let body: LoginBody = request.json()?;
    let missing = |what: &str| ApiError::new(StatusCode::BAD_REQUEST, "M_MISSING_PARAM", format!("`{what}` is missing"));
    let user = match (&body.identifier, &body.user) {
        (Some(identifier), _) => interactive::local_user(&app, identifier),
        (None, Some(user)) => interactive::parse_user(&app, user),
        (None, None) => None,
    };
    let named = body.identifier.is_some() || body.user.is_some();
    let proof = match body.r#type.as_str() {
        "m.login.password" if !named => return Err(missing("identifier")),
        "m.login.password" => {
            let password = body.password.clone().ok_or_else(|| missing("password"))?;
            check_password(&app, user, Secret::new(password)).await?
        }
        "m.login.token" => LoginProof::Token(Secret::new(body.token.clone().ok_or_else(|| missing("token"))?)),
        "org.matrix.login.jwt" => {
            let jwt = app.jwt.as_ref().ok_or_else(not_offered)?;
            jwt.check(body.token.as_ref().ok_or_else(|| missing("token"))?, &app.server.name, app.clock.now())?
        }
        "m.login.application_service" => {
            let requester = request.requester()?;
            let id = requester.appservice.clone().ok_or_else(|| {
                ApiError::new(StatusCode::FORBIDDEN, "M_FORBIDDEN", "only an application service logs in this way")
            })?;
            LoginProof::Appservice { id, user_id: user.ok_or_else(|| missing("identifier"))? }
        }
        _ => return Err(not_offered()),
    };
    let tokens = new_tokens(&app, body.refresh_token);
    let device = new_device(&app, body.device_id, body.initial_device_display_name, tokens.clone());
    let command = Login { proof, device };
    let session = app.run(|cx| account::login(cx, &command)).await?;
    Ok(json_response(&login_answer(&app, &session, &tokens)))
}

fn not_offered() -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "M_UNKNOWN", "this server does not offer this way to log in")
}

fn login_answer(app: &App, session: &Session, tokens: &NewTokens) -> serde_json::Value {
    let mut answer = json!({
        "user_id": session.user_id,
        "access_token": tokens.access_token.expose(),
        "device_id": session.device_id,
        "home_server": app.server.name,
        "well_known": { "m.homeserver": { "base_url": app.base_url() } },
    });
    if let Some(refresh_token) = &tokens.refresh_token {
        answer["refresh_token"] = refresh_token.expose().into();
    }
    if let Some(expires_in_ms) = session.expires_in_ms {
        answer["expires_in_ms"] = expires_in_ms.into();
    }
    answer
}

async fn check_password(app: &App, user: Option<OwnedUserId>, password: Secret) -> Result<LoginProof, ApiError> {
    let hash = match &user {
        Some(user_id) => app.read(|cx| account::password_hash(cx, user_id))?,
        None => None,
    };
    let matches = app.passwords.matches(password, hash.as_deref()).await?;
    match (user, hash) {
        (Some(user_id), Some(hash)) if matches => Ok(LoginProof::Password { user_id, hash }),
        _ => Err(ApiError::new(StatusCode::FORBIDDEN, "M_FORBIDDEN", "the user name or password is wrong")),
    }
}

/// New random tokens.
pub fn new_tokens(app: &App, refresh: bool) -> NewTokens {
    NewTokens {
        access_token: Secret::new(app.entropy.token("vsa_")),
        refresh_token: refresh.then(|| Secret::new(app.entropy.token("vsr_"))),
    }
}

/// The device that is logged in to.
pub fn new_device(app: &App, wanted: Option<OwnedDeviceId>, display_name: Option<String>, tokens: NewTokens) -> NewDevice {
    let random = OwnedDeviceId::from(app.entropy.id(DEVICE_ID_LENGTH).to_uppercase());
    NewDevice { device: DeviceChoice { wanted: wanted.filter(|id| !id.as_str().is_empty()), random }, display_name, tokens }
}

/// `POST /login/get_token`: logs in another device of one's own. Whom the platform logs in gets such tokens from it alone.
async fn login_token(
    app: App,
    request: Ruma<get_login_token::v1::Request>,
) -> Result<get_login_token::v1::Response, ApiError> {
    let requester = request.requester()?;
    let standing = app.read(|cx| Ok(policy::standing(cx, &requester.user_id)?))?;
    if !matches!(standing, Standing::Plain | Standing::Support) {
        return Err(Reject::Unknown("You come in by your own page: there are no login tokens to get here.".into()).into());
    }
    interactive::authenticate(&app, requester, request.body.auth.as_ref(), "login/get_token").await?;
    let token = Secret::new(app.entropy.token("vsl_"));
    let expires_in_ms = app.run(|cx| account::create_login_token(cx, &requester.user_id, &token)).await?;
    Ok(get_login_token::v1::Response::new(Duration::from_millis(expires_in_ms), token.expose().to_owned()))
}

/// `POST /refresh`
async fn refresh(app: App, request: Ruma<refresh_token::v3::Request>) -> Result<refresh_token::v3::Response, ApiError> {
    let tokens = new_tokens(&app, true);
    let command = Refresh { refresh_token: Secret::new(request.body.refresh_token), tokens: tokens.clone() };
    let expires_in_ms = app.run(|cx| account::refresh(cx, &command)).await?;
    let mut response = refresh_token::v3::Response::new(tokens.access_token.expose().to_owned());
    response.refresh_token = tokens.refresh_token.map(|token| token.expose().to_owned());
    response.expires_in_ms = expires_in_ms.map(Duration::from_millis);
    Ok(response)
}

/// `POST /logout`
async fn log_out(app: App, request: Ruma<logout::v3::Request>) -> Result<logout::v3::Response, ApiError> {
    let requester = request.requester()?;
    app.run(|cx| account::logout(cx, requester)).await?;
    Ok(logout::v3::Response::new())
}

/// `POST /logout/all`
async fn log_out_everywhere(app: App, request: Ruma<logout_all::v3::Request>) -> Result<logout_all::v3::Response, ApiError> {
    let requester = request.requester()?;
    app.run(|cx| account::logout_all(cx, &requester.user_id)).await?;
    Ok(logout_all::v3::Response::new())
}

/// `GET /account/whoami`
async fn who_am_i(_: App, request: Ruma<whoami::v3::Request>) -> Result<whoami::v3::Response, ApiError> {
    let requester = request.requester()?;
    let mut response = whoami::v3::Response::new(requester.user_id.clone(), false);
    response.device_id.clone_from(&requester.device_id);
    Ok(response)
}
