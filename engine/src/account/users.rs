//! Users: making them, their passwords, closing their accounts.

use journal::{ReadError, Timestamp};
use ruma::{OwnedUserId, UserId};

use super::{Directory, NewDevice, Session, data, devices, login, profile, pushers, rooms};
use crate::{
    Cx, Decided, Draft, Reject, Requester, Stop, erase, keys,
    room::notices,
    tables::{self, ProfileRow, UserKind, UserRow},
};

/// Bytes of a user id ([spec v1.19, § User identifiers](https://spec.matrix.org/v1.19/appendices/#user-identifiers)).
const USER_ID_BYTES_MAX: usize = 255;

/// `POST /register`, the operator's command, and the first half of provisioning.
#[derive(Clone, Debug)]
pub struct Register {
    /// The wanted localpart, or a random one.
    pub localpart: String,
    /// What the user is.
    pub kind: UserKind,
    /// For a login by password: argon2, PHC form.
    pub password_hash: Option<String>,
    /// The application service that registers.
    pub appservice: Option<String>,
    /// The first device; `None` with `inhibit_login`.
    pub device: Option<NewDevice>,
    /// Whether the user is a server administrator: the operator's command only.
    pub admin: bool,
}

/// The row of a user.
///
/// # Errors
/// `M_NOT_FOUND` for nobody.
pub fn user(cx: &Cx<'_>, user_id: &UserId) -> Result<UserRow, Stop> {
    let row = tables::USERS.get(cx.view, &(cx.user(user_id),))?;
    Ok(row.ok_or_else(|| Reject::not_found("there is no such user"))?.value)
}

/// Whether the account has been closed; `false` for nobody.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn is_deactivated(cx: &Cx<'_>, user_id: &UserId) -> Result<bool, ReadError> {
    Ok(tables::USERS.get(cx.view, &(cx.user(user_id),))?.is_some_and(|row| row.value.deactivated))
}

/// What holds for every token of a user.
pub(super) struct Entry {
    /// Their session is over, and every token with it.
    pub over: bool,
    /// Their account is locked.
    pub locked: bool,
}

/// What holds for every token of a user.
pub(super) fn entry(cx: &Cx<'_>, user_id: &UserId) -> Result<Entry, ReadError> {
    let Some(row) = tables::USERS.get(cx.view, &(cx.user(user_id),))? else {
        return Ok(Entry { over: true, locked: false });
    };
    let participant = row.value.kind == UserKind::Participant;
    let over = participant && session_end(cx, user_id)?.is_some_and(|ends_at| ends_at <= cx.now());
    Ok(Entry { over, locked: row.value.locked })
}

/// When a participant's session is over, and every token with it; `None` for everybody else.
pub(super) fn session_end(cx: &Cx<'_>, user_id: &UserId) -> Result<Option<Timestamp>, ReadError> {
    Ok(tables::PARTICIPANTS.get(cx.view, &(cx.user(user_id),))?.map(|row| row.value.ends_at))
}

/// A new user's id
/// ([spec v1.19, § User identifiers](https://spec.matrix.org/v1.19/appendices/#user-identifiers): the strict grammar).
///
/// # Errors
/// `M_INVALID_USERNAME`.
pub fn local_user_id(cx: &Cx<'_>, localpart: &str) -> Result<OwnedUserId, Reject> {
    let invalid = |message: &'static str| Reject::InvalidUsername(message.into());
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._=-/+".contains(&byte);
    if localpart.is_empty() || !localpart.bytes().all(allowed) {
        return Err(invalid("a user name is made of a-z, 0-9 and . _ = - / +"));
    }
    let user_id = format!("@{localpart}:{}", cx.server.name);
    if user_id.len() > USER_ID_BYTES_MAX {
        return Err(invalid("this user name is too long"));
    }
    UserId::parse(user_id).map_err(|_| invalid("this is not a user name"))
}

/// Random characters of a provisioned user's name: 80 bits. It tells nothing of the person.
const PROVISIONED_NAME_LENGTH: usize = 16;

