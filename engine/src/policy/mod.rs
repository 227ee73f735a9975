//! Who may do what (DESIGN.md, "Who may do what"): the one module that every command asks.
//!
//! Plain accounts live among themselves without a policy. Provisioned users (hosts and participants) live in their
//! organization; nobody of one world sees the other, and support is in both. Everyone in a room may talk to everyone
//! else in it: that is checked pair by pair whenever somebody is about to enter, so it holds for every room.
//!
//! Whoever is suspended gets `M_USER_SUSPENDED` from everything here that others would notice.

mod chat;
mod retention;
mod session;
mod standing;

#[cfg(test)]
mod matrix;
#[cfg(test)]
mod tests;

use journal::ReadError;
use ruma::{OwnedUserId, RoomId, UserId, events::room::member::MembershipState};

pub use chat::{CHAT, ChatState, account_topic, chat_state, upload_per_day};
pub use retention::{check_text_retention, shortest_text_retention_ms, text_retention_ms};
pub use session::SESSION;
pub(crate) use session::tell_host;
use session::{Silence, check_sessions, silence};
use standing::acting;
pub use standing::{Standing, is_support, standing, support_user_id};

use crate::{Cx, Draft, Reject, Stop, tables};

/// Whether `viewer` may know of `target`: profile, presence, device lists, to-device messages, the user directory.
///
/// Answer "no such user", leave out, or drop silently where it is `false`: an error would tell that the user exists.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn may_see(cx: &Cx<'_>, viewer: &UserId, target: &UserId) -> Result<bool, ReadError> {
    if viewer == target {
        return Ok(true);
    }
    let (viewing, seen) = (standing(cx, viewer)?, standing(cx, target)?);
    if check_pair(&viewing, &seen).is_ok() {
        return Ok(true);
    }
    match (&viewing, &seen) {
        (Standing::Plain | Standing::Support, _) | (_, Standing::Plain | Standing::Support) => Ok(false),
        // Chat may have been switched off since they met: what both are in stays readable.
        _ => share_room(cx, viewer, target),
    }
}

/// Whether `creator` may make a room with `invitees`. The room itself then calls [`claim_pairs`].
///
/// # Errors
/// [`Reject::Forbidden`] or [`Reject::InviteBlocked`] with a sentence for the person; [`Stop::Read`].
pub fn may_create_room(cx: &Cx<'_>, creator: &UserId, invitees: &[OwnedUserId]) -> Result<(), Stop> {
    let creating = acting(cx, creator)?;
    if matches!(creating, Standing::Participant { .. }) && invitees.len() != 1 {
        return Err(
            Reject::forbidden("You can chat with the person who invited you, or with support, and nobody else.").into()
        );
    }
    let mut together = vec![creating];
    for invitee in invitees {
        let invited = standing(cx, invitee)?;
        for other in &together {
            check_pair(other, &invited)?;
        }
        if let Some(creating) = together.first() {
            check_sessions(cx, creating, &invited, &[])?;
        }
        together.push(invited);
    }
    check_chat_enabled(&together).map_err(Stop::from)
}

/// Whether `sender` may invite `target` into `room_id`; `None` for the invitations of a room that is being made, whose
/// people [`may_create_room`] has checked against each other.
///
/// # Errors
/// [`Reject::Forbidden`], or [`Reject::InviteBlocked`] when only others may invite this person; [`Stop::Read`].
pub fn may_invite(cx: &Cx<'_>, sender: &UserId, target: &UserId, room_id: Option<&RoomId>) -> Result<(), Stop> {
    let (inviting, invited) = (acting(cx, sender)?, standing(cx, target)?);
    check_pair(&inviting, &invited)?;
    let Some(room_id) = room_id else { return Ok(()) };
    if matches!(inviting, Standing::Participant { .. }) {
        return Err(Reject::forbidden("You can't invite others into this chat.").into());
    }
    let mut together = check_against_members(cx, room_id, target, &invited)?;
    check_sessions(cx, &inviting, &invited, &together)?;
    together.push(inviting);
    together.push(invited);
    check_chat_enabled(&together).map_err(Stop::from)
}

