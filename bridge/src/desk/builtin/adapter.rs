//! What the bridge does with the desk.

use std::{collections::BTreeSet, io::Write as _, path::Path};

use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{
    Desk,
    ticket::{Body, FileInfo},
};
use crate::{
    clock::{Millis, now_ms},
    database::StoreError,
    desk::{
        Attachment, Author, Availability, Capabilities, Erase, Erasure, Helpdesk, HelpdeskError, Message, Opening, Reply,
        ReplyKind,
    },
    seal::Sealer,
    typing::PERSON_MS,
};

/// The largest file shown on the page, in bytes: it is held in memory while it is sealed.
const ATTACHMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How long an agent's page may be silent before they no longer count as there (their browser may have crashed).
const AGENT_SILENCE_MS: Millis = 90_000;
/// How long an empty, closed ticket is remembered. It says when a chat was and who answered it, nothing else.
const TICKET_MEMORY_MS: Millis = 90 * 24 * 3600 * 1000;

pub(super) const BODY: &str = "entry";
pub(super) const CONTACT: &str = "contact";
pub(super) const FILE: &str = "file";

impl From<StoreError> for HelpdeskError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

#[async_trait]
impl Helpdesk for Desk {
    fn capabilities(&self) -> Capabilities {
        Capabilities { attachment_bytes_max: Some(ATTACHMENT_BYTES_MAX), erase: Erase::Full, pokes: true }
    }

    async fn availability(&self) -> Result<Availability, HelpdeskError> {
        let since = now_ms() - AGENT_SILENCE_MS;
        let online = self
            .database
            .run(move |t, _| {
                let query = "SELECT EXISTS (SELECT 1 FROM agent WHERE on_duty = 1 AND seen_ms > ?1)";
                Ok(t.query_row(query, [since], |row| row.get(0))?)
            })
            .await?;
        Ok(if online { Availability::Online } else { Availability::Offline })
    }

    async fn person_typing(&self, ticket: &str, typing: bool) -> Result<(), HelpdeskError> {
        let now = now_ms();
        if self.people.set(ticket, typing.then_some(now + PERSON_MS), now) {
            self.changed();
        }
        Ok(())
    }

    fn agents_typing(&self) -> BTreeSet<String> {
        self.agents.places(now_ms())
    }

    async fn open(&self, opening: Opening) -> Result<String, HelpdeskError> {
        let left_message = self.availability().await? == Availability::Offline;
        let ticket_id: i64 = self
            .database
            .run(move |t, sealer| {
                let contact = sealer.seal(opening.contact_expires_ms, CONTACT, opening.contact.as_bytes())?;
                t.execute(
                    "INSERT INTO ticket (key, contact, left_message, opened_ms, changed_ms) VALUES (?1, ?2, ?3, ?4, ?4)
                     ON CONFLICT (key) DO NOTHING",
                    params![opening.key, contact, left_message, opening.opened_ms],
                )?;
                Ok(t.query_row("SELECT ticket_id FROM ticket WHERE key = ?1", [&opening.key], |row| row.get(0))?)
            })
            .await?;
        self.changed();
        Ok(ticket_id.to_string())
    }

    async fn append(&self, ticket: &str, message: Message) -> Result<(), HelpdeskError> {
        let ticket_id = parse(ticket)?;
        self.database
            .run(move |t, sealer| {
                let (author, name) = match message.author {
                    Author::Person(name) => ("person", Some(name)),
                    Author::Bridge => ("bridge", None),
                };
                let body = Body { name, text: message.text, file: None };
                let entry = NewEntry {
                    ticket_id,
                    key: &message.key,
                    author,
                    agent: None,
                    at_ms: message.at_ms,
                    expires_ms: message.expires_ms,
                    file: None,
                };
                insert(t, sealer, &entry, &body)
            })
            .await?;
        self.changed();
        Ok(())
    }

    async fn attach(&self, ticket: &str, attachment: Attachment) -> Result<(), HelpdeskError> {
        let ticket_id = parse(ticket)?;
        // Named by its key, so that a repetition writes the same file again.
        let file = blake3::hash(attachment.key.as_bytes()).to_hex().to_string();
        let path = self.files.join(&file);
        self.database
            .run(move |t, sealer| {
                let sealed = sealer.seal(attachment.expires_ms, FILE, &attachment.bytes)?;
                write_file(&path, &sealed)?;
                let info = FileInfo {
                    name: attachment.name,
                    media_type: attachment.media_type,
                    size_bytes: attachment.bytes.len() as u64,
                };
                let body = Body { name: Some(attachment.person), text: String::new(), file: Some(info) };
                let entry = NewEntry {
                    ticket_id,
                    key: &attachment.key,
                    author: "person",
                    agent: None,
                    at_ms: attachment.at_ms,
                    expires_ms: attachment.expires_ms,
                    file: Some(&file),
                };
                insert(t, sealer, &entry, &body)
            })
            .await?;
        self.changed();
        Ok(())
    }

