//! Who is typing at the moment, on either side. Only in memory: what a restart loses is out of date by then.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use crate::clock::Millis;

/// How long somebody in a room counts as typing who does not say that they have stopped: longer than homeservers let it last.
pub const PERSON_MS: Millis = 120_000;

/// How long an agent counts as typing after the last letter.
pub const AGENT_MS: Millis = 8_000;

/// Rooms or tickets where somebody is typing, and until when. Cheap to clone; all clones are one. Growth: one entry per open
/// chat at most, and those that ran out go with the next look.
#[derive(Clone, Debug, Default)]
pub struct Typing(Arc<Mutex<BTreeMap<String, Millis>>>);

impl Typing {
    /// Somebody types there until `until`, or nobody does. Says whether that is news at `now`.
    pub fn set(&self, place: &str, until: Option<Millis>, now: Millis) -> bool {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match until {
            Some(until) => places.insert(place.to_owned(), until),
            None => places.remove(place),
        };
        before.is_some_and(|until| until > now) != until.is_some_and(|until| until > now)
    }

    /// Where somebody is typing at `now`.
    pub fn places(&self, now: Millis) -> BTreeSet<String> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|_, until| *until > now);
        places.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_ends_by_itself_and_saying_it_again_is_no_news() {
        let typing = Typing::default();
        assert!(typing.set("a", Some(100), 0));
        assert!(!typing.set("a", Some(200), 50));
        assert!(!typing.set("b", None, 50));
        assert_eq!(typing.places(199), BTreeSet::from(["a".to_owned()]));
        assert!(typing.places(200).is_empty());
        assert!(typing.set("a", Some(300), 200));
        assert!(typing.set("a", None, 250));
    }
}
