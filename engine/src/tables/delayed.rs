//! Events that are to be sent later (MSC4140). Like everything that was said, none of it outlives L after it was received.

use journal::{Expiring, Name, Table, Timestamp};
use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// `(delay id)`: an event that waits to be sent. At most [`crate::room::delayed::DELAYED_MAX`] per user; deleted by the batch that
/// sends it, and gone L after it was handed in.
pub static DELAYED_EVENTS: Table<(Name,), DelayedRow, Expiring> = Table::expiring(330, "delayed_events");

/// `(user, delay id)`: a user's waiting events. As long as the event.
pub static USER_DELAYED_EVENTS: Table<(Name, Name), String, Expiring> = Table::expiring(331, "user_delayed_events");

/// `(due, delay id)`: the same in the order they are due. As long as the event.
pub static DELAYED_EVENTS_DUE: Table<(u64, Name), String, Expiring> = Table::expiring(332, "delayed_events_due");

/// An event that waits to be sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DelayedRow {
    /// Names it; whoever knows it may send, cancel or restart it.
    pub delay_id: String,
    /// Who sends it.
    pub user_id: OwnedUserId,
    /// From which device.
    pub device_id: Option<OwnedDeviceId>,
    /// Into which room.
    pub room_id: OwnedRoomId,
    /// Its type.
    pub event_type: String,
    /// Present for state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_key: Option<String>,
    /// Its content.
    pub content: Box<RawValue>,
    /// How long it waits, in milliseconds.
    pub delay_ms: u64,
    /// When it was handed in.
    pub received: Timestamp,
    /// Since when it waits: a restart begins anew.
    pub running_since: Timestamp,
    /// When it is sent.
    pub due: Timestamp,
}
