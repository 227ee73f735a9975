//! Whom a user ignores
//! ([spec v1.19, Client-Server API § Ignoring users](https://spec.matrix.org/v1.19/client-server-api/#ignoring-users)).

use std::collections::BTreeSet;

use journal::ReadError;
use ruma::{OwnedUserId, UserId};
use serde::Deserialize;

use crate::{Cx, tables};

/// The users in `m.ignored_user_list`. A list of another form ignores nobody.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn ignored_users(cx: &Cx<'_>, user_id: &UserId) -> Result<BTreeSet<OwnedUserId>, ReadError> {
    #[derive(Deserialize)]
    struct List {
        ignored_users: std::collections::BTreeMap<OwnedUserId, serde::de::IgnoredAny>,
    }
    let key = (cx.user(user_id), cx.name("m.ignored_user_list"));
    let Some(row) = tables::ACCOUNT_DATA.get(cx.view, &key)? else { return Ok(BTreeSet::new()) };
    let list = serde_json::from_str::<List>(row.value.content.get());
    Ok(list.map(|list| list.ignored_users.into_keys().collect()).unwrap_or_default())
}
