//! Message events: kept encrypted until they can be read, then handed on as posts.

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{PostBody, ReplyBody, Store, post, reply};
use crate::{clock::Millis, database::StoreError, seal::Sealer};

/// A message event that came in a transaction.
#[derive(Debug)]
pub struct WaitingEvent {
    /// Its id.
    pub event_id: String,
    /// Where.
    pub room_id: String,
    /// By whom.
    pub sender: String,
    /// The homeserver's time of it, bounded by when it arrived here.
    pub at_ms: Millis,
    /// When it arrived.
    pub received_ms: Millis,
    /// The whole event, as it came.
    pub json: String,
}

/// An event that waits to be read.
#[derive(Debug)]
pub struct Waiting {
    /// The event.
    pub event: WaitingEvent,
    /// From when on it may not be shown.
    pub expires_ms: Millis,
    /// Whether people were told that it can't be read.
    pub complained: bool,
}

/// What an event's content is sealed about.
const ABOUT: &str = "event";
/// How many waiting events are tried at once.
const WAITING_MAX: i64 = 200;

pub(super) fn insert(
    t: &Transaction<'_>,
    sealer: &Sealer,
    event: &WaitingEvent,
    lifetime_ms: Millis,
) -> Result<(), StoreError> {
    let shorter: Option<Option<Millis>> =
        t.query_row("SELECT lifetime_ms FROM room WHERE room_id = ?1", [&event.room_id], |row| row.get(0)).optional()?;
    let lifetime_ms = shorter.flatten().map_or(lifetime_ms, |shorter| shorter.clamp(0, lifetime_ms));
    let expires_ms = event.at_ms + lifetime_ms;
    let sealed = sealer.seal(expires_ms, ABOUT, event.json.as_bytes())?;
    t.execute(
        "INSERT INTO event (event_id, room_id, sender, at_ms, received_ms, expires_ms, content)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (event_id) DO NOTHING",
        params![event.event_id, event.room_id, event.sender, event.at_ms, event.received_ms, expires_ms, sealed],
    )?;
    Ok(())
}

/// A person took a message back: forget it here, and have the helpdesk forget it.
pub(super) fn redact(
    t: &Transaction<'_>,
    sealer: &Sealer,
    event_id: &str,
    now: Millis,
    lifetime_ms: Millis,
) -> Result<(), StoreError> {
    t.execute("UPDATE event SET content = NULL WHERE event_id = ?1", [event_id])?;
    let posted: Option<i64> =
        t.query_row("SELECT conversation_id FROM post WHERE key = ?1", [event_id], |row| row.get(0)).optional()?;
    if let Some(conversation_id) = posted {
        let body = PostBody::TakenBack { key: event_id.to_owned() };
        let key = format!("taken-back:{event_id}");
        post::insert(t, sealer, conversation_id, &key, now, now + lifetime_ms, &body)?;
    }
    Ok(())
}

impl Store {
    /// The events that still wait, oldest first.
    pub async fn waiting_events(&self, now: Millis) -> Result<Vec<Waiting>, StoreError> {
        self.database
            .run(move |t, sealer| {
                let mut query = t.prepare(
                    "SELECT event_id, room_id, sender, at_ms, received_ms, content, expires_ms, complained FROM event
                     WHERE content IS NOT NULL AND expires_ms > ?1 ORDER BY at_ms, arrival LIMIT ?2",
                )?;
                let mut rows = query.query(params![now, WAITING_MAX])?;
                let mut waiting = Vec::new();
                while let Some(row) = rows.next()? {
                    let sealed: Vec<u8> = row.get(5)?;
                    let Some(json) = sealer.open_sealed(ABOUT, &sealed)? else { continue };
                    let event = WaitingEvent {
                        event_id: row.get(0)?,
                        room_id: row.get(1)?,
                        sender: row.get(2)?,
                        at_ms: row.get(3)?,
                        received_ms: row.get(4)?,
                        json: String::from_utf8_lossy(&json).into_owned(),
                    };
                    waiting.push(Waiting { event, expires_ms: row.get(6)?, complained: row.get(7)? });
                }
                Ok(waiting)
            })
            .await
    }

