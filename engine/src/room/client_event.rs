//! Events as clients see them
//! ([spec v1.19, Client-Server API § Room event format](https://spec.matrix.org/v1.19/client-server-api/#room-event-format)).

use std::borrow::Cow;

use journal::Timestamp;
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedUserId, RoomId, UserId, events::room::member::MembershipState,
};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::{Pdu, type_name};
use crate::tables::TimelineRow;

/// An event in the form for clients; without `room_id` unless [`ClientEvent::in_room`] is called, as `/sync` has it.
#[derive(Debug, Serialize)]
pub struct ClientEvent<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_events: Option<&'a [OwnedEventId]>,
    content: Cow<'a, RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    depth: Option<u64>,
    event_id: &'a EventId,
    #[serde(skip_serializing_if = "Option::is_none")]
    hashes: Option<&'a RawValue>,
    origin_server_ts: MilliSecondsSinceUnixEpoch,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_events: Option<&'a [OwnedEventId]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redacts: Option<OwnedEventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_id: Option<&'a RoomId>,
    sender: &'a UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    signatures: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_key: Option<&'a str>,
    #[serde(rename = "type")]
    event_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    unsigned: Option<Unsigned<'a>>,
}

/// What is not part of the signed event.
#[derive(Debug, Default, Serialize)]
pub struct Unsigned<'a> {
    /// Milliseconds since it was received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<u64>,
    /// The reader's membership when it was sent (spec v1.11).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub membership: Option<MembershipState>,
    /// What a state event replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev_content: Option<&'a RawValue>,
    /// Who sent what a state event replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev_sender: Option<&'a UserId>,
    /// The redaction, if it has been redacted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redacted_because: Option<Box<RawValue>>,
    /// The id of what a state event replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces_state: Option<&'a EventId>,
    /// Bundled aggregations.
    #[serde(rename = "m.relations", skip_serializing_if = "Option::is_none")]
    pub relations: Option<Box<RawValue>>,
    /// When nobody can read it any more, in milliseconds since 1970, if that is not L after it was received: this server's own.
    #[serde(rename = "org.vestibule.expires_ts", skip_serializing_if = "Option::is_none")]
    pub expires_ts: Option<u64>,
    /// Only for the device that sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<&'a str>,
}

impl<'a> ClientEvent<'a> {
    /// The event itself, with nothing unsigned.
    #[must_use]
    pub fn new(pdu: &'a Pdu) -> Self {
        Self {
            auth_events: None,
            content: content(pdu),
            depth: None,
            event_id: &pdu.event_id,
            hashes: None,
            origin_server_ts: pdu.origin_server_ts,
            prev_events: None,
            redacts: redacts(pdu),
            room_id: None,
            sender: &pdu.sender,
            signatures: None,
            state_key: pdu.state_key.as_deref(),
            event_type: type_name(&pdu.event_type),
            unsigned: None,
        }
    }

    /// An event of a timeline, with its age, what it replaced and what redacted it.
    #[must_use]
    pub fn of_row(row: &'a TimelineRow, now: Timestamp) -> Self {
        let unsigned = Unsigned {
            age: Some(now.as_ms().saturating_sub(row.received.as_ms())),
            prev_content: row.replaces.as_ref().map(|replaced| &*replaced.content),
            prev_sender: row.replaces.as_ref().map(|replaced| &*replaced.sender),
            replaces_state: row.replaces.as_ref().map(|replaced| &*replaced.event_id),
            redacted_because: row.redacted_because.as_ref().map(|redaction| ClientEvent::new(redaction).to_raw()),
            expires_ts: row.ends.map(Timestamp::as_ms),
            ..Unsigned::default()
        };
        Self { unsigned: Some(unsigned), ..Self::new(&row.pdu) }
    }

    /// With its `room_id`, as everything but `/sync` has it.
    #[must_use]
    pub fn in_room(self, room_id: &'a RoomId) -> Self {
        Self { room_id: Some(room_id), ..self }
    }

    /// With all that is hashed and signed of it (`event_format: federation`).
    #[must_use]
    pub fn signed(self, pdu: &'a Pdu) -> Self {
        Self {
            auth_events: Some(&pdu.auth_events),
            content: Cow::Borrowed(&pdu.content),
            depth: Some(pdu.depth),
            hashes: Some(&pdu.hashes),
            prev_events: Some(&pdu.prev_events),
            room_id: pdu.room_id.as_deref(),
            signatures: Some(&pdu.signatures),
            ..self
        }
    }

