//! The answer as JSON.

use std::collections::BTreeMap;

use ruma::{OwnedRoomId, OwnedUserId};
use serde::Serialize;
use serde_json::{json, value::RawValue};

use crate::tables::DeviceLists;

/// An answer.
#[derive(Debug, Default)]
pub struct Body {
    pub(super) lists: BTreeMap<String, u64>,
    pub(super) counts_changed: bool,
    pub(super) rooms: BTreeMap<OwnedRoomId, Room>,
    pub(super) extensions: Extensions,
}

/// A room of it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Room {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    pub bump_stamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heroes: Option<Vec<Hero>>,
    pub highlight_count: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub initial: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invite_state: Option<Vec<Box<RawValue>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invited_count: Option<u64>,
    pub is_dm: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joined_count: Option<u64>,
    pub limited: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub notification_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_live: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev_batch: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub required_state: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<Box<RawValue>>,
    #[serde(rename = "unstable_expanded_timeline", skip_serializing_if = "std::ops::Not::not")]
    pub expanded_timeline: bool,
}

/// Somebody a room can be named after.
#[derive(Debug, Serialize)]
pub(super) struct Hero {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub displayname: Option<String>,
    pub user_id: OwnedUserId,
}

/// What is not rooms.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub e2ee: Option<E2ee>,
    pub to_device: Option<ToDevice>,
    pub global_account_data: Vec<Box<RawValue>>,
    pub room_account_data: BTreeMap<OwnedRoomId, Vec<Box<RawValue>>>,
    pub receipts: BTreeMap<OwnedRoomId, Box<RawValue>>,
    pub typing: BTreeMap<OwnedRoomId, Box<RawValue>>,
}

#[derive(Debug, Default)]
pub(super) struct E2ee {
    pub lists: DeviceLists,
    pub one_time_keys: BTreeMap<String, u64>,
    pub unused_fallback: Vec<String>,
}

#[derive(Debug)]
pub(super) struct ToDevice {
    pub events: Vec<Box<RawValue>>,
    pub next_batch: String,
}

impl Body {
    /// Whether nothing is new: what a waiting client need not be told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let extensions = &self.extensions;
        let quiet = |e2ee: &E2ee| e2ee.lists.changed.is_empty() && e2ee.lists.left.is_empty();
        self.rooms.is_empty()
            && !self.counts_changed
            && extensions.e2ee.as_ref().is_none_or(quiet)
            && extensions.to_device.as_ref().is_none_or(|to_device| to_device.events.is_empty())
            && extensions.global_account_data.is_empty()
            && extensions.room_account_data.is_empty()
            && extensions.receipts.is_empty()
            && extensions.typing.is_empty()
    }

    /// As JSON text, with the position to go on from.
    #[must_use]
    pub fn write(&self, pos: &str, txn_id: Option<&str>) -> Vec<u8> {
        #[derive(Serialize)]
        struct Answer<'a> {
            extensions: BTreeMap<&'a str, Box<RawValue>>,
            lists: BTreeMap<&'a str, BTreeMap<&'a str, u64>>,
            pos: &'a str,
            rooms: &'a BTreeMap<OwnedRoomId, Room>,
            #[serde(skip_serializing_if = "Option::is_none")]
            txn_id: Option<&'a str>,
        }
        let lists = self.lists.iter().map(|(name, count)| (name.as_str(), BTreeMap::from([("count", *count)]))).collect();
        let answer = Answer { extensions: self.extensions.write(), lists, pos, rooms: &self.rooms, txn_id };
        crate::room::raw(&answer).get().as_bytes().to_vec()
    }
}

impl Extensions {
    fn write(&self) -> BTreeMap<&'static str, Box<RawValue>> {
        #[derive(Serialize)]
        struct Rooms<'a, T> {
            rooms: &'a BTreeMap<OwnedRoomId, T>,
        }
        #[derive(Serialize)]
        struct AccountData<'a> {
            global: &'a [Box<RawValue>],
            rooms: &'a BTreeMap<OwnedRoomId, Vec<Box<RawValue>>>,
        }
        #[derive(Serialize)]
        struct Messages<'a> {
            events: &'a [Box<RawValue>],
            next_batch: &'a str,
        }
        let mut all = BTreeMap::new();
        if let Some(e2ee) = &self.e2ee {
            all.insert("e2ee", crate::room::raw(&e2ee.write()));
        }
        if let Some(ToDevice { events, next_batch }) = &self.to_device {
            all.insert("to_device", crate::room::raw(&Messages { events, next_batch }));
        }
        if !self.global_account_data.is_empty() || !self.room_account_data.is_empty() {
            let data = AccountData { global: &self.global_account_data, rooms: &self.room_account_data };
            all.insert("account_data", crate::room::raw(&data));
        }
        for (name, rooms) in [("receipts", &self.receipts), ("typing", &self.typing)] {
            if !rooms.is_empty() {
                all.insert(name, crate::room::raw(&Rooms { rooms }));
            }
        }
        all
    }
}

impl E2ee {
    fn write(&self) -> serde_json::Value {
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
