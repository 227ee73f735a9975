//! `GET /rooms/{roomId}/threads`
//! ([spec v1.19](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidthreads)).

use std::collections::BTreeMap;

use journal::{Name, Stamp};
use ruma::RoomId;
use serde_json::value::RawValue;

use super::Reading;
use crate::{Cx, Requester, Stop, sync::Token, tables};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct ThreadsRequest<'a> {
    /// By whom.
    pub requester: &'a Requester,
    /// Of which room.
    pub room_id: &'a RoomId,
    /// From where.
    pub from: Option<Token>,
    /// How many at most.
    pub limit: usize,
    /// Only threads that the requester has written in.
    pub participated: bool,
}

/// A page of threads.
#[derive(Debug)]
pub struct ThreadsPage {
    /// The roots of threads, the one with the latest reply first.
    pub events: Vec<Box<RawValue>>,
    /// Where the next page begins; `None` when there is none.
    pub next_batch: Option<Token>,
}

struct Thread {
    latest: Stamp,
    participated: bool,
}

/// The threads of a room. One whose root has expired is none.
///
/// # Errors
/// `M_FORBIDDEN` when the requester may not read the room.
pub fn threads(cx: &Cx<'_>, request: &ThreadsRequest<'_>) -> Result<ThreadsPage, Stop> {
    let reading = Reading::new(cx, request.requester, request.room_id)?;
    let room = reading.viewer.room.name;
    let mut by_root: BTreeMap<Name, Thread> = BTreeMap::new();
    for found in tables::RELATIONS.scan(cx.view, &(room,)) {
        let ((_, root, stamp), row) = found?;
        if row.value.rel_type != "m.thread" || stamp > reading.viewer.end() {
            continue;
        }
        let thread = by_root.entry(root).or_insert(Thread { latest: stamp, participated: false });
        thread.latest = thread.latest.max(stamp);
        thread.participated |= row.value.sender == request.requester.user_id;
    }
    let mut ordered: Vec<(Stamp, Name, bool)> =
        by_root.into_iter().map(|(root, thread)| (thread.latest, root, thread.participated)).collect();
    ordered.sort_unstable_by(|one, other| other.cmp(one));
    let mut page = ThreadsPage { events: Vec::new(), next_batch: None };
    let mut last = None;
    for (latest, root, participated) in ordered {
        if request.from.is_some_and(|from| latest >= from.position) {
            continue;
        }
        if page.events.len() == request.limit {
            page.next_batch = last.map(|position| Token::at(position, cx.now()));
            break;
        }
        let Some(found) = tables::EVENTS.get(cx.view, &(root,))? else { continue };
        let stamp = Stamp::of_row(found.version, found.value.index);
        let Some(row) = tables::TIMELINE.get(cx.view, &(room, stamp))? else { continue };
        let own = participated || row.value.pdu.sender == request.requester.user_id;
        if (own || !request.participated) && reading.shows(cx, stamp, &row.value.pdu)? {
            page.events.push(reading.render(cx, stamp, &row.value)?);
        }
        last = Some(latest);
    }
    Ok(page)
}
