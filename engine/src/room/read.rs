//! Reading a room: its row, state now and then, members, and single events.

use journal::{ReadError, Stamp};
use ruma::{
    EventId, OwnedRoomId, RoomId, RoomVersionId, UserId,
    events::{StateEventType, room::member::MembershipState},
    room_version_rules::RoomVersionRules,
};

use super::Pdu;
use crate::{
    Cx, Reject, Stop, policy,
    tables::{self, MemberRow, TimelineRow},
};

/// A room that exists.
#[derive(Clone, Debug)]
pub struct Room {
    /// Its id.
    pub room_id: OwnedRoomId,
    /// Its version.
    pub version: RoomVersionId,
    /// What its version means.
    pub rules: RoomVersionRules,
    /// Its name in keys.
    pub name: journal::Name,
}

impl Room {
    /// The room of that id and version, whether or not it is there still.
    ///
    /// # Errors
    /// `M_UNSUPPORTED_ROOM_VERSION`.
    pub(crate) fn of_version(cx: &Cx<'_>, room_id: &RoomId, version: &RoomVersionId) -> Result<Self, Stop> {
        let rules = version.rules().ok_or_else(|| Reject::UnsupportedRoomVersion(version.to_string()))?;
        Ok(Self { room_id: room_id.to_owned(), version: version.clone(), rules, name: cx.room(room_id) })
    }
}

/// An event found by its id.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// Where it stands in the timeline; `None` when only the current state still holds it.
    pub stamp: Option<Stamp>,
    /// The row.
    pub row: TimelineRow,
    /// When it expires; [`journal::Timestamp::NEVER`] for current state that has left the timeline.
    pub expires: journal::Timestamp,
}

/// The room of that id.
///
/// # Errors
/// `M_NOT_FOUND` when there is none.
pub fn get_room(cx: &Cx<'_>, room_id: &RoomId) -> Result<Room, Stop> {
    let name = cx.room(room_id);
    let row = tables::ROOMS.get(cx.view, &(name,))?.ok_or_else(no_such_room)?.value;
    Room::of_version(cx, &row.room_id, &row.version)
}

/// The room of that id, for somebody who may know of it.
///
/// # Errors
/// `M_NOT_FOUND` when there is none, or none that `user_id` may know of.
pub fn get_room_for(cx: &Cx<'_>, room_id: &RoomId, user_id: &UserId) -> Result<Room, Stop> {
    let room = get_room(cx, room_id)?;
    if policy::may_know_room(cx, user_id, room_id)? { Ok(room) } else { Err(no_such_room().into()) }
}

fn no_such_room() -> Reject {
    Reject::not_found("there is no such room")
}

/// The current state event at a key.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn state_event(
    cx: &Cx<'_>,
    room_id: &RoomId,
    event_type: &StateEventType,
    state_key: &str,
) -> Result<Option<Pdu>, ReadError> {
    let key = (cx.room(room_id), cx.name(&event_type.to_string()), cx.name(state_key));
    Ok(tables::STATE.get(cx.view, &key)?.map(|row| row.value.pdu))
}

/// The state event at a key as it was once everything up to and with `at` had happened.
///
/// # Errors
/// As [`state_event`].
pub fn state_at(
    cx: &Cx<'_>,
    room_id: &RoomId,
    event_type: &StateEventType,
    state_key: &str,
    at: Stamp,
) -> Result<Option<Pdu>, ReadError> {
    let (room, event_type, state_key) = (cx.room(room_id), cx.name(&event_type.to_string()), cx.name(state_key));
    let Some(current) = tables::STATE.get(cx.view, &(room, event_type, state_key))? else { return Ok(None) };
    if current.value.stamp(current.version) <= at {
        return Ok(Some(current.value.pdu));
    }
    let mut earlier =
        tables::STATE_HISTORY.scan_back_from(cx.view, &(room, event_type, state_key), &(room, event_type, state_key, at));
    earlier.next().map(|found| found.map(|(_, row)| row.value)).transpose()
}

