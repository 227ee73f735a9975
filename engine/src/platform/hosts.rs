//! Hosts, and letting provisioned users in.

use journal::ReadError;
use ruma::{OwnedUserId, UserId};

use super::{NewUser, check_text, newcomer, organizations};
use crate::{
    Cx, Decided, Decision, Draft, Reject,
    account::{self, Directory, Secret, profile},
    policy,
    tables::{self, HostRow, ProfileRow, UserKind, UserRow},
};

/// `PUT /hosts/{host}`
#[derive(Clone, Debug)]
pub struct PutHost {
    /// The platform's id.
    pub host: String,
    /// The organization.
    pub organization: String,
    /// The account.
    pub account: String,
    /// The name, without the account.
    pub display_name: String,
    /// Who the host is to be: used if the host is new.
    pub new_user: Option<NewUser>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The Matrix user.
    pub user_id: OwnedUserId,
    /// Whether they were made now: then, and only then, their recovery key opens something.
    pub made: bool,
}

/// The host of that id, if there is one.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn host(cx: &Cx<'_>, host: &str) -> Result<Option<HostRow>, ReadError> {
    Ok(tables::HOSTS.get(cx.view, &(cx.name(host),))?.map(|row| row.value))
}

/// Makes a host, or changes the name or account of one. The organization stays: who one may chat with depends on it.
///
/// # Errors
/// `M_NOT_FOUND` without the account, `M_INVALID_PARAM` for another organization or a text that is empty or long, `M_UNKNOWN`
/// for a new host without a user; for an identity that the platform made as [`NewUser`] says.
pub fn put_host(cx: &Cx<'_>, command: &PutHost) -> Decided<Host> {
    check_text("host", &command.host)?;
    check_text("display_name", &command.display_name)?;
    let mut draft = Draft::new(*cx);
    organizations::require_account(&mut draft, &command.organization, &command.account)?;
    let key = (cx.name(&command.host),);
    let known = tables::HOSTS.get(cx.view, &key)?;
    let known_user = known.as_ref().map(|row| &*row.value.user_id);
    let user_id = newcomer::user_of(known_user, command.new_user.as_ref())?;
    let row = HostRow {
        host: command.host.clone(),
        user_id: user_id.clone(),
        organization: command.organization.clone(),
        account: command.account.clone(),
        display_name: command.display_name.clone(),
    };
    if known.as_ref().is_some_and(|known| known.value == row) {
        return Ok(Decision::Done(Host { user_id, made: false }));
    }
    let accounts = organizations::accounts(cx, cx.name(&command.organization))?;
    let name = organizations::full_name(&row, &accounts);
    tables::HOSTS.require(&mut draft.batch, &key, known.as_ref().map(|row| row.version));
    tables::HOSTS.put(&mut draft.batch, &key, &row);
    tables::HOST_USERS.put(&mut draft.batch, &(cx.user(&user_id),), &row);
    let made = known.is_none();
    match (known, &command.new_user) {
        (Some(known), _) => {
            if known.value.organization != command.organization {
                return Err(Reject::invalid_param("a host stays in its organization; put another host").into());
            }
            profile::rename(&mut draft, &user_id, &name)?;
            // Another account may have chat switched off; the host's own requests wait, and those of the host's participants.
            draft.batch.wake(policy::account_topic(cx, &known.value.organization, &known.value.account));
        }
        (None, Some(new)) => {
            let organization_host = (cx.name(&command.organization), cx.user(&user_id));
            tables::ORGANIZATION_HOSTS.put(&mut draft.batch, &organization_host, &user_id);
            let directory = Directory::Organization(command.organization.clone());
            put_provisioned(&mut draft, new, (UserKind::Host, &directory), name)?;
        }
        (None, None) => {}
    }
    Ok(draft.commit(Host { user_id, made }))
}

/// Drafts a provisioned user with profile and crypto identity, listed in a directory.
pub(super) fn put_provisioned(
    draft: &mut Draft<'_>,
    new: &NewUser,
    (kind, directory): (UserKind, &Directory),
    name: String,
) -> Result<(), crate::Stop> {
    newcomer::check(&draft.cx(), new, kind)?;
    let row = UserRow::new(new.user_id.clone(), kind, draft.cx().now());
    let profile = ProfileRow { display_name: Some(name), ..ProfileRow::default() };
    account::put_user(draft, &row, &profile, directory);
    newcomer::write(draft, new)
}

/// Checks that `user_id` is a host or a participant.
///
/// # Errors
/// `M_NOT_FOUND` for anybody else.
pub fn require_provisioned(cx: &Cx<'_>, user_id: &UserId) -> Result<(), crate::Stop> {
    let kind = tables::USERS.get(cx.view, &(cx.user(user_id),))?.map(|row| row.value.kind);
    if matches!(kind, Some(UserKind::Host | UserKind::Participant)) {
        return Ok(());
    }
    Err(Reject::not_found("there is no such host or participant").into())
}

/// `POST /login_tokens`: for hosts and participants only. Answers how long the token lives.
///
/// # Errors
/// `M_NOT_FOUND` for anybody else, `M_FORBIDDEN` after the session's end.
pub fn create_login_token(cx: &Cx<'_>, user_id: &UserId, token: &Secret) -> Decided<u64> {
    require_provisioned(cx, user_id)?;
    account::create_login_token(cx, user_id, token)
}
