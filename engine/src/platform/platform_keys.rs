//! Keys of the platform interface. Only their hashes are kept.

use journal::Name;

use crate::{
    Cx, Decided, Draft, Reject, Stop,
    account::Secret,
    tables::{self, PlatformKeyRow, Scope},
};

fn key_name(cx: &Cx<'_>, key: &Secret) -> Name {
    cx.name(&format!("platform key {}", key.expose()))
}

/// `vestibule keys create`.
#[derive(Clone, Debug)]
pub struct CreatePlatformKey {
    /// What lists call it.
    pub id: String,
    /// The random key; whoever asked for it sees it once.
    pub key: Secret,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// How long it opens anything; `None`: until it is revoked.
    pub lifetime_ms: Option<u64>,
}

/// Stores a new key.
///
/// # Errors
/// [`Stop::Read`].
pub fn create_platform_key(cx: &Cx<'_>, command: &CreatePlatformKey) -> Decided<()> {
    let mut draft = Draft::new(*cx);
    let expires = command.lifetime_ms.map(|lifetime_ms| cx.now().plus_ms(lifetime_ms));
    let row = PlatformKeyRow { id: command.id.clone(), scopes: command.scopes.clone(), created: cx.now(), expires };
    tables::PLATFORM_KEYS.put(&mut draft.batch, &(key_name(cx, &command.key),), &row);
    Ok(draft.commit(()))
}

/// All keys, oldest first, without the keys themselves.
///
/// # Errors
/// [`Stop::Read`].
pub fn platform_keys(cx: &Cx<'_>) -> Result<Vec<PlatformKeyRow>, Stop> {
    let rows: Result<Vec<_>, _> =
        tables::PLATFORM_KEYS.scan(cx.view, &()).map(|row| row.map(|(_, row)| row.value)).collect();
    let mut rows = rows?;
    rows.sort_by(|one, other| (one.created, &one.id).cmp(&(other.created, &other.id)));
    Ok(rows)
}

/// Makes the key of that id useless, from the next request on.
///
/// # Errors
/// `M_NOT_FOUND` when there is none.
pub fn revoke_platform_key(cx: &Cx<'_>, id: &str) -> Decided<()> {
    for found in tables::PLATFORM_KEYS.scan(cx.view, &()) {
        let (key, row) = found?;
        if row.value.id == id {
            let mut draft = Draft::new(*cx);
            tables::PLATFORM_KEYS.delete(&mut draft.batch, &key);
            return Ok(draft.commit(()));
        }
    }
    Err(Reject::not_found("there is no key of this id; `vestibule keys list` shows them").into())
}

/// Whose key it is, if it may be used for `scope`.
///
/// # Errors
/// `M_UNKNOWN_TOKEN` for an unknown key and for one that has run out, `M_FORBIDDEN` for one of another scope.
pub fn check_platform_key(cx: &Cx<'_>, key: &Secret, scope: Scope) -> Result<PlatformKeyRow, Stop> {
    let row = tables::PLATFORM_KEYS.get(cx.view, &(key_name(cx, key),))?;
    let row = row.ok_or(Reject::UnknownToken { soft_logout: false })?.value;
    if row.expires.is_some_and(|expires| expires <= cx.now()) {
        return Err(Reject::UnknownToken { soft_logout: false }.into());
    }
    if !row.scopes.contains(&scope) && !row.scopes.contains(&Scope::Platform) {
        let message = format!("this key may not be used for this: it takes the scope `{}`", scope.as_str());
        return Err(Reject::forbidden(message).into());
    }
    Ok(row)
}
