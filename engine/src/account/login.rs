//! Logging in ([spec v1.19, § Login](https://spec.matrix.org/v1.19/client-server-api/#login)).

use journal::{ReadError, Timestamp};
use ruma::{OwnedDeviceId, OwnedUserId, UserId};

use super::{DeviceChoice, LOGIN_TOKEN_MS, NewTokens, Secret, devices, tokens};
use crate::{
    Cx, Decided, Draft, Reject, Stop, audit, class,
    platform::webhooks,
    tables::{self, DeviceRow, LoginTokenRow, UserKind, UserRow},
};

/// A device that is being logged in to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDevice {
    /// Its id.
    pub device: DeviceChoice,
    /// What a new device is called.
    pub display_name: Option<String>,
    /// Its tokens.
    pub tokens: NewTokens,
}

/// Who may log in, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginProof {
    /// A password that matched this hash.
    Password {
        /// Who.
        user_id: OwnedUserId,
        /// The hash that it was compared with, so that a password changed meanwhile doesn't count.
        hash: String,
    },
    /// A one-time token.
    Token(Secret),
    /// A JSON Web Token of the platform's that has been checked; only it being used once is left to see to.
    Jwt {
        /// Who.
        user_id: OwnedUserId,
        /// Its id (`jti`).
        id: Secret,
        /// Until when it could be used.
        expires: Timestamp,
    },
    /// An application service, for a user in its namespace.
    Appservice {
        /// The application service.
        id: String,
        /// Who.
        user_id: OwnedUserId,
    },
}

impl LoginProof {
    /// What the audit trail calls it.
    const fn action(&self) -> &'static str {
        match self {
            Self::Password { .. } => "login m.login.password",
            Self::Token(_) => "login m.login.token",
            Self::Jwt { .. } => "login org.matrix.login.jwt",
            Self::Appservice { .. } => "login m.login.application_service",
        }
    }
}

/// `POST /login`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Who.
    pub proof: LoginProof,
    /// Where.
    pub device: NewDevice,
}

/// A login that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Who.
    pub user_id: OwnedUserId,
    /// Where.
    pub device_id: OwnedDeviceId,
    /// How long the access token lives; `None`: as long as the device.
    pub expires_in_ms: Option<u64>,
}

/// Logs in. A one-time token is used up by the same batch: of two who come with it, one gets in.
///
/// # Errors
/// `M_FORBIDDEN` when the proof does not hold, `M_USER_DEACTIVATED`, `M_USER_LOCKED`, `M_EXCLUSIVE` outside the application
/// service's namespace.
pub fn login(cx: &Cx<'_>, command: &Login) -> Decided<Session> {
    let mut draft = Draft::new(*cx);
    let user_id = check_proof(&mut draft, &command.proof)?;
    let name = (cx.user(&user_id),);
    let no_user = || Reject::forbidden("the user name or password is wrong");
    let row = tables::USERS.get(cx.view, &name)?.ok_or_else(no_user)?;
    if row.value.deactivated {
        return Err(Reject::UserDeactivated.into());
    }
    if let LoginProof::Password { hash, .. } = &command.proof
        && row.value.password_hash.as_ref() != Some(hash)
    {
        return Err(no_user().into());
    }
    if row.value.locked {
        return Err(Reject::UserLocked.into());
    }
    if super::users::session_end(cx, &user_id)?.is_some_and(|ends_at| ends_at <= cx.now()) {
        return Err(Reject::forbidden("The session you were invited to is over.").into());
    }
    tables::USERS.require(&mut draft.batch, &name, Some(row.version));
    let session = put_device(&mut draft, &user_id, row.value.kind, &command.device)?;
    note(&mut draft, &user_id, command.proof.action(), &command.device);
    if !row.value.been_here && matches!(row.value.kind, UserKind::Host | UserKind::Participant) {
        tables::USERS.put(&mut draft.batch, &name, &UserRow { been_here: true, ..row.value });
        webhooks::first_online(&mut draft, &user_id)?;
    }
    Ok(draft.commit(session))
}

/// Drafts the audit trail's entry of a sign-in.
pub(super) fn note(draft: &mut Draft<'_>, user_id: &UserId, action: &str, device: &NewDevice) {
    let cx = draft.cx();
    // The token is new and random; of its hash only another hash is kept.
    let unique = cx.name(&format!("sign-in {}", device.tokens.access_token.expose()));
    let entry = audit::NewEntry {
        id: unique.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect(),
        actor: audit::Actor::User(user_id.to_owned()),
        action: action.to_owned(),
        objects: Vec::new(),
        status: 200,
    };
    audit::write(&cx, &mut draft.batch, &entry);
}

