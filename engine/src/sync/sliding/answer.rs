//! What is told, in whichever form it will be written.

use std::collections::{BTreeMap, BTreeSet};

use journal::Name;
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, events::room::member::MembershipState};
use serde::Serialize;
use serde_json::{json, value::RawValue};

use crate::{receipts::Counts, tables::DeviceLists};

/// An answer.
#[derive(Debug, Default)]
pub struct Answer {
    pub(super) lists: BTreeMap<String, u64>,
    pub(super) counts_changed: bool,
    pub(super) rooms: BTreeMap<OwnedRoomId, Room>,
    pub(super) extensions: Extensions,
}

/// A room of it.
#[derive(Debug)]
pub(super) struct Room {
    /// The lists it is seen in.
    pub lists: BTreeSet<String>,
    /// What it is now.
    pub facts: Facts,
    /// What the client knows it as; `None`: it is told all.
    pub before: Option<Facts>,
    /// For whoever is not and has not been in it: what they may see.
    pub stripped_state: Option<Vec<Box<RawValue>>>,
    /// What happened in it.
    pub events: Events,
}

/// What a room is. A client is told what of it has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub membership: MembershipState,
    pub name: Option<String>,
    pub avatar: Option<String>,
    pub heroes: Option<Vec<Hero>>,
    pub is_dm: bool,
    pub bump: u64,
    pub joined: Option<u64>,
    pub invited: Option<u64>,
    pub unread: Counts,
}

/// Somebody a room can be named after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Hero {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub displayname: Option<String>,
    pub user_id: OwnedUserId,
}

/// What happened in a room.
#[derive(Debug, Default)]
pub(super) struct Events {
    pub timeline: Vec<Box<RawValue>>,
    /// The ids of the timeline's events.
    pub shown: BTreeSet<OwnedEventId>,
    pub limited: bool,
    /// The timeline has events from before what the client knows.
    pub expanded: bool,
    pub num_live: Option<u64>,
    pub prev_batch: Option<String>,
    pub required_state: Vec<Box<RawValue>>,
    /// Whose member events the client has by now.
    pub members: BTreeSet<Name>,
}

/// What is not rooms.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub e2ee: Option<E2ee>,
    pub to_device: Option<ToDevice>,
    pub account_data: AccountData,
    /// The content of a receipt event.
    pub receipts: BTreeMap<OwnedRoomId, Box<RawValue>>,
    /// Who types.
    pub typing: BTreeMap<OwnedRoomId, Vec<OwnedUserId>>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct AccountData {
    pub global: Vec<Box<RawValue>>,
    pub rooms: BTreeMap<OwnedRoomId, Vec<Box<RawValue>>>,
}

#[derive(Debug, Default)]
pub(super) struct E2ee {
    pub lists: DeviceLists,
    pub one_time_keys: BTreeMap<String, u64>,
    pub unused_fallback: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct ToDevice {
    pub events: Vec<Box<RawValue>>,
    pub next_batch: String,
}

/// By room, as extensions write it.
#[derive(Debug, Serialize)]
pub(super) struct ByRoom<'a, T> {
    pub rooms: &'a BTreeMap<OwnedRoomId, T>,
}

impl Answer {
    /// Whether nothing is new: what a waiting client need not be told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let extensions = &self.extensions;
        let quiet = |e2ee: &E2ee| e2ee.lists.changed.is_empty() && e2ee.lists.left.is_empty();
        self.rooms.is_empty()
            && !self.counts_changed
            && extensions.e2ee.as_ref().is_none_or(quiet)
            && extensions.to_device.as_ref().is_none_or(|to_device| to_device.events.is_empty())
            && extensions.account_data.is_empty()
            && extensions.receipts.is_empty()
            && extensions.typing.is_empty()
    }

    /// The lists with their counts, which both forms write alike.
    pub(super) fn write_lists(&self) -> BTreeMap<&str, BTreeMap<&str, u64>> {
        self.lists.iter().map(|(name, count)| (name.as_str(), BTreeMap::from([("count", *count)]))).collect()
    }
}

impl Room {
    /// Whether the client has nothing to learn from it.
    pub fn is_empty(&self) -> bool {
        let events = &self.events;
        self.before.as_ref() == Some(&self.facts)
            && events.timeline.is_empty()
            && !events.limited
            && events.required_state.is_empty()
    }
}

impl AccountData {
    pub fn is_empty(&self) -> bool {
        self.global.is_empty() && self.rooms.is_empty()
    }
}

impl E2ee {
    /// As JSON, which both forms write alike.
    pub fn write(&self) -> serde_json::Value {
        let mut counts = BTreeMap::from([("signed_curve25519", 0)]);
        counts.extend(self.one_time_keys.iter().map(|(algorithm, count)| (algorithm.as_str(), *count)));
        let mut written = json!({
            "device_one_time_keys_count": counts,
            "device_unused_fallback_key_types": self.unused_fallback,
        });
        let any = !self.lists.changed.is_empty() || !self.lists.left.is_empty();
        if let (true, Some(written)) = (any, written.as_object_mut()) {
            let lists = json!({ "changed": self.lists.changed, "left": self.lists.left });
            written.insert("device_lists".to_owned(), lists);
        }
        written
    }
}
