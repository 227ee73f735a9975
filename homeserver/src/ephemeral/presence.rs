//! Who is there
//! ([spec v1.19, Client-Server API § Presence](https://spec.matrix.org/v1.19/client-server-api/#presence)).
//!
//! A user who syncs is there, and is not any more some time after the last `/sync` has ended: sooner when nobody waited for its answer
//! any more. A user who only says so (`PUT presence`), as support's bridge does, is what they said last.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use journal::Timestamp;
use ruma::{OwnedUserId, UserId, presence::PresenceState};
use serde::Serialize;
use serde_json::value::RawValue;

use super::Ephemeral;

/// How long after the last `/sync` a user counts as there: a client needs a moment between two of them, a phone longer.
const OFFLINE_AFTER: Duration = Duration::from_secs(30);

/// The same for a `/sync` whose connection was closed before it was answered: the page is gone, or is loaded again, or the network
/// changed. Also how often somebody looks for who is gone.
pub const CLOSED_AFTER: Duration = Duration::from_secs(10);

/// Users by id, and by the version of their last change. Growth: one entry per user seen since the start.
#[derive(Debug, Default)]
pub(super) struct Users {
    by_id: HashMap<OwnedUserId, User>,
    by_version: BTreeMap<u64, OwnedUserId>,
}

#[derive(Clone, Debug)]
struct User {
    presence: Presence,
    version: u64,
    /// Requests that wait or are being answered.
    syncs: usize,
    /// When the user is gone if no other begins.
    gone_at: Timestamp,
    /// Somebody watches for the moment the user is gone: one watch is enough.
    watched: bool,
}

/// What a watch finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// The user is gone, which is news for others (or not: they were offline before).
    Gone {
        /// Whether it is news.
        news: bool,
    },
    /// The user is back: who ends the next `/sync` watches again.
    Back,
    /// The user was here meanwhile: look again in as many milliseconds.
    Wait(u64),
}

/// What a user is at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Online, unavailable or offline.
    pub state: PresenceState,
    /// What they say of themselves.
    pub status_msg: Option<String>,
    /// When they were last seen doing something.
    pub last_active: Option<Timestamp>,
}

/// The content of an `m.presence` event, and the answer of `GET presence`.
#[derive(Debug, Serialize)]
pub struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    currently_active: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_active_ago: Option<u64>,
    presence: &'a PresenceState,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_msg: Option<&'a str>,
}

impl Presence {
    const OFFLINE: Self = Self { state: PresenceState::Offline, status_msg: None, last_active: None };

    /// For others to read.
    #[must_use]
    pub fn content(&self, now: Timestamp) -> Content<'_> {
        Content {
            currently_active: (self.state == PresenceState::Online).then_some(true),
            last_active_ago: self.last_active.map(|active| now.as_ms().saturating_sub(active.as_ms())),
            presence: &self.state,
            status_msg: self.status_msg.as_deref(),
        }
    }

    pub(super) fn event(&self, user_id: &UserId, now: Timestamp) -> Box<RawValue> {
        engine::room::sent_event("m.presence", &user_id.to_owned(), &self.content(now))
    }
}

impl Users {
    pub(super) fn since(&self, version: Option<u64>) -> Vec<OwnedUserId> {
        match version {
            Some(version) => self.by_version.range(version + 1..).map(|(_, user_id)| user_id.clone()).collect(),
            None => self.by_version.values().cloned().collect(),
        }
    }

    fn user(&mut self, user_id: &UserId) -> &mut User {
        let new =
            || User { presence: Presence::OFFLINE, version: 0, syncs: 0, gone_at: Timestamp::from_ms(0), watched: false };
        self.by_id.entry(user_id.to_owned()).or_insert_with(new)
    }
}

impl Ephemeral {
    /// What the user is; `None` when nothing has been heard of them since the start.
    #[must_use]
    pub fn presence(&self, user_id: &UserId) -> Option<Presence> {
        self.state().presence.by_id.get(user_id).map(|user| user.presence.clone())
    }

    /// The user says what they are. Answers whether that is news for others.
    pub fn set_presence(&self, user_id: &UserId, state: PresenceState, status_msg: Option<String>, now: Timestamp) -> bool {
        self.change_presence(user_id, |user| {
            user.presence.state = state;
            user.presence.status_msg = status_msg;
            user.presence.last_active = Some(now);
        })
    }

    /// A `/sync` of the user begins. Answers whether that is news for others.
    pub fn sync_began(&self, user_id: &UserId, state: &PresenceState, now: Timestamp) -> bool {
        self.change_presence(user_id, |user| {
            user.syncs += 1;
            if *state != PresenceState::Offline {
                user.presence.state = state.clone();
                user.presence.last_active = Some(now);
            }
        })
    }

