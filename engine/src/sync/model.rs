//! What has changed, in no client's format yet.

use std::collections::BTreeMap;

use ruma::{OwnedRoomId, OwnedUserId};
use serde::Serialize;
use serde_json::value::RawValue;

use super::Token;
use crate::{receipts::Unread, tables::DeviceLists};

/// All that has changed for one user and device.
#[derive(Debug)]
pub struct Collected {
    /// Where to go on from.
    pub next: Token,
    /// Rooms the user is in.
    pub join: BTreeMap<OwnedRoomId, JoinedRoom>,
    /// Rooms the user is invited to, with their stripped state.
    pub invite: BTreeMap<OwnedRoomId, Vec<Box<RawValue>>>,
    /// Rooms the user knocks on, with their stripped state.
    pub knock: BTreeMap<OwnedRoomId, Vec<Box<RawValue>>>,
    /// Rooms the user has left.
    pub leave: BTreeMap<OwnedRoomId, LeftRoom>,
    /// Global account data.
    pub account_data: Vec<Box<RawValue>>,
    /// `m.presence` events.
    pub presence: Vec<Box<RawValue>>,
    /// Messages to the device.
    pub to_device: Vec<Box<RawValue>>,
    /// Whose keys have to be queried again, or need no more following.
    pub device_lists: DeviceLists,
    /// What is left of the device's keys.
    pub keys: DeviceKeyCounts,
}

/// What is left of a device's keys on the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceKeyCounts {
    /// One-time keys by algorithm.
    pub one_time: BTreeMap<String, u64>,
    /// Algorithms with a fallback key that has not been used.
    pub unused_fallback: Vec<String>,
}

/// A room the user is in.
#[derive(Debug, Default)]
pub struct JoinedRoom {
    /// Its latest events.
    pub timeline: Timeline,
    /// Its state, as far as the timeline does not tell of it.
    pub state: Vec<Box<RawValue>>,
    /// Who is in it, if that changed.
    pub summary: Option<Summary>,
    /// Typing and receipts.
    pub ephemeral: Vec<Box<RawValue>>,
    /// The user's account data for it.
    pub account_data: Vec<Box<RawValue>>,
    /// What the user has not read.
    pub unread: Unread,
}

/// A room the user has left.
#[derive(Debug, Default)]
pub struct LeftRoom {
    /// Its latest events that the user may see.
    pub timeline: Timeline,
    /// Its state when the user left, as far as the timeline does not tell of it.
    pub state: Vec<Box<RawValue>>,
    /// The user's account data for it.
    pub account_data: Vec<Box<RawValue>>,
}

/// The latest events of a room.
#[derive(Debug, Default)]
pub struct Timeline {
    /// Oldest first.
    pub events: Vec<Box<RawValue>>,
    /// Whether there are events between the last sync and the first of these.
    pub limited: bool,
    /// Where earlier events are found.
    pub prev_batch: Option<Token>,
}

/// Who is in a room
/// ([spec v1.19, `RoomSummary`](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync_response-200_roomsummary)).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Whom the room can be named after, if it has no name of its own.
    #[serde(rename = "m.heroes", skip_serializing_if = "Option::is_none")]
    pub heroes: Option<Vec<OwnedUserId>>,
    /// How many are invited.
    #[serde(rename = "m.invited_member_count")]
    pub invited: u64,
    /// How many are in it.
    #[serde(rename = "m.joined_member_count")]
    pub joined: u64,
}

impl Collected {
    /// Whether nothing has changed: what a waiting client need not be told. Counts of keys are no news of their own.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.join.is_empty()
            && self.invite.is_empty()
            && self.knock.is_empty()
            && self.leave.is_empty()
            && self.account_data.is_empty()
            && self.presence.is_empty()
            && self.to_device.is_empty()
            && self.device_lists.changed.is_empty()
            && self.device_lists.left.is_empty()
    }
}