/// Notes in the batch that makes a room, or invites into one, that this is the one room of a participant with the inviter,
/// or with support: refused when another one is live, and two requests at once cannot make two.
///
/// # Errors
/// [`Reject::Forbidden`] when there is a live room of the two; [`Stop::Read`].
pub fn claim_pairs(draft: &mut Draft<'_>, room_id: &RoomId, user: &UserId, others: &[OwnedUserId]) -> Result<(), Stop> {
    let cx = draft.cx();
    for other in others {
        let Some((participant, other)) = pair_of(&standing(&cx, user)?, &standing(&cx, other)?, &cx) else { continue };
        let key = (cx.user(&participant), cx.user(&other));
        let claimed = tables::PAIR_ROOMS.get(cx.view, &key)?;
        if let Some(row) = &claimed
            && row.value != room_id
            && is_live_between(&cx, &row.value, &participant, &other)?
        {
            return Err(Reject::forbidden("There is already a chat between you: go on there.").into());
        }
        // A session that ends meanwhile tells the host of the room, see `tell_host`.
        let invited = tables::PARTICIPANTS.get(cx.view, &(key.0,))?;
        tables::PARTICIPANTS.require(&mut draft.batch, &(key.0,), invited.map(|row| row.version));
        tables::PAIR_ROOMS.require(&mut draft.batch, &key, claimed.map(|row| row.version));
        tables::PAIR_ROOMS.put(&mut draft.batch, &key, &room_id.to_owned());
    }
    Ok(())
}

/// Whether `user` may enter the room (join or knock), apart from the room's own rules.
///
/// # Errors
/// [`Reject::Forbidden`] with a sentence for the person; [`Stop::Read`].
pub fn may_join(cx: &Cx<'_>, user: &UserId, room_id: &RoomId) -> Result<(), Stop> {
    let joining = acting(cx, user)?;
    if let Standing::Participant { row, .. } = &joining {
        let membership = tables::MEMBERSHIPS.get(cx.view, &(cx.user(user), cx.room(room_id)))?;
        let invited = membership.is_some_and(|membership| match membership.value.membership {
            MembershipState::Join => true,
            MembershipState::Invite => {
                let by = &membership.value.sender;
                *by == row.inviter || is_support(cx, by)
            }
            _ => false,
        });
        if !invited {
            return Err(Reject::forbidden(
                "You can enter a chat only when the person who invited you, or support, asks you in.",
            )
            .into());
        }
    }
    check_against_members(cx, room_id, user, &joining).map(drop)
}

/// Whether `user` may write into the room: messages, state, typing. With chat switched off for the account, or for everybody
/// else's there (F12), the room is only to be read; so it is for a host when the sessions of all others are over.
///
/// # Errors
/// [`Reject::Forbidden`] when it is only to be read, [`Reject::UserSuspended`]; [`Stop::Read`].
pub fn may_send(cx: &Cx<'_>, user: &UserId, room_id: &RoomId) -> Result<(), Stop> {
    match silence(cx, user, &acting(cx, user)?, room_id)? {
        None => Ok(()),
        Some(silence) => Err(Reject::from(silence).into()),
    }
}

/// Whether `user` may redact an event of `sender` in the room. What one has sent oneself one may take back also while
/// suspended, and when nobody else reads it any more.
///
/// # Errors
/// As [`may_send`].
pub fn may_redact(cx: &Cx<'_>, user: &UserId, sender: &UserId, room_id: &RoomId) -> Result<(), Stop> {
    let redacting = if user == sender { standing(cx, user)? } else { acting(cx, user)? };
    match silence(cx, user, &redacting, room_id)? {
        None => Ok(()),
        Some(Silence::SessionEnded) if user == sender => Ok(()),
        Some(silence) => Err(Reject::from(silence).into()),
    }
}

/// Whether `user` may remove, ban or unban others, or change a room's power levels and join rules.
///
/// # Errors
/// [`Reject::Forbidden`] for participants; [`Stop::Read`].
pub fn may_moderate(cx: &Cx<'_>, user: &UserId) -> Result<(), Stop> {
    match acting(cx, user)? {
        Standing::Participant { .. } => Err(Reject::forbidden("Only the host can change who is in this chat.").into()),
        _ => Ok(()),
    }
}

