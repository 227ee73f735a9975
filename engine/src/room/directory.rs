//! The published room directory
//! ([spec v1.19, § Published room directory](https://spec.matrix.org/v1.19/client-server-api/#published-room-directory)).

use ruma::{
    OwnedMxcUri, OwnedRoomAliasId, OwnedRoomId, RoomId, UInt, UserId,
    directory::{PublicRoomsChunk, PublicRoomsChunkInit, RoomTypeFilter},
    events::StateEventType,
    room::{JoinRuleKind, RoomType},
};

use super::{get_room, get_room_for, joined_members, membership_of, power::power_of, state_event};
use crate::{Cx, Decided, Draft, Reject, Stop, policy, tables};

/// At most this many rooms in one answer.
const PAGE_MAX: usize = 500;

/// What is asked of the directory.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// How many rooms at most.
    pub limit: Option<usize>,
    /// Where the page before ended: a number of rooms, as text.
    pub since: Option<String>,
    /// A text that the name, the topic or the alias contains.
    pub search_term: Option<String>,
    /// Which types of rooms; empty: all.
    pub room_types: Vec<RoomTypeFilter>,
}

/// A page of the directory.
#[derive(Debug, Default)]
pub struct Page {
    /// The rooms, those with most people first.
    pub chunk: Vec<PublicRoomsChunk>,
    /// Where the next page starts.
    pub next_batch: Option<String>,
    /// Where the page before starts.
    pub prev_batch: Option<String>,
    /// How many rooms there are in all.
    pub total: usize,
}

/// `GET` and `POST /publicRooms`. Provisioned users find nothing (DESIGN.md, "Who may do what").
///
/// # Errors
/// `M_INVALID_PARAM` for a `since` that was never given.
pub fn public_rooms(cx: &Cx<'_>, user_id: Option<&UserId>, query: &Query) -> Result<Page, Stop> {
    if let Some(user_id) = user_id
        && !policy::may_browse_rooms(cx, user_id)?
    {
        return Ok(Page::default());
    }
    let from: usize = match &query.since {
        Some(since) => since.parse().map_err(|_| Reject::invalid_param("this is not a position in the room directory"))?,
        None => 0,
    };
    let mut rooms = Vec::new();
    for found in tables::PUBLISHED_ROOMS.scan(cx.view, &()) {
        let chunk = describe(cx, &found?.1.value)?;
        if matches(&chunk, query) {
            rooms.push(chunk);
        }
    }
    rooms.sort_by(|one, other| {
        other.num_joined_members.cmp(&one.num_joined_members).then_with(|| one.room_id.cmp(&other.room_id))
    });
    let total = rooms.len();
    let limit = query.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let chunk: Vec<_> = rooms.into_iter().skip(from).take(limit).collect();
    let end = from.saturating_add(chunk.len());
    Ok(Page {
        next_batch: (end < total).then(|| end.to_string()),
        prev_batch: (from > 0).then(|| from.saturating_sub(limit).to_string()),
        chunk,
        total,
    })
}

/// `GET /directory/list/room/{roomId}`: whether the room is published. Anybody may ask, so rooms of organizations are not known here.
///
/// # Errors
/// `M_NOT_FOUND` for an unknown room.
pub fn is_published(cx: &Cx<'_>, room_id: &RoomId) -> Result<bool, Stop> {
    let room = get_room(cx, room_id)?;
    let published = tables::PUBLISHED_ROOMS.exists(cx.view, &(room.name,))?;
    if !published && policy::is_provisioned_room(cx, room_id)? {
        return Err(Reject::not_found("there is no such room").into());
    }
    Ok(published)
}

/// `PUT /directory/list/room/{roomId}`: by somebody in the room who may set its aliases.
///
/// # Errors
/// `M_NOT_FOUND`, `M_FORBIDDEN`.
pub fn set_published(cx: &Cx<'_>, user_id: &UserId, room_id: &RoomId, published: bool) -> Decided<()> {
    policy::may_alias(cx, user_id)?;
    let room = get_room_for(cx, room_id, user_id)?;
    let (own, needed) = power_of(cx, &room, user_id, &StateEventType::RoomCanonicalAlias)?;
    let joined = membership_of(cx, room_id, user_id)? == Some(ruma::events::room::member::MembershipState::Join);
    if !joined || own < needed {
        return Err(Reject::forbidden("only a moderator of the room can list it in the directory").into());
    }
    let mut draft = Draft::new(*cx);
    if published {
        tables::PUBLISHED_ROOMS.put(&mut draft.batch, &(room.name,), &room.room_id);
    } else {
        tables::PUBLISHED_ROOMS.delete(&mut draft.batch, &(room.name,));
    }
    Ok(draft.commit(()))
}

fn field<T: serde::de::DeserializeOwned>(
    cx: &Cx<'_>,
    room_id: &RoomId,
    event_type: &str,
    field: &str,
) -> Result<Option<T>, Stop> {
    Ok(state_event(cx, room_id, &StateEventType::from(event_type), "")?.and_then(|pdu| pdu.content_field(field)))
}

/// What a room tells of itself to people outside.
///
/// # Errors
/// [`Stop::Read`] when the store cannot be read.
pub fn describe(cx: &Cx<'_>, room_id: &RoomId) -> Result<PublicRoomsChunk, Stop> {
    let text = |event_type: &str, name: &str| field::<String>(cx, room_id, event_type, name);
    let members = joined_members(cx, room_id)?.len();
    let init = PublicRoomsChunkInit {
        num_joined_members: UInt::new_saturating(u64::try_from(members).unwrap_or(u64::MAX)),
        room_id: OwnedRoomId::from(room_id),
        world_readable: text("m.room.history_visibility", "history_visibility")?.as_deref() == Some("world_readable"),
        guest_can_join: text("m.room.guest_access", "guest_access")?.as_deref() == Some("can_join"),
    };
    let mut chunk = PublicRoomsChunk::from(init);
    chunk.name = text("m.room.name", "name")?;
    chunk.topic = text("m.room.topic", "topic")?;
    chunk.canonical_alias = field::<OwnedRoomAliasId>(cx, room_id, "m.room.canonical_alias", "alias")?;
    chunk.avatar_url = field::<OwnedMxcUri>(cx, room_id, "m.room.avatar", "url")?;
    chunk.join_rule = field::<JoinRuleKind>(cx, room_id, "m.room.join_rules", "join_rule")?.unwrap_or(JoinRuleKind::Invite);
    chunk.room_type = field::<RoomType>(cx, room_id, "m.room.create", "type")?;
    Ok(chunk)
}

fn matches(chunk: &PublicRoomsChunk, query: &Query) -> bool {
    let of_type = query.room_types.is_empty()
        || query.room_types.iter().any(|filter| *filter == RoomTypeFilter::from(chunk.room_type.clone()));
    let Some(term) = query.search_term.as_deref().map(str::to_lowercase).filter(|term| !term.is_empty()) else {
        return of_type;
    };
    let alias = chunk.canonical_alias.as_ref().map(|alias| alias.as_str());
    let texts = [chunk.name.as_deref(), chunk.topic.as_deref(), alias];
    of_type && texts.into_iter().flatten().any(|text| text.to_lowercase().contains(&term))
}