    /// What is not part of the signed event, to add to.
    pub fn unsigned(&mut self) -> &mut Unsigned<'a> {
        self.unsigned.get_or_insert_default()
    }

    /// As JSON text. It is made of strings, numbers and JSON: `serde_json` writes all of it.
    #[must_use]
    pub fn to_raw(&self) -> Box<RawValue> {
        raw(self)
    }
}

/// The stripped form: what an invited user sees of a room
/// ([spec v1.19, § Stripped state](https://spec.matrix.org/v1.19/client-server-api/#stripped-state)).
#[must_use]
pub fn stripped(pdu: &Pdu) -> Box<RawValue> {
    #[derive(Serialize)]
    struct Stripped<'a> {
        content: &'a RawValue,
        sender: &'a UserId,
        state_key: &'a str,
        #[serde(rename = "type")]
        event_type: String,
    }
    raw(&Stripped {
        content: &pdu.content,
        sender: &pdu.sender,
        state_key: pdu.state_key.as_deref().unwrap_or_default(),
        event_type: type_name(&pdu.event_type),
    })
}

/// An event of type and content alone: account data, receipts, typing.
#[must_use]
pub fn basic_event(event_type: &str, content: &impl Serialize) -> Box<RawValue> {
    #[derive(Serialize)]
    struct Basic<'a, T> {
        content: &'a T,
        #[serde(rename = "type")]
        event_type: &'a str,
    }
    raw(&Basic { content, event_type })
}

/// An event of type, sender and content: presence and to-device messages.
#[must_use]
pub fn sent_event(event_type: &str, sender: &OwnedUserId, content: &impl Serialize) -> Box<RawValue> {
    #[derive(Serialize)]
    struct Sent<'a, T> {
        content: &'a T,
        sender: &'a UserId,
        #[serde(rename = "type")]
        event_type: &'a str,
    }
    raw(&Sent { content, sender, event_type })
}

/// JSON text of plain data with string keys: there is nothing in it that `serde_json` cannot write.
pub(crate) fn raw(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).unwrap_or_else(|error| unreachable!("an event cannot be written: {error}"))
}

/// The event a redaction redacts, also at the top level, where clients older than room version 11 look for it
/// ([spec v1.19, § `m.room.redaction`](https://spec.matrix.org/v1.19/client-server-api/#mroomredaction)).
fn redacts(pdu: &Pdu) -> Option<OwnedEventId> {
    #[derive(Deserialize)]
    struct Content {
        redacts: OwnedEventId,
    }
    if pdu.event_type != ruma::events::TimelineEventType::RoomRedaction {
        return None;
    }
    pdu.redacts.clone().or_else(|| pdu.content_as::<Content>().map(|content| content.redacts))
}

/// The content, with `redacts` in it also in room versions before 11, where clients of today look for it
/// ([spec v1.19, § `m.room.redaction`](https://spec.matrix.org/v1.19/client-server-api/#mroomredaction)).
fn content(pdu: &Pdu) -> Cow<'_, RawValue> {
    let Some(redacts) = &pdu.redacts else { return Cow::Borrowed(&pdu.content) };
    let Some(mut content) = pdu.content_as::<serde_json::Map<String, serde_json::Value>>() else {
        return Cow::Borrowed(&pdu.content);
    };
    content.entry("redacts").or_insert_with(|| redacts.as_str().into());
    Cow::Owned(raw(&content))
}

/// How an event relates to another, as its content says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// `rel_type`
    pub rel_type: String,
    /// The parent.
    pub event_id: OwnedEventId,
    /// The `key` of an annotation.
    pub key: Option<String>,
}

/// The relation in an event's content, if there is a whole one.
#[must_use]
pub fn relation_of(pdu: &Pdu) -> Option<Relation> {
    relation_in(&pdu.content)
}

/// The relation in a content, if there is a whole one.
pub(super) fn relation_in(content: &RawValue) -> Option<Relation> {
    #[derive(Deserialize)]
    struct Content {
        #[serde(rename = "m.relates_to")]
        relates_to: RelatesTo,
    }
    #[derive(Deserialize)]
    struct RelatesTo {
        rel_type: String,
        event_id: OwnedEventId,
        #[serde(default)]
        key: Option<String>,
    }
    // Most events relate to nothing: looking for the name is cheaper than parsing the content.
    if !content.get().contains("m.relates_to") {
        return None;
    }
    let RelatesTo { rel_type, event_id, key } = serde_json::from_str::<Content>(content.get()).ok()?.relates_to;
    Some(Relation { rel_type, event_id, key })
}
