//! Looking after a server: reports, notices, proofs of identity for others, previews of web pages.

use journal::{Expiring, Name, Stamp, Table, Timestamp};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `(reporting user, stamp)`: what users have reported to the operator: ids and the reason, never an event's content. Gone L
/// after the report; at most [`crate::reports::REPORTS_MAX`] per user.
pub static REPORTS: Table<(Name, Stamp), ReportRow, Expiring> = Table::append_only(300, "reports");

/// `(OpenID token)`: with which a user proves to others who they are. An hour.
pub static OPENID_TOKENS: Table<(Name,), OpenIdTokenRow, Expiring> = Table::expiring(301, "openid_tokens");

/// `(address)`: what a web page says of itself, as it was fetched for a preview. An hour, and no longer than its picture.
pub static PREVIEWS: Table<(Name,), PreviewRow, Expiring> = Table::expiring(302, "previews");

/// `(user)`: the room in which the server tells a user what it has to. One per user, made with the first notice.
pub static NOTICE_ROOMS: Table<(Name,), OwnedRoomId> = Table::lasting(303, "notice_rooms");

/// A report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportRow {
    /// Who reports.
    pub reporter: OwnedUserId,
    /// What is reported.
    pub reported: Reported,
    /// Why, in the reporter's words.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// What a report is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reported {
    /// An event.
    Event {
        /// Its room.
        room_id: OwnedRoomId,
        /// The event.
        event_id: OwnedEventId,
    },
    /// A room.
    Room {
        /// The room.
        room_id: OwnedRoomId,
    },
    /// A user.
    User {
        /// The user.
        user_id: OwnedUserId,
    },
}

/// An OpenID token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenIdTokenRow {
    /// Whose identity it proves.
    pub user_id: OwnedUserId,
}

/// A preview.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewRow {
    /// As `GET /media/preview_url` answers it.
    pub properties: Map<String, Value>,
}
