//! What is looked for, and how it is recognized.

use serde_json::Value;

use super::{ProveError, What};

/// What to look for, in the forms in which it may stand.
pub(super) struct Needle {
    pub(super) what: What,
    /// In the open.
    forms: Vec<Vec<u8>>,
}

impl Needle {
    pub(super) fn new(what: &What) -> Result<Self, ProveError> {
        let text = match what {
            What::Event(id) if !id.starts_with('$') => return Err(ProveError::Question("an event id starts with $")),
            What::Media(uri) => uri.rsplit('/').next().unwrap_or_default(),
            What::Event(text) | What::Text(text) => text.as_str(),
        };
        if text.len() < 4 {
            return Err(ProveError::Question("four characters at least: fewer are found in any noise"));
        }
        let escaped = Value::from(text).to_string();
        let escaped = escaped.trim_matches('"').as_bytes().to_vec();
        let mut forms = vec![text.as_bytes().to_vec()];
        if escaped != forms[0] {
            forms.push(escaped);
        }
        Ok(Self { what: what.clone(), forms })
    }

    pub(super) fn is_in(&self, bytes: &[u8]) -> bool {
        self.forms.iter().any(|form| contains(bytes, form))
    }

    fn longest(&self) -> usize {
        self.forms.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Whether an opened value holds what is looked for, or only names it.
    pub(super) fn judge(&self, value: &[u8]) -> Option<bool> {
        if !self.is_in(value) {
            return None;
        }
        Some(match &self.what {
            What::Text(_) => true,
            What::Event(id) => first_json::<Value>(value).is_some_and(|value| holds(&value, "event_id", id, "content")),
            What::Media(uri) => {
                let id = uri.rsplit('/').next().unwrap_or_default();
                first_json::<Value>(value).is_some_and(|value| holds(&value, "media_id", id, "owner"))
            }
        })
    }
}

/// Whether some object in `value` has `key` = `id` and something under `beside`.
fn holds(value: &Value, key: &str, id: &str, beside: &str) -> bool {
    match value {
        Value::Object(fields) => {
            fields.get(key).and_then(Value::as_str) == Some(id) && fields.contains_key(beside)
                || fields.values().any(|value| holds(value, key, id, beside))
        }
        Value::Array(values) => values.iter().any(|value| holds(value, key, id, beside)),
        _ => false,
    }
}

/// The value that the bytes begin with; what follows is noise.
pub(super) fn first_json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::Deserializer::from_slice(bytes).into_iter().next()?.ok()
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    let Some((first, rest)) = needle.split_first() else { return false };
    let mut from = 0;
    while let Some(at) = bytes.get(from..).and_then(|bytes| bytes.iter().position(|byte| byte == first)) {
        from += at + 1;
        if bytes.get(from..).is_some_and(|bytes| bytes.starts_with(rest)) {
            return true;
        }
    }
    false
}

/// What is read piece by piece, with as much of the piece before that nothing between the two is missed.
#[derive(Default)]
pub(super) struct Window(Vec<u8>);

impl Window {
    /// Whether the next piece ends or holds what is looked for.
    pub(super) fn shows(&mut self, needle: &Needle, piece: &[u8]) -> bool {
        let before = self.0.len().saturating_sub(needle.longest().saturating_sub(1));
        self.0.drain(..before);
        self.0.extend_from_slice(piece);
        needle.is_in(&self.0)
    }
}
