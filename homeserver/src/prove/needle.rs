//! What is looked for, and how it is recognized.

use serde_json::Value;

use super::{ProveError, What};

/// How many times a value may be JSON in a text of JSON.
const NESTED_MAX: usize = 3;

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
        // Between its quotes; the text may end in one of its own.
        let escaped =
            escaped.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(&escaped).as_bytes().to_vec();
        let mut forms = vec![text.as_bytes().to_vec()];
        if escaped != forms[0] {
            forms.push(escaped);
        }
        Ok(Self { what: what.clone(), forms })
    }

    pub(super) fn is_in(&self, bytes: &[u8]) -> bool {
        self.forms.iter().any(|form| contains(bytes, form))
    }

    /// Whether it stands in an opened value: as it is, or as a client's JSON has it, which is kept as it came (`M\u00fcller`).
    fn is_told_by(&self, value: &[u8]) -> bool {
        let plainer = std::iter::successors(unescaped(value), |bytes| unescaped(bytes));
        self.is_in(value) || plainer.take(NESTED_MAX).any(|bytes| self.is_in(&bytes))
    }

    fn longest(&self) -> usize {
        self.forms.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Whether an opened value holds what is looked for, or only names it.
    pub(super) fn judge(&self, value: &[u8]) -> Option<bool> {
        if !self.is_told_by(value) {
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

/// With every escape of JSON undone, wherever it stands: what is around it may be noise. `None` if there is none.
fn unescaped(bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut plain, mut rest, mut found) = (Vec::new(), bytes, false);
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let (before, from) = rest.split_at(at);
        plain.extend_from_slice(before);
        let length = if let Some((character, length)) = escape(from) {
            plain.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            found = true;
            length
        } else {
            plain.push(b'\\');
            1
        };
        rest = from.get(length..).unwrap_or_default();
    }
    plain.extend_from_slice(rest);
    found.then_some(plain)
}

/// What the escape means that `bytes` begin with, and how long it is.
fn escape(bytes: &[u8]) -> Option<(char, usize)> {
    let short = match *bytes.get(1)? {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let units = [unit(bytes)?].into_iter().chain(bytes.get(6..).and_then(unit));
            let character = char::decode_utf16(units).next()?.ok()?;
            return Some((character, 6 * character.len_utf16()));
        }
        byte @ (b'"' | b'\\' | b'/') => char::from(byte),
        _ => return None,
    };
    Some((short, 2))
}

/// The unit of UTF-16 in `\u` and four digits.
fn unit(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn is_told(text: &str, value: &[u8]) -> bool {
        Needle::new(&What::Text(text.to_owned())).unwrap().judge(value) == Some(true)
    }

    #[test]
    fn what_a_client_escaped_is_found() {
        let text = "M\u{fc}ller/\u{1f600} \"x\"";
        let escaped = br#"{"name":"M\u00fcller\/\uD83D\uDE00 \"x\""} and noise \"#;
        assert!(is_told(text, text.as_bytes()) && is_told(text, escaped));
        assert!(is_told(text, serde_json::json!({ "name": text }).to_string().as_bytes()));
        let nested = serde_json::json!({ "content": String::from_utf8_lossy(escaped) }).to_string();
        assert!(is_told(text, nested.as_bytes()), "JSON in a text");
        // No escape, half of one, half of a pair: what comes then is read all the same.
        for before in [r"\", r"\x", r"\u00", r"\ud83d", r"\ud83d\u0041", r"\u00g0"] {
            assert!(is_told(text, &[before.as_bytes(), b" ", escaped].concat()), "{before}");
        }
        assert!(!is_told(text, br#"{"name":"M\u00f6ller\/\ud83d\ude00 \"x\""}"#));
        assert!(is_told("a\nb\tc\u{8}", br#""a\nb\u0009c\b""#));
    }

    #[test]
    fn a_text_that_ends_in_a_quote_is_found_with_it_and_not_without() {
        let text = r#"she said "yes""#;
        assert!(is_told(text, br#"{"body":"she said \"yes\""}"#));
        assert!(!is_told(text, br#"{"body":"she said \"yes\\no"}"#));
        assert!(!is_told(text, br#"{"body":"she said \"yes\n"}"#));
    }
}
