//! Tokens with which a user proves to others who they are
//! ([spec v1.19, § OpenID](https://spec.matrix.org/v1.19/client-server-api/#openid)).

use journal::Name;
use ruma::{OwnedUserId, UserId};

use super::{Secret, users};
use crate::{
    Cx, Decided, Draft, MINUTES_MS, Reject, Stop, class,
    tables::{self, OpenIdTokenRow},
};

/// How long such a token lives.
pub const OPENID_TOKEN_MS: u64 = MINUTES_MS;

/// These tokens have a name space of their own: none opens anything else.
fn openid_name(cx: &Cx<'_>, token: &str) -> Name {
    cx.name(&format!("openid {token}"))
}

/// `POST /user/{userId}/openid/request_token`: stores a random token.
///
/// # Errors
/// Never; the signature is every command's.
pub fn create_openid_token(cx: &Cx<'_>, user_id: &UserId, token: &Secret) -> Decided<()> {
    let mut draft = Draft::new(*cx);
    let row = OpenIdTokenRow { user_id: user_id.to_owned() };
    let expires = cx.now().plus_ms(OPENID_TOKEN_MS);
    tables::OPENID_TOKENS.put(&mut draft.batch, &(openid_name(cx, token.expose()),), &row, class::MINUTES, expires);
    Ok(draft.commit(()))
}

/// Whose token it is
/// ([Server-Server API § OpenID](https://spec.matrix.org/v1.19/server-server-api/#openid)).
///
/// # Errors
/// `M_UNKNOWN_TOKEN`, also when the account has been closed or locked, or the session is over.
pub fn openid_user(cx: &Cx<'_>, token: &str) -> Result<OwnedUserId, Stop> {
    let gone = || Stop::from(Reject::UnknownToken { soft_logout: false });
    let user_id = tables::OPENID_TOKENS.get(cx.view, &(openid_name(cx, token),))?.ok_or_else(gone)?.value.user_id;
    let entry = users::entry(cx, &user_id)?;
    if entry.over || entry.locked || users::is_deactivated(cx, &user_id)? {
        return Err(gone());
    }
    Ok(user_id)
}
