//! What the bridge remembers between two instants: every step is a row before it is an act.
//!
//! ```text
//! homeserver ─▶ inbox ─▶ event ─▶ post ─▶ helpdesk        (what people write)
//! homeserver ◀─ reply ◀──────────────────┘ replies(cursor) (what agents answer)
//! ```
//!
//! Each arrow is one transaction that consumes a row on its left and makes one on its right, so that a process killed at
//! any point goes on where it was. What leaves the machine carries an idempotency key taken from the row: the transaction
//! id of an event, the event id of a post.

mod inbox;
mod post;
mod queue;
mod reply;
mod room;
mod timeline;

pub use post::{Post, PostBody, PostedFile};
pub use reply::{PendingReply, ReplyBody};
pub use room::{Membership, Room, RoomChange};
pub use timeline::{Waiting, WaitingEvent};

use rusqlite::{OptionalExtension as _, Transaction, params};

use crate::{
    clock::Millis,
    database::{Database, StoreError},
};

/// The tables. Times are milliseconds since the epoch; `…content` and `…body` columns are sealed.
pub const MIGRATIONS: &[&str] = &["
-- One-row facts: device id, crypto set-up done, cursor of the helpdesk.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

-- Transactions as they came, consumed in order. The body goes when it is consumed, the id stays to recognise a repetition.
CREATE TABLE inbox (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, txn_id TEXT NOT NULL UNIQUE, received_ms INTEGER NOT NULL, body BLOB) STRICT;
CREATE INDEX inbox_waiting ON inbox (seq) WHERE body IS NOT NULL;

-- Rooms support is or was invited to; removed when left and nothing is pending.
CREATE TABLE room (
  room_id TEXT PRIMARY KEY, membership TEXT NOT NULL, state_loaded INTEGER NOT NULL DEFAULT 0, encryption TEXT,
  history_visibility TEXT, lifetime_ms INTEGER, changed_ms INTEGER NOT NULL) STRICT;
CREATE TABLE member (
  room_id TEXT NOT NULL REFERENCES room ON DELETE CASCADE, user_id TEXT NOT NULL, membership TEXT NOT NULL,
  display_name TEXT, PRIMARY KEY (room_id, user_id)) STRICT;

-- One support chat: from a person's first message until either side ends it.
CREATE TABLE conversation (
  conversation_id INTEGER PRIMARY KEY AUTOINCREMENT, room_id TEXT NOT NULL, opened_ms INTEGER NOT NULL,
  closed_ms INTEGER, ticket TEXT UNIQUE) STRICT;
CREATE UNIQUE INDEX conversation_open ON conversation (room_id) WHERE closed_ms IS NULL;

-- Every message event seen, to know a repetition; content only until it is decrypted and handed on.
CREATE TABLE event (
  arrival INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL UNIQUE, room_id TEXT NOT NULL, sender TEXT NOT NULL,
  at_ms INTEGER NOT NULL, received_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, content BLOB,
  complained INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX event_waiting ON event (arrival) WHERE content IS NOT NULL;
CREATE INDEX event_expiry ON event (expires_ms);

-- What goes to the helpdesk, in order within a conversation. The key is what the helpdesk recognises a repetition by.
CREATE TABLE post (
  post_id INTEGER PRIMARY KEY AUTOINCREMENT, conversation_id INTEGER NOT NULL REFERENCES conversation ON DELETE CASCADE,
  key TEXT NOT NULL UNIQUE, at_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, body BLOB, done INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0, next_ms INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX post_pending ON post (conversation_id, post_id) WHERE done = 0;
CREATE INDEX post_expiry ON post (expires_ms);

-- What goes to the room, in order within a conversation. The Matrix transaction id is made from the key.
CREATE TABLE reply (
  reply_id INTEGER PRIMARY KEY AUTOINCREMENT, conversation_id INTEGER NOT NULL REFERENCES conversation ON DELETE CASCADE,
  key TEXT NOT NULL UNIQUE, expires_ms INTEGER NOT NULL, body BLOB, done INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0, next_ms INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX reply_pending ON reply (conversation_id, reply_id) WHERE done = 0;
CREATE INDEX reply_expiry ON reply (expires_ms);

-- Proof of erasure: which ticket, up to when, how much, when. Never content.
CREATE TABLE erasure (
  erasure_id INTEGER PRIMARY KEY AUTOINCREMENT, ticket TEXT NOT NULL, before_ms INTEGER NOT NULL,
  erased INTEGER NOT NULL, at_ms INTEGER NOT NULL) STRICT;
"];

/// How long a transaction id is remembered. A homeserver repeats a transaction within minutes, or after it was down.
const TRANSACTION_MEMORY_MS: Millis = 7 * 24 * 3600 * 1000;
/// How long the proof of an erasure is kept.
const ERASURE_MEMORY_MS: Millis = 90 * 24 * 3600 * 1000;

/// The bridge's rows. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    database: Database,
    /// How long content may live, at most.
    lifetime_ms: Millis,
}

impl Store {
    /// Wraps an opened database; content lives `lifetime_ms` at most.
    pub fn new(database: Database, lifetime_ms: Millis) -> Self {
        Self { database, lifetime_ms }
    }

    /// One of the one-row facts.
    pub async fn fact(&self, key: &'static str) -> Result<Option<String>, StoreError> {
        self.database
            .run(move |t, _| Ok(t.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()?))
            .await
    }

    /// Sets a fact if it isn't set yet, and says which value holds: what is made once survives a crash in between.
    pub async fn fact_or(&self, key: &'static str, value: String) -> Result<String, StoreError> {
        self.database
            .run(move |t, _| {
                t.execute("INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING", params![key, value])?;
                Ok(t.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))?)
            })
            .await
    }

    /// Tickets whose conversation holds posts that have expired by `now`, with how far they must be erased.
    pub async fn erasures_due(&self, now: Millis) -> Result<Vec<String>, StoreError> {
        self.database
            .run(move |t, _| {
                let mut query = t.prepare(
                    "SELECT ticket FROM conversation WHERE ticket IS NOT NULL AND (
                       EXISTS (SELECT 1 FROM post WHERE post.conversation_id = conversation.conversation_id
                               AND post.expires_ms <= ?1)
                       OR EXISTS (SELECT 1 FROM reply WHERE reply.conversation_id = conversation.conversation_id
                               AND reply.expires_ms <= ?1))",
                )?;
                let tickets = query.query_map([now], |row| row.get(0))?.collect::<Result<_, _>>()?;
                Ok(tickets)
            })
            .await
    }

    /// Records that the helpdesk has erased, and forgets what was posted to it until then.
    pub async fn erased(&self, ticket: String, before: Millis, erased: i64, now: Millis) -> Result<(), StoreError> {
        self.database
            .run(move |t, _| {
                if erased > 0 {
                    t.execute(
                        "INSERT INTO erasure (ticket, before_ms, erased, at_ms) VALUES (?1, ?2, ?3, ?4)",
                        params![ticket, before, erased, now],
                    )?;
                }
                for table in ["post", "reply"] {
                    t.execute(
                        &format!(
                            "DELETE FROM {table} WHERE expires_ms <= ?2 AND conversation_id =
                               (SELECT conversation_id FROM conversation WHERE ticket = ?1)"
                        ),
                        params![ticket, before],
                    )?;
                }
                Ok(())
            })
            .await
    }

    /// Destroys the keys of what has expired and removes its rows. What is still owed to a helpdesk or a room goes too:
    /// nobody may read it any more.
    pub async fn expire(&self, now: Millis) -> Result<(), StoreError> {
        let changed = self
            .database
            .run(move |t, sealer| {
                sealer.destroy_expired(now)?;
                let mut changed = t.execute("DELETE FROM event WHERE expires_ms <= ?1", [now])?;
                // Posts and replies of conversations with a ticket stay until the helpdesk has erased its copy.
                for table in ["post", "reply"] {
                    changed += t.execute(
                        &format!(
                            "UPDATE {table} SET body = NULL, done = 1 WHERE expires_ms <= ?1
                             AND (body IS NOT NULL OR done = 0)"
                        ),
                        [now],
                    )?;
                    changed += t.execute(
                        &format!(
                            "DELETE FROM {table} WHERE expires_ms <= ?1 AND conversation_id IN
                               (SELECT conversation_id FROM conversation WHERE ticket IS NULL)"
                        ),
                        [now],
                    )?;
                }
                changed += forget_old(t, now)?;
                Ok(changed)
            })
            .await?;
        if changed > 0 {
            self.database.truncate_log().await?;
        }
        Ok(())
    }
}

fn forget_old(t: &Transaction<'_>, now: Millis) -> Result<usize, StoreError> {
    let mut changed =
        t.execute("DELETE FROM inbox WHERE body IS NULL AND received_ms <= ?1", [now - TRANSACTION_MEMORY_MS])?;
    changed += t.execute("DELETE FROM erasure WHERE at_ms <= ?1", [now - ERASURE_MEMORY_MS])?;
    changed += t.execute(
        "DELETE FROM conversation WHERE closed_ms IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM post WHERE post.conversation_id = conversation.conversation_id)
           AND NOT EXISTS (SELECT 1 FROM reply WHERE reply.conversation_id = conversation.conversation_id)",
        [],
    )?;
    changed += t.execute(
        "DELETE FROM room WHERE membership = 'leave'
           AND NOT EXISTS (SELECT 1 FROM conversation WHERE conversation.room_id = room.room_id)
           AND NOT EXISTS (SELECT 1 FROM event WHERE event.room_id = room.room_id AND content IS NOT NULL)",
        [],
    )?;
    Ok(changed)
}

#[cfg(test)]
#[path = "store/tests.rs"]
mod tests;
