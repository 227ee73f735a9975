//! Walking a space
//! ([spec v1.19, § Discovering rooms within spaces](https://spec.matrix.org/v1.19/client-server-api/#discovering-rooms-within-spaces)).

use std::collections::BTreeSet;

use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedRoomId, RoomId, UserId,
    events::{room::member::MembershipState, space::child::HierarchySpaceChildEvent},
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Pdu, Room, get_room, membership_of, place, raw,
    summary::{RoomSummary, is_visible, is_world_readable, summarize},
};
use crate::{Cx, Reject, Stop, tables};

/// How deep a space is walked at most: deeper ones are loops, or meant to cost.
pub const DEPTH_MAX: u64 = 50;

/// Rooms of one space that are looked at for one answer at most.
const ROOMS_MAX: usize = 2_000;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct HierarchyRequest<'a> {
    /// By whom.
    pub user_id: &'a UserId,
    /// Where the walk begins.
    pub room_id: &'a RoomId,
    /// Only children that the space suggests.
    pub suggested_only: bool,
    /// How deep; [`DEPTH_MAX`] at most.
    pub max_depth: u64,
    /// How many rooms in one answer.
    pub limit: usize,
    /// Where the answer before ended.
    pub from: Option<&'a str>,
}

/// A room of the space.
#[derive(Debug, Serialize)]
pub struct HierarchyRoom {
    /// What it is.
    #[serde(flatten)]
    pub summary: RoomSummary,
    /// Its `m.space.child` events, in the order the children are shown; empty in a room that is no space.
    pub children_state: Vec<Box<RawValue>>,
}

/// A page of the walk.
#[derive(Debug, Default, Serialize)]
pub struct Hierarchy {
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_batch: Option<String>,
    /// Rooms, each before its children.
    pub rooms: Vec<HierarchyRoom>,
}

/// `GET /rooms/{roomId}/hierarchy`: depth first, each room once, leaving out what the asker may not see and what is below it.
///
/// # Errors
/// `M_FORBIDDEN` for a room that does not exist, and in the same words for one that the asker may not see;
/// `M_INVALID_PARAM` for a `from` that is too old or was given for other arguments.
pub fn hierarchy(cx: &Cx<'_>, request: &HierarchyRequest<'_>) -> Result<Hierarchy, Stop> {
    check_root(cx, request)?;
    let HierarchyRequest { user_id, room_id, suggested_only, max_depth, limit, from } = *request;
    let question = format!("hierarchy {user_id} {room_id} {suggested_only} {max_depth}");
    let skipped = from.map_or(Ok(0), |from| place::decode(cx, &question, from))?;
    let mut page = Hierarchy::default();
    let (mut waiting, mut met) = (vec![(room_id.to_owned(), 0)], BTreeSet::new());
    let mut found = 0;
    while let Some((room_id, depth)) = waiting.pop() {
        if met.len() >= ROOMS_MAX || !met.insert(room_id.clone()) {
            continue;
        }
        let Some(room) = visible(cx, user_id, &room_id)? else { continue };
        let summary = summarize(cx, &room)?;
        let children = if summary.is_space() { children(cx, &room, suggested_only)? } else { Vec::new() };
        found += 1;
        if found > skipped {
            if page.rooms.len() == limit {
                page.next_batch = Some(place::encode(cx, &question, skipped + limit));
                break;
            }
            let children_state = children.iter().map(|child| child.raw.clone()).collect();
            page.rooms.push(HierarchyRoom { summary, children_state });
        }
        if depth < max_depth {
            waiting.extend(children.into_iter().rev().map(|child| (child.event.state_key, depth + 1)));
        }
    }
    Ok(page)
}

/// Whether the walk may begin there: also who is banned may not look, unless everybody may read.
fn check_root(cx: &Cx<'_>, request: &HierarchyRequest<'_>) -> Result<(), Stop> {
    let forbidden = || Reject::forbidden("there is no such room, or you may not see it");
    let room = visible(cx, request.user_id, request.room_id)?.ok_or_else(forbidden)?;
    let banned = membership_of(cx, &room.room_id, request.user_id)? == Some(MembershipState::Ban);
    if banned && !is_world_readable(cx, &room)? { Err(forbidden().into()) } else { Ok(()) }
}

fn visible(cx: &Cx<'_>, user_id: &UserId, room_id: &RoomId) -> Result<Option<Room>, Stop> {
    match get_room(cx, room_id) {
        Ok(room) => Ok(is_visible(cx, Some(user_id), &room)?.then_some(room)),
        Err(Stop::Reject(Reject::NotFound(_))) => Ok(None),
        Err(stop) => Err(stop),
    }
}

/// A child of a space, and its event in stripped form.
struct Child {
    event: HierarchySpaceChildEvent,
    raw: Box<RawValue>,
}

/// The rooms that a space names as its children.
pub(crate) fn children_of(cx: &Cx<'_>, space: &Room) -> Result<Vec<OwnedRoomId>, Stop> {
    Ok(children(cx, space, false)?.into_iter().map(|child| child.event.state_key).collect())
}

/// The children of a space, ordered; an event without a list of servers in `via` names none.
fn children(cx: &Cx<'_>, space: &Room, suggested_only: bool) -> Result<Vec<Child>, Stop> {
    let mut children = Vec::new();
    for found in tables::STATE.scan(cx.view, &(space.name, cx.name("m.space.child"))) {
        let raw = stripped_child(&found?.1.value.pdu);
        let Ok(event) = serde_json::from_str::<HierarchySpaceChildEvent>(raw.get()) else { continue };
        if event.content.suggested || !suggested_only {
            children.push(Child { event, raw });
        }
    }
    children.sort_by(|one, other| one.event.cmp(&other.event));
    Ok(children)
}

/// The stripped form with the time it was sent, which children are ordered by.
fn stripped_child(pdu: &Pdu) -> Box<RawValue> {
    #[derive(Serialize)]
    struct StrippedChild<'a> {
        content: &'a RawValue,
        origin_server_ts: MilliSecondsSinceUnixEpoch,
        sender: &'a UserId,
        state_key: &'a str,
        #[serde(rename = "type")]
        event_type: String,
    }
    raw(&StrippedChild {
        content: &pdu.content,
        origin_server_ts: pdu.origin_server_ts,
        sender: &pdu.sender,
        state_key: pdu.state_key.as_deref().unwrap_or_default(),
        event_type: pdu.event_type.to_string(),
    })
}
