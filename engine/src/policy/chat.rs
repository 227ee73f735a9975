//! Whether chat is switched on (F12), and how a user's clients learn of it: as account data that the server keeps, computed from
//! the account's row, so that one write tells everybody. It comes again when the user's standing changes (another account, another
//! host, another end of the session): whoever shows those asks for them then.

use journal::{ReadError, Seq, Stamp, Topic};
use ruma::UserId;
use serde_json::value::RawValue;

use crate::{
    Cx,
    tables::{self, HostRow, UserKind},
};

/// The type of the account data: `{ "enabled": bool }`. Only provisioned users have it.
pub const CHAT: &str = "org.vestibule.chat";

/// What a provisioned user's clients are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChatState {
    /// Whether chat is switched on.
    pub enabled: bool,
    /// Since when it may be that.
    pub since: Stamp,
    /// What wakes whoever waits for a change.
    pub topic: Topic,
}

impl ChatState {
    /// As account data.
    #[must_use]
    pub fn content(&self) -> Box<RawValue> {
        crate::room::raw(&serde_json::json!({ "enabled": self.enabled }))
    }
}

/// What wakes all who belong to an account.
#[must_use]
pub fn account_topic(cx: &Cx<'_>, organization: &str, account: &str) -> Topic {
    // Two ids can be cut in many ways, their names in one.
    Topic(cx.name(&format!("account {} {organization} {account}", organization.len())))
}

/// Whether chat is switched on for `user`; `None` for whoever belongs to no account.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn chat_state(cx: &Cx<'_>, user: &UserId) -> Result<Option<ChatState>, ReadError> {
    let Some((HostRow { organization, account, .. }, since)) = responsible(cx, user)? else { return Ok(None) };
    let row = tables::ORGANIZATION_ACCOUNTS.get(cx.view, &(cx.name(&organization), cx.name(&account)))?;
    let since = row.as_ref().map_or(since, |row| row.version.max(since));
    Ok(Some(ChatState {
        enabled: row.is_some_and(|row| row.value.chat_enabled),
        since: Stamp::of_row(since, 0),
        topic: account_topic(cx, &organization, &account),
    }))
}

/// Bytes that `user` may upload in any 24 hours (F9): as the account says, else as the server's configuration does.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn upload_per_day(cx: &Cx<'_>, user: &UserId) -> Result<u64, ReadError> {
    let Some((host, _)) = responsible(cx, user)? else { return Ok(cx.server.upload_per_day) };
    let key = (cx.name(&host.organization), cx.name(&host.account));
    let account = tables::ORGANIZATION_ACCOUNTS.get(cx.view, &key)?.map(|row| row.value);
    Ok(account.and_then(|account| account.upload_per_day).unwrap_or(cx.server.upload_per_day))
}

/// The host whose account `user` belongs to, that is the user or who invited them; and since when it may be that.
fn responsible(cx: &Cx<'_>, user: &UserId) -> Result<Option<(HostRow, Seq)>, ReadError> {
    let name = cx.user(user);
    let host = |name| tables::HOST_USERS.get(cx.view, &(name,));
    match tables::USERS.get(cx.view, &(name,))?.map(|row| row.value.kind) {
        Some(UserKind::Host) => Ok(host(name)?.map(|row| (row.value, row.version))),
        Some(UserKind::Participant) => {
            let Some(row) = tables::PARTICIPANTS.get(cx.view, &(name,))? else { return Ok(None) };
            Ok(host(cx.user(&row.value.inviter))?.map(|host| (host.value, host.version.max(row.version))))
        }
        _ => Ok(None),
    }
}
