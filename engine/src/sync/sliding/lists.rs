//! The user's rooms, in lists.

use std::collections::{BTreeMap, BTreeSet};

use journal::{ReadError, Stamp};
use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};
use serde::Deserialize;

use super::{
    Ask,
    request::{Filters, Request, Wanted},
};
use crate::{
    Cx, Stop, account,
    room::{self, Pdu, Viewer},
    sync::scope::{Scope, is_left},
    tables::{self, MembershipRow},
};

/// Events looked at for the one that moved a room up last.
const BUMP_SCAN_MAX: usize = 50;

/// The rooms a user could be told of.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    pub by_id: BTreeMap<OwnedRoomId, Room>,
    lists: BTreeMap<String, Vec<OwnedRoomId>>,
    pub direct: BTreeSet<OwnedRoomId>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Room {
    pub membership: MembershipState,
    pub since: Stamp,
    pub stripped: Vec<Box<serde_json::value::RawValue>>,
    pub activity: Activity,
    /// The user's leaving it, of a room that was erased.
    pub farewell: Option<Pdu>,
}

/// When something last happened in a room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Activity {
    /// Anything: lists are ordered by it.
    pub last: Stamp,
    /// Something that people say or do, as MSC4186 lists it for `bump_stamp`.
    pub bump: Stamp,
}

impl Activity {
    const fn at(stamp: Stamp) -> Self {
        Self { last: stamp, bump: stamp }
    }
}

impl Rooms {
    pub fn find(cx: &Cx<'_>, ask: &Ask<'_>, scope: &Scope, ignored: &BTreeSet<OwnedUserId>) -> Result<Self, Stop> {
        let mut rooms = Self { direct: direct_rooms(cx, ask.user_id)?, ..Self::default() };
        for found in tables::MEMBERSHIPS.scan(cx.view, &(cx.user(ask.user_id),)) {
            let (_, row) = found?;
            let since = Stamp::of_row(row.version, row.value.index);
            let unwanted = row.value.membership == MembershipState::Invite && ignored.contains(&row.value.sender);
            if unwanted || is_gone(cx, ask, &row.value)? {
                continue;
            }
            let room_id = row.value.room_id;
            let activity = match ask.connection.activity.get(&room_id) {
                Some(activity) if !scope.touches(&room_id) => *activity,
                _ => activity(cx, &room_id, since, &row.value.membership)?,
            };
            let (membership, stripped) = (row.value.membership, row.value.stripped_state);
            rooms.by_id.insert(room_id, Room { membership, since, stripped, activity, farewell: None });
        }
        rooms.find_erased(cx, ask)?;
        for (name, list) in &ask.request.lists {
            let ordered = rooms.list(cx, ask.user_id, &list.filters)?;
            rooms.lists.insert(name.clone(), ordered);
        }
        Ok(rooms)
    }

    /// Rooms that the client knows of and that were erased: the user has left them.
    fn find_erased(&mut self, cx: &Cx<'_>, ask: &Ask<'_>) -> Result<(), ReadError> {
        for room_id in ask.connection.rooms.keys() {
            if self.by_id.contains_key(room_id) {
                continue;
            }
            let Some(row) = tables::DEPARTURES.get(cx.view, &(cx.user(ask.user_id), cx.room(room_id)))? else { continue };
            let since = Stamp::of_row(row.version, row.value.index);
            let room = Room {
                membership: MembershipState::Leave,
                since,
                stripped: Vec::new(),
                activity: Activity::at(since),
                farewell: Some(row.value.pdu),
            };
            self.by_id.insert(room_id.clone(), room);
        }
        Ok(())
    }

