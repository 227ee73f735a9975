//! `GET /rooms/{roomId}/timestamp_to_event`
//! ([spec v1.19](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event)).

use journal::Stamp;
use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, RoomId};

use super::{Direction, Reading, page::walk};
use crate::{Cx, Reject, Requester, Stop};

/// Events looked at at most: a day of the busiest room.
const SCAN_MAX: usize = 100_000;

/// The event sent at `ts`, or the one that came next after (forward) or last before it (backward).
///
/// # Errors
/// `M_FORBIDDEN` when the requester may not read the room, `M_NOT_FOUND` when there is no such event (any more).
pub fn event_at(
    cx: &Cx<'_>,
    requester: &Requester,
    room_id: &RoomId,
    ts: MilliSecondsSinceUnixEpoch,
    direction: Direction,
) -> Result<(OwnedEventId, MilliSecondsSinceUnixEpoch), Stop> {
    let reading = Reading::new(cx, requester, room_id)?;
    let position = match direction {
        Direction::Forward => Stamp::ZERO,
        Direction::Backward => reading.viewer.end().next(),
    };
    // The order of a timeline is the order of arrival: where an application service gave its own times, the first event
    // of the walk on the right side of `ts` is the one.
    for found in walk(cx, &reading, position, None, direction)?.take(SCAN_MAX) {
        let (stamp, row) = found?;
        let sent = row.pdu.origin_server_ts;
        let fits = if direction == Direction::Forward { sent >= ts } else { sent <= ts };
        if fits && reading.shows(cx, stamp, &row.pdu)? {
            return Ok((row.pdu.event_id, sent));
        }
    }
    Err(Reject::not_found("there is no event on that side of that time").into())
}
