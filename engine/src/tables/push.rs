//! What waits to be told of notifications: push gateways, and those whose counts fall. The workers work from these rows alone
//! (invariant 6).

use std::collections::BTreeMap;

use journal::{Expiring, Name, Stamp, Table};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `(gateway, stamp)`: events that notify a user, for each push gateway the user has, in order; by reference, so that what is
/// sent is what may still be read. As long as the event.
pub static PUSH_EVENTS: Table<(Name, Stamp), PushEventRow, Expiring> = Table::append_only(290, "push_events");

/// `(gateway, user)`: users whose unread count has fallen since the gateway was last told. One row per gateway and user at
/// most, deleted when it is told. At most L.
pub static PUSH_COUNTS: Table<(Name, Name), OwnedUserId, Expiring> = Table::expiring(291, "push_counts");

/// `(moment, room, stamp)`: an event that notified somebody stops to count as unread at that moment. Deleted when those it
/// notified have been told (D7), and gone an hour after the moment at the latest.
pub static UNREAD_ENDS: Table<(u64, Name, Stamp), UnreadEndRow, Expiring> = Table::append_only(292, "unread_ends");

/// An event that notifies a user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PushEventRow {
    /// The user.
    pub user_id: OwnedUserId,
    /// The room.
    pub room_id: OwnedRoomId,
    /// The event.
    pub event_id: OwnedEventId,
    /// How the user's rules want it to be presented.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tweaks: BTreeMap<String, Value>,
}

/// Where an event stops to count as unread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadEndRow {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The thread it is in, by its root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<OwnedEventId>,
    /// Whom it notified.
    pub users: Vec<OwnedUserId>,
}
