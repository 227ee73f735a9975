//! What the platform takes away again.

use journal::ReadError;
use ruma::{OwnedUserId, UserId};

use super::{lists, organizations};
use crate::{
    Cx, Decided, Draft, Reject, account, erase, policy,
    tables::{self, HostRow, SessionRow},
};

/// Takes an organization away that has no accounts.
///
/// # Errors
/// `M_NOT_FOUND`; [`Reject::Conflict`] while it has accounts.
pub fn delete_organization(cx: &Cx<'_>, organization: &str) -> Decided<()> {
    let key = (cx.name(organization),);
    let known = tables::ORGANIZATIONS.get(cx.view, &key)?;
    let known = known.ok_or_else(|| Reject::not_found("there is no such organization"))?;
    if tables::ORGANIZATION_ACCOUNTS.scan(cx.view, &key).next().transpose()?.is_some() {
        return Err(Reject::Conflict("this organization has accounts: delete them first".into()).into());
    }
    let mut draft = Draft::new(*cx);
    // Whoever adds an account meanwhile rewrites this row.
    tables::ORGANIZATIONS.require(&mut draft.batch, &key, Some(known.version));
    tables::ORGANIZATIONS.delete(&mut draft.batch, &key);
    Ok(draft.commit(()))
}

/// Takes an account away that has no hosts. With one account left, names are no longer followed by it (F2):
/// [`super::continue_hosts`] names those whom this batch has no place for.
///
/// # Errors
/// `M_NOT_FOUND`; [`Reject::Conflict`] while it has hosts.
pub fn delete_account(cx: &Cx<'_>, organization: &str, account: &str) -> Decided<()> {
    lists::account(cx, organization, account)?;
    let name = cx.name(organization);
    for found in tables::ORGANIZATION_HOSTS.scan(cx.view, &(name,)) {
        let host = tables::HOST_USERS.get(cx.view, &(cx.user(&found?.1.value),))?;
        if host.is_some_and(|host| host.value.account == account) {
            return Err(Reject::Conflict("this account has hosts: delete them, or put them into another".into()).into());
        }
    }
    let mut draft = Draft::new(*cx);
    let version = tables::ORGANIZATIONS.get(cx.view, &(name,))?;
    tables::ORGANIZATIONS.require(&mut draft.batch, &(name,), version.as_ref().map(|row| row.version));
    if let Some(row) = version {
        tables::ORGANIZATIONS.put(&mut draft.batch, &(name,), &row.value);
    }
    tables::ORGANIZATION_ACCOUNTS.delete(&mut draft.batch, &(name, cx.name(account)));
    draft.batch.wake(policy::account_topic(cx, organization, account));
    let mut accounts = organizations::accounts(cx, name)?;
    accounts.remove(account);
    if accounts.len() == 1 {
        organizations::rename_hosts(&mut draft, name, &accounts, organizations::FIRST)?;
    }
    Ok(draft.commit(()))
}

/// Takes a host away whose sessions are over: logged out everywhere, out of all rooms, never let in again. What colleagues have of
/// the host's messages expires as ever. The platform may put a host of that id again, who is somebody else then.
///
/// # Errors
/// `M_NOT_FOUND`; [`Reject::Conflict`] while a session is open.
pub fn delete_host(cx: &Cx<'_>, host: &str) -> Decided<OwnedUserId> {
    let key = (cx.name(host),);
    let known = tables::HOSTS.get(cx.view, &key)?.ok_or_else(|| Reject::not_found("there is no such host"))?;
    let row = known.value;
    if !lists::open_sessions(cx, &row.user_id, 1)?.is_empty() {
        return Err(Reject::Conflict("this host has sessions that are not over: end them first".into()).into());
    }
    let mut draft = Draft::new(*cx);
    tables::HOSTS.require(&mut draft.batch, &key, Some(known.version));
    tables::HOSTS.delete(&mut draft.batch, &key);
    let user = cx.user(&row.user_id);
    tables::ORGANIZATION_HOSTS.delete(&mut draft.batch, &(cx.name(&row.organization), user));
    // Policy still has to know where the user belonged: what they wrote is read for a while.
    let user_id = row.user_id.clone();
    tables::HOST_USERS.put(&mut draft.batch, &(user,), &HostRow { display_name: String::new(), ..row });
    account::close(&mut draft, &user_id, false)?;
    Ok(draft.commit(user_id))
}

/// Takes a session away that is over and whose participants have been erased.
///
/// # Errors
/// `M_NOT_FOUND`; [`Reject::Conflict`] while it is open.
pub fn delete_session(cx: &Cx<'_>, session: &str) -> Decided<()> {
    let name = cx.name(session);
    let known = tables::SESSIONS.get(cx.view, &(name,))?.ok_or_else(|| Reject::not_found("there is no such session"))?;
    if !known.value.ended {
        return Err(Reject::Conflict("this session is not over: end it first".into()).into());
    }
    let mut draft = Draft::new(*cx);
    tables::SESSIONS.require(&mut draft.batch, &(name,), Some(known.version));
    forget_session(&mut draft, &known.value);
    for found in tables::SESSION_INVITEES.scan(cx.view, &(name,)) {
        tables::SESSION_INVITEES.delete(&mut draft.batch, &found?.0);
    }
    tables::SESSIONS_TO_ERASE.delete(&mut draft.batch, &erase::planned(cx, &known.value));
    Ok(draft.commit(()))
}

/// Drafts that nothing is left of a session's own rows.
pub(crate) fn forget_session(draft: &mut Draft<'_>, session: &SessionRow) {
    let cx = draft.cx();
    let name = cx.name(&session.session);
    tables::SESSIONS.delete(&mut draft.batch, &(name,));
    tables::HOST_SESSIONS.delete(&mut draft.batch, &(cx.user(&session.host), name));
}

/// Drafts that a host or participant who is erased is none any more: whom the platform puts under the same id is somebody else.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub(crate) fn forget_user(draft: &mut Draft<'_>, user_id: &UserId) -> Result<(), ReadError> {
    let cx = draft.cx();
    let user = cx.user(user_id);
    if let Some(host) = tables::HOST_USERS.get(cx.view, &(user,))? {
        let key = (cx.name(&host.value.host),);
        // A host who was deleted before may have a successor of that id.
        if let Some(known) = tables::HOSTS.get(cx.view, &key)?.filter(|known| known.value.user_id == user_id) {
            tables::HOSTS.require(&mut draft.batch, &key, Some(known.version));
            tables::HOSTS.delete(&mut draft.batch, &key);
        }
        tables::HOST_USERS.delete(&mut draft.batch, &(user,));
        tables::ORGANIZATION_HOSTS.delete(&mut draft.batch, &(cx.name(&host.value.organization), user));
    }
    if let Some(participant) = tables::PARTICIPANTS.get(cx.view, &(user,))?.map(|row| row.value) {
        let session = (cx.name(&participant.session),);
        // Rewritten, so that whoever is just changing or ending the session decides again, without this participant.
        if let Some(known) = tables::SESSIONS.get(cx.view, &session)? {
            tables::SESSIONS.require(&mut draft.batch, &session, Some(known.version));
            tables::SESSIONS.put(&mut draft.batch, &session, &known.value);
        }
        tables::SESSION_INVITEES.delete(&mut draft.batch, &(session.0, cx.name(&participant.invitee)));
        tables::PARTICIPANTS.delete(&mut draft.batch, &(user,));
    }
    Ok(())
}
