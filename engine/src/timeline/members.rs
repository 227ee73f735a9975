//! `GET /rooms/{roomId}/members` and `GET /rooms/{roomId}/joined_members`
//! ([spec v1.19](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmembers)).

use journal::Stamp;
use ruma::{
    RoomId, UserId,
    events::{TimelineEventType, room::member::MembershipState},
};
use serde_json::value::RawValue;

use crate::{
    Cx, Reject, Stop,
    room::{self, ClientEvent, Viewer},
    sync::Token,
    tables::MemberRow,
};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct MembersRequest<'a> {
    /// By whom.
    pub user_id: &'a UserId,
    /// Of which room.
    pub room_id: &'a RoomId,
    /// As it was then.
    pub at: Option<Token>,
    /// Only these.
    pub membership: Option<&'a MembershipState>,
    /// All but these.
    pub not_membership: Option<&'a MembershipState>,
}

/// The member events of a room.
///
/// # Errors
/// `M_FORBIDDEN` when the user may not read the room.
pub fn members(cx: &Cx<'_>, request: &MembersRequest<'_>) -> Result<Vec<Box<RawValue>>, Stop> {
    let viewer = Viewer::reader(cx, request.room_id, request.user_id)?;
    let at = request.at.map_or(Stamp::MAX, |token| token.known()).min(viewer.end());
    let at = Some(at).filter(|at| *at != Stamp::MAX);
    let mut state = room::whole_state(cx, request.room_id, at)?;
    state.retain(|(_, pdu)| {
        pdu.event_type == TimelineEventType::RoomMember && {
            let membership = pdu.content_field::<MembershipState>("membership");
            request.membership.is_none_or(|wanted| membership.as_ref() == Some(wanted))
                && request.not_membership.is_none_or(|unwanted| membership.as_ref() != Some(unwanted))
        }
    });
    state.sort_unstable_by_key(|(stamp, _)| *stamp);
    Ok(state.iter().map(|(_, pdu)| ClientEvent::new(pdu).in_room(request.room_id).to_raw()).collect())
}

/// Who is in a room, with the names and pictures they have there.
///
/// # Errors
/// `M_FORBIDDEN` when the user is not in it.
pub fn joined_members(cx: &Cx<'_>, user_id: &UserId, room_id: &RoomId) -> Result<Vec<MemberRow>, Stop> {
    if room::membership_of(cx, room_id, user_id)? != Some(MembershipState::Join) {
        return Err(Reject::forbidden("you are not in this room: join it to see who is").into());
    }
    Ok(room::joined_members(cx, room_id)?)
}