fn check_proof(draft: &mut Draft<'_>, proof: &LoginProof) -> Result<OwnedUserId, Stop> {
    let cx = draft.cx();
    match proof {
        LoginProof::Password { user_id, .. } => Ok(user_id.clone()),
        LoginProof::Token(token) => {
            let name = (tokens::token_name(&cx, token.expose()),);
            let row = tables::LOGIN_TOKENS.get(cx.view, &name)?;
            let row =
                row.ok_or_else(|| Reject::forbidden("this login token has been used or has run out; get a new one"))?;
            tables::LOGIN_TOKENS.require(&mut draft.batch, &name, Some(row.version));
            tables::LOGIN_TOKENS.delete(&mut draft.batch, &name);
            Ok(row.value.user_id)
        }
        LoginProof::Jwt { user_id, id, expires } => {
            let kind = tables::USERS.get(cx.view, &(cx.user(user_id),))?.map(|row| row.value.kind);
            if !matches!(kind, Some(UserKind::Host | UserKind::Participant)) {
                return Err(Reject::forbidden("there is no such host or participant").into());
            }
            let name = (cx.name(&format!("jwt {}", id.expose())),);
            if tables::USED_JWTS.exists(cx.view, &name)? {
                return Err(Reject::forbidden("this token has been used; sign a new one").into());
            }
            tables::USED_JWTS.require(&mut draft.batch, &name, None);
            tables::USED_JWTS.put(&mut draft.batch, &name, &(), class::MINUTES, *expires);
            Ok(user_id.clone())
        }
        LoginProof::Appservice { id, user_id } => {
            let appservice = cx.server.appservices.get(id).ok_or(Reject::UnknownToken { soft_logout: false })?;
            if *user_id != appservice.user_id && !appservice.interest.user(user_id) {
                return Err(Reject::Exclusive("this user is not in the application service's namespace".into()).into());
            }
            Ok(user_id.clone())
        }
    }
}

/// Drafts the first device of a user whom the same batch makes.
pub(super) fn put_first_device(draft: &mut Draft<'_>, user_id: &UserId, device: &NewDevice) -> Result<Session, ReadError> {
    let device_id = device.device.wanted.clone().unwrap_or_else(|| device.device.random.clone());
    write_device(draft, user_id, device_id, device.display_name.clone(), device)
}

fn put_device(draft: &mut Draft<'_>, user_id: &UserId, kind: tables::UserKind, device: &NewDevice) -> Result<Session, Stop> {
    let cx = draft.cx();
    let device_id = device.device.wanted.clone().unwrap_or_else(|| device.device.random.clone());
    devices::check_device_id(&device_id)?;
    let key = (cx.user(user_id), cx.device(&device_id));
    let known = tables::DEVICES.get(cx.view, &key)?;
    tables::DEVICES.require(&mut draft.batch, &key, known.as_ref().map(|row| row.version));
    let display_name = if let Some(row) = known {
        row.value.display_name
    } else {
        devices::make_room(draft, user_id, kind)?;
        device.display_name.clone()
    };
    Ok(write_device(draft, user_id, device_id, display_name, device)?)
}

fn write_device(
    draft: &mut Draft<'_>,
    user_id: &UserId,
    device_id: OwnedDeviceId,
    display_name: Option<String>,
    device: &NewDevice,
) -> Result<Session, ReadError> {
    let cx = draft.cx();
    let row = DeviceRow { device_id: device_id.clone(), display_name, last_seen: cx.now(), authenticated: cx.now() };
    tables::DEVICES.put(&mut draft.batch, &(cx.user(user_id), cx.device(&device_id)), &row);
    let expires_in_ms = tokens::issue(draft, user_id, &device_id, &device.tokens, None)?;
    Ok(Session { user_id: user_id.to_owned(), device_id, expires_in_ms })
}

/// Makes a one-time login token for a user. Answers how long it lives.
///
/// # Errors
/// `M_NOT_FOUND` for nobody, `M_USER_DEACTIVATED`, `M_USER_LOCKED`, `M_FORBIDDEN` after the session's end.
pub fn create_login_token(cx: &Cx<'_>, user_id: &UserId, token: &Secret) -> Decided<u64> {
    let row = super::users::user(cx, user_id)?;
    if row.deactivated {
        return Err(Reject::UserDeactivated.into());
    }
    if row.locked {
        return Err(Reject::UserLocked.into());
    }
    if super::users::session_end(cx, user_id)?.is_some_and(|ends_at| ends_at <= cx.now()) {
        return Err(Reject::forbidden("the session of this participant is over").into());
    }
    let mut draft = Draft::new(*cx);
    let row = LoginTokenRow { user_id: user_id.to_owned() };
    let expires = cx.now().plus_ms(LOGIN_TOKEN_MS);
    tables::LOGIN_TOKENS.put(&mut draft.batch, &(tokens::token_name(cx, token.expose()),), &row, class::MINUTES, expires);
    Ok(draft.commit(LOGIN_TOKEN_MS))
}
