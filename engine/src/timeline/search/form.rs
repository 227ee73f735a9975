//! What is asked for and what is answered, in the published form.

use std::collections::{BTreeMap, BTreeSet};

use ruma::{OwnedEventId, OwnedMxcUri, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{GroupKey, SearchKey};
use crate::sync::EventFilter;

/// The criteria of the category `room_events`.
#[derive(Clone, Debug, Deserialize)]
pub struct SearchRequest {
    /// What is looked for.
    pub search_term: String,
    /// Where; everywhere if it is not said.
    #[serde(default)]
    pub(super) keys: Option<Vec<SearchKey>>,
    /// What is left out, and how many are wanted.
    #[serde(default)]
    pub(super) filter: EventFilter,
    #[serde(default)]
    pub(super) order_by: OrderBy,
    #[serde(default)]
    pub(super) event_context: Option<ContextCriteria>,
    #[serde(default)]
    pub(super) include_state: bool,
    #[serde(default)]
    pub(super) groupings: Groupings,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OrderBy {
    #[default]
    Rank,
    Recent,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct ContextCriteria {
    #[serde(default)]
    pub(super) before_limit: Option<u64>,
    #[serde(default)]
    pub(super) after_limit: Option<u64>,
    #[serde(default)]
    pub(super) include_profile: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Groupings {
    #[serde(default)]
    pub(super) group_by: Vec<GroupBy>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct GroupBy {
    pub(super) key: GroupKey,
}

/// What was found, in the published form.
#[derive(Debug, Default, Serialize)]
pub struct SearchResults {
    /// How many there are on all pages together.
    pub count: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) groups: BTreeMap<GroupKey, BTreeMap<String, GroupOfResults>>,
    /// The words of the term as they are written in the results.
    pub highlights: BTreeSet<String>,
    /// Where the next page begins; `None` when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_batch: Option<String>,
    /// In the order asked for.
    pub results: Vec<SearchResult>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<BTreeMap<OwnedRoomId, Vec<Box<RawValue>>>>,
}

/// An event that was found.
#[derive(Debug, Serialize)]
pub struct SearchResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) context: Option<ResultContext>,
    /// How much of the event the words are.
    pub rank: f64,
    /// The event.
    pub result: Box<RawValue>,
}

#[derive(Debug, Serialize)]
pub(super) struct ResultContext {
    pub(super) end: String,
    pub(super) events_after: Vec<Box<RawValue>>,
    pub(super) events_before: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) profile_info: Option<BTreeMap<OwnedUserId, ProfileThen>>,
    pub(super) start: String,
}

/// A member's name and picture when the event was sent.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct ProfileThen {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) avatar_url: Option<OwnedMxcUri>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) displayname: Option<String>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct GroupOfResults {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_batch: Option<String>,
    pub(super) order: usize,
    pub(super) results: Vec<OwnedEventId>,
}
