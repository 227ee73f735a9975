//! Rooms: state, timeline, members, and what is found through them.

use std::collections::BTreeMap;

use journal::{Expiring, Name, Stamp, Table, Timestamp};
use ruma::{OwnedEventId, OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomVersionId, events::room::member::MembershipState};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{changes::Change, room::Pdu};

/// `(room)`. Written when the room is made; one per room.
pub static ROOMS: Table<(Name,), RoomRow> = Table::lasting(1, "rooms");

/// `(room, stamp)`: the room's forward extremities. An event deletes those it follows and adds itself, so a quiet room
/// has one; two events at once leave two, which the next one joins. Keeps what D6 allows: id (or hash) and depth. In the order they
/// were added, and read from the newest one's `since`: a busy room leaves a deleted row behind for each event, which the
/// store would have to step over.
pub static EXTREMITIES: Table<(Name, Stamp), ExtremityRow> = Table::lasting(2, "extremities");

/// `(room, type, state key)`: the current state of a room. One row per state key.
pub static STATE: Table<(Name, Name, Name), StateRow> = Table::lasting(3, "state");

/// `(room, type, state key, stamp of the replaced event)`: state that has been replaced, kept after that for as long as an event that is
/// sent then (D4), so that the state at any readable event is known.
pub static STATE_HISTORY: Table<(Name, Name, Name, Stamp), Pdu, Expiring> = Table::append_only(4, "state_history");

/// `(room, stamp)`: every event in the order it was received. Gone L after that (D1), or earlier or later as the room and the accounts
/// of those in it say (D11).
pub static TIMELINE: Table<(Name, Stamp), TimelineRow, Expiring> = Table::append_only(5, "timeline");

/// `(event)`: where in which timeline an event stands; the stamp's `seq` is the row's version. As long as the event.
pub static EVENTS: Table<(Name,), EventRow, Expiring> = Table::append_only(6, "events");

/// `(event)`: which state key an event of the current state is at. As long as it is current.
pub static STATE_EVENTS: Table<(Name,), StateEventRow> = Table::lasting(7, "state_events");

/// `(room, user)`: who is or was in a room. One row per member event's state key.
pub static MEMBERS: Table<(Name, Name), MemberRow> = Table::lasting(8, "members");

/// `(user, room)`: the same from the user's side. Deleted when the user forgets the room.
pub static MEMBERSHIPS: Table<(Name, Name), MembershipRow> = Table::lasting(9, "memberships");

/// `(room, parent event, stamp)`: events that relate to a parent. Never outlive it (D1).
pub static RELATIONS: Table<(Name, Name, Stamp), RelationRow, Expiring> = Table::append_only(10, "relations");

/// `(user, device, transaction id)`: what a repeated `PUT` is answered. 24 hours.
pub static TRANSACTIONS: Table<(Name, Name, Name), TransactionRow, Expiring> = Table::expiring(11, "transactions");

/// `(user, room, stamp)`: events that notify the user. As long as the event, so that counts forget with it (D7).
pub static NOTIFICATIONS: Table<(Name, Name, Stamp), NotificationRow, Expiring> = Table::append_only(12, "notifications");

/// `(user, stamp)`: the change index, see [`crate::changes`]. Lives L; an older `/sync` token looks at everything.
pub static CHANGES: Table<(Name, Stamp), Change, Expiring> = Table::append_only(13, "changes");

/// `(alias)`: which room an alias names.
pub static ALIASES: Table<(Name,), AliasRow> = Table::lasting(14, "aliases");

/// `(room, alias)`: the aliases of a room.
pub static ROOM_ALIASES: Table<(Name, Name), OwnedRoomAliasId> = Table::lasting(15, "room_aliases");

/// `(room)`: rooms published in the directory.
pub static PUBLISHED_ROOMS: Table<(Name,), OwnedRoomId> = Table::lasting(16, "published_rooms");

/// `(room)`: rewritten by every state event and guarded by it, so that state never forks.
pub static STATE_HEADS: Table<(Name,), StateHeadRow> = Table::lasting(17, "state_heads");