    /// How many rooms are in each list.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.lists.iter().map(|(name, rooms)| (name.clone(), u64::try_from(rooms.len()).unwrap_or(u64::MAX))).collect()
    }

    /// The rooms that the request looks at, and what it wants of each.
    pub fn wanted(&self, request: &Request) -> BTreeMap<OwnedRoomId, Wanted> {
        let mut wanted: BTreeMap<OwnedRoomId, Wanted> = BTreeMap::new();
        for (name, list) in &request.lists {
            let rooms = self.lists.get(name).map(Vec::as_slice).unwrap_or_default();
            for (first, last) in &list.ranges {
                let place = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(rooms.len());
                let seen = rooms.get(place(*first)..place(last.saturating_add(1))).unwrap_or_default();
                for room_id in seen {
                    let room = wanted.entry(room_id.clone()).or_default();
                    room.config.add(&list.details);
                    room.lists.insert(name.clone());
                }
            }
        }
        for (room_id, details) in &request.room_subscriptions {
            if self.by_id.contains_key(room_id) {
                let room = wanted.entry(room_id.clone()).or_default();
                room.config.add(details);
                room.subscribed = true;
            }
        }
        wanted
    }

    fn list(&self, cx: &Cx<'_>, user_id: &UserId, filters: &Filters) -> Result<Vec<OwnedRoomId>, Stop> {
        let children = filters.spaces.as_ref().map(|spaces| self.children(cx, spaces)).transpose()?;
        let mut rooms = Vec::new();
        for (room_id, room) in &self.by_id {
            let inside = children.as_ref().is_none_or(|children| children.contains(room_id));
            if inside && self.passes(cx, room_id, room, filters)? && has_tags(cx, user_id, room_id, filters)? {
                rooms.push((room.activity.last, room_id));
            }
        }
        rooms.sort_unstable_by(|one, other| other.cmp(one));
        Ok(rooms.into_iter().map(|(_, room_id)| room_id.clone()).collect())
    }

    /// The rooms in any of the spaces, as far as the user is in those; spaces below them are not walked.
    fn children(&self, cx: &Cx<'_>, spaces: &BTreeSet<OwnedRoomId>) -> Result<BTreeSet<OwnedRoomId>, Stop> {
        let mut children = BTreeSet::new();
        for space_id in spaces {
            if self.by_id.get(space_id).is_some_and(|space| space.membership == MembershipState::Join) {
                children.extend(room::hierarchy::children_of(cx, &room::get_room(cx, space_id)?)?);
            }
        }
        Ok(children)
    }

    fn passes(&self, cx: &Cx<'_>, room_id: &RoomId, room: &Room, filters: &Filters) -> Result<bool, ReadError> {
        if filters.is_dm.is_some_and(|wanted| wanted != self.direct.contains(room_id)) {
            return Ok(false);
        }
        if filters.is_invited.is_some_and(|wanted| wanted != (room.membership == MembershipState::Invite)) {
            return Ok(false);
        }
        if let Some(wanted) = filters.is_encrypted
            && wanted != room::state_event(cx, room_id, &StateEventType::RoomEncryption, "")?.is_some()
        {
            return Ok(false);
        }
        if filters.room_types.is_none() && filters.not_room_types.is_none() {
            return Ok(true);
        }
        let create = room::state_event(cx, room_id, &StateEventType::RoomCreate, "")?;
        let room_type = create.and_then(|create| create.content_field::<String>("type"));
        Ok(filters.room_types.as_ref().is_none_or(|types| types.contains(&room_type))
            && filters.not_room_types.as_ref().is_none_or(|types| !types.contains(&room_type)))
    }
}

/// Whether the user has left the room and need not be told of it: the client has not heard of it, and nobody else made them
/// leave a room they had been in.
fn is_gone(cx: &Cx<'_>, ask: &Ask<'_>, row: &MembershipRow) -> Result<bool, Stop> {
    if !is_left(&row.membership) || ask.connection.rooms.contains_key(&row.room_id) {
        return Ok(false);
    }
    if row.sender == ask.user_id {
        return Ok(true);
    }
    Ok(!Viewer::new(cx, &row.room_id, ask.user_id)?.has_been_in(cx)?)
}

fn has_tags(cx: &Cx<'_>, user_id: &UserId, room_id: &RoomId, filters: &Filters) -> Result<bool, Stop> {
    if filters.tags.is_none() && filters.not_tags.is_none() {
        return Ok(true);
    }
    let tags = account::tags(cx, user_id, room_id)?;
    let has_any = |wanted: &BTreeSet<String>| wanted.iter().any(|tag| tags.contains_key(tag));
    Ok(filters.tags.as_ref().is_none_or(has_any) && !filters.not_tags.as_ref().is_some_and(has_any))
}

fn activity(cx: &Cx<'_>, room_id: &RoomId, since: Stamp, membership: &MembershipState) -> Result<Activity, ReadError> {
    let mut activity = Activity::at(since);
    if *membership != MembershipState::Join {
        return Ok(activity);
    }
    for found in tables::TIMELINE.scan_back(cx.view, &(cx.room(room_id),)).take(BUMP_SCAN_MAX) {
        let ((_, stamp), row) = found?;
        activity.last = activity.last.max(stamp);
        if moves_up(&row.value.pdu) || stamp <= since {
            activity.bump = stamp.max(since);
            break;
        }
    }
    Ok(activity)
}

fn moves_up(pdu: &Pdu) -> bool {
    match &pdu.event_type {
        TimelineEventType::RoomMessage
        | TimelineEventType::RoomEncrypted
        | TimelineEventType::RoomCreate
        | TimelineEventType::Sticker
        | TimelineEventType::CallInvite
        | TimelineEventType::PollStart
        | TimelineEventType::UnstablePollStart => true,
        other => other.to_string() == "m.beacon_info",
    }
}

/// The rooms that the user has marked as direct chats (`m.direct`).
fn direct_rooms(cx: &Cx<'_>, user_id: &UserId) -> Result<BTreeSet<OwnedRoomId>, ReadError> {
    #[derive(Deserialize)]
    struct Direct(BTreeMap<String, Vec<OwnedRoomId>>);
    let row = tables::ACCOUNT_DATA.get(cx.view, &(cx.user(user_id), cx.name("m.direct")))?;
    let direct = row.and_then(|row| serde_json::from_str::<Direct>(row.value.content.get()).ok());
    Ok(direct.map(|direct| direct.0.into_values().flatten().collect()).unwrap_or_default())
}
