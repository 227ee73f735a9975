//! Transactions as the homeserver sent them.

use bytes::Bytes;
use rusqlite::{OptionalExtension as _, params};

use super::{RoomChange, Store, WaitingEvent, room, timeline};
use crate::{clock::Millis, database::StoreError};

/// A transaction to be worked on.
#[derive(Debug)]
pub struct Received {
    /// Its place in the order of arrival.
    pub seq: i64,
    /// When it arrived.
    pub received_ms: Millis,
    /// The body, as it came.
    pub body: Bytes,
}

/// What a transaction's body is sealed about.
const ABOUT: &str = "inbox";

impl Store {
    /// Keeps a transaction unless one of this id was kept before; says whether it is new.
    pub async fn keep_transaction(&self, txn_id: String, body: Bytes, now: Millis) -> Result<bool, StoreError> {
        let expires_ms = now + self.lifetime_ms;
        self.database
            .run(move |t, sealer| {
                let known: Option<i64> =
                    t.query_row("SELECT seq FROM inbox WHERE txn_id = ?1", [&txn_id], |row| row.get(0)).optional()?;
                if known.is_some() {
                    return Ok(false);
                }
                let sealed = sealer.seal(expires_ms, ABOUT, &body)?;
                t.execute(
                    "INSERT INTO inbox (txn_id, received_ms, body) VALUES (?1, ?2, ?3)",
                    params![txn_id, now, sealed],
                )?;
                Ok(true)
            })
            .await
    }

    /// The oldest transaction not worked on yet.
    pub async fn next_transaction(&self) -> Result<Option<Received>, StoreError> {
        self.database
            .run(|t, sealer| {
                let row: Option<(i64, Millis, Vec<u8>)> = t
                    .query_row(
                        "SELECT seq, received_ms, body FROM inbox WHERE body IS NOT NULL ORDER BY seq LIMIT 1",
                        [],
                        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
                    )
                    .optional()?;
                let Some((seq, received_ms, sealed)) = row else { return Ok(None) };
                // One that lay here until its content expired counts as empty.
                let body = sealer.open_sealed(ABOUT, &sealed)?;
                let body = body.map_or_else(|| Bytes::from_static(b"{}"), |body| Bytes::from(body.to_vec()));
                Ok(Some(Received { seq, received_ms, body }))
            })
            .await
    }

    /// Turns a transaction into what follows from it, at once: changed rooms, events waiting to be decrypted, messages
    /// taken back.
    pub async fn consume_transaction(
        &self,
        seq: i64,
        changes: Vec<RoomChange>,
        events: Vec<WaitingEvent>,
        redacted: Vec<String>,
        now: Millis,
    ) -> Result<(), StoreError> {
        let lifetime_ms = self.lifetime_ms;
        self.database
            .run(move |t, sealer| {
                room::take_in(t, sealer, &changes, &events, now, lifetime_ms)?;
                for event_id in &redacted {
                    timeline::redact(t, sealer, event_id, now, lifetime_ms)?;
                }
                t.execute("UPDATE inbox SET body = NULL WHERE seq = ?1", [seq])?;
                Ok(())
            })
            .await
    }
}