/// The whole state of a room: now, or as it was at `at`. Each event with its stamp.
///
/// # Errors
/// As [`state_event`].
pub fn whole_state(cx: &Cx<'_>, room_id: &RoomId, at: Option<Stamp>) -> Result<Vec<(Stamp, Pdu)>, ReadError> {
    let room = cx.room(room_id);
    let mut state = Vec::new();
    for found in tables::STATE.scan(cx.view, &(room,)) {
        let ((_, event_type, state_key), row) = found?;
        let stamp = row.value.stamp(row.version);
        let Some(at) = at.filter(|at| stamp > *at) else {
            state.push((stamp, row.value.pdu));
            continue;
        };
        let key = (room, event_type, state_key, at);
        if let Some(earlier) = tables::STATE_HISTORY.scan_back_from(cx.view, &(room, event_type, state_key), &key).next() {
            let ((_, _, _, stamp), row) = earlier?;
            state.push((stamp, row.value));
        }
    }
    Ok(state)
}

/// Everybody with a member event, whatever it says.
///
/// # Errors
/// As [`state_event`].
pub fn members(cx: &Cx<'_>, room_id: &RoomId) -> Result<Vec<MemberRow>, ReadError> {
    tables::MEMBERS.scan(cx.view, &(cx.room(room_id),)).map(|found| found.map(|(_, row)| row.value)).collect()
}

/// Who is in the room.
///
/// # Errors
/// As [`state_event`].
pub fn joined_members(cx: &Cx<'_>, room_id: &RoomId) -> Result<Vec<MemberRow>, ReadError> {
    let mut members = members(cx, room_id)?;
    members.retain(|member| member.membership == MembershipState::Join);
    Ok(members)
}

/// What the user is to the room; `None` without a member event.
///
/// # Errors
/// As [`state_event`].
pub fn membership_of(cx: &Cx<'_>, room_id: &RoomId, user_id: &UserId) -> Result<Option<MembershipState>, ReadError> {
    let key = (cx.room(room_id), cx.user(user_id));
    Ok(tables::MEMBERS.get(cx.view, &key)?.map(|row| row.value.membership))
}

/// The rooms the user is in.
///
/// # Errors
/// As [`state_event`].
pub fn joined_rooms(cx: &Cx<'_>, user_id: &UserId) -> Result<Vec<OwnedRoomId>, ReadError> {
    let mut rooms = Vec::new();
    for found in tables::MEMBERSHIPS.scan(cx.view, &(cx.user(user_id),)) {
        let row = found?.1.value;
        if row.membership == MembershipState::Join {
            rooms.push(row.room_id);
        }
    }
    Ok(rooms)
}

/// Whether two users are in a room together; `invited` counts those who are only invited as well.
///
/// # Errors
/// As [`state_event`].
pub fn shares_room(cx: &Cx<'_>, one: &UserId, other: &UserId, invited: bool) -> Result<bool, ReadError> {
    let present = |membership: &MembershipState| {
        *membership == MembershipState::Join || (invited && *membership == MembershipState::Invite)
    };
    let other = cx.user(other);
    for found in tables::MEMBERSHIPS.scan(cx.view, &(cx.user(one),)) {
        let ((_, room), row) = found?;
        if !present(&row.value.membership) {
            continue;
        }
        if tables::MEMBERS.get(cx.view, &(room, other))?.is_some_and(|row| present(&row.value.membership)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The event of that id in that room, from the timeline or, if it has left it, from the current state.
/// Whether the caller may see it is not asked here.
///
/// # Errors
/// As [`state_event`].
pub fn get_event(cx: &Cx<'_>, room_id: &RoomId, event_id: &EventId) -> Result<Option<StoredEvent>, ReadError> {
    let event = cx.event(event_id);
    if let Some(found) = tables::EVENTS.get(cx.view, &(event,))? {
        if found.value.room_id != room_id {
            return Ok(None);
        }
        let stamp = Stamp::of_row(found.version, found.value.index);
        let row = tables::TIMELINE.get(cx.view, &(cx.room(room_id), stamp))?;
        return Ok(row.map(|row| StoredEvent { stamp: Some(stamp), expires: row.expires, row: row.value }));
    }
    let Some(at) = tables::STATE_EVENTS.get(cx.view, &(event,))?.map(|row| row.value) else { return Ok(None) };
    if at.room_id != room_id {
        return Ok(None);
    }
    let state = tables::STATE.get(cx.view, &(cx.room(room_id), at.event_type, at.state_key))?;
    Ok(state.map(|state| StoredEvent {
        stamp: Some(state.value.stamp(state.version)),
        expires: journal::Timestamp::NEVER,
        row: TimelineRow {
            received: journal::Timestamp::from_ms(state.value.pdu.origin_server_ts.get().into()),
            pdu: state.value.pdu,
            transaction: None,
            redacted_because: None,
            replaces: None,
            ends: None,
        },
    }))
}
