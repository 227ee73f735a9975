//! How a filter wants events written: `event_format` and `event_fields`
//! ([spec v1.19, Client-Server API § Filtering](https://spec.matrix.org/v1.19/client-server-api/#filtering)).
//!
//! They are about events of timelines and state; what is no room event has neither.

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use crate::room::{ClientEvent, Pdu, raw};

/// `event_format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventFormat {
    /// The form for clients.
    #[default]
    Client,
    /// The signed event, with what clients are told beside it.
    Federation,
}

/// `event_fields`: the paths of the properties that are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Vec<String>")]
pub struct EventFields(Vec<Vec<String>>);

/// Both together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EventForm<'f> {
    pub format: EventFormat,
    pub fields: Option<&'f EventFields>,
}

impl EventForm<'_> {
    /// The event as JSON text.
    pub fn write<'a>(&self, event: ClientEvent<'a>, pdu: &'a Pdu) -> Box<RawValue> {
        let event = match self.format {
            EventFormat::Client => event,
            EventFormat::Federation => event.signed(pdu),
        };
        match self.fields {
            Some(fields) => fields.keep(&event.to_raw()),
            None => event.to_raw(),
        }
    }
}

impl From<Vec<String>> for EventFields {
    fn from(paths: Vec<String>) -> Self {
        Self(paths.iter().map(|path| names(path)).collect())
    }
}

/// The names of a path: between dots, unless a backslash precedes the dot.
fn names(path: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut characters = path.chars();
    while let Some(character) = characters.next() {
        let literal = match character {
            '.' => {
                names.push(String::new());
                continue;
            }
            '\\' => characters.next().unwrap_or('\\'),
            other => other,
        };
        if let Some(name) = names.last_mut() {
            name.push(literal);
        }
    }
    names
}

impl EventFields {
    /// The event with nothing but these properties.
    fn keep(&self, event: &RawValue) -> Box<RawValue> {
        // What the server has just written is JSON.
        let event: Value = serde_json::from_str(event.get()).unwrap_or_default();
        let mut kept = Value::Object(Map::new());
        for path in &self.0 {
            copy(path, &event, &mut kept);
        }
        raw(&kept)
    }
}

/// Copies what is at a path; what is not there stays away, with all that would lead to it.
fn copy(path: &[String], from: &Value, to: &mut Value) {
    let (Some((name, rest)), Some(to)) = (path.split_first(), to.as_object_mut()) else { return };
    let Some(value) = from.get(name) else { return };
    if rest.is_empty() {
        to.insert(name.clone(), value.clone());
        return;
    }
    let mut below = to.remove(name).unwrap_or_else(|| Value::Object(Map::new()));
    copy(rest, value, &mut below);
    if below.as_object().is_none_or(|below| !below.is_empty()) {
        to.insert(name.clone(), below);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_kept_by_their_paths() {
        let event = json!({
            "type": "m.room.message", "sender": "@a:b", "a.b": 1, "c\\d": 2,
            "content": { "body": "x", "info": { "w": 1, "h": 2 }, "list": [1], "m.mentions": {} },
        });
        let cases = [
            (vec![], json!({})),
            (vec!["type", "sender"], json!({ "type": "m.room.message", "sender": "@a:b" })),
            (vec!["content.body"], json!({ "content": { "body": "x" } })),
            (vec!["content.info.w", "content.body"], json!({ "content": { "body": "x", "info": { "w": 1 } } })),
            (vec!["content", "content.body"], json!({ "content": event["content"] })),
            (vec!["content.body", "content"], json!({ "content": event["content"] })),
            (vec!["content.none", "none.at.all", "type.deeper", "content.list.deeper"], json!({})),
            (
                vec![r"a\.b", r"c\\d", r"content.m\.mentions"],
                json!({ "a.b": 1, "c\\d": 2, "content": { "m.mentions": {} } }),
            ),
        ];
        for (paths, expected) in cases {
            let fields: EventFields = serde_json::from_value(json!(paths)).unwrap();
            let kept: Value = serde_json::from_str(fields.keep(&raw(&event)).get()).unwrap();
            assert_eq!(kept, expected, "{paths:?}");
        }
    }
}
