//! `GET /rooms/{roomId}/messages`
//! ([spec v1.19](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmessages)).

use std::collections::BTreeSet;

use journal::{ReadError, Stamp};
use ruma::{OwnedUserId, RoomId, events::TimelineEventType};
use serde_json::value::RawValue;

use super::Reading;
use crate::{
    Cx, Requester, Stop,
    sync::{EventFilter, Token},
    tables::{self, TimelineRow},
};

/// Events looked at for one page at most: the page after goes on from there.
const SCAN_MAX: usize = 2_000;

/// Which way to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Newest first.
    Backward,
    /// Oldest first.
    Forward,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct MessagesRequest<'a> {
    /// By whom.
    pub requester: &'a Requester,
    /// Of which room.
    pub room_id: &'a RoomId,
    /// From where; `None`: from the end that comes first.
    pub from: Option<Token>,
    /// Up to where at most.
    pub to: Option<Token>,
    /// Which way.
    pub direction: Direction,
    /// How many at most.
    pub limit: usize,
    /// What is left out.
    pub filter: &'a EventFilter,
}

/// A page.
#[derive(Debug)]
pub struct Page {
    /// Where it begins.
    pub start: Token,
    /// Where the next one begins; `None` when there is none.
    pub end: Option<Token>,
    /// Events in the order asked for.
    pub events: Vec<Box<RawValue>>,
    /// Members who are seen in them, if members are loaded lazily.
    pub state: Vec<Box<RawValue>>,
}

/// A page of a timeline. A token of any age is good: past the edge of what is kept the page is empty and has no `end`.
///
/// # Errors
/// `M_FORBIDDEN` when the requester may not read the room.
pub fn messages(cx: &Cx<'_>, request: &MessagesRequest<'_>) -> Result<Page, Stop> {
    let reading = Reading::new(cx, request.requester, request.room_id)?;
    // A place of its own, not "the end": what is said later comes after it.
    let latest = reading.viewer.end().min(Stamp::end_of(cx.view.seq())).next();
    let position = match (request.from, request.direction) {
        (Some(token), _) => token.position.min(latest),
        (None, Direction::Backward) => latest,
        (None, Direction::Forward) => Stamp::ZERO,
    };
    let to = request.to.map(|token| token.position);
    let mut walk = walk(cx, &reading, position, to, request.direction)?;
    let mut page = Page { start: Token::at(position, cx.now()), end: None, events: Vec::new(), state: Vec::new() };
    let (mut senders, mut last): (BTreeSet<OwnedUserId>, _) = (BTreeSet::new(), position);
    let mut complete = false;
    for scanned in 0.. {
        if page.events.len() >= request.limit || scanned >= SCAN_MAX {
            page.end = Some(Token::at(last, cx.now()));
            break;
        }
        let Some((stamp, row)) = walk.next().transpose()? else {
            // Only a room's first event is known to be the last that a reader going back will ever find: past anything else
            // there may be what the filter left out, or what is said later. Clients ask once more, and are told by a page
            // without an end.
            page.end = (!page.events.is_empty() && !complete).then(|| Token::at(last, cx.now()));
            break;
        };
        last = if request.direction == Direction::Backward { stamp } else { stamp.next() };
        if reading.passes(cx, request.filter, &row.pdu)? && reading.shows(cx, stamp, &row.pdu)? {
            page.events.push(reading.render(cx, stamp, &row)?);
            complete = row.pdu.event_type == TimelineEventType::RoomCreate && request.direction == Direction::Backward;
            senders.insert(row.pdu.sender);
        }
    }
    if request.filter.lazy_load_members {
        page.state = reading.members(cx, &senders, reading.viewer.end())?;
    }
    Ok(page)
}

pub(super) type Rows<'v> = Box<dyn Iterator<Item = Result<(Stamp, TimelineRow), ReadError>> + 'v>;

/// The rows of a timeline before `position` (backward) or from it on (forward), up to `to`, within what the reader sees.
pub(super) fn walk<'v>(
    cx: &'v Cx<'v>,
    reading: &Reading,
    position: Stamp,
    to: Option<Stamp>,
    direction: Direction,
) -> Result<Rows<'v>, ReadError> {
    let (room, end) = (reading.viewer.room.name, reading.viewer.end());
    let row = |found: Result<((journal::Name, Stamp), journal::Row<TimelineRow>), ReadError>| {
        found.map(|((_, stamp), row)| (stamp, row.value))
    };
    Ok(match direction {
        Direction::Backward => {
            let from = Token::at(position, cx.now()).known();
            let rows = tables::TIMELINE.scan_back_from(cx.view, &(room,), &(room, from)).map(row);
            let bound = to.unwrap_or(Stamp::ZERO);
            Box::new(rows.take_while(move |found| found.as_ref().map_or(true, |(stamp, _)| *stamp >= bound)))
        }
        Direction::Forward => {
            let rows = tables::TIMELINE.scan_from(cx.view, &(room,), &(room, position)).map(row);
            Box::new(rows.take_while(move |found| {
                found.as_ref().map_or(true, |(stamp, _)| *stamp <= end && to.is_none_or(|to| *stamp < to))
            }))
        }
    })
}
