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
    tables::{self, MemberRow},
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
    let at = match request.at {
        Some(token) => token.known().max(beginning(cx, request.room_id)?).min(viewer.end()),
        None => viewer.end(),
    };
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

/// When the room had been made. A token from before that, as the first events of a timeline have it, means this.
fn beginning(cx: &Cx<'_>, room_id: &RoomId) -> Result<Stamp, Stop> {
    let key = (cx.room(room_id), cx.name("m.room.create"), cx.name(""));
    let create = tables::STATE.get(cx.view, &key)?;
    Ok(create.map_or(Stamp::ZERO, |row| Stamp::end_of(row.value.stamp(row.version).seq)))
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
