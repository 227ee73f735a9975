//! `GET /rooms/{roomId}/event/{eventId}`
//! ([spec v1.19](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomideventeventid)).

use ruma::{EventId, RoomId};
use serde_json::value::RawValue;

use super::Reading;
use crate::{Cx, Reject, Requester, Stop};

/// One event.
///
/// # Errors
/// `M_NOT_FOUND` when there is none (any more) or the requester may not see it: the same answer for all.
pub fn event(cx: &Cx<'_>, requester: &Requester, room_id: &RoomId, event_id: &EventId) -> Result<Box<RawValue>, Stop> {
    let reading = Reading::new(cx, requester, room_id).map_err(|stop| match stop {
        Stop::Reject(_) => Reject::not_found("there is no such event").into(),
        other => other,
    })?;
    let (stamp, row) = reading.find(cx, event_id)?;
    Ok(reading.render(cx, stamp, &row)?)
}
