//! Events as stored and signed: the federation format
//! ([spec v1.19, Room version 11 § Event format](https://spec.matrix.org/v1.19/rooms/v11/#event-format)).

use std::collections::BTreeMap;

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId,
    RoomId, UserId,
    events::TimelineEventType,
    room_version_rules::{EventsReferenceFormatVersion, RoomVersionRules},
    serde::{Base64, base64::UrlSafe},
    signatures::{content_hash, hash_and_sign_event, reference_hash},
    state_res::{Event, check_pdu_format},
};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::{Reject, Server};

/// An event with its hashes and signatures. The `event_id` is stored beside the fields it is the hash of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pdu {
    /// `$` and the reference hash.
    pub event_id: OwnedEventId,
    /// The room; absent in the `m.room.create` event of room version 12, whose id the room is named after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_id: Option<OwnedRoomId>,
    /// Who sent it.
    pub sender: OwnedUserId,
    /// When it was received here, in milliseconds.
    pub origin_server_ts: MilliSecondsSinceUnixEpoch,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: TimelineEventType,
    /// Its content, as JSON text.
    pub content: Box<RawValue>,
    /// Present in state events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_key: Option<String>,
    /// The events it follows.
    pub prev_events: Vec<OwnedEventId>,
    /// The state events that allow it.
    pub auth_events: Vec<OwnedEventId>,
    /// One more than the deepest event it follows.
    pub depth: u64,
    /// The event it redacts, at the place where the room version has it (top level up to version 10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redacts: Option<OwnedEventId>,
    /// The content hash, as JSON text.
    pub hashes: Box<RawValue>,
    /// The server's signature, as JSON text.
    pub signatures: Box<RawValue>,
    /// In room versions 1 and 2, where an id is no hash: its own reference hash, and those of the events it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub references: Option<References>,
}

/// Reference hashes in unpadded base64
/// ([spec v1.19, Room version 1 § Event format](https://spec.matrix.org/v1.19/rooms/v1/#event-format)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct References {
    /// The event's own.
    pub own: String,
    /// Those of the events it follows and is allowed by.
    pub named: BTreeMap<OwnedEventId, String>,
}

/// What an event is built from.
pub(super) struct Unsigned<'a> {
    pub room_id: Option<&'a RoomId>,
    pub sender: &'a UserId,
    pub event_type: &'a TimelineEventType,
    pub state_key: Option<&'a str>,
    pub content: CanonicalJsonObject,
    pub redacts: Option<&'a EventId>,
    pub prev_events: Vec<OwnedEventId>,
    pub auth_events: Vec<OwnedEventId>,
    pub depth: u64,
    pub origin_server_ts: MilliSecondsSinceUnixEpoch,
    /// The reference hashes of `prev_events` and `auth_events`, for room versions that name events with them.
    pub named: BTreeMap<OwnedEventId, String>,
}

impl Pdu {
    /// Hashes and signs an event and names it.
    ///
    /// # Errors
    /// `M_TOO_LARGE` over the [size limits](https://spec.matrix.org/v1.19/client-server-api/#size-limits), `M_BAD_JSON` for a
    /// field of the wrong form.
    pub(super) fn build(server: &Server, rules: &RoomVersionRules, event: Unsigned<'_>) -> Result<Self, Reject> {
        let mut object = event.to_object(rules);
        let chosen = rules.event_format.require_event_id.then(|| chosen_id(server, &object)).transpose()?;
        if let Some(event_id) = &chosen {
            object.insert("event_id".to_owned(), CanonicalJsonValue::String(event_id.to_string()));
        }
        hash_and_sign_event(server.name.as_str(), &server.signing_key, &mut object, &rules.redaction)
            .map_err(|error| format_reject(&error.to_string()))?;
        check_pdu_format(&object, &rules.event_format).map_err(|error| format_reject(&error))?;
        let hash = reference_hash(&object, rules).map_err(|error| format_reject(&error.to_string()))?;
        let references = chosen.is_some().then(|| References { own: hash.clone(), named: event.named });
        let event_id = match chosen {
            Some(event_id) => event_id,
            None => id(format!("${hash}"))?,
        };
        let mut take = |field: &str| object.remove(field).unwrap_or(CanonicalJsonValue::Null);
        Ok(Self {
            event_id,
            room_id: event.room_id.map(ToOwned::to_owned),
            sender: event.sender.to_owned(),
            origin_server_ts: event.origin_server_ts,
            event_type: event.event_type.clone(),
            content: raw(&take("content")),
            state_key: event.state_key.map(ToOwned::to_owned),
            prev_events: event.prev_events,
            auth_events: event.auth_events,
            depth: event.depth,
            redacts: event.redacts.map(ToOwned::to_owned),
            hashes: raw(&take("hashes")),
            signatures: raw(&take("signatures")),
            references,
        })
    }

    /// One field of the content, if it is there and of type `T`.
    #[must_use]
    pub fn content_field<T: serde::de::DeserializeOwned>(&self, field: &str) -> Option<T> {
        let content: BTreeMap<String, &RawValue> = serde_json::from_str(self.content.get()).ok()?;
        serde_json::from_str(content.get(field)?.get()).ok()
    }

