//! What a client asks for.

use std::collections::BTreeMap;

use ruma::OwnedRoomId;
use serde::Deserialize;

/// Lists and subscriptions in one request at most, as the proposal has it: each costs a look at every room.
const LISTS_MAX: usize = 100;
/// Events of one room at most, whatever is asked for.
const TIMELINE_MAX: usize = 100;

/// The body of a request. Nothing of it is remembered: each request says all.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Request {
    /// Which of the device's connections; each has its own position.
    #[serde(default)]
    pub conn_id: Option<String>,
    /// Comes back in the answer.
    #[serde(default)]
    pub txn_id: Option<String>,
    /// Windows onto lists of rooms, by the client's names.
    #[serde(default)]
    pub lists: BTreeMap<String, List>,
    /// Single rooms.
    #[serde(default)]
    pub room_subscriptions: BTreeMap<OwnedRoomId, Details>,
    /// All that is not rooms.
    #[serde(default)]
    pub extensions: Extensions,
}

/// A list of rooms, the latest first, and the places in it that the client looks at.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct List {
    /// First and last places; `[0, 19]` are twenty rooms.
    #[serde(default)]
    pub ranges: Vec<(u64, u64)>,
    /// What is wanted of each room.
    #[serde(flatten)]
    pub details: Details,
    /// Which rooms are in the list.
    #[serde(default)]
    pub filters: Option<Filters>,
}

/// What is wanted of a room.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Details {
    /// Pairs of type and state key; `*` stands for any, `$ME` for the user, `$LAZY` for who is seen in the timeline.
    #[serde(default)]
    pub required_state: Vec<(String, String)>,
    /// How many events.
    #[serde(default)]
    pub timeline_limit: u64,
}

/// Which rooms are in a list.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Filters {
    /// Whether the user has marked them as direct chats.
    #[serde(default)]
    pub is_dm: Option<bool>,
    /// Whether they are encrypted.
    #[serde(default)]
    pub is_encrypted: Option<bool>,
    /// Whether the user is only invited.
    #[serde(default)]
    pub is_invite: Option<bool>,
    /// Only rooms of these types; `null` is the type of rooms without one.
    #[serde(default)]
    pub room_types: Option<Vec<Option<String>>>,
    /// No rooms of these types.
    #[serde(default)]
    pub not_room_types: Option<Vec<Option<String>>>,
}

/// All that is not rooms.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Extensions {
    /// Messages to the device (MSC3885).
    #[serde(default)]
    pub to_device: ToDevice,
    /// Device lists and counts of keys (MSC3884).
    #[serde(default)]
    pub e2ee: Enabled,
    /// Account data (MSC3959).
    #[serde(default)]
    pub account_data: Enabled,
    /// Receipts (MSC3960).
    #[serde(default)]
    pub receipts: Enabled,
    /// Typing (MSC3961).
    #[serde(default)]
    pub typing: Enabled,
}

/// Whether an extension is wanted. Rooms are those of the answer, whichever are named.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Enabled {
    /// Whether.
    #[serde(default)]
    pub enabled: Option<bool>,
}

/// Messages to the device.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ToDevice {
    /// Whether.
    #[serde(default)]
    pub enabled: Option<bool>,
    /// How many at most.
    #[serde(default)]
    pub limit: Option<u64>,
    /// The `next_batch` of the answer before: what it brought is acknowledged.
    #[serde(default)]
    pub since: Option<String>,
}

/// What is wanted of one room, taken together from all that asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Config {
    pub required: std::collections::BTreeSet<(String, String)>,
    pub timeline_limit: usize,
}

impl Request {
    /// The lists, as many as one request may have.
    pub(super) fn lists(&self) -> impl Iterator<Item = (&String, &List)> {
        self.lists.iter().take(LISTS_MAX)
    }

    /// The single rooms, as many as one request may have.
    pub(super) fn subscriptions(&self) -> impl Iterator<Item = (&OwnedRoomId, &Details)> {
        self.room_subscriptions.iter().take(LISTS_MAX)
    }
}

impl Config {
    pub fn add(&mut self, details: &Details) {
        self.required.extend(details.required_state.iter().cloned());
        let limit = usize::try_from(details.timeline_limit).unwrap_or(TIMELINE_MAX).min(TIMELINE_MAX);
        self.timeline_limit = self.timeline_limit.max(limit);
    }

    /// Whether members are wanted of those seen in the timeline only.
    pub fn is_lazy(&self) -> bool {
        self.required.contains(&("m.room.member".to_owned(), "$LAZY".to_owned()))
    }

    /// Whether a piece of state is wanted.
    pub fn requires(&self, user_id: &ruma::UserId, event_type: &str, state_key: &str) -> bool {
        self.required.iter().any(|(wanted_type, wanted_key)| {
            (wanted_type == "*" || wanted_type == event_type)
                && (wanted_key == "*" || wanted_key == state_key || (wanted_key == "$ME" && state_key == user_id))
        })
    }
}
