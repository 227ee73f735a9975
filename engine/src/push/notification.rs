//! The body of a notification
//! ([spec v1.19, Push Gateway API § Homeserver behaviour](https://spec.matrix.org/v1.19/push-gateway-api/#homeserver-behaviour)).
//!
//! Nothing of an event but its id goes to a gateway whose pusher asks for that (`event_id_only`), and the content of no event of
//! an encrypted room to any.

use std::collections::{BTreeMap, btree_map::Entry};

use journal::{Name, ReadError};
use ruma::{
    EventId, OwnedRoomId, OwnedUserId, RoomId, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};
use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

use super::gateway::Call;
use crate::{
    Cx,
    account::{self, HttpPusher},
    receipts,
    room::{self, Pdu, raw},
    tables::{self, PushEventRow},
};

/// Whom a notification is for, and where it goes.
pub(super) struct Target<'a> {
    pub gateway: Name,
    pub user_id: &'a UserId,
}

#[derive(Serialize)]
struct Body<'a> {
    notification: &'a Notification<'a>,
}

#[derive(Default, Serialize)]
struct Notification<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<&'a EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_id: Option<&'a RoomId>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    event: Option<&'a Event>,
    prio: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    counts: BTreeMap<&'static str, u64>,
    devices: Vec<Device<'a>>,
}

/// What a gateway is told of an event beside its id.
#[derive(Serialize)]
struct Event {
    #[serde(rename = "type")]
    event_type: TimelineEventType,
    sender: OwnedUserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_alias: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    user_is_target: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Box<RawValue>>,
}

/// What waits for the user, in all rooms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that notify and have not been read.
    pub unread: u64,
    /// Calls among them.
    pub missed_calls: u64,
}

impl Counts {
    /// As a gateway is told: what is zero is left out.
    fn told(self) -> BTreeMap<&'static str, u64> {
        let counts = [("unread", self.unread), ("missed_calls", self.missed_calls)];
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

#[derive(Serialize)]
struct Device<'a> {
    app_id: &'a str,
    pushkey: &'a str,
    /// In seconds.
    pushkey_ts: u64,
    data: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tweaks: Option<&'a BTreeMap<String, Value>>,
}

/// The calls that tell a user's devices of an event; none when the event is gone, read, or no longer the user's to see.
pub(super) fn of_event(cx: &Cx<'_>, target: &Target<'_>, row: &PushEventRow) -> Result<Vec<Call>, ReadError> {
    let (room_id, pushers) = (&row.room_id, pushers(cx, target)?);
    let Some(stored) = room::get_event(cx, room_id, &row.event_id)? else { return Ok(Vec::new()) };
    let membership = room::membership_of(cx, room_id, target.user_id)?;
    let present = matches!(membership, Some(MembershipState::Join | MembershipState::Invite));
    let Some(stamp) = stored.stamp.filter(|_| present && !pushers.is_empty()) else { return Ok(Vec::new()) };
    let key = (cx.user(target.user_id), cx.room(room_id), stamp);
    let thread = tables::NOTIFICATIONS.get(cx.view, &key)?.and_then(|row| row.value.thread);
    if receipts::read_up_to(cx, target.user_id, room_id)?.covers(thread.as_deref(), stamp) {
        return Ok(Vec::new());
    }
    let pdu = &stored.row.pdu;
    // What is encrypted may be anything: the client finds out. A sound or a highlight is meant to be noticed.
    let loud = pdu.event_type == TimelineEventType::RoomEncrypted || !row.tweaks.is_empty();
    let brief = pushers.iter().all(is_brief);
    let event = if brief { None } else { Some(event(cx, room_id, pdu, target.user_id)?) };
    let counts = counts(cx, target.user_id)?.told();
    let part = |brief: bool| {
        let tweaks = Some(&row.tweaks).filter(|tweaks| !brief && !tweaks.is_empty());
        let notification = Notification {
            event_id: Some(&row.event_id),
            room_id: Some(room_id),
            event: event.as_ref().filter(|_| !brief),
            prio: if loud { "high" } else { "low" },
            counts: counts.clone(),
            devices: devices(pushers.iter().filter(|pusher| is_brief(pusher) == brief), tweaks),
        };
        call(&pushers, &notification)
    };
    Ok([part(true), part(false)].into_iter().flatten().collect())
}

