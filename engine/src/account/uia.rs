//! User-interactive authentication: that a session was asked for, by whom, and for what
//! ([spec v1.19, § User-Interactive Authentication API](https://spec.matrix.org/v1.19/client-server-api/#user-interactive-authentication-api)).

use journal::ReadError;
use ruma::{OwnedUserId, UserId};

use crate::{
    Cx, Decided, Draft, MINUTES_MS, Requester, class,
    tables::{self, UiaSessionRow},
};

/// How long after a login a user without a password needs no further proof: the platform logs them in, and they have
/// nothing else to prove it with.
pub const UIA_GRACE_MS: u64 = 600_000;

/// Notes that somebody was asked to authenticate for `operation`.
///
/// # Errors
/// Never; the signature is every command's.
pub fn start_uia(cx: &Cx<'_>, session: &str, user_id: Option<OwnedUserId>, operation: &str) -> Decided<()> {
    let mut draft = Draft::new(*cx);
    let row = UiaSessionRow { user_id, operation: operation.to_owned() };
    let key = (cx.name(&format!("uia {session}")),);
    tables::UIA_SESSIONS.put(&mut draft.batch, &key, &row, class::MINUTES, cx.now().plus_ms(MINUTES_MS));
    Ok(draft.commit(()))
}

/// Whether the session was started by this user for this operation.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn is_uia_session(cx: &Cx<'_>, session: &str, user_id: Option<&UserId>, operation: &str) -> Result<bool, ReadError> {
    let row = tables::UIA_SESSIONS.get(cx.view, &(cx.name(&format!("uia {session}")),))?;
    Ok(row.is_some_and(|row| row.value.user_id.as_deref() == user_id && row.value.operation == operation))
}

/// Whether the user logged in on the asking device less than [`UIA_GRACE_MS`] ago.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn has_fresh_login(cx: &Cx<'_>, requester: &Requester) -> Result<bool, ReadError> {
    let Some(device_id) = &requester.device_id else { return Ok(false) };
    let row = tables::DEVICES.get(cx.view, &(cx.user(&requester.user_id), cx.device(device_id)))?;
    Ok(row.is_some_and(|row| row.value.authenticated.plus_ms(UIA_GRACE_MS) > cx.now()))
}