/// Whether a name is of the form that provisioned users' have. Nobody registers one, so that nobody finds out which there are.
fn is_provisioned_name(localpart: &str) -> bool {
    let random = localpart.strip_prefix("h_").or_else(|| localpart.strip_prefix("p_"));
    random.is_some_and(|random| {
        random.len() == PROVISIONED_NAME_LENGTH && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// Checks an id that the platform chose for one of its users: of the form that provisioned users have, and never given out before.
///
/// # Errors
/// `M_INVALID_PARAM`; [`Reject::Conflict`] for an id that is or was somebody's; [`Stop::Read`].
pub(crate) fn check_provisioned(cx: &Cx<'_>, user_id: &UserId, kind: UserKind) -> Result<(), Stop> {
    let (prefix, localpart) = (if kind == UserKind::Host { "h_" } else { "p_" }, user_id.localpart());
    let is_right = localpart.starts_with(prefix) && is_provisioned_name(localpart) && local_user_id(cx, localpart).is_ok();
    if !is_right || !cx.server.is_local(user_id) {
        let form = format!("@{prefix}, {PROVISIONED_NAME_LENGTH} of a-z and 0-9, and :{}", cx.server.name);
        return Err(Reject::InvalidParam(format!("`identity.user_id` has to be made of {form}").into()).into());
    }
    if is_given_out(cx, user_id)? {
        let message = "the user id of this identity is or was somebody's, and no id is given out twice: make a new identity";
        return Err(Reject::Conflict(message.into()).into());
    }
    Ok(())
}

/// Whether an id is somebody's, or was.
fn is_given_out(cx: &Cx<'_>, user_id: &UserId) -> Result<bool, ReadError> {
    Ok(tables::USERS.exists(cx.view, &(cx.user(user_id),))? || erase::is_erased(cx, user_id)?)
}

/// Whether somebody may register as `localpart`.
///
/// # Errors
/// `M_INVALID_USERNAME`, `M_USER_IN_USE`, `M_EXCLUSIVE`.
pub fn check_available(cx: &Cx<'_>, localpart: &str, appservice: Option<&str>) -> Result<OwnedUserId, Stop> {
    let user_id = local_user_id(cx, localpart)?;
    if localpart == notices::SENDER {
        return Err(Reject::Exclusive("this user name is the server's own; choose another".into()).into());
    }
    for (id, other) in &cx.server.appservices {
        let own = appservice == Some(id.as_str());
        if !own && (other.interest.user_exclusive(&user_id) || other.user_id == user_id) {
            return Err(Reject::Exclusive("this user name is reserved for a service; choose another".into()).into());
        }
        if own && !other.interest.user(&user_id) && other.user_id != user_id {
            return Err(Reject::Exclusive("this user name is not in the application service's namespace".into()).into());
        }
    }
    if is_provisioned_name(localpart) {
        return Err(Reject::Exclusive("this user name is reserved for the platform; choose another".into()).into());
    }
    if is_given_out(cx, &user_id)? {
        return Err(Reject::UserInUse.into());
    }
    Ok(user_id)
}

/// Makes a user, with a first device if one is wanted.
///
/// # Errors
/// As [`check_available`].
pub fn register(cx: &Cx<'_>, command: &Register) -> Decided<(OwnedUserId, Option<Session>)> {
    let user_id = check_available(cx, &command.localpart, command.appservice.as_deref())?;
    let mut draft = Draft::new(*cx);
    let profile = ProfileRow { display_name: Some(command.localpart.clone()), ..ProfileRow::default() };
    let row = UserRow {
        password_hash: command.password_hash.clone(),
        admin: command.admin,
        ..UserRow::new(user_id.clone(), command.kind, cx.now())
    };
    put_user(&mut draft, &row, &profile, &Directory::Plain);
    let session = match &command.device {
        Some(device) => {
            login::note(&mut draft, &user_id, "register", device);
            Some(login::put_first_device(&mut draft, &user_id, device)?)
        }
        None => None,
    };
    Ok(draft.commit((user_id, session)))
}

/// Drafts a new user's rows, listed in a directory. The batch conflicts if somebody else makes the user first.
pub(crate) fn put_user(draft: &mut Draft<'_>, row: &UserRow, profile: &ProfileRow, directory: &Directory) {
    let name = (draft.cx().user(&row.user_id),);
    tables::USERS.require(&mut draft.batch, &name, None);
    tables::ERASED_USERS.require(&mut draft.batch, &name, None);
    tables::USERS.put(&mut draft.batch, &name, row);
    tables::PROFILES.put(&mut draft.batch, &name, profile);
    directory.list(draft, &row.user_id, None, Some(profile.display_name.as_deref().unwrap_or_default()));
}

/// Makes the users that application services send as themselves, where they are missing. For the server's start.
///
/// # Errors
/// `M_EXCLUSIVE` where one was erased; [`Stop::Read`].
pub fn ensure_senders(cx: &Cx<'_>) -> Decided<()> {
    let mut draft = Draft::new(*cx);
    let mut made = std::collections::BTreeSet::new();
    for appservice in cx.server.appservices.values() {
        let user_id = &appservice.user_id;
        if tables::USERS.exists(cx.view, &(cx.user(user_id),))? || !made.insert(user_id.clone()) {
            continue;
        }
        if erase::is_erased(cx, user_id)? {
            let message = "the sender of an application service is a user who was erased, and no id is given out twice: \
                           give the service another sender_localpart";
            return Err(Reject::Exclusive(message.into()).into());
        }
        let profile = ProfileRow { display_name: Some(user_id.localpart().to_owned()), ..ProfileRow::default() };
        put_user(&mut draft, &UserRow::new(user_id.clone(), UserKind::Appservice, cx.now()), &profile, &Directory::Plain);
    }
    Ok(draft.commit(()))
}

/// The hash that a password has to match; `None` when there is nothing to log in to by password (nobody of that name, a
/// closed account, a user without a password): the caller then takes the same time as for a wrong password.
///
/// # Errors
/// `M_USER_DEACTIVATED`; [`Stop::Read`].
pub fn password_hash(cx: &Cx<'_>, user_id: &UserId) -> Result<Option<String>, Stop> {
    let Some(row) = tables::USERS.get(cx.view, &(cx.user(user_id),))? else { return Ok(None) };
    if row.value.deactivated {
        return Err(Reject::UserDeactivated.into());
    }
    Ok(row.value.password_hash)
}

/// `POST /account/password`.
#[derive(Clone, Debug)]
pub struct ChangePassword {
    /// Whose; the device that asks stays logged in.
    pub requester: Requester,
    /// The new password's hash.
    pub password_hash: String,
    /// Whether all other devices are logged out.
    pub logout_devices: bool,
}

/// Sets a new password.
///
/// # Errors
/// `M_FORBIDDEN` for users whom the platform logs in.
pub fn change_password(cx: &Cx<'_>, command: &ChangePassword) -> Decided<()> {
    let name = (cx.user(&command.requester.user_id),);
    let row = tables::USERS.get(cx.view, &name)?.ok_or_else(|| Reject::not_found("there is no such user"))?;
    if row.value.kind == UserKind::Participant {
        return Err(Reject::forbidden("You come in by your invitation: there is no password to set.").into());
    }
    let mut draft = Draft::new(*cx);
    tables::USERS.require(&mut draft.batch, &name, Some(row.version));
    let row = UserRow { password_hash: Some(command.password_hash.clone()), ..row.value };
    tables::USERS.put(&mut draft.batch, &name, &row);
    if command.logout_devices {
        let keep = command.requester.device_id.as_deref();
        devices::delete_all_but(&mut draft, &command.requester.user_id, keep)?;
    }
    Ok(draft.commit(()))
}

/// `POST /account/deactivate`.
#[derive(Clone, Debug)]
pub struct Deactivate {
    /// Whose account.
    pub user_id: OwnedUserId,
    /// Whether whoever joins a room from now on is served the user's events there without their content (spec v1.10).
    pub erase: bool,
}

/// Closes an account: logged out everywhere, out of every room; profile, account data and crypto identity gone. The id is never
/// used again.
///
/// # Errors
/// `M_FORBIDDEN` for provisioned users, whose accounts are the platform's to close.
pub fn deactivate(cx: &Cx<'_>, command: &Deactivate) -> Decided<()> {
    let user_id = &command.user_id;
    let name = (cx.user(user_id),);
    let row = tables::USERS.get(cx.view, &name)?.ok_or_else(|| Reject::not_found("there is no such user"))?;
    if matches!(row.value.kind, UserKind::Host | UserKind::Participant) {
        return Err(Reject::forbidden("Your account is managed for you and can't be closed here.").into());
    }
    let mut draft = Draft::new(*cx);
    close(&mut draft, user_id, command.erase)?;
    Ok(draft.commit(()))
}

/// Drafts the end of an account, whoever asks for it; `erase` as in [`Deactivate`].
///
/// # Errors
/// `M_NOT_FOUND` for nobody; [`Stop::Read`].
pub(crate) fn close(draft: &mut Draft<'_>, user_id: &UserId, erase: bool) -> Result<(), Stop> {
    let cx = draft.cx();
    let name = (cx.user(user_id),);
    let row = tables::USERS.get(cx.view, &name)?.ok_or_else(|| Reject::not_found("there is no such user"))?;
    tables::USERS.require(&mut draft.batch, &name, Some(row.version));
    let closed = UserRow { password_hash: None, deactivated: true, erased: erase, admin: false, ..row.value };
    tables::USERS.put(&mut draft.batch, &name, &closed);
    rooms::leave_all(draft, user_id)?;
    devices::delete_all_but(draft, user_id, None)?;
    pushers::delete_of(draft, user_id, None)?;
    keys::delete_identity(draft, user_id)?;
    data::delete_all(draft, user_id)?;
    profile::delete(draft, user_id)?;
    Ok(())
}
