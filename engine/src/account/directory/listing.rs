//! Who is listed in which directory, under the beginnings of which words.
//!
//! Keys are hashes, so nothing can be looked for between two of them: a row is kept for each of the first letters of a word
//! instead ([decision 21](../../../../docs/decisions/0021-directory-by-beginnings.md)).

use std::collections::{BTreeMap, BTreeSet};

use journal::{Name, ReadError};
use ruma::{OwnedUserId, UserId};

use crate::{
    Cx, Draft,
    policy::{self, Standing},
    tables::{self, DirectoryRow},
    words::words,
};

/// Letters of a word that have a row each. A longer beginning is looked for among the rows of its first letters.
const LETTERS_MAX: usize = 3;
/// Rows read for one search of one directory.
const ROWS_MAX: usize = 10_000;

/// A directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Directory {
    /// The hosts of an organization, by the platform's id of it.
    Organization(String),
    /// The participants whom a host invited.
    Invited(OwnedUserId),
    /// Everybody else.
    Plain,
}

/// Users with a word that begins as the one looked for, and that word. Whether they match all of the term is not known yet.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    pub users: BTreeSet<(String, OwnedUserId)>,
    /// Whether there are more than were read.
    pub cut: bool,
}

/// The words a user is found by. Who belongs to no organization is known by the user id as well; other ids are random.
pub(super) fn words_of(user_id: &UserId, display_name: Option<&str>, plain: bool) -> BTreeSet<String> {
    let localpart = if plain { user_id.localpart() } else { "" };
    words(display_name.unwrap_or_default()).chain(words(localpart)).map(|word| word.folded).collect()
}

impl Directory {
    /// The directory that a user is in.
    ///
    /// # Errors
    /// [`ReadError`] when the store cannot be read.
    pub fn of(cx: &Cx<'_>, user_id: &UserId) -> Result<Self, ReadError> {
        Ok(match policy::standing(cx, user_id)? {
            Standing::Host { row, .. } => Self::Organization(row.organization),
            Standing::Participant { row, .. } => Self::Invited(row.inviter),
            Standing::Plain | Standing::Support => Self::Plain,
        })
    }

    /// The beginning's name in keys: another one in each directory, so that the keys do not tell which have people of one name.
    fn key(&self, cx: &Cx<'_>, word: &str) -> Name {
        let beginning: String = word.chars().take(LETTERS_MAX).collect();
        match self {
            Self::Organization(organization) => cx.name(&format!("organization {organization} {beginning}")),
            Self::Invited(inviter) => cx.name(&format!("invited by {inviter} {beginning}")),
            Self::Plain => cx.name(&format!("plain {beginning}")),
        }
    }

    fn rows(&self, cx: &Cx<'_>, user_id: &UserId, display_name: &str) -> BTreeMap<(Name, Name), DirectoryRow> {
        let user = cx.user(user_id);
        let mut rows: BTreeMap<(Name, Name), DirectoryRow> = BTreeMap::new();
        for word in words_of(user_id, Some(display_name), *self == Self::Plain) {
            let ends = word.char_indices().map(|(start, letter)| start + letter.len_utf8()).take(LETTERS_MAX);
            for beginning in ends.filter_map(|end| word.get(..end)) {
                let empty = || DirectoryRow { user_id: user_id.to_owned(), words: Vec::new() };
                rows.entry((self.key(cx, beginning), user)).or_insert_with(empty).words.push(word.clone());
            }
        }
        rows
    }

    /// Drafts the listing of a user whose name changes; `None` is a user who is not there yet, or not any more.
    pub fn list(&self, draft: &mut Draft<'_>, user_id: &UserId, before: Option<&str>, after: Option<&str>) {
        let cx = draft.cx();
        let rows = |name: Option<&str>| name.map_or_else(BTreeMap::new, |name| self.rows(&cx, user_id, name));
        let (before, after) = (rows(before), rows(after));
        for key in before.keys().filter(|key| !after.contains_key(key)) {
            tables::DIRECTORY.delete(&mut draft.batch, key);
        }
        for (key, row) in after.iter().filter(|(key, row)| before.get(key) != Some(row)) {
            tables::DIRECTORY.put(&mut draft.batch, key, row);
        }
    }

    /// Whoever is listed under the rarest of the words: it is found by going through the rows of all at once, until one ends.
    ///
    /// # Errors
    /// [`ReadError`] when the store cannot be read.
    pub(super) fn candidates(&self, cx: &Cx<'_>, wanted: &BTreeSet<String>) -> Result<Candidates, ReadError> {
        let scan = |word: &String| tables::DIRECTORY.scan(cx.view, &(self.key(cx, word),));
        let mut scans: Vec<_> = wanted.iter().map(|word| (word, scan(word), Candidates::default())).collect();
        for _ in 0..ROWS_MAX / scans.len().max(1) {
            for (wanted, scan, found) in &mut scans {
                let Some((_, row)) = scan.next().transpose()? else { return Ok(std::mem::take(found)) };
                let DirectoryRow { user_id, words } = row.value;
                let word = words.into_iter().find(|word| word.starts_with(wanted.as_str()));
                found.users.extend(word.map(|word| (word, user_id)));
            }
        }
        let first = scans.into_iter().next().map(|(_, _, found)| found).unwrap_or_default();
        Ok(Candidates { cut: true, ..first })
    }
}
