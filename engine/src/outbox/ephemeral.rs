//! Typing and presence, which are only in memory: whom to wake, and what to tell.

use std::collections::{BTreeMap, BTreeSet};

use journal::Topic;
use ruma::{OwnedUserId, RoomId, UserId};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{services, takes_ephemeral, topic, watches};
use crate::{Appservice, Cx, Stop, room, sync::Ephemeral, tables::MemberRow};

/// Whom to wake when somebody starts or stops typing in a room with the joined `members`.
#[must_use]
pub fn typing_topics(cx: &Cx<'_>, room_id: &RoomId, members: &[MemberRow]) -> Vec<Topic> {
    let wanted = services(cx).filter(|(_, service)| takes_ephemeral(service) && watches(service, room_id, members));
    wanted.map(|(id, _)| topic(cx, id)).collect()
}

/// Whom to wake when the presence of one of `users` changes, or of somebody they share a room with.
#[must_use]
pub fn presence_topics(cx: &Cx<'_>, users: &BTreeSet<OwnedUserId>) -> Vec<Topic> {
    let wants = |service: &Appservice| users.iter().any(|user_id| service.interest.user(user_id));
    let wanted = services(cx).filter(|(_, service)| takes_ephemeral(service) && wants(service));
    wanted.map(|(id, _)| topic(cx, id)).collect()
}

/// What a service is to be told of typing and presence since `version`: of rooms that it watches, and of its users and
/// those who share a room with one of them. These are only in memory, and so is that they were told: what is lost with a
/// restart is out of date.
///
/// # Errors
/// When the store cannot be read.
pub fn ephemeral_events(
    cx: &Cx<'_>,
    service: &str,
    version: u64,
    ephemeral: &dyn Ephemeral,
) -> Result<Vec<Box<RawValue>>, Stop> {
    #[derive(Serialize)]
    struct Typing<'a> {
        #[serde(rename = "type")]
        event_type: &'a str,
        room_id: &'a RoomId,
        content: BTreeMap<&'a str, Vec<OwnedUserId>>,
    }
    let Some(service) = cx.server.appservices.get(service).filter(|service| takes_ephemeral(service)) else {
        return Ok(Vec::new());
    };
    let mut events = Vec::new();
    for (room_id, user_ids) in ephemeral.typing_since(Some(version)) {
        if watches(service, &room_id, &room::joined_members(cx, &room_id)?) {
            let content = BTreeMap::from([("user_ids", user_ids)]);
            events.push(room::raw(&Typing { event_type: "m.typing", room_id: &room_id, content }));
        }
    }
    for user_id in ephemeral.presence_since(Some(version)) {
        if service.interest.user(&user_id) || shares_room_with_one(cx, service, &user_id)? {
            events.extend(ephemeral.presence_of(&user_id));
        }
    }
    Ok(events)
}

fn shares_room_with_one(cx: &Cx<'_>, service: &Appservice, user_id: &UserId) -> Result<bool, Stop> {
    for room_id in room::joined_rooms(cx, user_id)? {
        if room::joined_members(cx, &room_id)?.iter().any(|member| service.interest.user(&member.user_id)) {
            return Ok(true);
        }
    }
    Ok(false)
}
