//! Access and refresh tokens
//! ([spec v1.19, § Refreshing access tokens](https://spec.matrix.org/v1.19/client-server-api/#refreshing-access-tokens)).

use journal::{Name, ReadError, Timestamp};
use ruma::{DeviceId, UserId};

use super::{ACCESS_TOKEN_MS, NewTokens, Secret, users};
use crate::{
    Cx, Decided, Decision, Draft, Reject,
    tables::{self, AccessTokenRow, RefreshTokenRow, TokenKind},
};

/// A token's name in keys. Tokens have a name space of their own, so that nothing else can be mistaken for one.
pub(super) fn token_name(cx: &Cx<'_>, token: &str) -> Name {
    cx.name(&format!("token {token}"))
}

/// When an access token made now runs out, if it comes with a refresh token.
fn expiry(cx: &Cx<'_>, user_id: &UserId) -> Result<Timestamp, ReadError> {
    let expires = cx.now().plus_ms(ACCESS_TOKEN_MS);
    Ok(users::session_end(cx, user_id)?.map_or(expires, |ends_at| ends_at.min(expires)))
}

/// Gives a device its tokens; what it had before ends, but for `got_with` and its access token, which end when the new ones
/// are used. Answers the access token's lifetime.
pub(super) fn issue(
    draft: &mut Draft<'_>,
    user_id: &UserId,
    device_id: &DeviceId,
    tokens: &NewTokens,
    got_with: Option<(Name, &RefreshTokenRow)>,
) -> Result<Option<u64>, ReadError> {
    let cx = draft.cx();
    let keep = got_with.map(|(refresh, row)| [refresh, row.access_token]);
    delete_tokens(draft, user_id, device_id, keep.as_ref().map_or(&[], <[Name; 2]>::as_slice))?;
    let got_with = got_with.map(|(refresh, _)| refresh);
    let access = token_name(&cx, tokens.access_token.expose());
    let expires = tokens.refresh_token.as_ref().map(|_| expiry(&cx, user_id)).transpose()?;
    let row = AccessTokenRow { user_id: user_id.to_owned(), device_id: device_id.to_owned(), expires, got_with };
    tables::ACCESS_TOKENS.put(&mut draft.batch, &(access,), &row);
    put_device_token(draft, user_id, device_id, access, TokenKind::Access);
    if let Some(refresh_token) = &tokens.refresh_token {
        let refresh = token_name(&cx, refresh_token.expose());
        let row =
            RefreshTokenRow { user_id: user_id.to_owned(), device_id: device_id.to_owned(), access_token: access, got_with };
        tables::REFRESH_TOKENS.put(&mut draft.batch, &(refresh,), &row);
        put_device_token(draft, user_id, device_id, refresh, TokenKind::Refresh);
    }
    Ok(expires.map(|expires| expires.as_ms().saturating_sub(cx.now().as_ms())))
}

fn put_device_token(draft: &mut Draft<'_>, user_id: &UserId, device_id: &DeviceId, token: Name, kind: TokenKind) {
    let cx = draft.cx();
    tables::DEVICE_TOKENS.put(&mut draft.batch, &(cx.user(user_id), cx.device(device_id), token), &kind);
}

/// Ends a device's tokens, but for those in `keep`.
pub(super) fn delete_tokens(
    draft: &mut Draft<'_>,
    user_id: &UserId,
    device_id: &DeviceId,
    keep: &[Name],
) -> Result<(), ReadError> {
    let cx = draft.cx();
    for found in tables::DEVICE_TOKENS.scan(cx.view, &(cx.user(user_id), cx.device(device_id))) {
        let (key, row) = found?;
        if keep.contains(&key.2) {
            continue;
        }
        match row.value {
            TokenKind::Access => tables::ACCESS_TOKENS.delete(&mut draft.batch, &(key.2,)),
            TokenKind::Refresh => tables::REFRESH_TOKENS.delete(&mut draft.batch, &(key.2,)),
        }
        tables::DEVICE_TOKENS.delete(&mut draft.batch, &key);
    }
    Ok(())
}

