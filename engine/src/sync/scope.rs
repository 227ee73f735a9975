//! What one sync has to look at: what the change index names, or everything.

use std::collections::{BTreeMap, BTreeSet};

use journal::{Name, ReadError, Stamp, Timestamp};
use ruma::{OwnedRoomId, UserId, events::room::member::MembershipState};

use super::{SyncRequest, Token};
use crate::{
    Cx, Stop,
    changes::Change,
    keys,
    tables::{self, DepartureRow, DeviceLists, MembershipRow},
};

/// A token is taken as older than it says by this: clocks of two requests at once may be this far apart.
const MINTED_MARGIN_MS: u64 = 60_000;

/// What to look at.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// Since when; `None`: everything is new.
    pub since: Option<Token>,
    /// The change index no longer reaches back to `since`: everything is looked at, and compared by its stamp.
    pub slow: bool,
    /// Rooms with news, unless everything is looked at.
    rooms: BTreeSet<OwnedRoomId>,
    /// Rooms with new receipts.
    pub receipts: BTreeSet<OwnedRoomId>,
    /// New global account data, by its types.
    pub account_data: BTreeSet<String>,
    /// New account data of rooms, by its types.
    pub room_account_data: BTreeMap<OwnedRoomId, BTreeSet<String>>,
    /// Whether somebody's device list changed.
    pub device_lists: bool,
}

impl Scope {
    pub fn new(cx: &Cx<'_>, request: &SyncRequest<'_>) -> Result<Self, ReadError> {
        // A token from the future was made before a restore: what this server knows of is all new to its carrier.
        let since = request.since.filter(|token| token.known() <= Stamp::end_of(cx.view.seq()));
        let mut scope = Self { since, ..Self::default() };
        let Some(token) = since else { return Ok(scope) };
        if is_before_the_index(cx, &token) {
            scope.slow = true;
            scope.device_lists = true;
            return Ok(scope);
        }
        let user = cx.user(request.user_id);
        for found in tables::CHANGES.scan_from(cx.view, &(user,), &(user, token.position)) {
            scope.note(found?.1.value);
        }
        Ok(scope)
    }

    fn note(&mut self, change: Change) {
        match change {
            Change::Room { room_id } => drop(self.rooms.insert(room_id)),
            Change::Receipts { room_id } => drop(self.receipts.insert(room_id)),
            Change::AccountData { event_type } => drop(self.account_data.insert(event_type)),
            Change::RoomAccountData { room_id, event_type } => {
                self.room_account_data.entry(room_id).or_default().insert(event_type);
            }
            Change::DeviceList { .. } => self.device_lists = true,
        }
    }

    /// Whether everything has to be looked at.
    pub fn everything(&self) -> bool {
        self.since.is_none() || self.slow
    }

    /// The first place that is not known.
    pub fn since_stamp(&self) -> Option<Stamp> {
        self.since.map(|token| token.position)
    }

    /// The user's rooms to look at, with what the user is to each and since when.
    pub fn rooms(&self, cx: &Cx<'_>, request: &SyncRequest<'_>) -> Result<Vec<(Stamp, MembershipRow)>, ReadError> {
        let user = cx.user(request.user_id);
        let stamped = |row: journal::Row<MembershipRow>| (Stamp::of_row(row.version, row.value.index), row.value);
        let mut rooms = Vec::new();
        if self.everything() || request.full_state {
            for found in tables::MEMBERSHIPS.scan(cx.view, &(user,)) {
                rooms.push(stamped(found?.1));
            }
        } else {
            for room_id in
                self.rooms.iter().chain(&self.receipts).chain(self.room_account_data.keys()).collect::<BTreeSet<_>>()
            {
                match tables::MEMBERSHIPS.get(cx.view, &(user, cx.room(room_id)))? {
                    Some(row) => rooms.push(stamped(row)),
                    None => rooms.extend(forgotten(cx, room_id, user)?),
                }
            }
        }
        let mut there = Vec::new();
        for (stamp, row) in rooms {
            // While a room is being erased, somebody who left it long ago may have rows of it still.
            if request.filter.room.includes(&row.room_id) && tables::ROOMS.exists(cx.view, &(cx.room(&row.room_id),))? {
                there.push((stamp, row));
            }
        }
        Ok(there)
    }

    /// Rooms that were erased while the user was in them.
    pub fn departures(&self, cx: &Cx<'_>, request: &SyncRequest<'_>) -> Result<Vec<(Stamp, DepartureRow)>, ReadError> {
        let user = cx.user(request.user_id);
        let stamped = |row: journal::Row<DepartureRow>| (Stamp::of_row(row.version, row.value.index), row.value);
        let mut gone = Vec::new();
        if self.everything() {
            for found in tables::DEPARTURES.scan(cx.view, &(user,)) {
                gone.push(stamped(found?.1));
            }
        } else {
            for room_id in &self.rooms {
                let room = cx.room(room_id);
                if !tables::MEMBERSHIPS.exists(cx.view, &(user, room))? {
                    gone.extend(tables::DEPARTURES.get(cx.view, &(user, room))?.map(stamped));
                }
            }
        }
        gone.retain(|(_, row)| request.filter.room.includes(&row.room_id));
        Ok(gone)
    }

    /// Whether the room has new events, as far as is known without looking.
    pub fn has_events(&self, room_id: &ruma::RoomId) -> bool {
        self.everything() || self.rooms.contains(room_id)
    }

    /// Whether anything of the room may be news: events, receipts, account data.
    pub fn touches(&self, room_id: &ruma::RoomId) -> bool {
        self.has_events(room_id) || self.receipts.contains(room_id) || self.room_account_data.contains_key(room_id)
    }

    /// Whether a place is past what is known.
    pub fn is_new(&self, stamp: Stamp) -> bool {
        self.since.is_none_or(|token| stamp >= token.position)
    }
}

/// Whether the change index no longer reaches back to where the token was made.
fn is_before_the_index(cx: &Cx<'_>, token: &Token) -> bool {
    let reaches_back: Timestamp = cx.now().minus_ms(cx.server.retention_ms).plus_ms(MINTED_MARGIN_MS);
    token.minted < reaches_back
}

/// Whose device lists changed between two tokens: for one that the change index no longer reaches back to, everybody's whom the user
/// shares a room with.
///
/// # Errors
/// When the store cannot be read.
pub fn device_lists_since(cx: &Cx<'_>, user_id: &UserId, since: &Token, to: Stamp) -> Result<DeviceLists, Stop> {
    if is_before_the_index(cx, since) {
        return keys::device_lists_of_all(cx, user_id);
    }
    keys::device_lists_between(cx, user_id, since.known(), to)
}

/// A room that the user has left and forgotten since: that they left it is still news to their other devices.
fn forgotten(cx: &Cx<'_>, room_id: &OwnedRoomId, user: Name) -> Result<Option<(Stamp, MembershipRow)>, ReadError> {
    let found = tables::MEMBERS.get(cx.view, &(cx.room(room_id), user))?;
    Ok(found.filter(|row| is_left(&row.value.membership)).map(|row| {
        let membership = MembershipRow {
            room_id: room_id.clone(),
            membership: row.value.membership,
            index: row.value.index,
            sender: row.value.user_id,
            stripped_state: Vec::new(),
        };
        (Stamp::of_row(row.version, row.value.index), membership)
    }))
}

/// Whether the membership puts a room among those the user has left.
pub(super) const fn is_left(membership: &MembershipState) -> bool {
    matches!(membership, MembershipState::Leave | MembershipState::Ban)
}
