//! For how long an account keeps text (D11, F10): L, or one of [`LONGER`] times as long. Files live L in any case (D10).

use journal::ReadError;
use ruma::UserId;

use super::standing;
use crate::{Cx, LONGER, Reject};

/// What an account may ask for where L is `retention_ms`, in milliseconds.
fn allowed(retention_ms: u64) -> impl Iterator<Item = u64> {
    std::iter::once(1).chain(LONGER).map(move |times| retention_ms.saturating_mul(times))
}

/// Checks what an account asks for.
///
/// # Errors
/// `M_INVALID_PARAM` with the values that are allowed.
pub fn check_text_retention(cx: &Cx<'_>, text_retention_ms: u64) -> Result<(), Reject> {
    let retention_ms = cx.server.retention_ms;
    if allowed(retention_ms).any(|allowed_ms| allowed_ms == text_retention_ms) {
        return Ok(());
    }
    let allowed: Vec<_> = allowed(retention_ms).map(|allowed_ms| allowed_ms.to_string()).collect();
    let allowed = allowed.join(", ");
    Err(Reject::invalid_param(format!("`text_retention` is in milliseconds, and here one of {allowed}")))
}

/// What counts of what an account has asked for: if L has been changed since, the next allowed time below, and L at least.
pub(super) fn in_force(cx: &Cx<'_>, asked_ms: Option<u64>) -> u64 {
    let retention_ms = cx.server.retention_ms;
    let asked_ms = asked_ms.unwrap_or(retention_ms);
    allowed(retention_ms).take_while(|allowed_ms| *allowed_ms <= asked_ms).last().unwrap_or(retention_ms)
}

/// For how long `user`'s text is kept, as far as it is for them to say: hosts as their account says, participants as the account of
/// who invited them, everybody else L. Never less than L.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn text_retention_ms(cx: &Cx<'_>, user: &UserId) -> Result<u64, ReadError> {
    Ok(standing(cx, user)?.text_retention_ms(cx))
}

/// The shortest that one of `users` keeps text for: it counts for whatever they all read.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn shortest_text_retention_ms<'u>(cx: &Cx<'_>, users: impl IntoIterator<Item = &'u UserId>) -> Result<u64, ReadError> {
    let mut shortest_ms = None;
    for user in users {
        let own_ms = text_retention_ms(cx, user)?;
        if own_ms <= cx.server.retention_ms {
            return Ok(own_ms);
        }
        shortest_ms = Some(shortest_ms.map_or(own_ms, |shortest_ms: u64| shortest_ms.min(own_ms)));
    }
    Ok(shortest_ms.unwrap_or(cx.server.retention_ms))
}