/// Whether the device's page is gone: its access token has run out, and it has not got another.
pub(super) fn has_run_out(cx: &Cx<'_>, user_id: &UserId, device_id: &DeviceId) -> Result<bool, ReadError> {
    for found in tables::DEVICE_TOKENS.scan(cx.view, &(cx.user(user_id), cx.device(device_id))) {
        let ((_, _, token), row) = found?;
        if row.value == TokenKind::Access
            && let Some(row) = tables::ACCESS_TOKENS.get(cx.view, &(token,))?
            && row.value.expires.is_none_or(|expires| expires > cx.now())
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `POST /refresh`.
#[derive(Clone, Debug)]
pub struct Refresh {
    /// The refresh token that the client has.
    pub refresh_token: Secret,
    /// The new ones.
    pub tokens: NewTokens,
}

/// New tokens for a refresh token. The old ones stay valid until one of the new ones is used, so that an answer that got
/// lost locks nobody out. Answers the access token's lifetime.
///
/// # Errors
/// `M_UNKNOWN_TOKEN`, with `soft_logout: false`: the client has nothing left to refresh with. `M_USER_LOCKED`.
pub fn refresh(cx: &Cx<'_>, command: &Refresh) -> Decided<Option<u64>> {
    let gone = || Reject::UnknownToken { soft_logout: false };
    let name = token_name(cx, command.refresh_token.expose());
    let row = tables::REFRESH_TOKENS.get(cx.view, &(name,))?.ok_or_else(gone)?;
    let user_id = &row.value.user_id;
    let entry = users::entry(cx, user_id)?;
    if entry.over {
        return Err(gone().into());
    }
    if entry.locked {
        return Err(Reject::UserLocked.into());
    }
    let mut draft = Draft::new(*cx);
    tables::REFRESH_TOKENS.require(&mut draft.batch, &(name,), Some(row.version));
    let device = (cx.user(user_id), cx.device(&row.value.device_id));
    let found = tables::DEVICES.get(cx.view, &device)?.ok_or_else(gone)?;
    tables::DEVICES.require(&mut draft.batch, &device, Some(found.version));
    let mut seen = found.value;
    seen.last_seen = cx.now();
    tables::DEVICES.put(&mut draft.batch, &device, &seen);
    // Used itself, it ends what it was got with.
    let used = RefreshTokenRow { got_with: None, ..row.value.clone() };
    tables::REFRESH_TOKENS.put(&mut draft.batch, &(name,), &used);
    let lifetime_ms = issue(&mut draft, user_id, &row.value.device_id, &command.tokens, Some((name, &used)))?;
    Ok(draft.commit(lifetime_ms))
}

/// Notes the first use of an access token got by refreshing: the tokens it replaces end. For whoever was told so by
/// [`super::Authenticated::first_use`].
///
/// # Errors
/// [`crate::Stop::Read`].
pub fn confirm_tokens(cx: &Cx<'_>, access_token: &Secret) -> Decided<()> {
    let name = token_name(cx, access_token.expose());
    let Some(row) = tables::ACCESS_TOKENS.get(cx.view, &(name,))? else { return Ok(Decision::Done(())) };
    let Some(got_with) = row.value.got_with else { return Ok(Decision::Done(())) };
    let mut draft = Draft::new(*cx);
    tables::ACCESS_TOKENS.require(&mut draft.batch, &(name,), Some(row.version));
    let (user, device) = (cx.user(&row.value.user_id), cx.device(&row.value.device_id));
    if let Some(old) = tables::REFRESH_TOKENS.get(cx.view, &(got_with,))? {
        tables::REFRESH_TOKENS.delete(&mut draft.batch, &(got_with,));
        tables::DEVICE_TOKENS.delete(&mut draft.batch, &(user, device, got_with));
        tables::ACCESS_TOKENS.delete(&mut draft.batch, &(old.value.access_token,));
        tables::DEVICE_TOKENS.delete(&mut draft.batch, &(user, device, old.value.access_token));
    }
    tables::ACCESS_TOKENS.put(&mut draft.batch, &(name,), &AccessTokenRow { got_with: None, ..row.value });
    Ok(draft.commit(()))
}
