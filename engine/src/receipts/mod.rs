//! Receipts and read markers: how far users have read
//! ([spec v1.19, Client-Server API § Receipts](https://spec.matrix.org/v1.19/client-server-api/#receipts)).
//!
//! A receipt is shown as long as the event it is on is there (D7). What is unread is counted from `NOTIFICATIONS` rows past it, which
//! live as long as their events, so counts forget by themselves.

mod ends;
#[cfg(test)]
mod tests;
mod unread;

use std::collections::BTreeMap;

use journal::{ReadError, Seq, Stamp, Timestamp};
use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId, events::room::member::MembershipState};
use serde::Serialize;
use serde_json::value::RawValue;

pub(crate) use ends::{counts_from, forget as forget_end};
pub use ends::{next_end, tell_ends};
pub use unread::{Counts, Unread, unread};

use crate::{
    Cx, Decided, Draft, Reject,
    changes::Change,
    outbox, push,
    room::{self, basic_event, raw},
    tables::{self, ReceiptRow},
};

/// Everybody may see it.
pub const READ: &str = "m.read";
/// Only its user may see it.
pub const READ_PRIVATE: &str = "m.read.private";
/// Room account data in the shape of a receipt.
pub const FULLY_READ: &str = "m.fully_read";

/// One receipt to set.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// [`READ`], [`READ_PRIVATE`] or [`FULLY_READ`].
    pub receipt_type: String,
    /// The event read last.
    pub event_id: OwnedEventId,
    /// `main` or a thread's root; `None` for all threads at once.
    pub thread_id: Option<String>,
}

/// Sets receipts of one user in one room.
#[derive(Clone, Debug)]
pub struct SetReceipts {
    /// Whose.
    pub user_id: OwnedUserId,
    /// Where.
    pub room_id: OwnedRoomId,
    /// Which.
    pub receipts: Vec<Receipt>,
}

/// Moves the user's receipts forward. One on an event that is not there (any more) is ignored: clients repeat what fails.
///
/// # Errors
/// `M_FORBIDDEN` when the user is not in the room; `M_INVALID_PARAM` for a receipt of an unknown type or a wrong thread.
pub fn set_receipts(cx: &Cx<'_>, command: &SetReceipts) -> Decided<()> {
    if room::membership_of(cx, &command.room_id, &command.user_id)? != Some(MembershipState::Join) {
        return Err(Reject::forbidden("you are not in this room: join it to mark messages as read").into());
    }
    let mut draft = Draft::new(*cx);
    for receipt in &command.receipts {
        check_receipt(receipt)?;
        set_receipt(&mut draft, command, receipt)?;
    }
    Ok(draft.commit(()))
}

fn check_receipt(receipt: &Receipt) -> Result<(), Reject> {
    match (receipt.receipt_type.as_str(), receipt.thread_id.as_deref()) {
        (READ | READ_PRIVATE | FULLY_READ, None) => Ok(()),
        (FULLY_READ, Some(_)) => Err(Reject::invalid_param("m.fully_read has no thread_id: leave it out")),
        (READ | READ_PRIVATE, Some("")) => Err(Reject::invalid_param("thread_id is empty: name a thread, or leave it out")),
        (READ | READ_PRIVATE, Some(_)) => Ok(()),
        _ => Err(Reject::invalid_param("this type of receipt is not known: use m.read, m.read.private or m.fully_read")),
    }
}

