//! A helpdesk is a plug: one small trait, and the worker that drives it.
//!
//! An adapter does three things: takes what people write (idempotently, by key), gives what agents answer (in order, from
//! a cursor), and says whether an agent is there. Everything about Matrix, order, repetition and time stays outside it.

pub mod builtin;
pub mod worker;

use std::collections::BTreeSet;

use async_trait::async_trait;

use crate::clock::Millis;

/// What a helpdesk can do; the bridge and the widget's sentences depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether files can be attached, and up to which size in bytes.
    pub attachment_bytes_max: Option<u64>,
    /// Whether what was posted can be erased in it.
    pub erase: Erase,
    /// Whether it wakes the bridge when something happened, so that polling is only the safety net.
    pub pokes: bool,
}

/// What a helpdesk can erase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(dead_code, reason = "the built-in desk erases fully; the others are what adapters of foreign helpdesks say")]
pub enum Erase {
    /// Every text and file that was posted.
    Full,
    /// Nothing: chats to it must say so before the first message.
    Nothing,
}

/// Whether somebody is there to answer now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// At least one agent is on duty.
    Online,
    /// Nobody is: people leave a message.
    Offline,
}

/// A new ticket.
#[derive(Clone, Debug)]
pub struct Opening {
    /// What the helpdesk recognises a repetition by.
    pub key: String,
    /// When the chat began.
    pub opened_ms: Millis,
    /// What the person is called in the room; personal data, to be erased with the messages.
    pub contact: String,
    /// From when on that name may not be shown.
    pub contact_expires_ms: Millis,
}

/// Who says something in a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// A person in the room, by the name they have there.
    Person(String),
    /// The bridge: something the agent should know. Never reaches the room.
    Bridge,
}

/// One message for a ticket.
#[derive(Clone, Debug)]
pub struct Message {
    /// What the helpdesk recognises a repetition by.
    pub key: String,
    /// Who says it.
    pub author: Author,
    /// The text; may have several lines.
    pub text: String,
    /// When it was written.
    pub at_ms: Millis,
    /// From when on it may not be shown.
    pub expires_ms: Millis,
}

/// One file for a ticket, decrypted.
#[derive(Clone)]
pub struct Attachment {
    /// What the helpdesk recognises a repetition by.
    pub key: String,
    /// Who sent it.
    pub person: String,
    /// Its name.
    pub name: String,
    /// Its media type, as the sender says.
    pub media_type: String,
    /// Its bytes.
    pub bytes: bytes::Bytes,
    /// When it was sent.
    pub at_ms: Millis,
    /// From when on it may not be shown.
    pub expires_ms: Millis,
}

/// What an agent did, in a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The helpdesk's id of it: the same act has the same id, whenever it is read.
    pub reply: String,
    /// In which ticket.
    pub ticket: String,
    /// When.
    pub at_ms: Millis,
    /// What.
    pub kind: ReplyKind,
}

/// Kinds of what an agent does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    /// Wrote to the person.
    Message {
        /// The agent's name, shown beside the message.
        agent: String,
        /// The text.
        text: String,
    },
    /// Ended the chat.
    Closed {
        /// The agent's name, if it was a person.
        agent: Option<String>,
    },
    /// Has seen the person's messages up to the one posted with this key.
    Seen {
        /// That key.
        key: String,
    },
}

/// What to erase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Erasure {
    /// Everything that expired by then.
    Expired(Millis),
    /// The one message or file posted with this key: its author took it back.
    One(String),
}

/// Why a helpdesk didn't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum HelpdeskError {
    /// It can't be reached or is broken; the same call may work later.
    #[error("the helpdesk can't be reached: {0}")]
    Unavailable(String),
    /// It won't: the same call never works. The text is shown to the agent.
    #[error("the helpdesk refused: {0}")]
    #[expect(dead_code, reason = "the built-in desk refuses nothing; adapters of foreign helpdesks do")]
    Refused(String),
}

/// A helpdesk.
///
/// Every writing call may come twice with the same key and must have effect once; calls for one ticket come in order.
#[async_trait]
pub trait Helpdesk: Send + Sync {
    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Whether an agent is there.
    async fn availability(&self) -> Result<Availability, HelpdeskError>;

    /// Opens a ticket, or finds the one opened with this key; says its id.
    async fn open(&self, opening: Opening) -> Result<String, HelpdeskError>;

    /// Adds a message.
    async fn append(&self, ticket: &str, message: Message) -> Result<(), HelpdeskError>;

    /// Adds a file.
    async fn attach(&self, ticket: &str, attachment: Attachment) -> Result<(), HelpdeskError>;

    /// What agents did after `cursor` (empty: from the beginning), oldest first, at most `limit`; and the cursor after it.
    async fn replies(&self, cursor: &str, limit: usize) -> Result<(Vec<Reply>, String), HelpdeskError>;

    /// The chat is over on the person's side. Not told back as a reply.
    async fn close(&self, ticket: &str) -> Result<(), HelpdeskError>;

    /// Whether the person is typing now. For helpdesks that can show it; nothing is lost without.
    async fn person_typing(&self, _ticket: &str, _typing: bool) -> Result<(), HelpdeskError> {
        Ok(())
    }

    /// The tickets where an agent is typing now.
    fn agents_typing(&self) -> BTreeSet<String> {
        BTreeSet::new()
    }

    /// Erases content for good; says how many messages and files.
    async fn erase(&self, ticket: &str, erasure: Erasure) -> Result<u64, HelpdeskError>;
}
