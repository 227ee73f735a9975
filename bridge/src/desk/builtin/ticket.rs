//! What agents see and do.

use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::{Deserialize, Serialize};

use super::{
    Desk,
    adapter::{BODY, CONTACT, FILE, NewEntry, insert},
};
use crate::{
    clock::{Millis, now_ms},
    database::StoreError,
    seal::Sealer,
};

/// How many tickets the page lists: the open ones, and the last closed ones while they still say something.
const TICKETS_MAX: i64 = 200;

/// How much of a message the queue shows, in characters.
const PREVIEW_CHARS_MAX: usize = 160;

/// What an entry says; sealed in its row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Body {
    /// The person's name.
    pub name: Option<String>,
    /// The text; of a `seen` entry, the key of what was seen.
    pub text: String,
    /// The file, if it is one.
    pub file: Option<FileInfo>,
}

/// A file, to the page.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FileInfo {
    /// Its name.
    pub name: String,
    /// Its media type, as the sender says.
    pub media_type: String,
    /// Its size in bytes.
    pub size_bytes: u64,
}

impl Body {
    pub(super) fn seal(&self, sealer: &Sealer, expires_ms: Millis) -> Result<Vec<u8>, StoreError> {
        Ok(sealer.seal(expires_ms, BODY, &serde_json::to_vec(self)?)?)
    }

    pub(super) fn open(sealer: &Sealer, sealed: &[u8]) -> Result<Option<Self>, StoreError> {
        sealer.open_sealed(BODY, sealed)?.map(|body| Ok(serde_json::from_slice(&body)?)).transpose()
    }
}

/// A line of the queue.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The ticket's number.
    pub id: i64,
    /// What the person is called, until that expires.
    pub contact: Option<String>,
    /// When the chat began.
    pub opened_ms: Millis,
    /// When something last happened.
    pub changed_ms: Millis,
    /// Whether it is over.
    pub closed: bool,
    /// Whether nobody was on duty when it began.
    pub left_message: bool,
    /// Who answered first.
    pub agent: Option<String>,
    /// Whether the last word is the person's.
    pub waiting: bool,
    /// How many of the person's messages nobody has looked at.
    pub unseen: i64,
    /// How the person's last message begins.
    pub preview: Option<String>,
}

/// One thing in a ticket.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Its number.
    pub id: i64,
    /// `person`, `agent`, `bridge` or `closed`.
    pub author: String,
    /// The name of the person or the agent.
    pub name: Option<String>,
    /// The text.
    pub text: String,
    /// When.
    pub at_ms: Millis,
    /// When it disappears.
    pub expires_ms: Millis,
    /// The file, to be fetched by the entry's number.
    pub file: Option<FileInfo>,
}

/// A ticket, whole.
#[derive(Clone, Debug, Serialize)]
pub struct Ticket {
    /// As in the queue.
    #[serde(flatten)]
    pub summary: Summary,
    /// Whether the person is typing.
    pub typing: bool,
    /// Oldest first.
    pub entries: Vec<Entry>,
}

/// What an agent writes.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Made by the page, the same when it sends again: one answer, once.
    pub key: String,
    /// Who writes.
    pub agent: String,
    /// What.
    pub text: String,
}

const SUMMARY: &str = "SELECT ticket_id, contact, opened_ms, changed_ms, closed_ms IS NOT NULL, left_message, agent,
    COALESCE((SELECT author = 'person' FROM entry WHERE entry.ticket_id = ticket.ticket_id
              AND author IN ('person', 'agent') AND expires_ms > ?1 ORDER BY entry_id DESC LIMIT 1), 0),
    (SELECT COUNT(*) FROM entry WHERE entry.ticket_id = ticket.ticket_id AND author = 'person' AND expires_ms > ?1
       AND entry_id > COALESCE((SELECT MAX(entry_id) FROM entry AS seen WHERE seen.ticket_id = ticket.ticket_id
                                AND seen.author IN ('agent', 'seen')), 0)),
    (SELECT body FROM entry WHERE entry.ticket_id = ticket.ticket_id AND author = 'person' AND expires_ms > ?1
       ORDER BY entry_id DESC LIMIT 1)
    FROM ticket";

