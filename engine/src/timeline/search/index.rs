//! The words of events: written with the event, deleted by its redaction, gone when it expires.

use std::collections::BTreeMap;

use journal::{Batch, Class, Name, Stamp, Timestamp};
use ruma::{RoomId, events::TimelineEventType};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Cx,
    room::Pdu,
    tables::{self, SearchWordRow},
    words::words,
};

/// Different words of one event that are found again: a row each. What a person writes in one message fits; a pasted log
/// does not have to.
pub const INDEXED_WORDS_MAX: usize = 500;

/// What can be searched, with its bit in [`SearchWordRow::fields`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum SearchKey {
    /// `body`
    #[serde(rename = "content.body")]
    Body = 1,
    /// `name`
    #[serde(rename = "content.name")]
    Name = 2,
    /// `topic`
    #[serde(rename = "content.topic")]
    Topic = 4,
}

impl SearchKey {
    /// Its bit.
    pub const fn bit(self) -> u8 {
        self as u8
    }
}

/// Writes the words of the event that is stored at a place.
pub(crate) fn index(batch: &mut Batch, cx: &Cx<'_>, at: (&RoomId, Stamp), pdu: &Pdu, class: Class, expires: Timestamp) {
    for (word, row) in occurrences(pdu) {
        tables::SEARCH_WORDS.put(batch, &(word_name(cx, at.0, &word), at.1), &row, class, expires);
    }
}

/// Deletes the words of an event that is being redacted.
pub(crate) fn forget(batch: &mut Batch, cx: &Cx<'_>, at: (&RoomId, Stamp), original: &Pdu) {
    for word in occurrences(original).into_keys() {
        tables::SEARCH_WORDS.delete(batch, &(word_name(cx, at.0, &word), at.1));
    }
}

/// A word's name in keys. It is another one in each room, so that the keys do not tell which rooms speak of the same.
pub(super) fn word_name(cx: &Cx<'_>, room_id: &RoomId, word: &str) -> Name {
    cx.name(&format!("word {room_id} {word}"))
}

/// The texts of an event that can be searched.
pub(super) fn texts(pdu: &Pdu) -> Vec<(SearchKey, String)> {
    #[derive(Default, Deserialize)]
    struct Content {
        body: Option<Value>,
        name: Option<Value>,
        topic: Option<Value>,
    }
    // Whatever an encrypted event has beside its ciphertext is not what was said.
    if pdu.event_type == TimelineEventType::RoomEncrypted {
        return Vec::new();
    }
    let Content { body, name, topic } = pdu.content_as().unwrap_or_default();
    let fields = [(SearchKey::Body, body), (SearchKey::Name, name), (SearchKey::Topic, topic)];
    let text = |(key, value)| if let Some(Value::String(text)) = value { Some((key, text)) } else { None };
    fields.into_iter().filter_map(text).collect()
}

fn occurrences(pdu: &Pdu) -> BTreeMap<String, SearchWordRow> {
    let mut found: BTreeMap<String, SearchWordRow> = BTreeMap::new();
    let mut length = 0_u16;
    for (key, text) in texts(pdu) {
        for word in words(&text) {
            length = length.saturating_add(1);
            if found.len() == INDEXED_WORDS_MAX && !found.contains_key(&word.folded) {
                continue;
            }
            let row = found.entry(word.folded).or_insert(SearchWordRow { fields: 0, count: 0, length: 0 });
            row.fields |= key.bit();
            row.count = row.count.saturating_add(1);
        }
    }
    for row in found.values_mut() {
        row.length = length;
    }
    found
}
