//! The change index: for each user, what `/sync` has to look at since a stamp. Written by the batch that changes it.

use ruma::{OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};

/// One thing that changed for one user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Change {
    /// Events were appended to a room the user is in, invited to, knocking on or has just left.
    Room {
        /// The room.
        room_id: OwnedRoomId,
    },
    /// Receipts in a room, or the user's own unread counts there.
    Receipts {
        /// The room.
        room_id: OwnedRoomId,
    },
    /// The user's account data.
    AccountData {
        /// The event type.
        event_type: String,
    },
    /// The user's account data for a room, tags included.
    RoomAccountData {
        /// The room.
        room_id: OwnedRoomId,
        /// The event type.
        event_type: String,
    },
    /// Somebody's devices or identity keys, somebody the user shares a room with (joined or invited) or the user.
    DeviceList {
        /// Whose.
        user_id: OwnedUserId,
    },
}