impl Desk {
    /// Open tickets, who waits longest first; then closed ones that still have content.
    pub async fn queue(&self) -> Result<Vec<Summary>, StoreError> {
        let now = now_ms();
        self.database
            .run(move |t, sealer| {
                let mut query = t.prepare(&format!(
                    "{SUMMARY} WHERE closed_ms IS NULL OR EXISTS (SELECT 1 FROM entry
                       WHERE entry.ticket_id = ticket.ticket_id AND expires_ms > ?1)
                     ORDER BY closed_ms IS NOT NULL, 8 DESC, changed_ms DESC LIMIT ?2"
                ))?;
                let mut rows = query.query(params![now, TICKETS_MAX])?;
                let mut queue = Vec::new();
                while let Some(row) = rows.next()? {
                    queue.push(summary(row, sealer)?);
                }
                Ok(queue)
            })
            .await
    }

    /// A ticket with everything in it that has not expired.
    pub async fn ticket(&self, ticket_id: i64) -> Result<Option<Ticket>, StoreError> {
        let now = now_ms();
        let typing = self.people.places(now).contains(&ticket_id.to_string());
        self.database
            .run(move |t, sealer| {
                let mut query = t.prepare(&format!("{SUMMARY} WHERE ticket_id = ?2"))?;
                let mut rows = query.query(params![now, ticket_id])?;
                let Some(row) = rows.next()? else { return Ok(None) };
                let summary = summary(row, sealer)?;
                Ok(Some(Ticket { summary, typing, entries: entries(t, sealer, ticket_id, now)? }))
            })
            .await
    }

    /// An agent answers; says whether there is such an open ticket.
    pub async fn answer(&self, ticket_id: i64, answer: Answer) -> Result<bool, StoreError> {
        let now = now_ms();
        let expires_ms = now + self.lifetime_ms;
        let done = self
            .database
            .run(move |t, sealer| {
                if !is_open(t, ticket_id)? {
                    return Ok(false);
                }
                let entry = NewEntry {
                    ticket_id,
                    key: &format!("answer:{}", answer.key),
                    author: "agent",
                    agent: Some(&answer.agent),
                    at_ms: now,
                    expires_ms,
                    file: None,
                };
                insert(t, sealer, &entry, &Body { name: None, text: answer.text, file: None })?;
                t.execute(
                    "UPDATE ticket SET agent = COALESCE(agent, ?2) WHERE ticket_id = ?1",
                    params![ticket_id, answer.agent],
                )?;
                Ok(true)
            })
            .await?;
        self.acted();
        Ok(done)
    }

    /// An agent ends the chat; says whether there is such a ticket.
    pub async fn end(&self, ticket_id: i64, agent: String) -> Result<bool, StoreError> {
        let now = now_ms();
        let expires_ms = now + self.lifetime_ms;
        let done = self
            .database
            .run(move |t, sealer| {
                if !is_open(t, ticket_id)? {
                    let query = "SELECT EXISTS (SELECT 1 FROM ticket WHERE ticket_id = ?1)";
                    return Ok(t.query_row(query, [ticket_id], |row| row.get(0))?);
                }
                t.execute("UPDATE ticket SET closed_ms = ?2 WHERE ticket_id = ?1", params![ticket_id, now])?;
                let entry = NewEntry {
                    ticket_id,
                    key: &format!("closed:{ticket_id}:{now}"),
                    author: "closed",
                    agent: Some(&agent),
                    at_ms: now,
                    expires_ms,
                    file: None,
                };
                insert(t, sealer, &entry, &Body { name: None, text: String::new(), file: None })?;
                Ok(true)
            })
            .await?;
        self.acted();
        Ok(done)
    }

    /// An agent has the ticket open: what the person wrote counts as seen.
    pub async fn see(&self, ticket_id: i64, agent: String) -> Result<(), StoreError> {
        let now = now_ms();
        let marked = self
            .database
            .run(move |t, sealer| {
                let last: Option<(String, Millis)> = t
                    .query_row(
                        "SELECT key, expires_ms FROM entry WHERE ticket_id = ?1 AND author = 'person' AND expires_ms > ?2
                           AND entry_id > COALESCE((SELECT MAX(entry_id) FROM entry WHERE ticket_id = ?1
                                                    AND author IN ('agent', 'seen')), 0)
                         ORDER BY entry_id DESC LIMIT 1",
                        params![ticket_id, now],
                        |row| Ok((row.get(0)?, row.get(1)?)),
                    )
                    .optional()?;
                let Some((key, expires_ms)) = last else { return Ok(false) };
                let entry = NewEntry {
                    ticket_id,
                    key: &format!("seen:{key}"),
                    author: "seen",
                    agent: Some(&agent),
                    at_ms: now,
                    expires_ms,
                    file: None,
                };
                insert(t, sealer, &entry, &Body { name: None, text: key, file: None })?;
                Ok(true)
            })
            .await?;
        if marked {
            self.acted();
        }
        Ok(())
    }

    /// A file, by its entry's number.
    pub async fn file(&self, entry_id: i64) -> Result<Option<(FileInfo, Vec<u8>)>, StoreError> {
        let now = now_ms();
        let files = self.files.clone();
        self.database
            .run(move |t, sealer| {
                let row: Option<(Vec<u8>, String)> = t
                    .query_row(
                        "SELECT body, file FROM entry WHERE entry_id = ?1 AND file IS NOT NULL AND expires_ms > ?2",
                        params![entry_id, now],
                        |row| Ok((row.get(0)?, row.get(1)?)),
                    )
                    .optional()?;
                let Some((sealed, file)) = row else { return Ok(None) };
                let Some(info) = Body::open(sealer, &sealed)?.and_then(|body| body.file) else { return Ok(None) };
                let content = sealer.open_sealed(FILE, &std::fs::read(files.join(file))?)?;
                Ok(content.map(|content| (info, content.to_vec())))
            })
            .await
    }

    fn acted(&self) {
        self.changed();
        self.bridge.notify_one();
    }
}

