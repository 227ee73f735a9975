//! `GET /notifications`
//! ([spec v1.19](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3notifications)).

use std::collections::{BTreeMap, btree_map::Entry};

use journal::{Name, Stamp, Timestamp};
use ruma::OwnedRoomId;
use serde_json::{Value, value::RawValue};

use crate::{
    Cx, Requester, Stop, receipts,
    room::ClientEvent,
    sync::Token,
    tables::{self, NotificationRow},
};

/// An event that notified.
#[derive(Debug)]
pub struct Notification {
    /// Where.
    pub room_id: OwnedRoomId,
    /// The event, in the form of `/sync`.
    pub event: Box<RawValue>,
    /// Whether it was highlighted.
    pub highlight: bool,
    /// What else the rules say to set, the sound among it.
    pub tweaks: BTreeMap<String, Value>,
    /// Whether it has been read.
    pub read: bool,
    /// When it was received.
    pub received: Timestamp,
}

/// A page of notifications.
#[derive(Debug)]
pub struct Notifications {
    /// Latest first.
    pub notifications: Vec<Notification>,
    /// Where the next page begins; `None` when there is none.
    pub next: Option<Token>,
}

/// What notified the requester and has not expired.
///
/// # Errors
/// When the store cannot be read.
pub fn notifications(
    cx: &Cx<'_>,
    requester: &Requester,
    from: Option<Token>,
    limit: usize,
    only_highlights: bool,
) -> Result<Notifications, Stop> {
    let user_id = &requester.user_id;
    let mut rows: Vec<(Stamp, Name, NotificationRow)> = Vec::new();
    for found in tables::NOTIFICATIONS.scan(cx.view, &(cx.user(user_id),)) {
        let ((_, room, stamp), row) = found?;
        let wanted = from.is_none_or(|from| stamp < from.position) && (row.value.highlight || !only_highlights);
        if wanted {
            rows.push((stamp, room, row.value));
        }
    }
    rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.0));
    let mut page = Notifications { notifications: Vec::new(), next: None };
    let mut read: BTreeMap<OwnedRoomId, receipts::Read> = BTreeMap::new();
    let mut last = None;
    for (stamp, room, row) in rows {
        if page.notifications.len() == limit {
            page.next = last.map(|position| Token::at(position, cx.now()));
            break;
        }
        last = Some(stamp);
        let Some(membership) = tables::MEMBERSHIPS.get(cx.view, &(cx.user(user_id), room))? else { continue };
        let Some(event) = tables::TIMELINE.get(cx.view, &(room, stamp))? else { continue };
        let room_id = membership.value.room_id;
        let read = match read.entry(room_id.clone()) {
            Entry::Occupied(place) => place.into_mut(),
            Entry::Vacant(place) => place.insert(receipts::read_up_to(cx, user_id, &room_id)?),
        };
        page.notifications.push(Notification {
            read: read.covers(row.thread.as_deref(), stamp),
            event: ClientEvent::of_row(&event.value, cx.now()).to_raw(),
            highlight: row.highlight,
            tweaks: row.tweaks,
            received: event.value.received,
            room_id,
        });
    }
    Ok(page)
}