/// Whether `user` may make a room findable or replace it: aliases, the room directory, upgrades.
///
/// # Errors
/// [`Reject::Forbidden`] for provisioned users; [`Stop::Read`].
pub fn may_alias(cx: &Cx<'_>, user: &UserId) -> Result<(), Stop> {
    match acting(cx, user)? {
        Standing::Plain | Standing::Support => Ok(()),
        Standing::Host { .. } | Standing::Participant { .. } => {
            Err(Reject::forbidden("Chats here are private: they can't be given a public name, listed or upgraded.").into())
        }
    }
}

/// Whether `user` finds anything in the room directory, by alias, or among public rooms. Answer with nothing otherwise.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn may_browse_rooms(cx: &Cx<'_>, user: &UserId) -> Result<bool, ReadError> {
    Ok(matches!(standing(cx, user)?, Standing::Plain | Standing::Support))
}

/// Whether `user` may change their own name (`display_name`) or other parts of their profile: the platform names
/// provisioned users, and a participant's whole profile is the platform's.
///
/// # Errors
/// [`Reject::Forbidden`]; [`Stop::Read`].
pub fn may_change_profile(cx: &Cx<'_>, user: &UserId, display_name: bool) -> Result<(), Stop> {
    match acting(cx, user)? {
        Standing::Participant { .. } => {
            Err(Reject::forbidden("Your name comes from the invitation and can't be changed here.").into())
        }
        Standing::Host { .. } if display_name => {
            Err(Reject::forbidden("Your name comes from your account and can't be changed here.").into())
        }
        _ => Ok(()),
    }
}

/// Whether the keys that open the newcomer's crypto identity are pinned: a participant's client may read them, never
/// replace them (reference/newcomer.md, trap 12).
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn has_pinned_identity(cx: &Cx<'_>, user: &UserId) -> Result<bool, ReadError> {
    Ok(tables::USERS.get(cx.view, &(cx.user(user),))?.is_some_and(|row| row.value.kind == tables::UserKind::Participant))
}

/// Whether `user` may know that there is such a room. Answer as for a room that never was where it is `false`.
///
/// A provisioned user knows of rooms with a word on them in it, and a host of those whose people they may all talk to; a
/// plain user knows of no room of provisioned ones.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn may_know_room(cx: &Cx<'_>, user: &UserId, room_id: &RoomId) -> Result<bool, ReadError> {
    if tables::MEMBERS.exists(cx.view, &(cx.room(room_id), cx.user(user)))? {
        return Ok(true);
    }
    let knowing = standing(cx, user)?;
    match (&knowing, check_against_members(cx, room_id, user, &knowing)) {
        (_, Err(Stop::Read(error))) => Err(error),
        (_, Err(Stop::Reject(_))) | (Standing::Participant { .. }, Ok(_)) => Ok(false),
        (Standing::Host { .. }, Ok(together)) => Ok(!together.is_empty()),
        (Standing::Plain | Standing::Support, Ok(_)) => Ok(true),
    }
}

/// Whether `viewer` may have a file of `owner`'s; `None` for whoever doesn't say who they are.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn may_download(cx: &Cx<'_>, viewer: Option<&UserId>, owner: &UserId) -> Result<bool, ReadError> {
    match viewer {
        // Plain users and support hand files on to each other in rooms they share or not; they have no secrets to keep.
        Some(viewer) => Ok(may_see(cx, viewer, owner)?),
        None => Ok(matches!(standing(cx, owner)?, Standing::Plain | Standing::Support)),
    }
}

/// Whether the room is of people of an organization: then nobody outside it may know of it.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn is_provisioned_room(cx: &Cx<'_>, room_id: &RoomId) -> Result<bool, ReadError> {
    for row in tables::MEMBERS.scan(cx.view, &(cx.room(room_id),)) {
        let user_id = row?.1.value.user_id;
        // Whoever was erased may have been of either world.
        if !tables::USERS.exists(cx.view, &(cx.user(&user_id),))? {
            continue;
        }
        match standing(cx, &user_id)? {
            Standing::Host { .. } | Standing::Participant { .. } => return Ok(true),
            Standing::Plain => return Ok(false),
            Standing::Support => {}
        }
    }
    Ok(false)
}

