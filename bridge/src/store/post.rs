//! What goes to the helpdesk.

use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::{Deserialize, Serialize};

use super::{Store, queue::Queue};
use crate::{clock::Millis, database::StoreError, seal::Sealer};

/// A file in a message: where it is and how it is decrypted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PostedFile {
    /// What the sender calls it.
    pub name: String,
    /// Its media type, as the sender says.
    pub media_type: String,
    /// Its size in bytes, as the sender says.
    pub size_bytes: Option<u64>,
    /// `mxc://…`
    pub url: String,
    /// The `file` object of the event (keys, hash) as JSON.
    pub encryption: String,
}

/// What is posted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PostBody {
    /// A person wrote something.
    Message {
        /// The sender's name in the room.
        name: String,
        /// The text.
        text: String,
    },
    /// A person sent a file.
    File {
        /// The sender's name in the room.
        name: String,
        /// The file.
        file: PostedFile,
    },
    /// The bridge has something to say to the agent.
    Note {
        /// The sentence.
        text: String,
    },
    /// A person took a message back.
    TakenBack {
        /// The key it was posted with.
        key: String,
    },
    /// The chat is over on the other side.
    Over {
        /// The sentence that says why.
        text: String,
    },
}

/// A post that is due.
#[derive(Debug)]
pub struct Post {
    /// Its row.
    pub post_id: i64,
    /// The conversation it belongs to.
    pub conversation_id: i64,
    /// The conversation's room.
    pub room_id: String,
    /// The conversation's ticket, once it has one.
    pub ticket: Option<String>,
    /// When the conversation began.
    pub opened_ms: Millis,
    /// What the helpdesk recognises a repetition by.
    pub key: String,
    /// When it was written.
    pub at_ms: Millis,
    /// From when on it may not be shown.
    pub expires_ms: Millis,
    /// How often it was tried.
    pub attempts: u32,
    /// What it says.
    pub body: PostBody,
}

const POSTS: Queue = Queue("post");

pub(super) fn insert(
    t: &Transaction<'_>,
    sealer: &Sealer,
    conversation_id: i64,
    key: &str,
    at_ms: Millis,
    expires_ms: Millis,
    body: &PostBody,
) -> Result<(), StoreError> {
    let sealed = sealer.seal(expires_ms, POSTS.0, &serde_json::to_vec(body)?)?;
    t.execute(
        "INSERT INTO post (conversation_id, key, at_ms, expires_ms, body) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (key) DO NOTHING",
        params![conversation_id, key, at_ms, expires_ms, sealed],
    )?;
    Ok(())
}

impl Store {
    /// The next post to each conversation's ticket that is due, oldest first.
    pub async fn posts_due(&self, now: Millis) -> Result<Vec<Post>, StoreError> {
        let columns = "post.post_id, post.conversation_id, conversation.room_id, conversation.ticket,
                       conversation.opened_ms, post.key, post.at_ms, post.expires_ms, post.attempts";
        self.database
            .run(move |t, sealer| {
                POSTS.due(t, sealer, now, columns, |row, body| {
                    Ok(Post {
                        post_id: row.get(0)?,
                        conversation_id: row.get(1)?,
                        room_id: row.get(2)?,
                        ticket: row.get(3)?,
                        opened_ms: row.get(4)?,
                        key: row.get(5)?,
                        at_ms: row.get(6)?,
                        expires_ms: row.get(7)?,
                        attempts: row.get(8)?,
                        body: serde_json::from_slice(body)?,
                    })
                })
            })
            .await
    }

    /// The helpdesk has the post: its body is dropped here.
    pub async fn post_done(&self, post_id: i64) -> Result<(), StoreError> {
        self.database.run(move |t, _| POSTS.done(t, post_id)).await
    }

    /// The helpdesk could not be reached: come again at `next_ms`.
    pub async fn post_delayed(&self, post_id: i64, next_ms: Millis) -> Result<(), StoreError> {
        self.database.run(move |t, _| POSTS.delayed(t, post_id, next_ms)).await
    }

    /// Puts a note to the agent in place of a post that can't be delivered as it is.
    pub async fn post_becomes(&self, post: &Post, body: PostBody) -> Result<(), StoreError> {
        let (post_id, expires_ms) = (post.post_id, post.expires_ms);
        self.database
            .run(move |t, sealer| {
                let sealed = sealer.seal(expires_ms, POSTS.0, &serde_json::to_vec(&body)?)?;
                t.execute(
                    "UPDATE post SET body = ?2, attempts = 0, next_ms = 0 WHERE post_id = ?1",
                    params![post_id, sealed],
                )?;
                Ok(())
            })
            .await
    }

    /// Remembers which ticket a conversation has.
    pub async fn ticket_opened(&self, conversation_id: i64, ticket: String) -> Result<(), StoreError> {
        self.database
            .run(move |t, _| {
                t.execute(
                    "UPDATE conversation SET ticket = ?2 WHERE conversation_id = ?1",
                    params![conversation_id, ticket],
                )?;
                Ok(())
            })
            .await
    }

    /// Says something to the agent of a conversation, once for each `key`.
    pub async fn note(&self, conversation_id: i64, key: String, text: String, now: Millis) -> Result<(), StoreError> {
        let expires_ms = now + self.lifetime_ms;
        self.database
            .run(move |t, sealer| {
                let known: Option<i64> = t
                    .query_row(
                        "SELECT conversation_id FROM conversation WHERE conversation_id = ?1",
                        [conversation_id],
                        |row| row.get(0),
                    )
                    .optional()?;
                if known.is_some() {
                    insert(t, sealer, conversation_id, &key, now, expires_ms, &PostBody::Note { text })?;
                }
                Ok(())
            })
            .await
    }
}
