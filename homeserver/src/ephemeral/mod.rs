//! What is only in memory: who is typing, and who is there.
//!
//! One version counts all changes. It starts at the clock's milliseconds, so that a sync token from before a restart is
//! older than everything after it, and its carrier is told all there is.

mod presence;
mod typing;

use std::sync::{Mutex, MutexGuard, PoisonError};

use journal::Timestamp;
use ruma::{OwnedRoomId, OwnedUserId, UserId};
use serde_json::value::RawValue;

pub use presence::{CLOSED_AFTER, Presence, Watch};
pub use typing::TYPING_MAX;

/// Typing and presence of one server.
#[derive(Debug)]
pub struct Ephemeral(Mutex<State>);

#[derive(Debug)]
struct State {
    version: u64,
    typing: typing::Rooms,
    presence: presence::Users,
}

impl State {
    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }
}

impl Ephemeral {
    /// Nobody types, nobody is there.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self(Mutex::new(State {
            version: now.as_ms(),
            typing: typing::Rooms::default(),
            presence: presence::Users::default(),
        }))
    }

    /// As it is at `now`, for the engine.
    #[must_use]
    pub const fn at(&self, now: Timestamp) -> Snapshot<'_> {
        Snapshot { ephemeral: self, now }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole after each statement that changes it: a poisoned lock holds nothing broken.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Typing and presence at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    ephemeral: &'a Ephemeral,
    now: Timestamp,
}

impl engine::sync::Ephemeral for Snapshot<'_> {
    fn version(&self) -> u64 {
        self.ephemeral.state().version
    }

    fn typing_since(&self, version: Option<u64>) -> Vec<(OwnedRoomId, Vec<OwnedUserId>)> {
        self.ephemeral.state().typing.since(version)
    }

    fn presence_since(&self, version: Option<u64>) -> Vec<OwnedUserId> {
        self.ephemeral.state().presence.since(version)
    }

    fn presence_of(&self, user_id: &UserId) -> Option<Box<RawValue>> {
        self.ephemeral.presence(user_id).map(|presence| presence.event(user_id, self.now))
    }
}