    /// A `/sync` of the user has ended, with an answer or because its connection was closed. Answers whether the caller has to watch for
    /// the moment they are gone.
    pub fn sync_ended(&self, user_id: &UserId, answered: bool, now: Timestamp) -> bool {
        let mut state = self.state();
        let user = state.presence.user(user_id);
        user.syncs = user.syncs.saturating_sub(1);
        user.gone_at = now.plus_ms(millis(if answered { OFFLINE_AFTER } else { CLOSED_AFTER }));
        let watch = user.syncs == 0 && !user.watched;
        user.watched |= watch;
        watch
    }

    /// Whether the user is gone by now.
    pub fn watch_presence(&self, user_id: &UserId, now: Timestamp) -> Watch {
        {
            let mut state = self.state();
            let user = state.presence.user(user_id);
            if user.syncs == 0 && user.gone_at > now {
                return Watch::Wait((user.gone_at.as_ms() - now.as_ms()).min(millis(CLOSED_AFTER)));
            }
            user.watched = false;
            if user.syncs > 0 {
                return Watch::Back;
            }
        }
        Watch::Gone { news: self.change_presence(user_id, |user| user.presence.state = PresenceState::Offline) }
    }

    fn change_presence(&self, user_id: &UserId, change: impl FnOnce(&mut User)) -> bool {
        let mut state = self.state();
        let user = state.presence.user(user_id);
        let (before, was) = (user.presence.clone(), user.version);
        change(user);
        let after = &user.presence;
        // When somebody was last active is told with the next real change: it is no news of its own.
        if (&before.state, &before.status_msg) == (&after.state, &after.status_msg) {
            return false;
        }
        let version = state.next_version();
        state.presence.user(user_id).version = version;
        state.presence.by_version.remove(&was);
        state.presence.by_version.insert(version, user_id.to_owned());
        true
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    #[test]
    fn who_syncs_is_there_until_some_time_after() {
        let user = user_id!("@u:t");
        let at = Timestamp::from_ms;
        let ephemeral = Ephemeral::new(at(0));
        assert_eq!(ephemeral.presence(user), None);
        assert!(ephemeral.sync_began(user, &PresenceState::Online, at(1)));
        assert!(!ephemeral.sync_began(user, &PresenceState::Online, at(2)), "a second client is no news");
        assert!(!ephemeral.sync_ended(user, true, at(3)), "one is left");
        assert!(ephemeral.sync_ended(user, true, at(4)), "the last one");
        let told = ephemeral.state().version;
        assert!(!ephemeral.sync_began(user, &PresenceState::Online, at(5)));
        assert!(!ephemeral.sync_ended(user, true, at(6)), "is watched already");
        assert_eq!(ephemeral.watch_presence(user, at(30_004)), Watch::Wait(2), "was back since");
        assert_eq!(ephemeral.watch_presence(user, at(30_006)), Watch::Gone { news: true });
        assert_eq!(ephemeral.presence(user).map(|presence| presence.state), Some(PresenceState::Offline));
        assert_eq!(ephemeral.state().presence.since(Some(told)), [user.to_owned()]);
    }

    #[test]
    fn who_has_closed_the_connection_is_gone_sooner() {
        let user = user_id!("@u:t");
        let at = Timestamp::from_ms;
        let ephemeral = Ephemeral::new(at(0));
        ephemeral.sync_began(user, &PresenceState::Online, at(0));
        assert!(ephemeral.sync_ended(user, true, at(1)));
        assert_eq!(
            ephemeral.watch_presence(user, at(10_001)),
            Watch::Wait(10_000),
            "it may be closed meanwhile: looks again"
        );
        ephemeral.sync_began(user, &PresenceState::Online, at(10_002));
        assert!(!ephemeral.sync_ended(user, false, at(10_003)), "is watched already");
        assert_eq!(ephemeral.watch_presence(user, at(20_001)), Watch::Wait(2));
        assert_eq!(ephemeral.watch_presence(user, at(20_003)), Watch::Gone { news: true });
        assert!(ephemeral.sync_began(user, &PresenceState::Online, at(20_004)), "loaded again");
    }

    #[test]
    fn who_only_says_so_stays_as_they_said() {
        let user = user_id!("@support:t");
        let ephemeral = Ephemeral::new(Timestamp::from_ms(0));
        assert!(ephemeral.set_presence(user, PresenceState::Online, Some("here".to_owned()), Timestamp::from_ms(1)));
        assert!(!ephemeral.set_presence(user, PresenceState::Online, Some("here".to_owned()), Timestamp::from_ms(2)));
        assert!(ephemeral.set_presence(user, PresenceState::Unavailable, None, Timestamp::from_ms(3)));
        assert_eq!(ephemeral.state().presence.since(None), [user.to_owned()], "one entry per user");
    }
}
