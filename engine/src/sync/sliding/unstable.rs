//! The form in which clients have used sliding sync before it was accepted, at
//! `POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync`: an earlier text of
//! [MSC4186](https://github.com/matrix-org/matrix-spec-proposals/pull/4186), whose changelog lists
//! the differences.

use std::{collections::BTreeMap, sync::Arc};

use ruma::{OwnedRoomId, OwnedUserId, UserId, events::room::member::MembershipState};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    answer::{self, Answer, ByRoom, Hero},
    request::{self, Filters, LISTS_MAX, Request, RoomScope},
    required::{Element, MEMBER, RequiredState},
};
use crate::{
    Reject,
    room::{basic_event, raw},
    sync::Token,
};

/// Messages to the device in one answer, unless the client says how many.
const TO_DEVICE_DEFAULT: u64 = 250;

/// The body of a request. Where in its connection the client is, and how long it waits, is in the address.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Body {
    /// Which of the device's connections; each has its own position.
    #[serde(default)]
    pub conn_id: Option<String>,
    /// Comes back in the answer.
    #[serde(default)]
    pub txn_id: Option<String>,
    #[serde(default)]
    lists: BTreeMap<String, List>,
    #[serde(default)]
    room_subscriptions: BTreeMap<OwnedRoomId, Details>,
    #[serde(default)]
    extensions: Extensions,
}

#[derive(Clone, Debug, Deserialize)]
struct List {
    /// First and last places.
    #[serde(default)]
    ranges: Vec<(u64, u64)>,
    #[serde(flatten)]
    details: Details,
    #[serde(default)]
    filters: Option<ListFilters>,
}

#[derive(Clone, Debug, Deserialize)]
struct Details {
    /// Pairs of type and state key; `*` stands for any, `$ME` for the user, `$LAZY` for who is seen in the timeline.
    #[serde(default)]
    required_state: Vec<(String, String)>,
    #[serde(default)]
    timeline_limit: u64,
}

#[derive(Clone, Debug, Deserialize)]
struct ListFilters {
    #[serde(default)]
    is_invite: Option<bool>,
    #[serde(flatten)]
    others: Filters,
}

/// Rooms are those that are looked at, whichever are named.
#[derive(Clone, Debug, Default, Deserialize)]
struct Extensions {
    #[serde(default)]
    to_device: ToDevice,
    #[serde(default)]
    e2ee: Enabled,
    #[serde(default)]
    account_data: Enabled,
    #[serde(default)]
    receipts: Enabled,
    #[serde(default)]
    typing: Enabled,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Enabled {
    #[serde(default)]
    enabled: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct ToDevice {
    #[serde(default)]
    enabled: Option<bool>,
    #[serde(default)]
    limit: Option<u64>,
    #[serde(default)]
    since: Option<String>,
}

impl Body {
    /// What `user_id` asks for; of more lists or rooms than one request may have, the first.
    ///
    /// # Errors
    /// `M_INVALID_PARAM` for a token of the to-device extension that is none.
    pub fn into_request(self, user_id: &UserId) -> Result<Request, Reject> {
        let list = |list: List| request::List {
            ranges: list.ranges,
            details: list.details.into_model(user_id),
            filters: list.filters.map(ListFilters::into_model).unwrap_or_default(),
        };
        let lists = self.lists.into_iter().take(LISTS_MAX);
        let rooms = self.room_subscriptions.into_iter().take(LISTS_MAX);
        Ok(Request {
            lists: lists.map(|(name, asked)| (name, list(asked))).collect(),
            room_subscriptions: rooms.map(|(room_id, details)| (room_id, details.into_model(user_id))).collect(),
            extensions: self.extensions.into_model()?,
            counts: true,
        })
    }
}

impl Details {
    fn into_model(self, user_id: &UserId) -> request::Details {
        let lazy = (MEMBER.to_owned(), "$LAZY".to_owned());
        let (seen, named): (Vec<_>, Vec<_>) = self.required_state.into_iter().partition(|pair| *pair == lazy);
        let element = |(event_type, state_key): (String, String)| Element {
            event_type: Some(event_type).filter(|event_type| event_type != "*"),
            state_key: match state_key.as_str() {
                "*" => None,
                "$ME" => Some(user_id.to_string()),
                _ => Some(state_key),
            },
        };
        // By themselves: here members that any key asks for are not left out because others are wanted as they are seen.
        let named = RequiredState { include: named.into_iter().map(element).collect(), ..RequiredState::default() };
        let seen = seen.first().map(|_| RequiredState { lazy_members: true, ..RequiredState::default() });
        let required_state = [named].into_iter().chain(seen).map(Arc::new).collect();
        request::Details { required_state, timeline_limit: self.timeline_limit }
    }
}

impl ListFilters {
    fn into_model(self) -> Filters {
        Filters { is_invited: self.is_invite, ..self.others }
    }
}

impl Extensions {
    fn into_model(self) -> Result<request::Extensions, Reject> {
        let rooms = |asked: &Enabled| (asked.enabled == Some(true)).then(RoomScope::default);
        let ToDevice { enabled, limit, since } = self.to_device;
        let since = since.filter(|since| !since.is_empty()).map(|since| Token::decode(&since)).transpose()?;
        let limit = usize::try_from(limit.unwrap_or(TO_DEVICE_DEFAULT)).unwrap_or(usize::MAX);
        Ok(request::Extensions {
            to_device: (enabled == Some(true)).then_some(request::ToDevice { limit, since }),
            e2ee: self.e2ee.enabled == Some(true),
            account_data: rooms(&self.account_data),
            receipts: rooms(&self.receipts),
            typing: rooms(&self.typing),
        })
    }
}

/// The answer as JSON text, with the position to go on from.
#[must_use]
pub fn write(answer: &Answer, pos: &str, txn_id: Option<&str>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Written<'a> {
        extensions: BTreeMap<&'a str, Box<RawValue>>,
        lists: BTreeMap<&'a str, BTreeMap<&'a str, u64>>,
        pos: &'a str,
        rooms: BTreeMap<&'a OwnedRoomId, Room<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        txn_id: Option<&'a str>,
    }
    let rooms = answer.rooms.iter().map(|(room_id, room)| (room_id, Room::new(room))).collect();
    let extensions = extensions(&answer.extensions);
    let written = Written { extensions, lists: answer.write_lists(), pos, rooms, txn_id };
    raw(&written).get().as_bytes().to_vec()
}

#[derive(Serialize)]
struct Room<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar: Option<&'a str>,
    bump_stamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    heroes: Option<&'a [Hero]>,
    highlight_count: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    initial: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    invite_state: Option<&'a [Box<RawValue>]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invited_count: Option<u64>,
    is_dm: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    joined_count: Option<u64>,
    limited: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    notification_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_live: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_batch: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    required_state: &'a [Box<RawValue>],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    timeline: &'a [Box<RawValue>],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unstable_expanded_timeline: bool,
}

