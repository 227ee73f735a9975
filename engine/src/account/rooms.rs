//! What happens to a user's rooms when the user changes: new names in member events, and leaving them all.

use journal::Name;
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedRoomId, RoomId, UserId,
    events::{StateEventType, room::member::MembershipState},
};

use crate::{
    Draft, Reject, Stop,
    room::{self, NewEvent, RoomDraft},
    tables::{self, ProfileRow},
};

/// Rooms whose member event one batch rewrites: some ten operations each.
pub(super) const ROOMS_PER_BATCH: usize = 100;

/// Drafts member events with the new profile for the user's rooms after `after` (in key order), a batch's worth. Answers
/// where to go on.
pub(super) fn propagate(
    draft: &mut Draft<'_>,
    user_id: &UserId,
    profile: &ProfileRow,
    after: Option<Name>,
) -> Result<Option<Name>, Stop> {
    let cx = draft.cx();
    let mut rewritten = 0;
    let mut last = None;
    for found in tables::MEMBERSHIPS.scan(cx.view, &(cx.user(user_id),)) {
        let ((_, room), row) = found?;
        if row.value.membership != MembershipState::Join || after.is_some_and(|after| room <= after) {
            continue;
        }
        if rewritten == ROOMS_PER_BATCH {
            return Ok(last);
        }
        rewrite_member(draft, user_id, row.value.room_id, profile)?;
        rewritten += 1;
        last = Some(room);
    }
    Ok(None)
}

fn rewrite_member(draft: &mut Draft<'_>, user_id: &UserId, room_id: OwnedRoomId, profile: &ProfileRow) -> Result<(), Stop> {
    let cx = draft.cx();
    let Some(before) = room::state_event(&cx, &room_id, &StateEventType::RoomMember, user_id.as_str())? else {
        return Ok(());
    };
    let mut content: CanonicalJsonObject = before.content_as().unwrap_or_default();
    let mut set = |field: &str, value: Option<String>| match value {
        Some(value) => drop(content.insert(field.to_owned(), CanonicalJsonValue::String(value))),
        None => drop(content.remove(field)),
    };
    set("displayname", profile.display_name.clone());
    set("avatar_url", profile.avatar_url.as_ref().map(ToString::to_string));
    append_member(draft, user_id, room_id, content)
}

/// Drafts that the user leaves every room that `other` is in.
pub(crate) fn leave_with(draft: &mut Draft<'_>, user_id: &UserId, other: &UserId) -> Result<(), Stop> {
    let cx = draft.cx();
    for found in tables::MEMBERSHIPS.scan(cx.view, &(cx.user(user_id),)) {
        let ((_, room), row) = found?;
        let present = |membership: &MembershipState| matches!(membership, MembershipState::Join | MembershipState::Invite);
        let with = tables::MEMBERS.get(cx.view, &(room, cx.user(other)))?;
        if present(&row.value.membership) && with.is_some_and(|member| present(&member.value.membership)) {
            leave(draft, user_id, &row.value.room_id)?;
        }
    }
    Ok(())
}

/// Drafts that the user leaves every room.
pub(super) fn leave_all(draft: &mut Draft<'_>, user_id: &UserId) -> Result<(), Stop> {
    let cx = draft.cx();
    for found in tables::MEMBERSHIPS.scan(cx.view, &(cx.user(user_id),)) {
        let row = found?.1.value;
        if matches!(row.membership, MembershipState::Join | MembershipState::Invite | MembershipState::Knock) {
            leave(draft, user_id, &row.room_id)?;
        }
    }
    Ok(())
}

/// Drafts that the user leaves a room.
pub(crate) fn leave(draft: &mut Draft<'_>, user_id: &UserId, room_id: &RoomId) -> Result<(), Stop> {
    let leave = CanonicalJsonValue::String(MembershipState::Leave.to_string());
    append_member(draft, user_id, room_id.to_owned(), CanonicalJsonObject::from([("membership".to_owned(), leave)]))
}

fn append_member(
    draft: &mut Draft<'_>,
    user_id: &UserId,
    room_id: OwnedRoomId,
    content: CanonicalJsonObject,
) -> Result<(), Stop> {
    let room = match room::get_room(&draft.cx(), &room_id) {
        Ok(room) => room,
        // It is being erased.
        Err(Stop::Reject(Reject::NotFound(_))) => return Ok(()),
        Err(stop) => return Err(stop),
    };
    let mut room = RoomDraft::open(draft, room)?;
    match room.append(NewEvent::state(user_id, StateEventType::RoomMember, user_id.as_str(), content)) {
        Ok(_) => room.finish(),
        // A room may not allow it: its member event then stays as it is. Nothing has been written.
        Err(Stop::Reject(Reject::Forbidden(_))) => {}
        Err(stop) => return Err(stop),
    }
    Ok(())
}
