//! The accepted form: `POST /_matrix/client/v4/sync`
//! ([MSC4186 § API](https://github.com/matrix-org/matrix-spec-proposals/pull/4186); no version of the
//! specification has it yet, v1.19 being the latest).
//!
//! Extensions have proposals of their own. That of typing (MSC4508) has been accepted; the others are known by the names that
//! their proposals give them until they are: messages to devices (MSC4538), encryption (MSC4543), account data (MSC4548),
//! receipts (MSC4551). What is not known is ignored.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ruma::{OwnedRoomId, OwnedUserId, events::room::member::MembershipState};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{
    answer::{self, AccountData, Answer, ByRoom, Facts, Hero, ToDevice},
    request::{self, Filters, LISTS_MAX, Request, RoomScope},
    required::{Element, RequiredState},
};
use crate::{Reject, room::raw, sync::Token};

/// Messages to the device in one answer, unless the client says how many (MSC4538).
const TO_DEVICE_DEFAULT: u64 = 100;
/// What a list may be called: an opaque identifier
/// ([spec v1.19, Appendices § Opaque Identifiers](https://spec.matrix.org/v1.19/appendices/#opaque-identifiers)).
const LIST_NAME_BYTES_MAX: usize = 255;

/// The body of a request.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Body {
    /// Which of the device's connections; each has its own position.
    #[serde(default)]
    pub conn_id: Option<String>,
    /// The position that the answer before gave; absent in a connection's first request.
    #[serde(default)]
    pub pos: Option<String>,
    /// How long to wait for news, in milliseconds; not at all without a position.
    #[serde(default)]
    pub timeout: Option<u64>,
    /// As what the user is seen by others: `online`, which is the default, `unavailable` or `offline`.
    #[serde(default)]
    pub set_presence: Option<String>,
    #[serde(default)]
    lists: BTreeMap<String, SyncListConfig>,
    #[serde(default)]
    room_subscriptions: BTreeMap<OwnedRoomId, RoomSubscription>,
    #[serde(default)]
    extensions: ExtensionConfigs,
}

#[derive(Clone, Debug, Deserialize)]
struct SyncListConfig {
    timeline_limit: u64,
    required_state: RequiredStateRequest,
    /// First and last places; without it, all.
    #[serde(default)]
    range: Option<(u64, u64)>,
    #[serde(default)]
    filters: Option<SlidingRoomFilter>,
}

#[derive(Clone, Debug, Deserialize)]
struct RoomSubscription {
    timeline_limit: u64,
    required_state: RequiredStateRequest,
}

#[derive(Clone, Debug, Deserialize)]
struct RequiredStateRequest {
    #[serde(default)]
    include: BTreeSet<Element>,
    #[serde(default)]
    exclude: BTreeSet<Element>,
    #[serde(default)]
    lazy_members: bool,
}

