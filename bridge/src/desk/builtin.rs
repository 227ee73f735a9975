//! The desk that needs nothing: tickets in a database of its own, a page for agents.
//!
//! It is an adapter like any other: the bridge reaches it only through [`Helpdesk`](super::Helpdesk), and what agents do
//! on the page comes back through `replies`.

mod adapter;
mod agent;
mod ticket;
pub mod web;

use std::{path::PathBuf, sync::Arc};

use tokio::sync::{Notify, watch};

use crate::{
    clock::{Millis, now_ms},
    database::Database,
    typing::{AGENT_MS, Typing},
};

pub use ticket::Answer;

/// The tables. Times are milliseconds since the epoch; `body` and `contact` are sealed.
pub const MIGRATIONS: &[&str] = &["
CREATE TABLE ticket (
  ticket_id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, contact BLOB, left_message INTEGER NOT NULL,
  opened_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL, closed_ms INTEGER, agent TEXT) STRICT;
CREATE INDEX ticket_open ON ticket (opened_ms) WHERE closed_ms IS NULL;

-- Ids are never used again, so that they serve as the cursor. Author: person, agent, bridge; or an act: closed, seen.
CREATE TABLE entry (
  entry_id INTEGER PRIMARY KEY AUTOINCREMENT, ticket_id INTEGER NOT NULL REFERENCES ticket ON DELETE CASCADE,
  key TEXT NOT NULL UNIQUE, author TEXT NOT NULL, agent TEXT, at_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,
  body BLOB, file TEXT) STRICT;
CREATE INDEX entry_of_ticket ON entry (ticket_id, entry_id);
CREATE INDEX entry_expiry ON entry (expires_ms);

CREATE TABLE agent (name TEXT PRIMARY KEY, on_duty INTEGER NOT NULL DEFAULT 0, seen_ms INTEGER NOT NULL) STRICT;
-- Sessions of agents; only a hash of the cookie.
CREATE TABLE session (hash BLOB PRIMARY KEY, agent TEXT NOT NULL, expires_ms INTEGER NOT NULL) STRICT;
"];

/// The built-in desk. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    database: Database,
    /// Where files are, sealed.
    files: Arc<PathBuf>,
    lifetime_ms: Millis,
    /// Wakes the bridge when an agent did something.
    bridge: Arc<Notify>,
    /// Tickets whose person is typing.
    people: Typing,
    /// Tickets that an agent is typing an answer to.
    agents: Typing,
    /// Counts changes, for pages that watch.
    changes: Arc<watch::Sender<u64>>,
}

impl Desk {
    /// A desk on an opened database, with its files in `files`.
    pub fn new(database: Database, files: PathBuf, lifetime_ms: Millis, bridge: Arc<Notify>) -> Self {
        let (changes, _) = watch::channel(0);
        Self {
            database,
            files: Arc::new(files),
            lifetime_ms,
            bridge,
            people: Typing::default(),
            agents: Typing::default(),
            changes: Arc::new(changes),
        }
    }

    /// An agent is typing an answer, or has stopped.
    pub fn agent_types(&self, ticket_id: i64, typing: bool) {
        let now = now_ms();
        if self.agents.set(&ticket_id.to_string(), typing.then_some(now + AGENT_MS), now) {
            self.bridge.notify_one();
        }
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Sees every change from now on.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

#[cfg(test)]
#[path = "builtin/tests.rs"]
mod tests;
