//! Who is in a room, and whom it is named after.

use journal::{ReadError, Stamp};
use ruma::{
    OwnedUserId, UserId,
    events::{StateEventType, room::member::MembershipState},
};

use super::Summary;
use crate::{
    Cx,
    room::{self, Room},
    tables,
};

/// Names in a room's made-up name, as the specification has it.
const HEROES_MAX: usize = 5;

/// The summary of a room, as `user_id` sees it.
pub(super) fn summary(cx: &Cx<'_>, room: &Room, user_id: &UserId) -> Result<Summary, ReadError> {
    let mut summary = Summary::default();
    let (mut present, mut gone): (Vec<(Stamp, OwnedUserId)>, Vec<_>) = (Vec::new(), Vec::new());
    for found in tables::MEMBERS.scan(cx.view, &(room.name,)) {
        let row = found?.1;
        let stamp = Stamp::of_row(row.version, row.value.index);
        let others = match row.value.membership {
            MembershipState::Join => {
                summary.joined += 1;
                &mut present
            }
            MembershipState::Invite => {
                summary.invited += 1;
                &mut present
            }
            MembershipState::Leave | MembershipState::Ban => &mut gone,
            _ => continue,
        };
        if row.value.user_id != user_id {
            others.push((stamp, row.value.user_id));
        }
    }
    if !is_named(cx, room)? {
        let mut heroes = if present.is_empty() { gone } else { present };
        heroes.sort_unstable();
        heroes.truncate(HEROES_MAX);
        summary.heroes = Some(heroes.into_iter().map(|(_, user_id)| user_id).collect());
    }
    Ok(summary)
}

fn is_named(cx: &Cx<'_>, room: &Room) -> Result<bool, ReadError> {
    for (event_type, field) in [(StateEventType::RoomName, "name"), (StateEventType::RoomCanonicalAlias, "alias")] {
        let event = room::state_event(cx, &room.room_id, &event_type, "")?;
        let name = event.and_then(|event| event.content_field::<String>(field));
        if name.is_some_and(|name| !name.is_empty()) {
            return Ok(true);
        }
    }
    Ok(false)
}
