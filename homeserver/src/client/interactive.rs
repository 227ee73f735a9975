//! Interactive authentication of the calls that need it
//! ([spec v1.19, § User-Interactive Authentication API](https://spec.matrix.org/v1.19/client-server-api/#user-interactive-authentication-api)).
//!
//! One stage is always enough: `m.login.dummy` to register, `m.login.password` for the rest. Users whom the platform logs in
//! have no password; they have proved who they are for some minutes after each login.

use engine::Requester;
use engine::account::{self, Secret};
use http::StatusCode;
use ruma::api::client::uiaa::{AuthData, UserIdentifier};
use ruma::{OwnedUserId, UserId};
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::http::ApiError;

const DUMMY: &str = "m.login.dummy";
const PASSWORD: &str = "m.login.password";

/// Lets `requester` do `operation` if they prove with `auth` who they are.
///
/// # Errors
/// 401 with the flows and a session to go on with; 403 when nothing but a new login can prove it.
pub async fn authenticate(
    app: &App,
    requester: &Requester,
    auth: Option<&AuthData>,
    operation: &str,
) -> Result<(), ApiError> {
    if requester.appservice.is_some() {
        return Ok(());
    }
    let user_id = &requester.user_id;
    let hash = app.read(|cx| account::password_hash(cx, user_id))?;
    let Some(hash) = hash else {
        if app.read(|cx| Ok(account::has_fresh_login(cx, requester)?))? {
            return Ok(());
        }
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "M_FORBIDDEN",
            "log in again to do this: your login is too long ago",
        ));
    };
    match auth {
        None => Err(challenge(app, Some(user_id), PASSWORD, operation, None).await?),
        Some(AuthData::Password(given)) => {
            check_session(app, given.session.as_deref(), Some(user_id), PASSWORD, operation).await?;
            if local_user(app, &given.identifier).as_ref() != Some(user_id) {
                let message = "confirm with your own user name: this is asked in your name";
                return Err(ApiError::new(StatusCode::FORBIDDEN, "M_FORBIDDEN", message));
            }
            let password = Secret::new(given.password.clone());
            if app.passwords.matches(password, Some(&hash)).await? {
                return Ok(());
            }
            let wrong = ("M_FORBIDDEN", "the user name or password is wrong");
            Err(challenge(app, Some(user_id), PASSWORD, operation, Some(wrong)).await?)
        }
        Some(other) => Err(not_completed(app, other, Some(user_id), PASSWORD, operation).await?),
    }
}

/// Lets somebody register who sends the stage that anybody can.
///
/// # Errors
/// 401 with the flows and a session to go on with.
pub async fn authenticate_registration(app: &App, auth: Option<&AuthData>) -> Result<(), ApiError> {
    const OPERATION: &str = "register";
    match auth {
        None => Err(challenge(app, None, DUMMY, OPERATION, None).await?),
        Some(AuthData::Dummy(given)) => check_session(app, given.session.as_deref(), None, DUMMY, OPERATION).await,
        Some(other) => Err(not_completed(app, other, None, DUMMY, OPERATION).await?),
    }
}

/// The user whom an identifier names, on this server.
pub fn local_user(app: &App, identifier: &UserIdentifier) -> Option<OwnedUserId> {
    let UserIdentifier::Matrix(identifier) = identifier else { return None };
    parse_user(app, &identifier.user)
}

/// A user id, or the localpart of one.
pub fn parse_user(app: &App, user: &str) -> Option<OwnedUserId> {
    let user_id = UserId::parse_with_server_name(user.to_lowercase(), &app.server.name).ok()?;
    app.server.is_local(&user_id).then_some(user_id)
}

/// A session that a client names must have been started for the same user and operation.
async fn check_session(
    app: &App,
    session: Option<&str>,
    user_id: Option<&UserId>,
    stage: &str,
    operation: &str,
) -> Result<(), ApiError> {
    let Some(session) = session else { return Ok(()) };
    if app.read(|cx| Ok(account::is_uia_session(cx, session, user_id, operation)?))? {
        return Ok(());
    }
    let unknown = ("M_FORBIDDEN", "this authentication session is unknown, or belongs to another request; start again");
    Err(challenge(app, user_id, stage, operation, Some(unknown)).await?)
}

async fn not_completed(
    app: &App,
    auth: &AuthData,
    user_id: Option<&UserId>,
    stage: &str,
    operation: &str,
) -> Result<ApiError, ApiError> {
    // Only a session: the client asks whether a stage was completed elsewhere. None ever is.
    let wrong =
        auth.auth_type().is_some().then_some(("M_UNRECOGNIZED", "this server does not offer this way to authenticate"));
    challenge(app, user_id, stage, operation, wrong).await
}

/// The 401 that says what to do.
async fn challenge(
    app: &App,
    user_id: Option<&UserId>,
    stage: &str,
    operation: &str,
    wrong: Option<(&str, &str)>,
) -> Result<ApiError, ApiError> {
    let session = app.entropy.token("");
    app.run(|cx| account::start_uia(cx, &session, user_id.map(ToOwned::to_owned), operation)).await?;
    let mut body: Map<String, Value> = Map::new();
    body.insert("flows".to_owned(), json!([{ "stages": [stage] }]));
    body.insert("params".to_owned(), json!({}));
    body.insert("completed".to_owned(), json!([]));
    body.insert("session".to_owned(), session.into());
    if let Some((errcode, message)) = wrong {
        body.insert("errcode".to_owned(), errcode.into());
        body.insert("error".to_owned(), message.into());
    }
    Ok(ApiError::interactive_auth(body))
}
