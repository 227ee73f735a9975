//! `GET /_matrix/client/v3/sync`
//! ([spec v1.19](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync)).

use std::collections::{BTreeMap, BTreeSet};

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{Collected, JoinedRoom, LeftRoom, Summary, Timeline};
use crate::receipts::Counts;

/// How the client wants it written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Form {
    /// Where the state goes.
    pub state: StateKey,
    /// Whether threads' unread counts are apart from the main timeline's.
    pub threads: bool,
}

/// What the state of a room is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StateKey {
    /// `state`: up to the start of the timeline.
    #[default]
    Before,
    /// `state_after` (spec v1.16): up to the end of the timeline.
    After,
    /// `org.matrix.msc4222.state_after`: the same as clients asked for it before the specification had it.
    UnstableAfter,
}

#[derive(Serialize)]
struct Response<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    account_data: Option<Events<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_lists: Option<DeviceLists<'a>>,
    device_one_time_keys_count: BTreeMap<&'a str, u64>,
    device_unused_fallback_key_types: &'a [String],
    next_batch: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence: Option<Events<'a>>,
    #[serde(skip_serializing_if = "Rooms::is_empty")]
    rooms: Rooms<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_device: Option<Events<'a>>,
}

#[derive(Serialize)]
struct Events<'a> {
    events: &'a [Box<RawValue>],
}

#[derive(Serialize)]
struct DeviceLists<'a> {
    changed: &'a BTreeSet<OwnedUserId>,
    left: &'a BTreeSet<OwnedUserId>,
}

#[derive(Serialize)]
struct Rooms<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    invite: BTreeMap<&'a OwnedRoomId, Invited<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    join: BTreeMap<&'a OwnedRoomId, Joined<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    knock: BTreeMap<&'a OwnedRoomId, Knocked<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    leave: BTreeMap<&'a OwnedRoomId, Left<'a>>,
}

#[derive(Serialize)]
struct Invited<'a> {
    invite_state: Events<'a>,
}

#[derive(Serialize)]
struct Knocked<'a> {
    knock_state: Events<'a>,
}

#[derive(Serialize)]
struct Joined<'a> {
    account_data: Events<'a>,
    ephemeral: Events<'a>,
    #[serde(flatten)]
    state: State<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a Summary>,
    timeline: TimelineForm<'a>,
    unread_notifications: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    unread_thread_notifications: Option<&'a BTreeMap<OwnedEventId, Counts>>,
}

#[derive(Serialize)]
struct Left<'a> {
    account_data: Events<'a>,
    #[serde(flatten)]
    state: State<'a>,
    timeline: TimelineForm<'a>,
}

#[derive(Serialize)]
struct State<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Events<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_after: Option<Events<'a>>,
    #[serde(rename = "org.matrix.msc4222.state_after", skip_serializing_if = "Option::is_none")]
    unstable_state_after: Option<Events<'a>>,
}

#[derive(Serialize)]
struct TimelineForm<'a> {
    events: &'a [Box<RawValue>],
    limited: bool,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "token")]
    prev_batch: Option<super::Token>,
}

fn token<S: Serializer>(token: &Option<super::Token>, serializer: S) -> Result<S::Ok, S::Error> {
    token.as_ref().map(super::Token::encode).serialize(serializer)
}

/// The answer as JSON text.
#[must_use]
pub fn write(collected: &Collected, form: Form) -> Vec<u8> {
    let response = Response {
        account_data: some_events(&collected.account_data),
        device_lists: device_lists(collected),
        device_one_time_keys_count: one_time_keys(collected),
        device_unused_fallback_key_types: &collected.keys.unused_fallback,
        next_batch: collected.next.encode(),
        presence: some_events(&collected.presence),
        rooms: Rooms {
            invite: stripped(&collected.invite, |events| Invited { invite_state: Events { events } }),
            join: collected.join.iter().map(|(room_id, room)| (room_id, joined(room, form))).collect(),
            knock: stripped(&collected.knock, |events| Knocked { knock_state: Events { events } }),
            leave: collected.leave.iter().map(|(room_id, room)| (room_id, left(room, form))).collect(),
        },
        to_device: some_events(&collected.to_device),
    };
    // Strings, numbers and JSON under string keys: serde_json writes all of it.
    serde_json::to_vec(&response).unwrap_or_else(|error| unreachable!("a sync cannot be written: {error}"))
}

impl Rooms<'_> {
    fn is_empty(&self) -> bool {
        self.invite.is_empty() && self.join.is_empty() && self.knock.is_empty() && self.leave.is_empty()
    }
}

fn some_events(events: &[Box<RawValue>]) -> Option<Events<'_>> {
    (!events.is_empty()).then_some(Events { events })
}

fn device_lists(collected: &Collected) -> Option<DeviceLists<'_>> {
    let lists = &collected.device_lists;
    let any = !lists.changed.is_empty() || !lists.left.is_empty();
    any.then_some(DeviceLists { changed: &lists.changed, left: &lists.left })
}

/// Clients upload keys when they read that there are none: the count of the one algorithm in use is always there.
fn one_time_keys(collected: &Collected) -> BTreeMap<&str, u64> {
    let mut counts = BTreeMap::from([("signed_curve25519", 0)]);
    counts.extend(collected.keys.one_time.iter().map(|(algorithm, count)| (algorithm.as_str(), *count)));
    counts
}

fn stripped<'a, T>(
    rooms: &'a BTreeMap<OwnedRoomId, Vec<Box<RawValue>>>,
    form: impl Fn(&'a [Box<RawValue>]) -> T,
) -> BTreeMap<&'a OwnedRoomId, T> {
    rooms.iter().map(|(room_id, events)| (room_id, form(events))).collect()
}

fn joined(room: &JoinedRoom, form: Form) -> Joined<'_> {
    Joined {
        account_data: Events { events: &room.account_data },
        ephemeral: Events { events: &room.ephemeral },
        state: state(&room.state, form),
        summary: room.summary.as_ref(),
        timeline: timeline(&room.timeline),
        unread_notifications: if form.threads { room.unread.main } else { room.unread.total() },
        unread_thread_notifications: Some(&room.unread.threads).filter(|threads| form.threads && !threads.is_empty()),
    }
}

fn left(room: &LeftRoom, form: Form) -> Left<'_> {
    Left {
        account_data: Events { events: &room.account_data },
        state: state(&room.state, form),
        timeline: timeline(&room.timeline),
    }
}

fn state(events: &[Box<RawValue>], form: Form) -> State<'_> {
    let events = Some(Events { events });
    let (state, state_after, unstable_state_after) = match form.state {
        StateKey::Before => (events, None, None),
        StateKey::After => (None, events, None),
        StateKey::UnstableAfter => (None, None, events),
    };
    State { state, state_after, unstable_state_after }
}

fn timeline(timeline: &Timeline) -> TimelineForm<'_> {
    TimelineForm { events: &timeline.events, limited: timeline.limited, prev_batch: timeline.prev_batch }
}