#[derive(Clone, Debug, Deserialize)]
struct SlidingRoomFilter {
    #[serde(default)]
    is_invited: Option<bool>,
    #[serde(flatten)]
    others: Filters,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct ExtensionConfigs {
    #[serde(default, rename = "org.matrix.msc4538.to_device")]
    to_device: ToDeviceConfig,
    #[serde(default, rename = "org.matrix.msc4543.e2ee")]
    e2ee: RoomsConfig,
    #[serde(default, rename = "org.matrix.msc4548.account_data")]
    account_data: RoomsConfig,
    #[serde(default, rename = "org.matrix.msc4551.receipts")]
    receipts: RoomsConfig,
    #[serde(default)]
    typing: RoomsConfig,
}

/// What the configurations of extensions have in common (MSC4508).
#[derive(Clone, Debug, Default, Deserialize)]
struct RoomsConfig {
    #[serde(default)]
    enabled: Option<bool>,
    #[serde(default)]
    lists: Option<BTreeSet<String>>,
    #[serde(default)]
    rooms: Option<BTreeSet<OwnedRoomId>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct ToDeviceConfig {
    #[serde(default)]
    enabled: Option<bool>,
    #[serde(default)]
    limit: Option<Value>,
    #[serde(default)]
    since: Option<String>,
}

impl Body {
    /// What is asked for.
    ///
    /// # Errors
    /// `M_INVALID_PARAM` for more than [`LISTS_MAX`] lists or subscriptions, a list's name that is no opaque identifier, a limit of
    /// messages to the device that is not positive, and a token of theirs that is none.
    pub fn into_request(self) -> Result<Request, Reject> {
        if self.lists.len() > LISTS_MAX || self.room_subscriptions.len() > LISTS_MAX {
            return Err(Reject::invalid_param("a request has at most 100 lists and 100 room subscriptions"));
        }
        if !self.lists.keys().all(|name| is_opaque(name)) {
            return Err(Reject::invalid_param("a list is named by 1 to 255 of the characters a-z, A-Z, 0-9, -, ., _ and ~"));
        }
        let rooms = self.room_subscriptions.into_iter();
        Ok(Request {
            lists: self.lists.into_iter().map(|(name, list)| (name, list.into_model())).collect(),
            room_subscriptions: rooms.map(|(room_id, room)| (room_id, room.into_model())).collect(),
            extensions: self.extensions.into_model()?,
            counts: false,
        })
    }
}

fn is_opaque(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (1..=LIST_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed)
}

impl SyncListConfig {
    fn into_model(self) -> request::List {
        let Self { timeline_limit, required_state, range, filters } = self;
        request::List {
            ranges: vec![range.unwrap_or((0, u64::MAX))],
            details: RoomSubscription { timeline_limit, required_state }.into_model(),
            filters: filters.map(SlidingRoomFilter::into_model).unwrap_or_default(),
        }
    }
}

impl RoomSubscription {
    fn into_model(self) -> request::Details {
        let RequiredStateRequest { include, exclude, lazy_members } = self.required_state;
        let required_state = vec![Arc::new(RequiredState { include, exclude, lazy_members })];
        request::Details { required_state, timeline_limit: self.timeline_limit }
    }
}

impl SlidingRoomFilter {
    fn into_model(self) -> Filters {
        Filters { is_invited: self.is_invited, ..self.others }
    }
}

impl ExtensionConfigs {
    fn into_model(self) -> Result<request::Extensions, Reject> {
        Ok(request::Extensions {
            to_device: self.to_device.into_model()?,
            e2ee: self.e2ee.enabled == Some(true),
            account_data: self.account_data.into_model(),
            receipts: self.receipts.into_model(),
            typing: self.typing.into_model(),
        })
    }
}

impl RoomsConfig {
    fn into_model(self) -> Option<RoomScope> {
        (self.enabled == Some(true)).then_some(RoomScope { lists: self.lists, rooms: self.rooms })
    }
}

impl ToDeviceConfig {
    fn into_model(self) -> Result<Option<request::ToDevice>, Reject> {
        if self.enabled != Some(true) {
            return Ok(None);
        }
        let limit = self.limit.map_or(Some(TO_DEVICE_DEFAULT), |limit| limit.as_u64()).filter(|limit| *limit > 0);
        let limit = limit.ok_or_else(|| Reject::invalid_param("limit is a positive integer"))?;
        let since = self.since.as_deref().map(Token::decode).transpose()?;
        Ok(Some(request::ToDevice { limit: usize::try_from(limit).unwrap_or(usize::MAX), since }))
    }
}

/// The answer as JSON text, with the position to go on from.
#[must_use]
pub fn write(answer: &Answer, pos: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Written<'a> {
        extensions: ExtensionResults<'a>,
        lists: BTreeMap<&'a str, BTreeMap<&'a str, u64>>,
        pos: &'a str,
        rooms: BTreeMap<&'a OwnedRoomId, RoomResult<'a>>,
    }
    let rooms = answer.rooms.iter().map(|(room_id, room)| (room_id, RoomResult::new(room))).collect();
    let typing = answer.extensions.typing.iter();
    let typing: BTreeMap<_, _> = typing.map(|(room_id, user_ids)| (room_id.clone(), TypingUpdate { user_ids })).collect();
    let extensions = ExtensionResults::new(&answer.extensions, &typing);
    raw(&Written { extensions, lists: answer.write_lists(), pos, rooms }).get().as_bytes().to_vec()
}

/// A room. What has not changed since the client was told of it is left out; of a room that the user is not in and has not
/// been in, everything but what is common to all.
#[derive(Default, Serialize)]
struct RoomResult<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    bump_stamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    membership: Option<&'a MembershipState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lists: Option<&'a BTreeSet<String>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    initial: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stripped_state: Option<&'a [Box<RawValue>]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    heroes: Option<Vec<Hero>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_dm: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    joined_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invited_count: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    expanded_timeline: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    required_state: &'a [Box<RawValue>],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    timeline: &'a [Box<RawValue>],
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_batch: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    limited: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_live: Option<u64>,
}

