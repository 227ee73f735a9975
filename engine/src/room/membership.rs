//! Joining, inviting, leaving, kicking, banning, knocking, forgetting
//! ([spec v1.19, § Room membership](https://spec.matrix.org/v1.19/client-server-api/#room-membership)).

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedRoomId, OwnedUserId, RoomId, UserId,
    events::{StateEventType, room::member::MembershipState},
};

use super::{NewEvent, RoomDraft, get_room_for, join_rules, membership_of};
use crate::{Cx, Decided, Decision, Draft, Reject, Stop, policy, tables};

/// A change of somebody's membership by somebody.
#[derive(Clone, Debug)]
pub struct SetMembership {
    /// Who does it.
    pub sender: OwnedUserId,
    /// The room.
    pub room_id: OwnedRoomId,
    /// Whose membership.
    pub target: OwnedUserId,
    /// What is done.
    pub action: Action,
    /// A reason for the others to read.
    pub reason: Option<String>,
    /// Further fields for the member event, as they stood in the body of the call. Those that mean something to a server are
    /// not taken from it.
    pub further: CanonicalJsonObject,
}

/// What a body may say without it becoming part of the member event: what the server itself puts there, what somebody's
/// profile says, and the arguments of the calls.
const NOT_FURTHER: [&str; 14] = [
    "access_token",
    "address",
    "avatar_url",
    "displayname",
    "id_access_token",
    "id_server",
    "is_direct",
    join_rules::AUTHORISED_VIA,
    "medium",
    "membership",
    "reason",
    "third_party_invite",
    "third_party_signed",
    "user_id",
];

/// What is done to a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `POST /rooms/{roomId}/invite`
    Invite,
    /// `POST /rooms/{roomId}/join`, `POST /join/{roomIdOrAlias}`
    Join,
    /// `POST /rooms/{roomId}/leave`
    Leave,
    /// `POST /rooms/{roomId}/kick`
    Kick,
    /// `POST /rooms/{roomId}/ban`
    Ban,
    /// `POST /rooms/{roomId}/unban`
    Unban,
    /// `POST /knock/{roomIdOrAlias}`
    Knock,
}

/// Changes a membership.
///
/// # Errors
/// `M_NOT_FOUND` for an unknown room, `M_FORBIDDEN` by the room's rules or by policy.
pub fn set_membership(cx: &Cx<'_>, command: &SetMembership) -> Decided<()> {
    let room = get_room_for(cx, &command.room_id, &command.sender)?;
    let before = membership_of(cx, &command.room_id, &command.target)?;
    if already_so(command.action, before.as_ref()) {
        return Ok(Decision::Done(()));
    }
    check_policy(cx, command)?;
    check_before(command.action, before.as_ref())?;
    let membership = match command.action {
        Action::Invite => MembershipState::Invite,
        Action::Join => MembershipState::Join,
        Action::Knock => MembershipState::Knock,
        Action::Ban => MembershipState::Ban,
        Action::Leave | Action::Kick | Action::Unban => MembershipState::Leave,
    };
    let mut content = member_content(cx, &command.target, membership, command.reason.as_deref())?;
    let further = command.further.iter().filter(|(field, _)| !NOT_FURTHER.contains(&field.as_str()));
    content.extend(further.map(|(field, value)| (field.clone(), value.clone())));
    let mut draft = Draft::new(*cx);
    join_rules::complete_join(&mut draft, &room, &command.target, &mut content)?;
    let mut room = RoomDraft::open(&mut draft, room)?;
    room.append(NewEvent::state(&command.sender, StateEventType::RoomMember, command.target.as_str(), content))?;
    room.finish();
    if command.action == Action::Invite {
        policy::claim_pairs(&mut draft, &command.room_id, &command.sender, std::slice::from_ref(&command.target))?;
    }
    Ok(draft.commit(()))
}

/// `POST /rooms/{roomId}/forget`: the user's side of a room they have left is removed.
///
/// # Errors
/// `M_UNKNOWN` while the user is still in the room.
pub fn forget(cx: &Cx<'_>, user_id: &UserId, room_id: &RoomId) -> Decided<()> {
    let key = (cx.user(user_id), cx.room(room_id));
    let Some(row) = tables::MEMBERSHIPS.get(cx.view, &key)? else { return Ok(Decision::Done(())) };
    if !matches!(row.value.membership, MembershipState::Leave | MembershipState::Ban) {
        return Err(Reject::Unknown("leave the room before forgetting it".into()).into());
    }
    let mut draft = Draft::new(*cx);
    tables::MEMBERSHIPS.require(&mut draft.batch, &key, Some(row.version));
    tables::MEMBERSHIPS.delete(&mut draft.batch, &key);
    Ok(draft.commit(()))
}

/// The content of a member event: the target's profile, and the reason.
///
/// # Errors
/// [`Stop::Read`] when the store cannot be read.
pub fn member_content(
    cx: &Cx<'_>,
    target: &UserId,
    membership: MembershipState,
    reason: Option<&str>,
) -> Result<CanonicalJsonObject, Stop> {
    let text = |text: &str| CanonicalJsonValue::String(text.to_owned());
    let mut content = CanonicalJsonObject::from([("membership".to_owned(), text(membership.as_str()))]);
    if matches!(membership, MembershipState::Join | MembershipState::Invite | MembershipState::Knock) {
        let profile = tables::PROFILES.get(cx.view, &(cx.user(target),))?.map(|row| row.value);
        if let Some(profile) = profile {
            content.extend(profile.display_name.map(|name| ("displayname".to_owned(), text(&name))));
            content.extend(profile.avatar_url.map(|url| ("avatar_url".to_owned(), text(url.as_str()))));
        }
    }
    content.extend(reason.map(|reason| ("reason".to_owned(), text(reason))));
    Ok(content)
}

/// What policy says to a change of membership, whichever call it comes by.
pub(super) fn check_policy(cx: &Cx<'_>, command: &SetMembership) -> Result<(), Stop> {
    match command.action {
        Action::Invite => policy::may_invite(cx, &command.sender, &command.target, Some(&command.room_id)),
        Action::Join | Action::Knock => policy::may_join(cx, &command.sender, &command.room_id),
        Action::Kick | Action::Ban | Action::Unban => policy::may_moderate(cx, &command.sender),
        Action::Leave => Ok(()),
    }
}

fn already_so(action: Action, before: Option<&MembershipState>) -> bool {
    match action {
        Action::Join => before == Some(&MembershipState::Join),
        Action::Leave => before == Some(&MembershipState::Leave),
        _ => false,
    }
}

fn check_before(action: Action, before: Option<&MembershipState>) -> Result<(), Reject> {
    match (action, before) {
        (Action::Kick, Some(MembershipState::Join | MembershipState::Invite | MembershipState::Knock)) => Ok(()),
        (Action::Kick, _) => Err(Reject::forbidden("this user is not in the room")),
        (Action::Unban, Some(MembershipState::Ban)) => Ok(()),
        (Action::Unban, _) => Err(Reject::forbidden("this user is not banned")),
        (Action::Leave, None | Some(MembershipState::Ban)) => Err(Reject::forbidden("you are not in this room")),
        (Action::Invite, Some(MembershipState::Join)) => Err(Reject::forbidden("this user is already in the room")),
        _ => Ok(()),
    }
}
