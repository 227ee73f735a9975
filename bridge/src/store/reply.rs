//! What goes to the rooms.

use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::{Deserialize, Serialize};

use super::{Store, queue::Queue};
use crate::{
    clock::Millis,
    database::StoreError,
    desk::{Reply, ReplyKind},
    seal::Sealer,
};

/// What is said in the room.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ReplyBody {
    /// An agent wrote something.
    Message {
        /// The agent's name.
        agent: String,
        /// The text.
        text: String,
    },
    /// An agent ended the chat.
    Closed {
        /// The agent's name, if it was a person.
        agent: Option<String>,
    },
    /// An agent has seen what was written up to this event.
    Seen {
        /// The event.
        event_id: String,
    },
    /// The bridge itself has something to say.
    Notice {
        /// The sentence.
        text: String,
    },
}

/// A reply that is due.
#[derive(Debug)]
pub struct PendingReply {
    /// Its row.
    pub reply_id: i64,
    /// The conversation it belongs to.
    pub conversation_id: i64,
    /// The conversation's room.
    pub room_id: String,
    /// What the Matrix transaction id is made from.
    pub key: String,
    /// How often it was tried.
    pub attempts: u32,
    /// What it says.
    pub body: ReplyBody,
}

/// The fact that holds the helpdesk's cursor.
const CURSOR: &str = "cursor";
const REPLIES: Queue = Queue("reply");

pub(super) fn insert(
    t: &Transaction<'_>,
    sealer: &Sealer,
    conversation_id: i64,
    key: &str,
    expires_ms: Millis,
    body: &ReplyBody,
) -> Result<(), StoreError> {
    let sealed = sealer.seal(expires_ms, REPLIES.0, &serde_json::to_vec(body)?)?;
    t.execute(
        "INSERT INTO reply (conversation_id, key, expires_ms, body) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (key) DO NOTHING",
        params![conversation_id, key, expires_ms, sealed],
    )?;
    Ok(())
}

impl Store {
    /// How far the helpdesk's replies were read; empty at the beginning.
    pub async fn cursor(&self) -> Result<String, StoreError> {
        Ok(self.fact(CURSOR).await?.unwrap_or_default())
    }

    /// Keeps replies and how far they reach, at once; says how many belong to a conversation.
    pub async fn keep_replies(&self, replies: Vec<Reply>, cursor: String) -> Result<usize, StoreError> {
        let lifetime_ms = self.lifetime_ms;
        self.database
            .run(move |t, sealer| {
                let mut kept = 0;
                for reply in replies {
                    let conversation_id: Option<i64> = t
                        .query_row("SELECT conversation_id FROM conversation WHERE ticket = ?1", [&reply.ticket], |row| {
                            row.get(0)
                        })
                        .optional()?;
                    // A ticket that is not a chat of ours, or one that is long over.
                    let Some(conversation_id) = conversation_id else { continue };
                    let body = match reply.kind {
                        ReplyKind::Message { agent, text } => ReplyBody::Message { agent, text },
                        ReplyKind::Closed { agent } => ReplyBody::Closed { agent },
                        ReplyKind::Seen { key } => ReplyBody::Seen { event_id: key },
                    };
                    let key = format!("desk:{}", reply.reply);
                    insert(t, sealer, conversation_id, &key, reply.at_ms + lifetime_ms, &body)?;
                    kept += 1;
                }
                t.execute(
                    "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2",
                    params![CURSOR, cursor],
                )?;
                Ok(kept)
            })
            .await
    }

    /// The next reply to each room that is due, oldest first.
    pub async fn replies_due(&self, now: Millis) -> Result<Vec<PendingReply>, StoreError> {
        let columns = "reply.reply_id, reply.conversation_id, conversation.room_id, reply.key, reply.attempts";
        self.database
            .run(move |t, sealer| {
                REPLIES.due(t, sealer, now, columns, |row, body| {
                    Ok(PendingReply {
                        reply_id: row.get(0)?,
                        conversation_id: row.get(1)?,
                        room_id: row.get(2)?,
                        key: row.get(3)?,
                        attempts: row.get(4)?,
                        body: serde_json::from_slice(body)?,
                    })
                })
            })
            .await
    }

    /// The homeserver has the reply.
    pub async fn reply_done(&self, reply_id: i64) -> Result<(), StoreError> {
        self.database.run(move |t, _| REPLIES.done(t, reply_id)).await
    }

    /// The chat was closed in the room: the conversation is over, and a later message opens another.
    pub async fn reply_closed(&self, reply: &PendingReply, now: Millis) -> Result<(), StoreError> {
        let (reply_id, conversation_id) = (reply.reply_id, reply.conversation_id);
        self.database
            .run(move |t, _| {
                REPLIES.done(t, reply_id)?;
                t.execute(
                    "UPDATE conversation SET closed_ms = ?2 WHERE conversation_id = ?1 AND closed_ms IS NULL",
                    params![conversation_id, now],
                )?;
                Ok(())
            })
            .await
    }

    /// The homeserver could not be reached: come again at `next_ms`.
    pub async fn reply_delayed(&self, reply_id: i64, next_ms: Millis) -> Result<(), StoreError> {
        self.database.run(move |t, _| REPLIES.delayed(t, reply_id, next_ms)).await
    }
}
