//! What a room tells of itself to those who may come in
//! ([spec v1.19, § Room Summaries](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1room_summaryroomidoralias)).

use ruma::{
    OwnedRoomId, RoomOrAliasId, RoomVersionId, UserId,
    directory::PublicRoomsChunk,
    events::{StateEventType, room::member::MembershipState},
    room::{AllowRule, JoinRule, RoomType},
};
use serde::Serialize;

use super::{Room, aliases, directory, get_room, join_rules, membership_of, state_event};
use crate::{Cx, Reject, Stop, policy};

/// A room as seen from outside.
#[derive(Debug, Serialize)]
pub struct RoomSummary {
    /// What the room directory has of it as well.
    #[serde(flatten)]
    pub listed: PublicRoomsChunk,
    /// For a restricted room: the rooms whose members may join it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_room_ids: Option<Vec<OwnedRoomId>>,
    /// The algorithm that its messages are encrypted with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<String>,
    /// Its version.
    pub room_version: RoomVersionId,
}

/// A summary, and what the asker is to the room.
#[derive(Debug, Serialize)]
pub struct OwnSummary {
    /// The summary.
    #[serde(flatten)]
    pub summary: RoomSummary,
    /// `leave` for somebody who never was there; absent for somebody unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub membership: Option<MembershipState>,
}

/// `GET /room_summary/{roomIdOrAlias}`; `user_id` is absent when nobody is logged in.
///
/// # Errors
/// `M_NOT_FOUND` for a room that does not exist, and in the same words for one that the asker may not see.
pub fn room_summary(cx: &Cx<'_>, user_id: Option<&UserId>, room: &RoomOrAliasId) -> Result<OwnSummary, Stop> {
    let unknown = || Reject::not_found("there is no such room, or you may not see it");
    let found = aliases::resolve_id_or_alias(cx, room).and_then(|room_id| get_room(cx, &room_id));
    let room = found.map_err(|stop| match stop {
        Stop::Reject(Reject::NotFound(_)) => Stop::from(unknown()),
        other => other,
    })?;
    if !is_visible(cx, user_id, &room)? {
        return Err(unknown().into());
    }
    let membership = match user_id {
        Some(user_id) => Some(membership_of(cx, &room.room_id, user_id)?.unwrap_or(MembershipState::Leave)),
        None => None,
    };
    Ok(OwnSummary { summary: summarize(cx, &room)?, membership })
}

/// The summary, whoever asks.
pub(super) fn summarize(cx: &Cx<'_>, room: &Room) -> Result<RoomSummary, Stop> {
    let allowed_room_ids = match join_rules::join_rule(cx, &room.room_id)? {
        JoinRule::Restricted(restricted) | JoinRule::KnockRestricted(restricted) => {
            let other = |rule: AllowRule| match rule {
                AllowRule::RoomMembership(other) => Some(other.room_id),
                _ => None,
            };
            Some(restricted.allow.into_iter().filter_map(other).collect())
        }
        _ => None,
    };
    let encryption = state_event(cx, &room.room_id, &StateEventType::RoomEncryption, "")?;
    Ok(RoomSummary {
        listed: directory::describe(cx, &room.room_id)?,
        allowed_room_ids,
        encryption: encryption.and_then(|pdu| pdu.content_field("algorithm")),
        room_version: room.version.clone(),
    })
}

/// Whether somebody may know what the room is: who is in it, is invited or knocks; and, as far as policy goes, whoever could come
/// in or knock, or may read it anyway.
pub(super) fn is_visible(cx: &Cx<'_>, user_id: Option<&UserId>, room: &Room) -> Result<bool, Stop> {
    if let Some(user_id) = user_id {
        let membership = membership_of(cx, &room.room_id, user_id)?;
        if matches!(membership, Some(MembershipState::Join | MembershipState::Invite | MembershipState::Knock)) {
            return Ok(true);
        }
        if !policy::may_know_room(cx, user_id, &room.room_id)? {
            return Ok(false);
        }
    } else if policy::is_provisioned_room(cx, &room.room_id)? {
        return Ok(false);
    }
    let open = match (join_rules::join_rule(cx, &room.room_id)?, user_id) {
        (JoinRule::Public | JoinRule::Knock | JoinRule::KnockRestricted(_), _) => true,
        (JoinRule::Restricted(restricted), Some(user_id)) => join_rules::admits(cx, &restricted, user_id)?,
        _ => false,
    };
    Ok(open || is_world_readable(cx, room)?)
}

/// Whether anybody may read the room.
pub(super) fn is_world_readable(cx: &Cx<'_>, room: &Room) -> Result<bool, Stop> {
    let visibility = state_event(cx, &room.room_id, &StateEventType::RoomHistoryVisibility, "")?;
    Ok(visibility
        .and_then(|pdu| pdu.content_field::<String>("history_visibility"))
        .is_some_and(|visibility| visibility == "world_readable"))
}

impl RoomSummary {
    /// Whether the room is a space.
    #[must_use]
    pub fn is_space(&self) -> bool {
        self.listed.room_type == Some(RoomType::Space)
    }
}
