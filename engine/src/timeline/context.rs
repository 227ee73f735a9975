//! `GET /rooms/{roomId}/context/{eventId}`
//! ([spec v1.19](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidcontexteventid)).

use std::collections::BTreeSet;

use journal::Stamp;
use ruma::{EventId, OwnedUserId, RoomId, events::TimelineEventType};
use serde_json::value::RawValue;

use super::{Direction, Reading, page::walk};
use crate::{
    Cx, Requester, Stop,
    room::{self, ClientEvent},
    sync::{EventFilter, Token},
};

/// Events looked at on either side at most.
const SCAN_MAX: usize = 1_000;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct ContextRequest<'a> {
    /// By whom.
    pub requester: &'a Requester,
    /// Of which room.
    pub room_id: &'a RoomId,
    /// Around which event.
    pub event_id: &'a EventId,
    /// How many events around it at most.
    pub limit: usize,
    /// What is left out.
    pub filter: &'a EventFilter,
}

/// An event and what was said around it.
#[derive(Debug)]
pub struct Context {
    /// Where earlier events are found.
    pub start: Token,
    /// Where later events are found.
    pub end: Token,
    /// Newest first.
    pub events_before: Vec<Box<RawValue>>,
    /// The event.
    pub event: Box<RawValue>,
    /// Oldest first.
    pub events_after: Vec<Box<RawValue>>,
    /// The state at the last event.
    pub state: Vec<Box<RawValue>>,
}

/// One side of an event.
pub(super) struct Side {
    /// From the event outwards.
    pub events: Vec<Box<RawValue>>,
    /// Where it ends.
    pub last: Stamp,
}

/// Which side of an event, and how much of it.
pub(super) struct Around<'f> {
    /// Where it begins.
    pub from: Stamp,
    /// Which way.
    pub direction: Direction,
    /// How many events at most.
    pub limit: usize,
    /// How many are looked at for them at most.
    pub scan_max: usize,
    /// What is left out.
    pub filter: &'f EventFilter,
}

/// An event, what was said before and after it, and the state then.
///
/// # Errors
/// `M_FORBIDDEN` when the requester may not read the room, `M_NOT_FOUND` when the event is not there (any more).
pub fn context(cx: &Cx<'_>, request: &ContextRequest<'_>) -> Result<Context, Stop> {
    let reading = Reading::new(cx, request.requester, request.room_id)?;
    let (stamp, row) = reading.find(cx, request.event_id)?;
    let mut senders = BTreeSet::from([row.pdu.sender.clone()]);
    let around = |direction, from, limit| Around { from, direction, limit, scan_max: SCAN_MAX, filter: request.filter };
    let before = around(Direction::Backward, stamp, request.limit.div_ceil(2));
    let before = side(cx, &reading, &before, &mut senders)?;
    let after = side(cx, &reading, &around(Direction::Forward, stamp.next(), request.limit / 2), &mut senders)?;
    let at = Token::at(after.last, cx.now()).known();
    Ok(Context {
        start: Token::at(before.last, cx.now()),
        end: Token::at(after.last, cx.now()),
        events_before: before.events,
        event: reading.render(cx, stamp, &row)?,
        events_after: after.events,
        state: state(cx, request, at, &senders)?,
    })
}

/// What was said on one side of an event, and by whom.
pub(super) fn side(
    cx: &Cx<'_>,
    reading: &Reading,
    around: &Around<'_>,
    senders: &mut BTreeSet<OwnedUserId>,
) -> Result<Side, Stop> {
    let mut side = Side { events: Vec::new(), last: around.from };
    if around.limit == 0 {
        return Ok(side);
    }
    for found in walk(cx, reading, around.from, None, around.direction)?.take(around.scan_max) {
        let (stamp, row) = found?;
        if reading.passes(cx, around.filter, &row.pdu)? && reading.shows(cx, stamp, &row.pdu)? {
            side.events.push(reading.render(cx, stamp, &row)?);
            senders.insert(row.pdu.sender);
        }
        side.last = if around.direction == Direction::Backward { stamp } else { stamp.next() };
        if side.events.len() == around.limit {
            break;
        }
    }
    Ok(side)
}

fn state(
    cx: &Cx<'_>,
    request: &ContextRequest<'_>,
    at: Stamp,
    senders: &BTreeSet<OwnedUserId>,
) -> Result<Vec<Box<RawValue>>, Stop> {
    let mut state = room::whole_state(cx, request.room_id, Some(at))?;
    let seen = |key: Option<&str>| key.is_some_and(|key| senders.iter().any(|sender| sender.as_str() == key));
    let lazy = request.filter.lazy_load_members;
    let passes = request.filter.includes_room(request.room_id);
    state.retain(|(_, pdu)| {
        let wanted = !lazy || pdu.event_type != TimelineEventType::RoomMember || seen(pdu.state_key.as_deref());
        wanted && passes && request.filter.includes(pdu)
    });
    state.sort_unstable_by_key(|(stamp, _)| *stamp);
    Ok(state.iter().map(|(_, pdu)| ClientEvent::new(pdu).in_room(request.room_id).to_raw()).collect())
}
