//! The few calls of Synapse's administration API that tests and tools rely on: making accounts with a shared secret, where one is
//! configured, and notices of the server to a user.

use engine::account::{self, Register, Secret};
use engine::room::notices;
use engine::room::send::{SendEvent, send_event};
use engine::tables::UserKind;
use engine::{Reject, Requester};
use http::{Method, StatusCode};
use ring::hmac;
use ruma::{OwnedRoomId, OwnedTransactionId, OwnedUserId, RoomId};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::session;
use crate::app::App;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes, json_response};

const REGISTER: &str = "/_synapse/admin/v1/register";
const NOTICE: &str = "/_synapse/admin/v1/send_server_notice";

/// What a nonce is for, among the sessions of interactive authentication.
const OPERATION: &str = "shared secret";

/// The tag of the room for notices (spec § Server Notices).
const NOTICE_TAG: &str = "m.server_notice";

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes
        .raw(Method::GET, REGISTER, Access::None, nonce)
        .raw(Method::POST, REGISTER, Access::None, register)
        .raw(Method::POST, NOTICE, Access::Required, notice)
        .raw(Method::PUT, &format!("{NOTICE}/{{txn_id}}"), Access::Required, notice)
}

fn key(app: &App) -> Result<hmac::Key, ApiError> {
    let secret = app.config.registration.shared_secret.as_ref().ok_or_else(ApiError::unrecognized_path)?;
    // The form is Synapse's, and as safe as the secret: forging needs no collision of SHA-1.
    Ok(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.expose().as_bytes()))
}

/// `GET /_synapse/admin/v1/register`
async fn nonce(app: App, request: RawRequest) -> Answer {
    key(&app)?;
    app.count(None, request.address)?;
    let nonce = app.entropy.token("");
    app.run(|cx| account::start_uia(cx, &nonce, None, OPERATION)).await?;
    Ok(json_response(&json!({ "nonce": nonce })))
}

#[derive(Deserialize)]
struct RegisterBody {
    nonce: String,
    username: String,
    password: Secret,
    #[serde(default)]
    admin: bool,
    mac: String,
}

/// `POST /_synapse/admin/v1/register`: whoever knows the secret makes an account, also where registration is closed.
async fn register(app: App, request: RawRequest) -> Answer {
    let key = key(&app)?;
    let body: RegisterBody = request.json()?;
    let refused = || ApiError::new(StatusCode::FORBIDDEN, "M_FORBIDDEN", "the nonce or the mac is wrong");
    if !app.read(|cx| Ok(account::is_uia_session(cx, &body.nonce, None, OPERATION)?))? {
        return Err(refused());
    }
    let role = if body.admin { "admin" } else { "notadmin" };
    let signed = [body.nonce.as_str(), body.username.as_str(), body.password.expose(), role].join("\0");
    let mac = bytes_of_hex(&body.mac).ok_or_else(refused)?;
    hmac::verify(&key, signed.as_bytes(), &mac).map_err(|_| refused())?;

    let localpart = body.username.to_lowercase();
    app.read(|cx| account::check_available(cx, &localpart, None))?;
    let password_hash = Some(app.passwords.hash(body.password, app.entropy).await?);
    let tokens = session::new_tokens(&app, false);
    let device = Some(session::new_device(&app, None, None, tokens.clone()));
    let command = Register { localpart, kind: UserKind::Plain, password_hash, appservice: None, device, admin: body.admin };
    let (user_id, session) = app.run(|cx| account::register(cx, &command)).await?;
    Ok(json_response(&json!({
        "user_id": user_id,
        "home_server": app.server.name,
        "access_token": tokens.access_token.expose(),
        "device_id": session.map(|session| session.device_id),
    })))
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    digits?.chunks(2).map(|pair| u8::try_from(pair.first()? * 16 + pair.get(1)?).ok()).collect()
}

#[derive(Deserialize)]
struct NoticeBody {
    user_id: OwnedUserId,
    content: Box<RawValue>,
    #[serde(default = "message_type")]
    r#type: String,
}

fn message_type() -> String {
    "m.room.message".to_owned()
}

/// `POST /_synapse/admin/v1/send_server_notice`, and `PUT` with a transaction id. Each step may be taken again: nothing comes twice.
async fn notice(app: App, request: RawRequest) -> Answer {
    let Requester { user_id: by, .. } = request.requester()?;
    if !app.read(|cx| account::is_admin(cx, by))? {
        return Err(Reject::forbidden("only a server administrator may do this").into());
    }
    let NoticeBody { user_id, content, r#type } = request.json()?;
    let txn_id = match request.param("txn_id") {
        "" => app.entropy.id(16),
        txn_id => txn_id.to_owned(),
    };
    let random_id = RoomId::parse(format!("!{}:{}", app.entropy.id(18), app.server.name)).map_err(ApiError::internal)?;
    app.run(notices::ensure_sender).await?;
    let room_id: OwnedRoomId = app.run(|cx| notices::open(cx, &user_id, &random_id)).await?;
    app.run(|cx| account::put_tag(cx, &user_id, &room_id, NOTICE_TAG, &Value::Object(serde_json::Map::new()))).await?;
    app.run(|cx| notices::invite_again(cx, &user_id, &room_id)).await?;
    let command = SendEvent {
        sender: app.read(notices::sender)?,
        device_id: None,
        room_id,
        event_type: r#type.into(),
        txn_id: OwnedTransactionId::from(txn_id),
        content,
        timestamp: None,
    };
    let event_id = app.run(|cx| send_event(cx, &command)).await?;
    Ok(json_response(&json!({ "event_id": event_id })))
}
