//! The rooms two users share
//! ([spec v1.19, § Mutual Rooms](https://spec.matrix.org/v1.19/client-server-api/#mutual-rooms)).

use ruma::{OwnedRoomId, UserId, events::room::member::MembershipState};
use serde::Serialize;

use super::{joined_rooms, membership_of, place};
use crate::{Cx, Reject, Stop};

/// Rooms in one answer.
const PAGE: usize = 100;

/// A page of the rooms two users share.
#[derive(Debug, Serialize)]
pub struct MutualRooms {
    /// How many there are in all.
    pub count: usize,
    /// Rooms both are in.
    pub joined: Vec<OwnedRoomId>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_batch: Option<String>,
}

/// `GET /mutual_rooms`: both know that they are in these rooms, so it tells nobody anything new. With somebody who does not
/// exist one shares none.
///
/// # Errors
/// `M_INVALID_PARAM` for oneself, and for a `from` that is too old or was given for somebody else.
pub fn mutual_rooms(cx: &Cx<'_>, user_id: &UserId, other: &UserId, from: Option<&str>) -> Result<MutualRooms, Stop> {
    if user_id == other {
        return Err(Reject::invalid_param("these are all your rooms: ask for those you share with somebody else").into());
    }
    let question = format!("mutual rooms {user_id} {other}");
    let skipped = from.map_or(Ok(0), |from| place::decode(cx, &question, from))?;
    let mut shared = Vec::new();
    for room_id in joined_rooms(cx, user_id)? {
        if membership_of(cx, &room_id, other)? == Some(MembershipState::Join) {
            shared.push(room_id);
        }
    }
    let count = shared.len();
    let next = skipped.saturating_add(PAGE);
    Ok(MutualRooms {
        count,
        joined: shared.into_iter().skip(skipped).take(PAGE).collect(),
        next_batch: (next < count).then(|| place::encode(cx, &question, next)),
    })
}
