//! Who may do what in a room
//! ([spec v1.19, § m.room.power_levels](https://spec.matrix.org/v1.19/client-server-api/#mroompower_levels)).

use ruma::{
    OwnedUserId, UserId,
    events::{
        StateEventType,
        room::power_levels::{RoomPowerLevels, RoomPowerLevelsEventContent, RoomPowerLevelsSource, UserPowerLevel},
    },
};

use super::{Room, state_event};
use crate::{Cx, Stop};

/// The power levels of a room, creators included.
///
/// # Errors
/// [`Stop::Read`] when the store cannot be read.
pub fn power_levels(cx: &Cx<'_>, room: &Room) -> Result<RoomPowerLevels, Stop> {
    let content = state_event(cx, &room.room_id, &StateEventType::RoomPowerLevels, "")?
        .and_then(|pdu| pdu.content_as::<RoomPowerLevelsEventContent>());
    let source = content.map_or(RoomPowerLevelsSource::None, RoomPowerLevelsSource::Original);
    Ok(RoomPowerLevels::new(source, &room.rules.authorization, creators(cx, room)?))
}

/// Who made the room; from version 12 on, `additional_creators` with them.
///
/// # Errors
/// [`Stop::Read`] when the store cannot be read.
pub fn creators(cx: &Cx<'_>, room: &Room) -> Result<Vec<OwnedUserId>, Stop> {
    let Some(create) = state_event(cx, &room.room_id, &StateEventType::RoomCreate, "")? else { return Ok(Vec::new()) };
    let mut creators = vec![create.sender.clone()];
    if room.rules.authorization.additional_room_creators {
        creators.extend(create.content_field::<Vec<OwnedUserId>>("additional_creators").unwrap_or_default());
    }
    Ok(creators)
}

/// The creators, where nothing limits their power: no power levels name them then.
///
/// # Errors
/// [`Stop::Read`] when the store cannot be read.
pub fn privileged_creators(cx: &Cx<'_>, room: &Room) -> Result<Vec<OwnedUserId>, Stop> {
    if room.rules.authorization.explicitly_privilege_room_creators { creators(cx, room) } else { Ok(Vec::new()) }
}

/// The user's power, and the power that changing this state takes.
///
/// # Errors
/// [`Stop::Read`] when the store cannot be read.
pub fn power_of(
    cx: &Cx<'_>,
    room: &Room,
    user_id: &UserId,
    event_type: &StateEventType,
) -> Result<(UserPowerLevel, UserPowerLevel), Stop> {
    let levels = power_levels(cx, room)?;
    Ok((levels.for_user(user_id), UserPowerLevel::Int(levels.for_state(event_type.clone()))))
}
