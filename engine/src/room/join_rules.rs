//! Who may come into a room by themselves
//! ([spec v1.19, § Restricted rooms](https://spec.matrix.org/v1.19/client-server-api/#restricted-rooms), MSC3083).

use journal::{Name, ReadError, Seq};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedUserId, RoomId, UserId,
    events::{
        StateEventType,
        room::{
            join_rules::{AllowRule, JoinRule, Restricted, RoomJoinRulesEventContent},
            member::MembershipState,
        },
    },
};

use super::{Room, joined_members, membership_of, power, state_event};
use crate::{Cx, Draft, Reject, Stop, tables};

/// Names the member of a restricted room who could have invited the one who joins. The server's to say, never the client's.
pub(super) const AUTHORISED_VIA: &str = "join_authorised_via_users_server";

/// The room's join rule; `invite` where it has none that is valid.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn join_rule(cx: &Cx<'_>, room_id: &RoomId) -> Result<JoinRule, ReadError> {
    let content = state_event(cx, room_id, &StateEventType::RoomJoinRules, "")?
        .and_then(|pdu| pdu.content_as::<RoomJoinRulesEventContent>());
    Ok(content.map_or(JoinRule::Invite, |content| content.join_rule))
}

/// Whether the user is in one of the rooms that a restricted rule names.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub(super) fn admits(cx: &Cx<'_>, restricted: &Restricted, user_id: &UserId) -> Result<bool, ReadError> {
    Ok(admitted_by(cx, restricted, user_id)?.is_some())
}

/// A membership's row: its key, and the version that was read.
type ReadMembership = ((Name, Name), Seq);

/// The membership that a restricted rule lets the user in by.
fn admitted_by(cx: &Cx<'_>, restricted: &Restricted, user_id: &UserId) -> Result<Option<ReadMembership>, ReadError> {
    for rule in &restricted.allow {
        let AllowRule::RoomMembership(other) = rule else { continue };
        let key = (cx.room(&other.room_id), cx.user(user_id));
        if let Some(row) = tables::MEMBERS.get(cx.view, &key)?
            && row.value.membership == MembershipState::Join
        {
            return Ok(Some((key, row.version)));
        }
    }
    Ok(None)
}

/// Completes the member event of somebody who joins without an invitation: a restricted room has to say which of its
/// members lets them in. What a client said of that is dropped.
///
/// # Errors
/// `M_FORBIDDEN` for a restricted room that lets the user in by nothing.
pub(super) fn complete_join(
    draft: &mut Draft<'_>,
    room: &Room,
    user_id: &UserId,
    content: &mut CanonicalJsonObject,
) -> Result<(), Stop> {
    content.remove(AUTHORISED_VIA);
    let joins = content.get("membership").and_then(CanonicalJsonValue::as_str) == Some(MembershipState::Join.as_str());
    let before = membership_of(&draft.cx(), &room.room_id, user_id)?;
    if !joins || matches!(before, Some(MembershipState::Join | MembershipState::Invite)) {
        return Ok(());
    }
    if let Some(authorizer) = authorizer(draft, room, user_id)? {
        content.insert(AUTHORISED_VIA.to_owned(), CanonicalJsonValue::String(authorizer.to_string()));
    }
    Ok(())
}

fn authorizer(draft: &mut Draft<'_>, room: &Room, user_id: &UserId) -> Result<Option<OwnedUserId>, Stop> {
    let cx = draft.cx();
    let (JoinRule::Restricted(restricted) | JoinRule::KnockRestricted(restricted)) = join_rule(&cx, &room.room_id)? else {
        return Ok(None);
    };
    let (key, version) = admitted_by(&cx, &restricted, user_id)?.ok_or_else(|| {
        Reject::forbidden("you may join this room only from a room that it names, or when you are invited")
    })?;
    // Whoever leaves the other room at the same time does not get in.
    tables::MEMBERS.require(&mut draft.batch, &key, Some(version));
    let levels = power::power_levels(&cx, room)?;
    let members = joined_members(&cx, &room.room_id)?;
    let authorizer = members.into_iter().map(|member| member.user_id).find(|member| levels.user_can_invite(member));
    Ok(Some(authorizer.ok_or_else(|| Reject::forbidden("nobody in this room may let you in"))?))
}