/// The calls that tell a user's devices how much is unread, and nothing else.
pub(super) fn of_counts(cx: &Cx<'_>, target: &Target<'_>) -> Result<Vec<Call>, ReadError> {
    let pushers = pushers(cx, target)?;
    if pushers.is_empty() {
        return Ok(Vec::new());
    }
    let mut counts = counts(cx, target.user_id)?.told();
    // All there is to tell: what gateways clear a badge by.
    counts.entry("unread").or_insert(0);
    let notification =
        Notification { prio: "low", counts, devices: devices(pushers.iter(), None), ..Notification::default() };
    Ok(call(&pushers, &notification).into_iter().collect())
}

fn pushers(cx: &Cx<'_>, target: &Target<'_>) -> Result<Vec<HttpPusher>, ReadError> {
    let mut pushers = account::http_pushers(cx, target.user_id)?;
    pushers.retain(|pusher| cx.name(&pusher.url) == target.gateway);
    Ok(pushers)
}

fn is_brief(pusher: &HttpPusher) -> bool {
    pusher.data.get("format").and_then(Value::as_str) == Some("event_id_only")
}

fn devices<'a>(
    pushers: impl Iterator<Item = &'a HttpPusher>,
    tweaks: Option<&'a BTreeMap<String, Value>>,
) -> Vec<Device<'a>> {
    let device = |pusher: &'a HttpPusher| Device {
        app_id: &pusher.app_id,
        pushkey: &pusher.pushkey,
        pushkey_ts: pusher.updated.as_ms() / 1_000,
        data: &pusher.data,
        tweaks,
    };
    pushers.map(device).collect()
}

/// The call, if it is for any device. All pushers of one gateway have one URL.
fn call(pushers: &[HttpPusher], notification: &Notification<'_>) -> Option<Call> {
    let url = pushers.first().filter(|_| !notification.devices.is_empty())?.url.clone();
    let devices = notification.devices.iter().map(|device| (device.app_id.to_owned(), device.pushkey.to_owned())).collect();
    Some(Call { url, body: raw(&Body { notification }), devices })
}

fn event(cx: &Cx<'_>, room_id: &OwnedRoomId, pdu: &Pdu, user_id: &UserId) -> Result<Event, ReadError> {
    let text = |event_type: StateEventType, field: &str| {
        let found = room::state_event(cx, room_id, &event_type, "")?;
        Ok::<_, ReadError>(found.and_then(|pdu| pdu.content_field::<String>(field)).filter(|text| !text.is_empty()))
    };
    let sender = tables::MEMBERS.get(cx.view, &(cx.room(room_id), cx.user(&pdu.sender)))?;
    let encrypted = room::state_event(cx, room_id, &StateEventType::RoomEncryption, "")?.is_some();
    Ok(Event {
        event_type: pdu.event_type.clone(),
        sender: pdu.sender.clone(),
        sender_display_name: sender.and_then(|row| row.value.display_name),
        room_name: text(StateEventType::RoomName, "name")?,
        room_alias: text(StateEventType::RoomCanonicalAlias, "alias")?,
        user_is_target: pdu.is_state(&TimelineEventType::RoomMember, user_id.as_str()),
        content: (!encrypted).then(|| pdu.content.clone()),
    })
}

/// What waits for the user, in all rooms they are in or invited to.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn counts(cx: &Cx<'_>, user_id: &UserId) -> Result<Counts, ReadError> {
    let user = cx.user(user_id);
    let mut rooms: BTreeMap<Name, Option<receipts::Read>> = BTreeMap::new();
    let mut counts = Counts::default();
    for found in tables::NOTIFICATIONS.scan(cx.view, &(user,)) {
        let ((_, room, stamp), row) = found?;
        let read = match rooms.entry(room) {
            Entry::Occupied(place) => place.into_mut(),
            Entry::Vacant(place) => place.insert(read_in(cx, user_id, room)?),
        };
        if read.as_ref().is_some_and(|read| !read.covers(row.value.thread.as_deref(), stamp)) {
            counts.unread += 1;
            counts.missed_calls += u64::from(row.value.call);
        }
    }
    Ok(counts)
}

/// How far the user has read a room; `None` for a room they are not in.
fn read_in(cx: &Cx<'_>, user_id: &UserId, room: Name) -> Result<Option<receipts::Read>, ReadError> {
    let row = tables::MEMBERSHIPS.get(cx.view, &(cx.user(user_id), room))?.map(|row| row.value);
    let present = |row: &tables::MembershipRow| matches!(row.membership, MembershipState::Join | MembershipState::Invite);
    let Some(row) = row.filter(present) else { return Ok(None) };
    Ok(Some(receipts::read_up_to(cx, user_id, &row.room_id)?))
}