fn is_open(t: &Transaction<'_>, ticket_id: i64) -> Result<bool, StoreError> {
    let query = "SELECT EXISTS (SELECT 1 FROM ticket WHERE ticket_id = ?1 AND closed_ms IS NULL)";
    Ok(t.query_row(query, [ticket_id], |row| row.get(0))?)
}

fn summary(row: &rusqlite::Row<'_>, sealer: &Sealer) -> Result<Summary, StoreError> {
    let contact = match row.get::<_, Option<Vec<u8>>>(1)? {
        Some(sealed) => sealer.open_sealed(CONTACT, &sealed)?,
        None => None,
    };
    let last = match row.get::<_, Option<Vec<u8>>>(9)? {
        Some(sealed) => Body::open(sealer, &sealed)?,
        None => None,
    };
    let preview = last.map(|body| {
        let text = body.file.map_or(body.text, |file| file.name);
        text.chars().take(PREVIEW_CHARS_MAX).collect()
    });
    Ok(Summary {
        id: row.get(0)?,
        contact: contact.map(|name| String::from_utf8_lossy(&name).into_owned()).filter(|name| !name.is_empty()),
        opened_ms: row.get(2)?,
        changed_ms: row.get(3)?,
        closed: row.get(4)?,
        left_message: row.get(5)?,
        agent: row.get(6)?,
        waiting: row.get(7)?,
        unseen: row.get(8)?,
        preview,
    })
}

fn entries(t: &Transaction<'_>, sealer: &Sealer, ticket_id: i64, now: Millis) -> Result<Vec<Entry>, StoreError> {
    let mut query = t.prepare(
        "SELECT entry_id, author, agent, at_ms, expires_ms, body FROM entry
         WHERE ticket_id = ?1 AND expires_ms > ?2 AND author <> 'seen' ORDER BY entry_id",
    )?;
    let mut rows = query.query(params![ticket_id, now])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let sealed: Vec<u8> = row.get(5)?;
        let Some(body) = Body::open(sealer, &sealed)? else { continue };
        entries.push(Entry {
            id: row.get(0)?,
            author: row.get(1)?,
            name: row.get::<_, Option<String>>(2)?.or(body.name),
            text: body.text,
            at_ms: row.get(3)?,
            expires_ms: row.get(4)?,
            file: body.file,
        });
    }
    Ok(entries)
}