impl<'a> Room<'a> {
    fn new(room: &'a answer::Room) -> Self {
        let (facts, events) = (&room.facts, &room.events);
        let invited = matches!(facts.membership, MembershipState::Invite | MembershipState::Knock);
        Self {
            avatar: facts.avatar.as_deref(),
            bump_stamp: facts.bump,
            heroes: facts.heroes.as_deref(),
            highlight_count: facts.unread.highlight_count,
            initial: room.before.is_none(),
            // With it, clients take the user for one who is invited.
            invite_state: room.stripped_state.as_deref().filter(|_| invited),
            invited_count: facts.invited,
            is_dm: facts.is_dm,
            joined_count: facts.joined,
            limited: events.limited,
            name: facts.name.as_deref(),
            notification_count: facts.unread.notification_count,
            num_live: events.num_live,
            prev_batch: events.prev_batch.as_deref(),
            required_state: &events.required_state,
            timeline: &events.timeline,
            unstable_expanded_timeline: events.expanded,
        }
    }
}

fn extensions(extensions: &answer::Extensions) -> BTreeMap<&'static str, Box<RawValue>> {
    let mut all = BTreeMap::new();
    if let Some(e2ee) = &extensions.e2ee {
        all.insert("e2ee", raw(&e2ee.write()));
    }
    if let Some(to_device) = &extensions.to_device {
        all.insert("to_device", raw(to_device));
    }
    if !extensions.account_data.is_empty() {
        all.insert("account_data", raw(&extensions.account_data));
    }
    if !extensions.receipts.is_empty() {
        let contents = extensions.receipts.iter();
        let rooms: BTreeMap<_, _> =
            contents.map(|(room_id, content)| (room_id.clone(), basic_event("m.receipt", content))).collect();
        all.insert("receipts", raw(&ByRoom { rooms: &rooms }));
    }
    if !extensions.typing.is_empty() {
        let event = |user_ids: &[OwnedUserId]| basic_event("m.typing", &serde_json::json!({ "user_ids": user_ids }));
        let rooms: BTreeMap<_, _> =
            extensions.typing.iter().map(|(room_id, user_ids)| (room_id.clone(), event(user_ids))).collect();
        all.insert("typing", raw(&ByRoom { rooms: &rooms }));
    }
    all
}