impl<'a> RoomResult<'a> {
    fn new(room: &'a answer::Room) -> Self {
        let common = Self {
            bump_stamp: news(room, |facts| Some(facts.bump)),
            membership: Some(&room.facts.membership),
            lists: Some(&room.lists).filter(|lists| !lists.is_empty()),
            initial: room.before.is_none(),
            ..Self::default()
        };
        if let Some(stripped_state) = &room.stripped_state {
            return Self { stripped_state: Some(stripped_state), ..common };
        }
        let events = &room.events;
        Self {
            name: text(room, |facts| facts.name.as_deref()),
            avatar: text(room, |facts| facts.avatar.as_deref()),
            heroes: news(room, |facts| facts.heroes.clone()),
            is_dm: news(room, |facts| Some(facts.is_dm)).filter(|is_dm| *is_dm || room.before.is_some()),
            joined_count: news(room, |facts| facts.joined),
            invited_count: news(room, |facts| facts.invited),
            expanded_timeline: events.expanded,
            required_state: &events.required_state,
            timeline: &events.timeline,
            prev_batch: events.prev_batch.as_deref(),
            limited: events.limited,
            num_live: events.num_live,
            ..common
        }
    }
}

/// What the client does not know yet.
fn news<T: PartialEq>(room: &answer::Room, of: impl Fn(&Facts) -> Option<T>) -> Option<T> {
    let now = of(&room.facts);
    now.filter(|_| room.before.as_ref().is_none_or(|before| of(before) != of(&room.facts)))
}

/// A text that the client does not know yet: `null` when the one it knows is gone.
fn text(room: &answer::Room, of: impl Fn(&Facts) -> Option<&str>) -> Option<Value> {
    let now = of(&room.facts);
    let before = room.before.as_ref().and_then(&of);
    (before != now).then(|| now.map_or(Value::Null, Value::from))
}

#[derive(Serialize)]
struct ExtensionResults<'a> {
    #[serde(rename = "org.matrix.msc4538.to_device", skip_serializing_if = "Option::is_none")]
    to_device: Option<&'a ToDevice>,
    #[serde(rename = "org.matrix.msc4543.e2ee", skip_serializing_if = "Option::is_none")]
    e2ee: Option<Value>,
    #[serde(rename = "org.matrix.msc4548.account_data", skip_serializing_if = "Option::is_none")]
    account_data: Option<&'a AccountData>,
    #[serde(rename = "org.matrix.msc4551.receipts", skip_serializing_if = "Option::is_none")]
    receipts: Option<ByRoom<'a, Box<RawValue>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    typing: Option<ByRoom<'a, TypingUpdate<'a>>>,
}

#[derive(Serialize)]
struct TypingUpdate<'a> {
    user_ids: &'a [OwnedUserId],
}

impl<'a> ExtensionResults<'a> {
    fn new(extensions: &'a answer::Extensions, typing: &'a BTreeMap<OwnedRoomId, TypingUpdate<'a>>) -> Self {
        let (account_data, receipts) = (&extensions.account_data, &extensions.receipts);
        Self {
            to_device: extensions.to_device.as_ref(),
            e2ee: extensions.e2ee.as_ref().map(answer::E2ee::write),
            account_data: Some(account_data).filter(|data| !data.is_empty()),
            receipts: Some(ByRoom { rooms: receipts }).filter(|receipts| !receipts.rooms.is_empty()),
            typing: Some(ByRoom { rooms: typing }).filter(|typing| !typing.rooms.is_empty()),
        }
    }
}
