//! What is searched: words of messages, and beginnings of people's names. No word stands in a key, only its keyed hash.

use journal::{Expiring, Name, Stamp, Table};
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

/// `(word of a room, stamp)`: the events of a room that a word is in; one word has another key in each room. Written with the
/// event and gone with it; at most [`crate::timeline::INDEXED_WORDS_MAX`] per event, none for an encrypted one.
pub static SEARCH_WORDS: Table<(Name, Stamp), SearchWordRow, Expiring> = Table::append_only(281, "search_words");

/// `(beginning of a word in a directory, user)`: people by the first letters of the words of their names. Written with the
/// profile, deleted with it; at most three rows for each word.
pub static DIRECTORY: Table<(Name, Name), DirectoryRow> = Table::lasting(282, "directory");

/// Somebody with a word that begins so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryRow {
    /// Who.
    pub user_id: OwnedUserId,
    /// The words of the name that begin so, without accents and capitals.
    pub words: Vec<String>,
}

/// A word in an event. Short names: there is a row for every word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchWordRow {
    /// Which fields of the content it is in, a bit each: `body`, `name`, `topic`.
    #[serde(rename = "f")]
    pub fields: u8,
    /// How often.
    #[serde(rename = "n")]
    pub count: u16,
    /// How many words there are in all.
    #[serde(rename = "l")]
    pub length: u16,
}