fn set_receipt(draft: &mut Draft<'_>, command: &SetReceipts, receipt: &Receipt) -> Result<(), ReadError> {
    let cx = draft.cx();
    let SetReceipts { user_id, room_id, .. } = command;
    let Some(event) = room::get_event(&cx, room_id, &receipt.event_id)? else { return Ok(()) };
    let Some(stamp) = event.stamp else { return Ok(()) };
    let key = receipt_key(&cx, room_id, user_id, &receipt.receipt_type, receipt.thread_id.as_deref());
    let known = tables::RECEIPTS.get(cx.view, &key)?;
    if known.as_ref().is_some_and(|row| row.value.stamp >= stamp) {
        return Ok(());
    }
    let ends = match event.expires {
        Timestamp::NEVER => event.row.received.plus_ms(cx.server.retention_ms),
        ends => ends,
    };
    let mut expires = ends;
    if receipt.receipt_type != FULLY_READ {
        // What was sent ahead of the event may live longer, and is read as long.
        let covered = count_read(draft, command, receipt, &event, stamp)?;
        expires = known.map_or(Timestamp::from_ms(0), |row| row.expires).max(covered).max(ends);
    }
    let row = ReceiptRow {
        user_id: user_id.clone(),
        receipt_type: receipt.receipt_type.clone(),
        thread_id: receipt.thread_id.clone(),
        event_id: receipt.event_id.clone(),
        stamp,
        received: cx.now(),
        shown_until: Some(ends).filter(|ends| *ends < expires),
    };
    tables::RECEIPTS.put(&mut draft.batch, &key, &row, cx.class_until(expires), expires);
    match receipt.receipt_type.as_str() {
        READ => {
            let members = room::joined_members(&cx, room_id)?;
            for member in &members {
                draft.tell(&member.user_id, Change::Receipts { room_id: room_id.clone() });
            }
            outbox::receipt_written(draft, room_id, &row, expires, &members);
        }
        FULLY_READ => {
            let change = Change::RoomAccountData { room_id: room_id.clone(), event_type: FULLY_READ.to_owned() };
            draft.tell(user_id, change);
        }
        _ => {
            draft.tell(user_id, Change::Receipts { room_id: room_id.clone() });
            outbox::receipt_written(draft, room_id, &row, expires, &[]);
        }
    }
    Ok(())
}

/// A receipt takes events from what is unread: push gateways are told, and the event it is on will not be missed when it
/// expires together with the receipt. Answers when the last of them ends.
fn count_read(
    draft: &mut Draft<'_>,
    command: &SetReceipts,
    receipt: &Receipt,
    event: &room::StoredEvent,
    stamp: Stamp,
) -> Result<Timestamp, ReadError> {
    let cx = draft.cx();
    let SetReceipts { user_id, room_id, .. } = command;
    let before = read_up_to(&cx, user_id, room_id)?;
    let (user, room) = (cx.user(user_id), cx.room(room_id));
    let (mut fell, mut last_end) = (false, Timestamp::from_ms(0));
    for found in tables::NOTIFICATIONS.scan_from(cx.view, &(user, room), &(user, room, before.everywhere().next())) {
        let ((_, _, at), row) = found?;
        if at > stamp {
            break;
        }
        let thread = row.value.thread.as_deref();
        if receipt.thread_id.as_deref().is_some_and(|name| name != thread_name(thread)) {
            continue;
        }
        last_end = last_end.max(row.expires);
        if !before.covers(thread, at) {
            fell = true;
            if at == stamp {
                ends::forget(draft, user_id, (event.expires.as_ms(), room, stamp))?;
            }
        }
    }
    if fell {
        push::count_fell(draft, user_id)?;
    }
    Ok(last_end)
}

type ReceiptKey = (journal::Name, journal::Name, journal::Name);

fn receipt_key(cx: &Cx<'_>, room_id: &RoomId, user_id: &UserId, receipt_type: &str, thread_id: Option<&str>) -> ReceiptKey {
    let kind = format!("{receipt_type}\n{}", thread_id.unwrap_or_default());
    (cx.room(room_id), cx.user(user_id), cx.name(&kind))
}

/// The `m.fully_read` marker of a user, and the commit that set it.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn fully_read(cx: &Cx<'_>, user_id: &UserId, room_id: &RoomId) -> Result<Option<(OwnedEventId, Seq)>, ReadError> {
    let key = receipt_key(cx, room_id, user_id, FULLY_READ, None);
    let row = tables::RECEIPTS.get(cx.view, &key)?.filter(|row| row.value.is_shown(cx.now()));
    Ok(row.map(|row| (row.value.event_id, row.version)))
}

/// What an `m.receipt` event says: by event, type and user.
type Content = BTreeMap<OwnedEventId, BTreeMap<String, BTreeMap<OwnedUserId, Data>>>;

/// One receipt in it.
#[derive(Serialize)]
struct Data {
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_id: Option<String>,
    ts: u64,
}

