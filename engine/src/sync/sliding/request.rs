//! What a client asks for, in whichever form it asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ruma::{OwnedRoomId, RoomId};
use serde::Deserialize;

use super::required::RequiredState;
use crate::sync::Token;

/// Lists, and single rooms, in one request at most, as MSC4186 has it: each list costs a look at every room.
pub const LISTS_MAX: usize = 100;
/// Events of one room at most, whatever is asked for.
const TIMELINE_MAX: usize = 100;

/// A request. Nothing of it is remembered: each request says all.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Windows onto lists of rooms, by the client's names.
    pub lists: BTreeMap<String, List>,
    /// Single rooms.
    pub room_subscriptions: BTreeMap<OwnedRoomId, Details>,
    /// All that is not rooms.
    pub extensions: Extensions,
    /// Whether unread counts are told, and a change of them is news.
    pub counts: bool,
}

/// A list of rooms, the latest first, and the places in it that the client looks at.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// First and last places; `(0, 19)` are twenty rooms.
    pub ranges: Vec<(u64, u64)>,
    /// What is wanted of each room.
    pub details: Details,
    /// Which rooms are in the list.
    pub filters: Filters,
}

/// What is wanted of a room.
#[derive(Clone, Debug, Default)]
pub struct Details {
    /// State that any of these asks for.
    pub required_state: Vec<Arc<RequiredState>>,
    /// How many events.
    pub timeline_limit: u64,
}

/// Which rooms are in a list. Both forms write them alike, but for `is_invited`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Filters {
    /// Whether the user has marked them as direct chats.
    #[serde(default)]
    pub is_dm: Option<bool>,
    /// Whether they are encrypted.
    #[serde(default)]
    pub is_encrypted: Option<bool>,
    /// Whether the user is only invited.
    #[serde(skip)]
    pub is_invited: Option<bool>,
    /// Only rooms of these types; `null` is the type of rooms without one.
    #[serde(default)]
    pub room_types: Option<Vec<Option<String>>>,
    /// No rooms of these types.
    #[serde(default)]
    pub not_room_types: Option<Vec<Option<String>>>,
    /// Only children of these spaces, as far as the user is in them.
    #[serde(default)]
    pub spaces: Option<BTreeSet<OwnedRoomId>>,
    /// Only rooms that the user has given any of these tags.
    #[serde(default)]
    pub tags: Option<BTreeSet<String>>,
    /// No rooms with any of these tags.
    #[serde(default)]
    pub not_tags: Option<BTreeSet<String>>,
}

/// All that is not rooms, as far as it is wanted.
#[derive(Clone, Debug, Default)]
pub struct Extensions {
    /// Messages to the device.
    pub to_device: Option<ToDevice>,
    /// Device lists and counts of keys.
    pub e2ee: bool,
    /// Account data, and of which rooms.
    pub account_data: Option<RoomScope>,
    /// Receipts, and of which rooms.
    pub receipts: Option<RoomScope>,
    /// Typing, and in which rooms.
    pub typing: Option<RoomScope>,
}

/// The rooms that an extension is wanted for: among those looked at
/// ([MSC4508 § Common per-room extension semantics](https://github.com/matrix-org/matrix-spec-proposals/pull/4508)).
#[derive(Clone, Debug, Default)]
pub struct RoomScope {
    /// By the lists they are seen in; `None`: in any.
    pub lists: Option<BTreeSet<String>>,
    /// By themselves, as far as they are subscribed to; `None`: all that are.
    pub rooms: Option<BTreeSet<OwnedRoomId>>,
}

/// Messages to the device.
#[derive(Clone, Debug)]
pub struct ToDevice {
    /// How many at most.
    pub limit: usize,
    /// The `next_batch` of an answer before: what was told up to there is acknowledged.
    pub since: Option<Token>,
}

/// A room that the client looks at.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// What is wanted of it.
    pub config: Config,
    /// The lists it is seen in.
    pub lists: BTreeSet<String>,
    /// Whether it is asked for by itself.
    pub subscribed: bool,
}

/// What is wanted of one room, taken together from all that asks for it.
#[derive(Debug, Default)]
pub(super) struct Config {
    pub required: BTreeSet<Arc<RequiredState>>,
    pub timeline_limit: usize,
}

impl Config {
    pub fn add(&mut self, details: &Details) {
        self.required.extend(details.required_state.iter().cloned());
        let limit = usize::try_from(details.timeline_limit).unwrap_or(TIMELINE_MAX).min(TIMELINE_MAX);
        self.timeline_limit = self.timeline_limit.max(limit);
    }

    /// Whether members are wanted as they are seen in the timeline.
    pub fn is_lazy(&self) -> bool {
        self.required.iter().any(|required| required.lazy_members)
    }

    /// The types and state keys that are wanted, if all are named.
    pub fn named(&self) -> Option<BTreeSet<(&str, &str)>> {
        let elements = self.required.iter().flat_map(|required| &required.include);
        elements.map(|element| element.event_type.as_deref().zip(element.state_key.as_deref())).collect()
    }

    /// Whether a piece of state is wanted.
    pub fn includes(&self, event_type: &str, state_key: &str) -> bool {
        self.required.iter().any(|required| required.includes(event_type, state_key))
    }
}

impl RoomScope {
    /// Whether a room that is looked at is one of them.
    pub(super) fn covers(&self, room_id: &RoomId, wanted: &Wanted) -> bool {
        let by_list = wanted.lists.iter().any(|list| self.lists.as_ref().is_none_or(|lists| lists.contains(list)));
        by_list || (wanted.subscribed && self.rooms.as_ref().is_none_or(|rooms| rooms.contains(room_id)))
    }
}