    /// The content as type `T`.
    #[must_use]
    pub fn content_as<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.content.get()).ok()
    }

    /// Whether this is the state event of `event_type` and `state_key`.
    #[must_use]
    pub fn is_state(&self, event_type: &TimelineEventType, state_key: &str) -> bool {
        self.event_type == *event_type && self.state_key.as_deref() == Some(state_key)
    }

    /// The event without what its room version does not protect
    /// ([spec v1.19, Redactions](https://spec.matrix.org/v1.19/rooms/v11/#redactions)).
    #[must_use]
    pub fn redacted(&self, rules: &RoomVersionRules) -> Self {
        let mut content: CanonicalJsonObject = self.content_as().unwrap_or_default();
        ruma::canonical_json::redact_content_in_place(&mut content, &rules.redaction, self.event_type.to_string());
        let redacts = self.redacts.clone().filter(|_| !rules.redaction.content_field_redacts);
        Self { content: raw(&CanonicalJsonValue::Object(content)), redacts, ..self.clone() }
    }
}

impl Unsigned<'_> {
    fn to_object(&self, rules: &RoomVersionRules) -> CanonicalJsonObject {
        let text = |text: &str| CanonicalJsonValue::String(text.to_owned());
        let with_hashes = rules.events_reference_format == EventsReferenceFormatVersion::V1;
        let named = |id: &OwnedEventId| {
            if !with_hashes {
                return text(id.as_str());
            }
            let hash = self.named.get(id).map(|hash| ("sha256".to_owned(), text(hash)));
            CanonicalJsonValue::Array(vec![text(id.as_str()), CanonicalJsonValue::Object(hash.into_iter().collect())])
        };
        let ids = |ids: &[OwnedEventId]| CanonicalJsonValue::Array(ids.iter().map(named).collect());
        let int =
            |number: u64| CanonicalJsonValue::Integer(ruma::Int::new_saturating(i64::try_from(number).unwrap_or(i64::MAX)));
        let mut object = CanonicalJsonObject::from([
            ("auth_events".to_owned(), ids(&self.auth_events)),
            ("content".to_owned(), CanonicalJsonValue::Object(self.content.clone())),
            ("depth".to_owned(), int(self.depth)),
            ("origin_server_ts".to_owned(), int(self.origin_server_ts.get().into())),
            ("prev_events".to_owned(), ids(&self.prev_events)),
            ("sender".to_owned(), text(self.sender.as_str())),
            ("type".to_owned(), text(&type_name(self.event_type))),
        ]);
        if let Some(room_id) = self.room_id {
            object.insert("room_id".to_owned(), text(room_id.as_str()));
        }
        if let Some(state_key) = self.state_key {
            object.insert("state_key".to_owned(), text(state_key));
        }
        if let Some(redacts) = self.redacts {
            object.insert("redacts".to_owned(), text(redacts.as_str()));
        }
        object
    }
}

/// How long a room keeps what is said in it (MSC1763).
pub(crate) const RETENTION: &str = "m.room.retention";

/// The proposal's name for it until it is part of the specification.
const UNSTABLE_RETENTION: &str = "org.matrix.msc1763.retention";

/// An event type as it is signed and served. ruma reads both names of `m.room.retention` as one type, and writes the unstable one, which
/// no client looks for: rooms carry the other.
pub(crate) fn type_name(event_type: &impl ToString) -> String {
    let name = event_type.to_string();
    if name == UNSTABLE_RETENTION { RETENTION.to_owned() } else { name }
}

/// The id of an event in room versions 1 and 2, where the server chooses it: a hash of all the rest
/// ([spec v1.19, Room version 1 § Event IDs](https://spec.matrix.org/v1.19/rooms/v1/#event-ids)).
fn chosen_id(server: &Server, object: &CanonicalJsonObject) -> Result<OwnedEventId, Reject> {
    let hash = content_hash(object).map_err(|error| format_reject(&error.to_string()))?;
    id(format!("${}:{}", Base64::<UrlSafe, _>::new(hash.into_inner()), server.name))
}

fn id(text: String) -> Result<OwnedEventId, Reject> {
    OwnedEventId::try_from(text).map_err(|_| Reject::bad_json("this event cannot be given an id"))
}

/// Canonical JSON as text. It is made of strings, integers and maps with string keys: `serde_json` writes all of it.
fn raw(value: &CanonicalJsonValue) -> Box<RawValue> {
    to_raw_value(value).unwrap_or_else(|error| unreachable!("canonical JSON cannot be written: {error}"))
}

/// An object of canonical JSON as text.
pub(super) fn raw_object(object: &CanonicalJsonObject) -> Box<RawValue> {
    to_raw_value(object).unwrap_or_else(|error| unreachable!("canonical JSON cannot be written: {error}"))
}

fn format_reject(reason: &str) -> Reject {
    if reason.contains("larger") || reason.contains("too large") || reason.contains("large") {
        return Reject::TooLarge("this event is larger than 65,535 bytes: send less, or send it as a file".into());
    }
    if reason.contains("longer") || reason.contains("255") || reason.contains("bytes") {
        return Reject::TooLarge(format!("a field of this event is too long: {reason}").into());
    }
    Reject::BadJson(format!("this is not a valid event: {reason}").into())
}

impl Event for Pdu {
    type Id = OwnedEventId;

    fn event_id(&self) -> &Self::Id {
        &self.event_id
    }
    fn room_id(&self) -> Option<&RoomId> {
        self.room_id.as_deref()
    }
    fn sender(&self) -> &UserId {
        &self.sender
    }
    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.origin_server_ts
    }
    fn event_type(&self) -> &TimelineEventType {
        &self.event_type
    }
    fn content(&self) -> &RawValue {
        &self.content
    }
    fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }
    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &Self::Id> + '_> {
        Box::new(self.prev_events.iter())
    }
    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &Self::Id> + '_> {
        Box::new(self.auth_events.iter())
    }
    fn redacts(&self) -> Option<&Self::Id> {
        self.redacts.as_ref()
    }
    fn rejected(&self) -> bool {
        false
    }
}