/// The receipts of a room that a reader may see, and that `includes` names, given the commit each was set by.
fn receipts_of(
    cx: &Cx<'_>,
    room_id: &RoomId,
    reader: &UserId,
    includes: impl Fn(&ReceiptRow, Seq) -> bool,
) -> Result<Vec<ReceiptRow>, ReadError> {
    let mut receipts = Vec::new();
    for found in tables::RECEIPTS.scan(cx.view, &(cx.room(room_id),)) {
        let row = found?.1;
        let receipt = row.value;
        let secret = receipt.receipt_type != READ && receipt.user_id != reader;
        let shown = !secret && receipt.receipt_type != FULLY_READ && receipt.is_shown(cx.now());
        if shown && includes(&receipt, row.version) {
            receipts.push(receipt);
        }
    }
    Ok(receipts)
}

/// The `m.receipt` events of a room for one reader: all, or those set by commit `since` or later.
///
/// One event holds one receipt per event, type and user: a user who has both a threaded and an unthreaded receipt on the
/// same event takes two (MSC4102).
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn receipt_events(
    cx: &Cx<'_>,
    room_id: &RoomId,
    reader: &UserId,
    since: Option<Seq>,
) -> Result<Vec<Box<RawValue>>, ReadError> {
    let mut events: Vec<Content> = Vec::new();
    for receipt in receipts_of(cx, room_id, reader, |_, version| since.is_none_or(|since| version >= since))? {
        let taken = |event: &Content| {
            let users = event.get(&receipt.event_id).and_then(|types| types.get(&receipt.receipt_type));
            users.is_some_and(|users| users.contains_key(&receipt.user_id))
        };
        let place = events.iter().position(|event| !taken(event)).unwrap_or(events.len());
        if place == events.len() {
            events.push(Content::new());
        }
        if let Some(event) = events.get_mut(place) {
            add(event, receipt);
        }
    }
    Ok(events.iter().map(|content| basic_event("m.receipt", content)).collect())
}

/// The content of one `m.receipt` event with the receipts that `includes` names, given the commit each was set by; `None` without
/// any. Of a user's receipts on one event it holds the unthreaded one, if there is one (MSC4102).
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn receipts_content(
    cx: &Cx<'_>,
    room_id: &RoomId,
    reader: &UserId,
    includes: impl Fn(&ReceiptRow, Seq) -> bool,
) -> Result<Option<Box<RawValue>>, ReadError> {
    let mut receipts = receipts_of(cx, room_id, reader, includes)?;
    // What is added later stays.
    receipts.sort_by_key(|receipt| receipt.thread_id.is_none());
    let mut content = Content::new();
    for receipt in receipts {
        add(&mut content, receipt);
    }
    Ok(Some(content).filter(|content| !content.is_empty()).map(|content| raw(&content)))
}

fn add(content: &mut Content, receipt: ReceiptRow) {
    let ReceiptRow { user_id, receipt_type, thread_id, event_id, received, .. } = receipt;
    let users = content.entry(event_id).or_default().entry(receipt_type).or_default();
    users.insert(user_id, Data { thread_id, ts: received.as_ms() });
}

/// The content of an `m.fully_read` event.
#[must_use]
pub fn fully_read_content(event_id: &EventId) -> Box<RawValue> {
    #[derive(Serialize)]
    struct Content<'a> {
        event_id: &'a EventId,
    }
    raw(&Content { event_id })
}

/// How far a user has read a room, by thread; the empty name stands for all threads at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Read(BTreeMap<String, Stamp>);

impl Read {
    /// What is read in all threads.
    pub fn everywhere(&self) -> Stamp {
        self.0.get("").copied().unwrap_or(Stamp::ZERO)
    }

    /// Whether what stands at `stamp`, in the thread of that root or in the main timeline, has been read.
    pub fn covers(&self, thread: Option<&EventId>, stamp: Stamp) -> bool {
        self.everywhere() >= stamp || self.0.get(thread_name(thread)).is_some_and(|read| *read >= stamp)
    }
}

fn thread_name(thread: Option<&EventId>) -> &str {
    thread.map_or("main", EventId::as_str)
}

/// How far the user has read the room.
pub(crate) fn read_up_to(cx: &Cx<'_>, user_id: &UserId, room_id: &RoomId) -> Result<Read, ReadError> {
    let mut read = Read::default();
    for found in tables::RECEIPTS.scan(cx.view, &(cx.room(room_id), cx.user(user_id))) {
        let receipt = found?.1.value;
        if receipt.receipt_type != FULLY_READ {
            let stamp = read.0.entry(receipt.thread_id.unwrap_or_default()).or_insert(Stamp::ZERO);
            *stamp = receipt.stamp.max(*stamp);
        }
    }
    Ok(read)
}
