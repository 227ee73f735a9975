//! What the platform's calls leave behind: answers that may have got lost, the audit trail, and what its webhook has to be told.

use journal::{Expiring, Name, Table, Timestamp};
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

/// `(platform key, idempotency key)`: what a call answered, sealed under a key that only the caller has, so that a repeated call
/// gets the same answer, recovery keys included. An hour.
pub static IDEMPOTENT_ANSWERS: Table<(Name, Name), IdempotentAnswerRow, Expiring> =
    Table::expiring(240, "idempotent_answers");

/// `(host's user, session)`: the sessions of a host by the platform's ids. Deleted with the session.
pub static HOST_SESSIONS: Table<(Name, Name), String> = Table::lasting(241, "host_sessions");

/// `(time, entry)`: who called the platform API or signed in, when, and which call it was; never content. Deleted when
/// `audit.lifetime` is over.
pub static AUDIT: Table<(u64, Name), AuditRow> = Table::lasting(242, "audit");

/// `(time, event)`: what the platform's webhook is to be told, in order. Deleted when it has been told; else gone with the
/// outbox's lifetime.
pub static WEBHOOK_EVENTS: Table<(u64, Name), WebhookEventRow, Expiring> = Table::expiring(243, "webhook_events");

/// `(user)`: that a message waits for a provisioned user who has not been there since. One per user; deleted when they come, gone
/// with the message.
pub static WAITING: Table<(Name,), WaitingRow, Expiring> = Table::expiring(244, "waiting");

/// `(token id)`: JSON Web Tokens that somebody has logged in with, until they would have run out.
pub static USED_JWTS: Table<(Name,), (), Expiring> = Table::expiring(245, "used_jwts");

/// What a call answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotentAnswerRow {
    /// Which call it was, hashed: another one must not come with the same idempotency key.
    pub request: Name,
    /// The answer, sealed.
    pub answer: Vec<u8>,
}

/// An entry of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// Which call, with the names of what it was about left out: `PUT /hosts/{host}`, `login m.login.token`.
    pub action: String,
    /// What it was about, in the order of the action's places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<String>,
    /// The status that was answered.
    pub status: u16,
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A key of the platform API, by its id.
    Key(String),
    /// Somebody at the server's own terminal.
    Operator,
    /// A user who signed in.
    User(OwnedUserId),
}

/// Something for the webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookEventRow {
    /// Its id, the same however often it is sent.
    pub id: String,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub event: WebhookEvent,
}

/// What the platform is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum WebhookEvent {
    /// A message waits for somebody who is not there. Once, until they come.
    #[serde(rename = "message.waiting")]
    MessageWaiting(WebhookUser),
    /// A host or participant has signed in for the first time.
    #[serde(rename = "user.first_online")]
    UserFirstOnline(WebhookUser),
    /// A session's chat is over: its participants are logged out.
    #[serde(rename = "session.chat_ended")]
    SessionChatEnded {
        /// The session.
        session: String,
    },
}

/// A user, in the platform's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookUser {
    /// The Matrix user.
    pub user_id: OwnedUserId,
    /// For a host: the platform's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// For a participant: the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// For a participant: the platform's id in the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invitee: Option<String>,
}

/// A message waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingRow {
    /// For whom.
    pub user_id: OwnedUserId,
}
