//! The moments at which unread events expire (D7): counts fall by themselves then, and whoever they fall for is told.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use journal::{Name, ReadError, Stamp, Timestamp};
use ruma::{OwnedEventId, OwnedUserId, RoomId, UserId, events::room::member::MembershipState};

use super::{Read, read_up_to};
use crate::{
    Cx, Decided, Draft, OUTBOX_MARGIN_MS,
    changes::Change,
    class,
    push::{self, Occasion},
    tables::{self, UnreadEndRow},
};

type EndKey = (u64, Name, Stamp);

/// Notes that an event counts as unread for `users` until it expires.
pub(crate) fn counts_from(
    draft: &mut Draft<'_>,
    occasion: &Occasion<'_>,
    thread: Option<OwnedEventId>,
    users: Vec<OwnedUserId>,
) {
    if users.is_empty() {
        return;
    }
    let key = (occasion.expires.as_ms(), draft.cx().room(occasion.room_id), occasion.stamp);
    let row = UnreadEndRow { room_id: occasion.room_id.to_owned(), thread, users };
    put(draft, &key, &row);
}

fn put(draft: &mut Draft<'_>, key: &EndKey, row: &UnreadEndRow) {
    let (cx, end) = (draft.cx(), Timestamp::from_ms(key.0));
    let class = cx.class_and_hour(class::OUTBOX, cx.left_ms(end));
    tables::UNREAD_ENDS.put(&mut draft.batch, key, row, class, end.plus_ms(OUTBOX_MARGIN_MS));
}

/// The user has read the event itself: the receipt that says so will be gone when the event is.
pub(crate) fn forget(draft: &mut Draft<'_>, user_id: &UserId, key: EndKey) -> Result<(), ReadError> {
    let cx = draft.cx();
    let Some(mut row) = tables::UNREAD_ENDS.get(cx.view, &key)? else { return Ok(()) };
    row.value.users.retain(|other| other != user_id);
    tables::UNREAD_ENDS.require(&mut draft.batch, &key, Some(row.version));
    tables::UNREAD_ENDS.delete(&mut draft.batch, &key);
    if !row.value.users.is_empty() {
        put(draft, &key, &row.value);
    }
    Ok(())
}

/// The ends at `from` or later. What has been told is deleted: whoever remembers how far that is need not step over it.
fn ends_from<'v>(cx: &Cx<'v>, from: Timestamp) -> journal::Scan<'v, EndKey, UnreadEndRow> {
    tables::UNREAD_ENDS.scan_from(cx.view, &(), &(from.as_ms(), Name::from_bytes([0; 16]), Stamp::ZERO))
}

/// When the next event after `from` stops to count; `None` when none is noted.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn next_end(cx: &Cx<'_>, from: Timestamp) -> Result<Option<Timestamp>, ReadError> {
    let first = ends_from(cx, from).next().transpose()?;
    Ok(first.map(|((at, _, _), _)| Timestamp::from_ms(at)))
}

/// What the user has read in the room; `None` for one who is neither in it nor invited.
fn read_if_present(cx: &Cx<'_>, user_id: &UserId, room_id: &RoomId) -> Result<Option<Read>, ReadError> {
    let row = tables::MEMBERSHIPS.get(cx.view, &(cx.user(user_id), cx.room(room_id)))?;
    let present = row.is_some_and(|row| matches!(row.value.membership, MembershipState::Join | MembershipState::Invite));
    present.then(|| read_up_to(cx, user_id, room_id)).transpose()
}

/// Tells those whose unread counts have fallen because events expired: their `/sync` by the change index, their push gateways
/// by a row. `limit` events at most that ended at `from` or later; answers how many there were, and the last one's end.
///
/// # Errors
/// When the store cannot be read.
pub fn tell_ends(cx: &Cx<'_>, from: Timestamp, limit: usize) -> Decided<(usize, Timestamp)> {
    let mut draft = Draft::new(*cx);
    let (mut ended, mut last, mut fell) = (0, from, BTreeSet::new());
    let mut readers = BTreeMap::new();
    for found in ends_from(cx, from).take(limit) {
        let (key, row) = found?;
        let (at, room, stamp) = key;
        if at > cx.now().as_ms() {
            break;
        }
        (ended, last) = (ended + 1, Timestamp::from_ms(at));
        let UnreadEndRow { room_id, thread, users } = row.value;
        for user_id in users {
            let read = match readers.entry((cx.user(&user_id), room)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(read_if_present(cx, &user_id, &room_id)?),
            };
            if read.as_ref().is_some_and(|read| !read.covers(thread.as_deref(), stamp)) {
                draft.tell(&user_id, Change::Receipts { room_id: room_id.clone() });
                fell.insert(user_id);
            }
        }
        tables::UNREAD_ENDS.delete(&mut draft.batch, &key);
    }
    for user_id in &fell {
        push::count_fell(&mut draft, user_id)?;
    }
    Ok(draft.commit((ended, last)))
}
