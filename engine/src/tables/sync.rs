//! What `/sync` alone tells of: receipts.

use journal::{Expiring, Name, Stamp, Table, Timestamp};
use ruma::{OwnedEventId, OwnedUserId};
use serde::{Deserialize, Serialize};

/// `(room, user, kind)`, the kind being the receipt's type and thread: how far a user has read. Shown as long as
/// the event it is on, kept as long as anything that was sent ahead of it (D7). Written by the user's receipts; at most one row per type and thread of a room.
pub static RECEIPTS: Table<(Name, Name, Name), ReceiptRow, Expiring> = Table::expiring(150, "receipts");

/// A receipt or read marker
/// ([spec v1.19, Client-Server API § Receipts](https://spec.matrix.org/v1.19/client-server-api/#receipts)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptRow {
    /// Whose.
    pub user_id: OwnedUserId,
    /// `m.read`, `m.read.private` or `m.fully_read`.
    pub receipt_type: String,
    /// `main` or a thread's root; absent for all threads at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<String>,
    /// The event read last.
    pub event_id: OwnedEventId,
    /// Where it stands: what notified up to there is read.
    pub stamp: Stamp,
    /// When it was read.
    pub received: Timestamp,
    /// When the event goes, if that is before what was sent ahead of it does: an edit goes with what it edits. Nobody is shown
    /// the receipt from then on, but what has been read stays read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown_until: Option<Timestamp>,
}

impl ReceiptRow {
    /// Whether what it is on is still there.
    #[must_use]
    pub fn is_shown(&self, now: Timestamp) -> bool {
        self.shown_until.is_none_or(|until| now < until)
    }
}