    async fn replies(&self, cursor: &str, limit: usize) -> Result<(Vec<Reply>, String), HelpdeskError> {
        let after = if cursor.is_empty() { 0 } else { parse(cursor)? };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let now = now_ms();
        let (replies, last) = self
            .database
            .run(move |t, sealer| {
                let mut query = t.prepare(
                    "SELECT entry_id, ticket_id, author, agent, at_ms, body FROM entry
                     WHERE entry_id > ?1 AND author IN ('agent', 'closed', 'seen') AND expires_ms > ?2
                     ORDER BY entry_id LIMIT ?3",
                )?;
                let mut rows = query.query(params![after, now, limit])?;
                let (mut replies, mut last) = (Vec::new(), after);
                while let Some(row) = rows.next()? {
                    last = row.get(0)?;
                    let ticket_id: i64 = row.get(1)?;
                    let author: String = row.get(2)?;
                    let agent: Option<String> = row.get(3)?;
                    let body = match row.get::<_, Option<Vec<u8>>>(5)? {
                        Some(sealed) => Body::open(sealer, &sealed)?,
                        None => None,
                    };
                    let kind = match (author.as_str(), body) {
                        ("closed", _) => ReplyKind::Closed { agent },
                        ("seen", Some(body)) => ReplyKind::Seen { key: body.text },
                        ("agent", Some(body)) => ReplyKind::Message { agent: agent.unwrap_or_default(), text: body.text },
                        _ => continue,
                    };
                    let (reply, ticket) = (last.to_string(), ticket_id.to_string());
                    replies.push(Reply { reply, ticket, at_ms: row.get(4)?, kind });
                }
                Ok((replies, last))
            })
            .await?;
        Ok((replies, if last == 0 { String::new() } else { last.to_string() }))
    }

    async fn close(&self, ticket: &str) -> Result<(), HelpdeskError> {
        let ticket_id = parse(ticket)?;
        let now = now_ms();
        self.database
            .run(move |t, _| {
                t.execute(
                    "UPDATE ticket SET closed_ms = ?2, changed_ms = ?2 WHERE ticket_id = ?1 AND closed_ms IS NULL",
                    params![ticket_id, now],
                )?;
                Ok(())
            })
            .await?;
        self.changed();
        Ok(())
    }

    async fn erase(&self, ticket: &str, erasure: Erasure) -> Result<u64, HelpdeskError> {
        let ticket_id = parse(ticket)?;
        let files = self.files.clone();
        let erased = self.database.run(move |t, _| erase(t, &files, ticket_id, &erasure)).await?;
        if erased > 0 {
            self.database.truncate_log().await?;
            self.changed();
        }
        Ok(erased)
    }
}

fn erase(t: &Transaction<'_>, files: &Path, ticket_id: i64, erasure: &Erasure) -> Result<u64, StoreError> {
    // The files first: a row whose file is gone is erased at the next attempt, a file without a row never would be.
    let (condition, bound): (_, &dyn rusqlite::ToSql) = match erasure {
        Erasure::Expired(before) => ("expires_ms <= ?2", before),
        Erasure::One(key) => ("key = ?2", key),
    };
    let mut query =
        t.prepare(&format!("SELECT file FROM entry WHERE ticket_id = ?1 AND {condition} AND file IS NOT NULL"))?;
    let names = query.query_map(params![ticket_id, bound], |row| row.get::<_, String>(0))?;
    for name in names {
        match std::fs::remove_file(files.join(name?)) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    let erased = t.execute(&format!("DELETE FROM entry WHERE ticket_id = ?1 AND {condition}"), params![ticket_id, bound])?;
    if let Erasure::Expired(before) = erasure {
        // The name goes with the last message; the ticket itself, months after it was closed.
        t.execute(
            "UPDATE ticket SET contact = NULL WHERE ticket_id = ?1
               AND NOT EXISTS (SELECT 1 FROM entry WHERE entry.ticket_id = ticket.ticket_id)",
            [ticket_id],
        )?;
        t.execute("DELETE FROM ticket WHERE closed_ms <= ?1", [before - TICKET_MEMORY_MS])?;
    }
    Ok(erased as u64)
}

fn write_file(path: &Path, sealed: &[u8]) -> Result<(), StoreError> {
    let mut file = std::fs::File::create(path)?;
    file.write_all(sealed)?;
    file.sync_all()?;
    Ok(())
}

/// A row to be.
pub(super) struct NewEntry<'a> {
    pub ticket_id: i64,
    pub key: &'a str,
    pub author: &'a str,
    pub agent: Option<&'a str>,
    pub at_ms: Millis,
    pub expires_ms: Millis,
    pub file: Option<&'a str>,
}

/// Adds an entry unless its key is there already.
pub(super) fn insert(t: &Transaction<'_>, sealer: &Sealer, entry: &NewEntry<'_>, body: &Body) -> Result<(), StoreError> {
    let known: Option<i64> =
        t.query_row("SELECT entry_id FROM entry WHERE key = ?1", [entry.key], |row| row.get(0)).optional()?;
    if known.is_some() {
        return Ok(());
    }
    let sealed = body.seal(sealer, entry.expires_ms)?;
    t.execute(
        "INSERT INTO entry (ticket_id, key, author, agent, at_ms, expires_ms, body, file)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![entry.ticket_id, entry.key, entry.author, entry.agent, entry.at_ms, entry.expires_ms, sealed, entry.file],
    )?;
    t.execute(
        "UPDATE ticket SET changed_ms = MAX(changed_ms, ?2) WHERE ticket_id = ?1",
        params![entry.ticket_id, entry.at_ms],
    )?;
    // A name is kept as long as the newest message beside it.
    if let (Some(name), "person") = (&body.name, entry.author) {
        let contact = sealer.seal(entry.expires_ms, CONTACT, name.as_bytes())?;
        t.execute("UPDATE ticket SET contact = ?2 WHERE ticket_id = ?1", params![entry.ticket_id, contact])?;
    }
    Ok(())
}

fn parse(number: &str) -> Result<i64, HelpdeskError> {
    number.parse().map_err(|_| HelpdeskError::Unavailable("an id of the built-in desk is a number".to_owned()))
}