/// The last state event of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateHeadRow {
    /// Its id.
    pub event_id: OwnedEventId,
}

/// A room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomRow {
    /// Its id.
    pub room_id: OwnedRoomId,
    /// Its version.
    pub version: RoomVersionId,
}

/// A forward extremity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtremityRow {
    /// The event.
    pub event_id: OwnedEventId,
    /// Its depth.
    pub depth: u64,
    /// Nothing before this is an extremity any more: the event follows all that there was.
    pub since: Stamp,
    /// Its reference hash, in room versions 1 and 2: later ones have it as the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_hash: Option<String>,
}

/// A state event that is current.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StateRow {
    /// The event.
    pub pdu: Pdu,
    /// Its number in the batch that wrote it; with the row's version: its stamp.
    pub index: u16,
    /// Its stamp, when the row has been rewritten since (a redaction).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewritten: Option<Stamp>,
}

impl StateRow {
    /// Where the event stands, given the version of its row.
    #[must_use]
    pub fn stamp(&self, version: journal::Seq) -> Stamp {
        self.rewritten.unwrap_or_else(|| Stamp::of_row(version, self.index))
    }
}

/// An event in a timeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TimelineRow {
    /// The event; redacted if it has been.
    pub pdu: Pdu,
    /// The device and transaction id that sent it: echoed to that device only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<SentBy>,
    /// The redaction, in client form, if the event has been redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redacted_because: Option<Box<Pdu>>,
    /// What a state event replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Box<Pdu>>,
    /// When it was received.
    pub received: Timestamp,
    /// When it ends, if that is not L after it was received: clients are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Timestamp>,
}

/// Which device sent an event, under which transaction id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentBy {
    /// The device's name in keys.
    pub device: Name,
    /// The transaction id.
    pub txn_id: String,
}

/// Where an event stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRow {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Its number in the batch; with the row's version: its stamp.
    pub index: u16,
}

/// Which state key an event is at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateEventRow {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The type's name in keys.
    pub event_type: Name,
    /// The state key's name in keys.
    pub state_key: Name,
}

/// A member of a room, as of the current `m.room.member` event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRow {
    /// The user.
    pub user_id: OwnedUserId,
    /// What they are to the room.
    pub membership: MembershipState,
    /// The member event's number in its batch; with the row's version: its stamp.
    pub index: u16,
    /// The display name in the member event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The avatar in the member event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
}

/// A room of a user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MembershipRow {
    /// The room.
    pub room_id: OwnedRoomId,
    /// What the user is to it.
    pub membership: MembershipState,
    /// The member event's number in its batch; with the row's version: its stamp.
    pub index: u16,
    /// Who set it.
    pub sender: OwnedUserId,
    /// For an invite or a knock: the state that the user may see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stripped_state: Vec<Box<serde_json::value::RawValue>>,
}

/// An event that relates to another
/// ([spec v1.19, Client-Server API § Forming relationships between events](https://spec.matrix.org/v1.19/client-server-api/#forming-relationships-between-events)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelationRow {
    /// The child.
    pub event_id: OwnedEventId,
    /// Its `rel_type`.
    pub rel_type: String,
    /// Its type.
    pub event_type: String,
    /// Who sent it.
    pub sender: OwnedUserId,
    /// The `key` of an annotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What a transaction came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionRow {
    /// The event it sent; absent for requests that answer `{}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<OwnedEventId>,
    /// The id of an event that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_id: Option<String>,
}

/// An event that notifies a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationRow {
    /// The event.
    pub event_id: OwnedEventId,
    /// Whether it is highlighted (a mention).
    pub highlight: bool,
    /// The thread it is in, by its root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<OwnedEventId>,
    /// Whether it is a call: a missed one, as long as it is unread.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub call: bool,
    /// What else the rules say to set, the sound among it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tweaks: BTreeMap<String, Value>,
}

/// An alias.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasRow {
    /// The room it names.
    pub room_id: OwnedRoomId,
    /// Who made it.
    pub creator: OwnedUserId,
}
