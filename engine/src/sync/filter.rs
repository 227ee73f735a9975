//! Filters ([spec v1.19, Client-Server API § Filtering](https://spec.matrix.org/v1.19/client-server-api/#filtering)).
//!
//! Our own types: the relation filters of spec v1.3 are not in ruma's.

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::Deserialize;

use super::event_form::{EventFields, EventForm, EventFormat};
use crate::room::{Pdu, relation_of, type_name};

/// Events a timeline has when the filter does not say.
const TIMELINE_LIMIT_DEFAULT: usize = 10;
/// Events a timeline or a page has at most, whatever is asked for: bounds the work of one answer.
pub const TIMELINE_LIMIT_MAX: usize = 100;

/// A whole filter.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Filter {
    /// The only properties of events that are wanted; `None`: all.
    #[serde(default)]
    pub event_fields: Option<EventFields>,
    /// In which form events are wanted.
    #[serde(default)]
    pub event_format: EventFormat,
    /// For presence.
    #[serde(default)]
    pub presence: EventFilter,
    /// For global account data.
    #[serde(default)]
    pub account_data: EventFilter,
    /// For rooms.
    #[serde(default)]
    pub room: RoomFilter,
}

/// The part for rooms.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RoomFilter {
    /// Rooms to leave out.
    #[serde(default)]
    pub not_rooms: Vec<OwnedRoomId>,
    /// The only rooms to include.
    #[serde(default)]
    pub rooms: Option<Vec<OwnedRoomId>>,
    /// For typing and receipts.
    #[serde(default)]
    pub ephemeral: EventFilter,
    /// Whether rooms that were left are in a first sync.
    #[serde(default)]
    pub include_leave: bool,
    /// For state.
    #[serde(default)]
    pub state: EventFilter,
    /// For timelines.
    #[serde(default)]
    pub timeline: EventFilter,
    /// For rooms' account data.
    #[serde(default)]
    pub account_data: EventFilter,
}

/// A filter of events: `EventFilter`, `RoomEventFilter` and `StateFilter` of the specification in one.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct EventFilter {
    /// How many at most.
    #[serde(default)]
    pub limit: Option<u64>,
    /// Senders to leave out.
    #[serde(default)]
    pub not_senders: Vec<OwnedUserId>,
    /// Types to leave out; `*` stands for anything.
    #[serde(default)]
    pub not_types: Vec<String>,
    /// The only senders.
    #[serde(default)]
    pub senders: Option<Vec<OwnedUserId>>,
    /// The only types; `*` stands for anything.
    #[serde(default)]
    pub types: Option<Vec<String>>,
    /// Rooms to leave out.
    #[serde(default)]
    pub not_rooms: Vec<OwnedRoomId>,
    /// The only rooms.
    #[serde(default)]
    pub rooms: Option<Vec<OwnedRoomId>>,
    /// Only events with (or without) a `url` in their content.
    #[serde(default)]
    pub contains_url: Option<bool>,
    /// Members only of those who are seen in the timeline.
    #[serde(default)]
    pub lazy_load_members: bool,
    /// Members also when they were sent before. They always are, as the specification allows: which ones a client has is
    /// not kept, and a client that has lost its answer is never left without one.
    #[serde(default)]
    pub include_redundant_members: bool,
    /// Unread counts per thread.
    #[serde(default)]
    pub unread_thread_notifications: bool,
    /// Only events that something of one of these kinds relates to.
    #[serde(default, alias = "io.element.relation_types")]
    pub related_by_rel_types: Option<Vec<String>>,
    /// Only events that something from one of these senders relates to.
    #[serde(default, alias = "io.element.relation_senders")]
    pub related_by_senders: Option<Vec<OwnedUserId>>,
    /// Only events that relate to another in one of these ways (MSC3874).
    #[serde(default, rename = "org.matrix.msc3874.rel_types")]
    pub rel_types: Option<Vec<String>>,
    /// No events that relate to another in one of these ways (MSC3874).
    #[serde(default, rename = "org.matrix.msc3874.not_rel_types")]
    pub not_rel_types: Vec<String>,
}

impl Filter {
    /// How events of rooms are written.
    pub(super) fn event_form(&self) -> EventForm<'_> {
        EventForm { format: self.event_format, fields: self.event_fields.as_ref() }
    }
}

impl RoomFilter {
    /// Whether the room is included at all.
    #[must_use]
    pub fn includes(&self, room_id: &RoomId) -> bool {
        room_passes(room_id, self.rooms.as_ref(), &self.not_rooms)
    }
}