    /// An event was read: it becomes a post to the room's conversation (opened by it, if none is open), or nothing.
    pub async fn event_read(&self, waiting: &Waiting, body: Option<PostBody>) -> Result<(), StoreError> {
        let event_id = waiting.event.event_id.clone();
        let room_id = waiting.event.room_id.clone();
        let (at_ms, expires_ms) = (waiting.event.at_ms, waiting.expires_ms);
        self.database
            .run(move |t, sealer| {
                // The row may have been emptied by a redaction meanwhile.
                let consumed =
                    t.execute("UPDATE event SET content = NULL WHERE event_id = ?1 AND content IS NOT NULL", [&event_id])?;
                if let (1, Some(body)) = (consumed, body) {
                    let conversation_id = open_conversation(t, &room_id, at_ms)?;
                    post::insert(t, sealer, conversation_id, &event_id, at_ms, expires_ms, &body)?;
                }
                Ok(())
            })
            .await
    }

    /// An event can't be read for now, or ever: agents see that there is something, and the sender is asked to send it
    /// again, each once.
    pub async fn event_unreadable(
        &self,
        waiting: &Waiting,
        note: PostBody,
        ask: ReplyBody,
        give_up: bool,
    ) -> Result<(), StoreError> {
        let event_id = waiting.event.event_id.clone();
        let room_id = waiting.event.room_id.clone();
        let (at_ms, expires_ms) = (waiting.event.at_ms, waiting.expires_ms);
        self.database
            .run(move |t, sealer| {
                t.execute(
                    "UPDATE event SET complained = 1, content = CASE WHEN ?2 THEN NULL ELSE content END
                     WHERE event_id = ?1",
                    params![event_id, give_up],
                )?;
                let conversation_id = open_conversation(t, &room_id, at_ms)?;
                let key = format!("unreadable:{event_id}");
                post::insert(t, sealer, conversation_id, &key, at_ms, expires_ms, &note)?;
                reply::insert(t, sealer, conversation_id, &key, expires_ms, &ask)?;
                Ok(())
            })
            .await
    }

    /// The other side has left, or support was put out: the conversation ends, and the helpdesk learns why.
    pub async fn conversation_over(&self, room_id: String, note: PostBody, now: Millis) -> Result<(), StoreError> {
        let expires_ms = now + self.lifetime_ms;
        self.database
            .run(move |t, sealer| {
                let open: Option<i64> = t
                    .query_row(
                        "SELECT conversation_id FROM conversation WHERE room_id = ?1 AND closed_ms IS NULL",
                        [&room_id],
                        |row| row.get(0),
                    )
                    .optional()?;
                let Some(conversation_id) = open else { return Ok(()) };
                t.execute(
                    "UPDATE conversation SET closed_ms = ?2 WHERE conversation_id = ?1",
                    params![conversation_id, now],
                )?;
                let key = format!("over:{conversation_id}");
                post::insert(t, sealer, conversation_id, &key, now, expires_ms, &note)?;
                Ok(())
            })
            .await
    }

    /// The ticket of the conversation that is open in a room, if it has one by now.
    pub async fn ticket_of_room(&self, room_id: String) -> Result<Option<String>, StoreError> {
        let query = "SELECT ticket FROM conversation WHERE room_id = ?1 AND closed_ms IS NULL AND ticket IS NOT NULL";
        self.database.run(move |t, _| Ok(t.query_row(query, [room_id], |row| row.get(0)).optional()?)).await
    }

    /// The room of a ticket whose conversation is open.
    pub async fn room_of_ticket(&self, ticket: String) -> Result<Option<String>, StoreError> {
        let query = "SELECT room_id FROM conversation WHERE ticket = ?1 AND closed_ms IS NULL";
        self.database.run(move |t, _| Ok(t.query_row(query, [ticket], |row| row.get(0)).optional()?)).await
    }

    /// Rooms support has left that still have an open conversation.
    pub async fn conversations_without_room(&self) -> Result<Vec<String>, StoreError> {
        self.database
            .run(|t, _| {
                let mut query = t.prepare(
                    "SELECT conversation.room_id FROM conversation LEFT JOIN room USING (room_id)
                     WHERE conversation.closed_ms IS NULL AND COALESCE(room.membership, 'leave') = 'leave'
                       AND NOT EXISTS (SELECT 1 FROM event WHERE event.room_id = conversation.room_id
                                       AND event.content IS NOT NULL AND event.complained = 0)",
                )?;
                Ok(query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
            })
            .await
    }
}

/// The conversation that is open in a room; one is opened if there is none.
fn open_conversation(t: &Transaction<'_>, room_id: &str, at_ms: Millis) -> Result<i64, StoreError> {
    t.execute(
        "INSERT INTO conversation (room_id, opened_ms) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        params![room_id, at_ms],
    )?;
    Ok(t.query_row("SELECT conversation_id FROM conversation WHERE room_id = ?1 AND closed_ms IS NULL", [room_id], |row| {
        row.get(0)
    })?)
}
