//! `GET /rooms/{roomId}/state` and `GET /rooms/{roomId}/state/{eventType}/{stateKey}`
//! ([spec v1.19](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidstate)).

use journal::Stamp;
use ruma::{RoomId, UserId, events::StateEventType};
use serde_json::value::RawValue;

use crate::{
    Cx, Reject, Stop,
    room::{self, ClientEvent, Viewer},
};

/// The state now; for one who has left, as it was when they did.
///
/// # Errors
/// `M_FORBIDDEN` when the user may not read the room.
pub fn room_state(cx: &Cx<'_>, user_id: &UserId, room_id: &RoomId) -> Result<Vec<Box<RawValue>>, Stop> {
    let viewer = Viewer::reader(cx, room_id, user_id)?;
    let mut state = room::whole_state(cx, room_id, at(&viewer))?;
    state.sort_unstable_by_key(|(stamp, _)| *stamp);
    Ok(state.iter().map(|(_, pdu)| ClientEvent::new(pdu).in_room(room_id).to_raw()).collect())
}

/// One state event in full client form, and its content alone.
///
/// # Errors
/// `M_FORBIDDEN` when the user may not read the room, `M_NOT_FOUND` when there is no such state.
pub fn state_event(
    cx: &Cx<'_>,
    user_id: &UserId,
    room_id: &RoomId,
    event_type: &StateEventType,
    state_key: &str,
) -> Result<(Box<RawValue>, Box<RawValue>), Stop> {
    let viewer = Viewer::reader(cx, room_id, user_id)?;
    let pdu = room::state_at(cx, room_id, event_type, state_key, viewer.end())?
        .ok_or_else(|| Reject::not_found("the room has no such state"))?;
    Ok((ClientEvent::new(&pdu).in_room(room_id).to_raw(), pdu.content))
}

fn at(viewer: &Viewer) -> Option<Stamp> {
    Some(viewer.end()).filter(|end| *end != Stamp::MAX)
}
