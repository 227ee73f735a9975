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

struct Side {
    events: Vec<Box<RawValue>>,
    last: Stamp,
}

/// An event, what was said before and after it, and the state then.
///
/// # Errors
/// `M_FORBIDDEN` when the requester may not read the room, `M_NOT_FOUND` when the event is not there (any more).
pub fn context(cx: &Cx<'_>, request: &ContextRequest<'_>) -> Result<Context, Stop> {
    let reading = Reading::new(cx, request.requester, request.room_id)?;
    let (stamp, row) = reading.find(cx, request.event_id)?;
    let mut senders = BTreeSet::from([row.pdu.sender.clone()]);
    let before = side(cx, &reading, request, (stamp, request.limit.div_ceil(2)), Direction::Backward, &mut senders)?;
    let half = request.limit / 2;
    let after = side(cx, &reading, request, (stamp.next(), half), Direction::Forward, &mut senders)?;
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

fn side(
    cx: &Cx<'_>,
    reading: &Reading,
    request: &ContextRequest<'_>,
    (from, limit): (Stamp, usize),
    direction: Direction,
    senders: &mut BTreeSet<OwnedUserId>,
) -> Result<Side, Stop> {
    let mut side = Side { events: Vec::new(), last: from };
    if limit == 0 {
        return Ok(side);
    }
    for found in walk(cx, reading, from, None, direction)?.take(SCAN_MAX) {
        let (stamp, row) = found?;
        if reading.passes(cx, request.filter, &row.pdu)? && reading.shows(cx, stamp, &row.pdu)? {
            side.events.push(reading.render(cx, stamp, &row)?);
            senders.insert(row.pdu.sender);
        }
        side.last = if direction == Direction::Backward { stamp } else { stamp.next() };
        if side.events.len() == limit {
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
    state.retain(|(_, pdu)| !lazy || pdu.event_type != TimelineEventType::RoomMember || seen(pdu.state_key.as_deref()));
    state.sort_unstable_by_key(|(stamp, _)| *stamp);
    Ok(state.iter().map(|(_, pdu)| ClientEvent::new(pdu).in_room(request.room_id).to_raw()).collect())
}
