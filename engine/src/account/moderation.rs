//! What administrators see of users and do to them
//! ([spec v1.19, § Server administration](https://spec.matrix.org/v1.19/client-server-api/#server-administration)).

use ruma::{OwnedUserId, UserId};

use super::devices;
use crate::{
    Cx, Decided, Draft, Reject, Stop,
    tables::{self, DeviceRow, UserRow},
};

/// What can be taken from a user for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restriction {
    /// Everything but logging out
    /// ([§ Account locking](https://spec.matrix.org/v1.19/client-server-api/#account-locking)).
    Lock,
    /// Everything that others notice
    /// ([§ Account suspension](https://spec.matrix.org/v1.19/client-server-api/#account-suspension)).
    Suspend,
}

impl Restriction {
    const fn of(self, row: &mut UserRow) -> &mut bool {
        match self {
            Self::Lock => &mut row.locked,
            Self::Suspend => &mut row.suspended,
        }
    }
}

/// `PUT /admin/lock/{userId}`, `PUT /admin/suspend/{userId}`, and the operator's commands for the same.
#[derive(Clone, Debug)]
pub struct Moderate {
    /// Who asks; `None` for the operator at a terminal.
    pub by: Option<OwnedUserId>,
    /// Whose account.
    pub user_id: OwnedUserId,
    /// What is put on it, or taken off it.
    pub restriction: Restriction,
    /// Which of the two.
    pub on: bool,
}

/// Locks, unlocks, suspends an account, or lets it go on. A waiting `/sync` of a locked one is woken to be refused.
///
/// # Errors
/// `M_FORBIDDEN` for who is no administrator, and for accounts of administrators, one's own included; `M_INVALID_PARAM` for
/// another server's user; `M_NOT_FOUND` for nobody and for closed accounts.
pub fn moderate(cx: &Cx<'_>, command: &Moderate) -> Decided<()> {
    if let Some(by) = &command.by {
        check_admin(cx, by)?;
    }
    let row = local_user(cx, &command.user_id)?;
    if command.by.is_some() && row.value.admin {
        return Err(Reject::forbidden("this is an administrator's account: only the operator can do that to it").into());
    }
    put(cx, row, |row| *command.restriction.of(row) = command.on)
}

/// Whether an account is locked or suspended, for an administrator.
///
/// # Errors
/// As [`moderate`]; administrators may look at their own account.
pub fn is_restricted(cx: &Cx<'_>, by: &UserId, user_id: &UserId, restriction: Restriction) -> Result<bool, Stop> {
    check_admin(cx, by)?;
    let mut row = local_user(cx, user_id)?.value;
    if row.admin && user_id != by {
        return Err(Reject::forbidden("this is another administrator's account").into());
    }
    Ok(*restriction.of(&mut row))
}

/// Makes a user an administrator, or takes that away: the operator's command.
///
/// # Errors
/// `M_INVALID_PARAM`, `M_NOT_FOUND` as [`moderate`].
pub fn set_admin(cx: &Cx<'_>, user_id: &UserId, admin: bool) -> Decided<()> {
    let row = local_user(cx, user_id)?;
    put(cx, row, |row| row.admin = admin)
}

/// Whether a user is an administrator.
///
/// # Errors
/// [`Stop::Read`].
pub fn is_admin(cx: &Cx<'_>, user_id: &UserId) -> Result<bool, Stop> {
    Ok(tables::USERS.get(cx.view, &(cx.user(user_id),))?.is_some_and(|row| row.value.admin && !row.value.deactivated))
}

/// `GET /admin/whois/{userId}`: the devices of a user, for themselves or an administrator.
///
/// # Errors
/// `M_FORBIDDEN` for others, `M_NOT_FOUND` for nobody.
pub fn whois(cx: &Cx<'_>, by: &UserId, user_id: &UserId) -> Result<Vec<DeviceRow>, Stop> {
    if by != user_id {
        check_admin(cx, by)?;
    }
    super::users::user(cx, user_id)?;
    Ok(devices::devices(cx, user_id)?)
}

/// All users, by their ids: for the operator.
///
/// # Errors
/// [`Stop::Read`].
pub fn users(cx: &Cx<'_>) -> Result<Vec<UserRow>, Stop> {
    let rows: Result<Vec<_>, _> = tables::USERS.scan(cx.view, &()).map(|row| row.map(|(_, row)| row.value)).collect();
    let mut rows = rows?;
    rows.sort_by(|one, other| one.user_id.cmp(&other.user_id));
    Ok(rows)
}

/// Asked before anything is looked up, so that nobody else learns who exists.
fn check_admin(cx: &Cx<'_>, by: &UserId) -> Result<(), Stop> {
    if is_admin(cx, by)? {
        return Ok(());
    }
    Err(Reject::forbidden("only a server administrator may do this").into())
}

fn local_user(cx: &Cx<'_>, user_id: &UserId) -> Result<journal::Row<UserRow>, Stop> {
    if !cx.server.is_local(user_id) {
        return Err(Reject::invalid_param("this user is of another server").into());
    }
    let row = tables::USERS.get(cx.view, &(cx.user(user_id),))?.filter(|row| !row.value.deactivated);
    row.ok_or_else(|| Reject::not_found("there is no such user").into())
}

fn put(cx: &Cx<'_>, mut row: journal::Row<UserRow>, change: impl FnOnce(&mut UserRow)) -> Decided<()> {
    let mut draft = Draft::new(*cx);
    let name = (cx.user(&row.value.user_id),);
    tables::USERS.require(&mut draft.batch, &name, Some(row.version));
    change(&mut row.value);
    tables::USERS.put(&mut draft.batch, &name, &row.value);
    draft.wake(&row.value.user_id);
    Ok(draft.commit(()))
}

#[cfg(test)]
mod tests;
