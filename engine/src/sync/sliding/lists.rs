//! The user's rooms, in lists.

use std::collections::{BTreeMap, BTreeSet};

use journal::{ReadError, Stamp};
use ruma::{
    OwnedRoomId, OwnedUserId, RoomId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};
use serde::Deserialize;

use super::{
    Ask,
    request::{Config, Filters, Request},
};
use crate::{
    Cx, room,
    sync::scope::{Scope, is_left},
    tables,
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
    pub bump: Stamp,
}

impl Rooms {
    pub fn find(cx: &Cx<'_>, ask: &Ask<'_>, scope: &Scope, ignored: &BTreeSet<OwnedUserId>) -> Result<Self, ReadError> {
        let mut rooms = Self { direct: direct_rooms(cx, ask.user_id)?, ..Self::default() };
        for found in tables::MEMBERSHIPS.scan(cx.view, &(cx.user(ask.user_id),)) {
            let (_, row) = found?;
            let since = Stamp::of_row(row.version, row.value.index);
            let room_id = row.value.room_id;
            // A room that was left is told of once, to a client that knows of it.
            let known = ask.connection.rooms.contains_key(&room_id);
            let gone = is_left(&row.value.membership) && !(known && scope.is_new(since));
            let unwanted = row.value.membership == MembershipState::Invite && ignored.contains(&row.value.sender);
            if gone || unwanted {
                continue;
            }
            let bump = match ask.connection.bumps.get(&room_id) {
                Some(bump) if !scope.touches(&room_id) => *bump,
                _ => bump(cx, &room_id, since, &row.value.membership)?,
            };
            let room = Room { membership: row.value.membership, since, stripped: row.value.stripped_state, bump };
            rooms.by_id.insert(room_id, room);
        }
        for (name, list) in ask.request.lists() {
            let ordered = rooms.list(cx, list.filters.as_ref())?;
            rooms.lists.insert(name.clone(), ordered);
        }
        Ok(rooms)
    }

    /// How many rooms are in each list.
    pub fn counts(&self, request: &Request) -> BTreeMap<String, u64> {
        let count = |name: &String| self.lists.get(name).map_or(0, Vec::len);
        request.lists().map(|(name, _)| (name.clone(), u64::try_from(count(name)).unwrap_or(u64::MAX))).collect()
    }

    /// The rooms that the request looks at, and what it wants of each.
    pub fn wanted(&self, request: &Request) -> BTreeMap<OwnedRoomId, Config> {
        let mut wanted: BTreeMap<OwnedRoomId, Config> = BTreeMap::new();
        for (name, list) in request.lists() {
            let rooms = self.lists.get(name).map(Vec::as_slice).unwrap_or_default();
            for (first, last) in &list.ranges {
                let place = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(rooms.len());
                let seen = rooms.get(place(*first)..place(last.saturating_add(1))).unwrap_or_default();
                for room_id in seen {
                    wanted.entry(room_id.clone()).or_default().add(&list.details);
                }
            }
        }
        for (room_id, details) in request.subscriptions() {
            if self.by_id.contains_key(room_id) {
                wanted.entry(room_id.clone()).or_default().add(details);
            }
        }
        wanted
    }

    fn list(&self, cx: &Cx<'_>, filters: Option<&Filters>) -> Result<Vec<OwnedRoomId>, ReadError> {
        let mut rooms = Vec::new();
        for (room_id, room) in &self.by_id {
            if filters.map_or(Ok(true), |filters| self.passes(cx, room_id, room, filters))? {
                rooms.push((room.bump, room_id));
            }
        }
        rooms.sort_unstable_by(|one, other| other.cmp(one));
        Ok(rooms.into_iter().map(|(_, room_id)| room_id.clone()).collect())
    }

    fn passes(&self, cx: &Cx<'_>, room_id: &RoomId, room: &Room, filters: &Filters) -> Result<bool, ReadError> {
        if filters.is_dm.is_some_and(|wanted| wanted != self.direct.contains(room_id)) {
            return Ok(false);
        }
        if filters.is_invite.is_some_and(|wanted| wanted != (room.membership == MembershipState::Invite)) {
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

/// When something last happened that moves a room up: a message, or that the user came into it.
fn bump(cx: &Cx<'_>, room_id: &RoomId, since: Stamp, membership: &MembershipState) -> Result<Stamp, ReadError> {
    if *membership != MembershipState::Join {
        return Ok(since);
    }
    for found in tables::TIMELINE.scan_back(cx.view, &(cx.room(room_id),)).take(BUMP_SCAN_MAX) {
        let ((_, stamp), row) = found?;
        let moves = matches!(
            row.value.pdu.event_type,
            TimelineEventType::RoomMessage
                | TimelineEventType::RoomEncrypted
                | TimelineEventType::RoomCreate
                | TimelineEventType::Sticker
                | TimelineEventType::CallInvite
                | TimelineEventType::PollStart
                | TimelineEventType::UnstablePollStart
        );
        if moves || stamp <= since {
            return Ok(stamp.max(since));
        }
    }
    Ok(since)
}

/// The rooms that the user has marked as direct chats (`m.direct`).
fn direct_rooms(cx: &Cx<'_>, user_id: &ruma::UserId) -> Result<BTreeSet<OwnedRoomId>, ReadError> {
    #[derive(Deserialize)]
    struct Direct(BTreeMap<String, Vec<OwnedRoomId>>);
    let row = tables::ACCOUNT_DATA.get(cx.view, &(cx.user(user_id), cx.name("m.direct")))?;
    let direct = row.and_then(|row| serde_json::from_str::<Direct>(row.value.content.get()).ok());
    Ok(direct.map(|direct| direct.0.into_values().flatten().collect()).unwrap_or_default())
}
