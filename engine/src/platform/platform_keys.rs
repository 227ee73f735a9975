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
}

/// Stores a new key.
///
/// # Errors
/// [`Stop::Read`].
pub fn create_platform_key(cx: &Cx<'_>, command: &CreatePlatformKey) -> Decided<()> {
    let mut draft = Draft::new(*cx);
    let row = PlatformKeyRow { id: command.id.clone(), scopes: command.scopes.clone(), created: cx.now() };
    tables::PLATFORM_KEYS.put(&mut draft.batch, &(key_name(cx, &command.key),), &row);
    Ok(draft.commit(()))
}

/// All keys, without the keys themselves, oldest first.
///
/// # Errors
/// [`Stop::Read`].
pub fn platform_keys(cx: &Cx<'_>) -> Result<Vec<PlatformKeyRow>, Stop> {
    let rows = tables::PLATFORM_KEYS.scan(cx.view, &()).map(|row| Ok(row?.1.value));
    let mut rows = rows.collect::<Result<Vec<_>, Stop>>()?;
    rows.sort_by_key(|row| (row.created, row.id.clone()));
    Ok(rows)
}

/// `vestibule keys revoke`: the key opens nothing any more.
///
/// # Errors
/// `M_NOT_FOUND` for an unknown id.
pub fn revoke_platform_key(cx: &Cx<'_>, id: &str) -> Decided<()> {
    let mut draft = Draft::new(*cx);
    for row in tables::PLATFORM_KEYS.scan(cx.view, &()) {
        let (key, row) = row?;
        if row.value.id == id {
            tables::PLATFORM_KEYS.delete(&mut draft.batch, &key);
        }
    }
    if draft.batch.is_empty() {
        return Err(Reject::not_found("there is no key of this id; `vestibule keys list` shows them").into());
    }
    Ok(draft.commit(()))
}

/// Whose key it is, if it may be used for `scope`.
///
/// # Errors
/// `M_UNKNOWN_TOKEN` for an unknown key, `M_FORBIDDEN` for one of another scope.
pub fn check_platform_key(cx: &Cx<'_>, key: &Secret, scope: Scope) -> Result<PlatformKeyRow, Stop> {
    let row = tables::PLATFORM_KEYS.get(cx.view, &(key_name(cx, key),))?;
    let row = row.ok_or(Reject::UnknownToken { soft_logout: false })?.value;
    if !row.scopes.contains(&scope) {
        return Err(Reject::forbidden("this key may not be used for this; make one with `vestibule keys create`").into());
    }
    Ok(row)
}
