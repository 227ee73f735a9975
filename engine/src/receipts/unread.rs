//! Unread counts
//! ([spec v1.19, Client-Server API § Receiving notifications](https://spec.matrix.org/v1.19/client-server-api/#receiving-notifications)).

use std::collections::BTreeMap;

use journal::ReadError;
use ruma::{OwnedEventId, RoomId, UserId};
use serde::Serialize;

use super::read_up_to;
use crate::{Cx, tables};

/// Events that notify and have not been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Mentions among them.
    pub highlight_count: u64,
    /// All.
    pub notification_count: u64,
}

/// Unread counts of a room, by thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// Of the main timeline.
    pub main: Counts,
    /// Of threads that have any, by their roots.
    pub threads: BTreeMap<OwnedEventId, Counts>,
}

impl Unread {
    /// Of the main timeline and all threads.
    #[must_use]
    pub fn total(&self) -> Counts {
        self.threads.values().fold(self.main, |sum, counts| Counts {
            highlight_count: sum.highlight_count + counts.highlight_count,
            notification_count: sum.notification_count + counts.notification_count,
        })
    }
}

/// What the user has not read in the room.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn unread(cx: &Cx<'_>, user_id: &UserId, room_id: &RoomId) -> Result<Unread, ReadError> {
    let read = read_up_to(cx, user_id, room_id)?;
    let (user, room) = (cx.user(user_id), cx.room(room_id));
    let mut unread = Unread::default();
    // What is read everywhere need not be looked at.
    for found in tables::NOTIFICATIONS.scan_from(cx.view, &(user, room), &(user, room, read.everywhere().next())) {
        let ((_, _, stamp), row) = found?;
        let thread = row.value.thread;
        if read.covers(thread.as_deref(), stamp) {
            continue;
        }
        let counts = match thread {
            Some(root) => unread.threads.entry(root).or_default(),
            None => &mut unread.main,
        };
        counts.notification_count += 1;
        counts.highlight_count += u64::from(row.value.highlight);
    }
    Ok(unread)
}
