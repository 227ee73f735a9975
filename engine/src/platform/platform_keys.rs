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