impl EventFilter {
    /// How many events a timeline has.
    #[must_use]
    pub fn timeline_limit(&self) -> usize {
        self.limit_within(TIMELINE_LIMIT_DEFAULT, TIMELINE_LIMIT_MAX)
    }

    /// How many there are at most: `default` if the filter does not say, and never more than `max`.
    #[must_use]
    pub fn limit_within(&self, default: usize, max: usize) -> usize {
        self.limit.map_or(default, |limit| usize::try_from(limit).unwrap_or(usize::MAX)).min(max)
    }

    /// Whether the filter lets events of the room pass.
    #[must_use]
    pub fn includes_room(&self, room_id: &RoomId) -> bool {
        room_passes(room_id, self.rooms.as_ref(), &self.not_rooms)
    }

    /// Whether nothing can pass.
    #[must_use]
    pub fn is_shut(&self) -> bool {
        self.types.as_ref().is_some_and(Vec::is_empty)
            || self.senders.as_ref().is_some_and(Vec::is_empty)
            || self.limit == Some(0)
    }

    /// Whether events of the type pass.
    #[must_use]
    pub fn includes_type(&self, event_type: &str) -> bool {
        !self.not_types.iter().any(|pattern| matches(pattern, event_type))
            && self.types.as_ref().is_none_or(|types| types.iter().any(|pattern| matches(pattern, event_type)))
    }

    /// Whether events of the sender pass.
    #[must_use]
    pub fn includes_sender(&self, sender: &UserId) -> bool {
        !self.not_senders.iter().any(|other| other == sender)
            && self.senders.as_ref().is_none_or(|senders| senders.iter().any(|other| other == sender))
    }

    /// Whether the event passes. What relates to it is asked about elsewhere: that is in the store.
    #[must_use]
    pub fn includes(&self, pdu: &Pdu) -> bool {
        self.includes_sender(&pdu.sender)
            && (self.types.is_none() && self.not_types.is_empty() || self.includes_type(&type_name(&pdu.event_type)))
            && self.contains_url.is_none_or(|wanted| wanted == has_url(pdu))
            && self.includes_relation(pdu)
    }

    fn includes_relation(&self, pdu: &Pdu) -> bool {
        if self.rel_types.is_none() && self.not_rel_types.is_empty() {
            return true;
        }
        let rel_type = relation_of(pdu).map(|relation| relation.rel_type);
        let among = |types: &[String]| rel_type.as_ref().is_some_and(|rel_type| types.contains(rel_type));
        self.rel_types.as_deref().is_none_or(among) && !among(&self.not_rel_types)
    }
}

fn room_passes(room_id: &RoomId, rooms: Option<&Vec<OwnedRoomId>>, not_rooms: &[OwnedRoomId]) -> bool {
    !not_rooms.iter().any(|other| other == room_id) && rooms.is_none_or(|rooms| rooms.iter().any(|other| other == room_id))
}

fn has_url(pdu: &Pdu) -> bool {
    pdu.content_field::<serde_json::Value>("url").is_some_and(|url| url.is_string())
}

/// Whether `text` is of the form of `pattern`, where `*` stands for any characters. Linear: each piece is looked for once.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|head| text.strip_prefix(head)) else { return false };
    let Some(tail) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        let Some(found) = rest.find(piece) else { return false };
        rest = rest.get(found + piece.len()..).unwrap_or_default();
    }
    rest.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        let cases = [
            ("m.room.message", "m.room.message", true),
            ("m.room.message", "m.room.messages", false),
            ("m.*", "m.room.message", true),
            ("*", "anything", true),
            ("m.*.message", "m.room.message", true),
            ("m.*.message", "m.room.messages", false),
            ("*message*", "m.room.messages", true),
            ("m.room.*", "m.roomy", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn an_empty_list_of_types_lets_nothing_pass() {
        let filter: EventFilter = serde_json::from_str(r#"{"types":[]}"#).unwrap();
        assert!(filter.is_shut() && !filter.includes_type("m.room.message"));
        let excluded: EventFilter = serde_json::from_str(r#"{"types":["m.*"],"not_types":["m.room.*"]}"#).unwrap();
        assert!(excluded.includes_type("m.reaction") && !excluded.includes_type("m.room.message"));
    }

    #[test]
    fn limits_are_bounded() {
        let filter: EventFilter = serde_json::from_str(r#"{"limit":1000000}"#).unwrap();
        assert_eq!(filter.timeline_limit(), TIMELINE_LIMIT_MAX);
        assert_eq!(EventFilter::default().timeline_limit(), 10);
    }
}