/// Whether two users are in a room together (joined or invited).
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn share_room(cx: &Cx<'_>, one: &UserId, other: &UserId) -> Result<bool, ReadError> {
    let (one, other) = (cx.user(one), cx.user(other));
    for row in tables::MEMBERSHIPS.scan(cx.view, &(one,)) {
        let ((_, room), row) = row?;
        let present = |membership: &MembershipState| matches!(membership, MembershipState::Join | MembershipState::Invite);
        if present(&row.value.membership)
            && tables::MEMBERS.get(cx.view, &(room, other))?.is_some_and(|member| present(&member.value.membership))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn chat_is_off() -> Reject {
    Reject::forbidden("Chat is switched off for this account. Support can still be reached.")
}

/// Whether two users may talk to each other at all.
fn check_pair(one: &Standing, other: &Standing) -> Result<(), Reject> {
    match (one, other) {
        (Standing::Support, _) | (_, Standing::Support) | (Standing::Plain, Standing::Plain) => Ok(()),
        (Standing::Host { row: one, .. }, Standing::Host { row: other, .. }) if one.organization == other.organization => {
            Ok(())
        }
        (Standing::Host { row: host, .. }, Standing::Participant { row, .. }) if row.inviter == host.user_id => Ok(()),
        // Only colleagues are told that there is such a person.
        (Standing::Host { row: host, .. }, Standing::Participant { organization: Some(organization), .. })
            if host.organization == *organization =>
        {
            Err(Reject::InviteBlocked("Only the host who invited this person can chat with them.".into()))
        }
        (Standing::Host { .. } | Standing::Plain, _) => {
            Err(Reject::forbidden("There is nobody of that name whom you can chat with."))
        }
        (Standing::Participant { row, .. }, Standing::Host { row: host, .. }) if row.inviter == host.user_id => Ok(()),
        (Standing::Participant { .. }, _) => {
            Err(Reject::forbidden("You can chat with the person who invited you, or with support, and nobody else."))
        }
    }
}

/// Checks a newcomer against everyone in the room, and answers who that is (support too; without plain users, and for one of those without support).
fn check_against_members(cx: &Cx<'_>, room_id: &RoomId, user: &UserId, entering: &Standing) -> Result<Vec<Standing>, Stop> {
    let mut together = Vec::new();
    for row in tables::MEMBERS.scan(cx.view, &(cx.room(room_id),)) {
        let member = row?.1.value;
        if member.user_id == user || !matches!(member.membership, MembershipState::Join | MembershipState::Invite) {
            continue;
        }
        let present = standing(cx, &member.user_id)?;
        check_pair(entering, &present).map_err(|reject| match check_pair(&present, entering) {
            Err(blocked @ Reject::InviteBlocked(_)) => blocked,
            _ => reject,
        })?;
        match present {
            // The two worlds never mix: one plain member means that all others are plain too.
            Standing::Plain => break,
            Standing::Support if matches!(entering, Standing::Plain) => {}
            present => together.push(present),
        }
    }
    Ok(together)
}

/// With chat switched off for one of them, only talking with support is left.
fn check_chat_enabled(together: &[Standing]) -> Result<(), Reject> {
    let people = together.iter().filter(|standing| !matches!(standing, Standing::Support)).count();
    if people > 1 && together.iter().any(|standing| !standing.chat_enabled()) {
        return Err(chat_is_off());
    }
    Ok(())
}

/// The participant and the other one, where one room is all there may be.
fn pair_of(one: &Standing, other: &Standing, cx: &Cx<'_>) -> Option<(OwnedUserId, OwnedUserId)> {
    match (one, other) {
        (Standing::Participant { row, .. }, Standing::Host { row: host, .. })
        | (Standing::Host { row: host, .. }, Standing::Participant { row, .. }) => {
            Some((row.user_id.clone(), host.user_id.clone()))
        }
        (Standing::Participant { row, .. }, Standing::Support) | (Standing::Support, Standing::Participant { row, .. }) => {
            Some((row.user_id.clone(), support_user_id(cx)))
        }
        _ => None,
    }
}

fn is_live_between(cx: &Cx<'_>, room_id: &RoomId, one: &UserId, other: &UserId) -> Result<bool, ReadError> {
    for user in [one, other] {
        let member = tables::MEMBERS.get(cx.view, &(cx.room(room_id), cx.user(user)))?;
        if !member.is_some_and(|row| matches!(row.value.membership, MembershipState::Join | MembershipState::Invite)) {
            return Ok(false);
        }
    }
    Ok(true)
}
