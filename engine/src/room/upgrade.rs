//! Replacing a room by one of another version
//! ([spec v1.19, § Room upgrades](https://spec.matrix.org/v1.19/client-server-api/#room-upgrades)).
//!
//! All of it is one batch: nobody sees a tombstone without the room it points at, or aliases that name neither.

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, Int, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId,
    events::{StateEventType, room::member::MembershipState},
    room_version_rules::{AuthorizationRules, RoomVersionRules},
};
use serde_json::json;

use super::{
    NewEvent, Pdu, RETENTION, Room, RoomDraft, aliases,
    create::{self, canonical},
    get_room_for, membership, membership_of, power, state_event, whole_state,
};
use crate::{Cx, Decided, Draft, Reject, Stop, policy, tables};

/// State that the new room gets as it stands in the old one. Nothing of it depends on who sent it.
const TRANSFERRED: [StateEventType; 9] = [
    StateEventType::RoomAvatar,
    StateEventType::RoomCanonicalAlias,
    StateEventType::RoomEncryption,
    StateEventType::RoomGuestAccess,
    StateEventType::RoomHistoryVisibility,
    StateEventType::RoomJoinRules,
    StateEventType::RoomName,
    StateEventType::RoomServerAcl,
    StateEventType::RoomTopic,
];

/// The children of a space and the bans that go along, each: they have to fit into one batch.
const TRANSFERRED_MAX: usize = 500;

/// In a room that has been replaced it takes this power, or more than everybody has, to write and to invite.
const CLOSED_POWER: i64 = 50;

/// `POST /rooms/{roomId}/upgrade`.
#[derive(Debug)]
pub struct UpgradeRoom {
    /// Who does it.
    pub sender: OwnedUserId,
    /// The room that is replaced.
    pub room_id: OwnedRoomId,
    /// A random id for the new room, used by room versions up to 11.
    pub random_id: OwnedRoomId,
    /// The new room's version.
    pub new_version: RoomVersionId,
    /// Who else counts as the new room's creator, where its version has that.
    pub additional_creators: Vec<OwnedUserId>,
}

/// Replaces a room and answers the new one's id: its settings, aliases and place in the directory move there, and the old
/// room points at it and is closed.
///
/// # Errors
/// `M_FORBIDDEN` by policy, for somebody outside the room or without the power to send its tombstone; `M_NOT_FOUND`,
/// `M_UNSUPPORTED_ROOM_VERSION`.
pub fn upgrade_room(cx: &Cx<'_>, command: &UpgradeRoom) -> Decided<OwnedRoomId> {
    policy::may_alias(cx, &command.sender)?;
    let rules = create::supported(&command.new_version)?;
    let old = get_room_for(cx, &command.room_id, &command.sender)?;
    if membership_of(cx, &old.room_id, &command.sender)? != Some(MembershipState::Join) {
        return Err(Reject::forbidden("you are not in this room").into());
    }
    if policy::is_provisioned_room(cx, &old.room_id)? {
        return Err(Reject::forbidden("Chats with hosts and their guests can't be upgraded.").into());
    }
    let mut draft = Draft::new(*cx);
    // A room that is named after its first event cannot be pointed at before that event is known, nor the other way round:
    // there the event leaves out the tombstone's id (spec v1.16).
    let new_room_id = if rules.authorization.room_create_event_id_as_room_id {
        let new_room_id = replace(&mut draft, command, &old, &rules, None)?;
        close(&mut draft, command, old, &new_room_id)?;
        new_room_id
    } else {
        let tombstone = close(&mut draft, command, old.clone(), &command.random_id)?;
        replace(&mut draft, command, &old, &rules, Some(tombstone))?
    };
    aliases::move_aliases(&mut draft, &command.room_id, &new_room_id)?;
    let published = (cx.room(&command.room_id),);
    if tables::PUBLISHED_ROOMS.exists(cx.view, &published)? {
        tables::PUBLISHED_ROOMS.delete(&mut draft.batch, &published);
        tables::PUBLISHED_ROOMS.put(&mut draft.batch, &(cx.room(&new_room_id),), &new_room_id);
    }
    Ok(draft.commit(new_room_id))
}

/// Makes the new room. Power levels come last: until then its creator may do everything, whatever they could in the old room.
fn replace(
    draft: &mut Draft<'_>,
    command: &UpgradeRoom,
    old: &Room,
    rules: &RoomVersionRules,
    tombstone: Option<OwnedEventId>,
) -> Result<OwnedRoomId, Stop> {
    let (cx, sender) = (draft.cx(), &command.sender);
    let creators = creators(command, &rules.authorization);
    let content = create_content(&cx, command, old, &rules.authorization, tombstone)?;
    let create = NewEvent::state(sender, StateEventType::RoomCreate, "", content);
    let mut room = RoomDraft::create(draft, command.new_version.clone(), command.random_id.clone(), create)?;
    let join = membership::member_content(&cx, sender, MembershipState::Join, None)?;
    room.append(NewEvent::state(sender, StateEventType::RoomMember, sender.as_str(), join))?;
    let mut state = whole_state(&cx, &old.room_id, None)?;
    state.sort_by_key(|(stamp, _)| *stamp);
    let (mut children, mut bans) = (0, 0);
    let mut fits = |event_type: &StateEventType| {
        let count = match event_type {
            StateEventType::RoomMember => &mut bans,
            StateEventType::SpaceChild => &mut children,
            _ => return true,
        };
        *count += 1;
        *count <= TRANSFERRED_MAX
    };
    for (_, pdu) in state {
        let Some(content) = transferred(&pdu, &rules.authorization, &creators) else { continue };
        let event_type = StateEventType::from(pdu.event_type.to_string());
        if fits(&event_type) {
            room.append(NewEvent::state(sender, event_type, pdu.state_key.as_deref().unwrap_or_default(), content))?;
        }
    }
    if let Some(levels) = power_levels(&cx, old, &rules.authorization, &creators)? {
        room.append(NewEvent::state(sender, StateEventType::RoomPowerLevels, "", levels))?;
    }
    let room_id = room.room.room_id.clone();
    room.finish();
    Ok(room_id)
}

/// Whose power the new room's version puts beyond its power levels.
fn creators(command: &UpgradeRoom, rules: &AuthorizationRules) -> Vec<OwnedUserId> {
    let mut creators = vec![command.sender.clone()];
    if rules.additional_room_creators {
        for user_id in &command.additional_creators {
            if !creators.contains(user_id) {
                creators.push(user_id.clone());
            }
        }
    }
    creators
}

fn create_content(
    cx: &Cx<'_>,
    command: &UpgradeRoom,
    old: &Room,
    rules: &AuthorizationRules,
    tombstone: Option<OwnedEventId>,
) -> Result<CanonicalJsonObject, Stop> {
    let before = state_event(cx, &old.room_id, &StateEventType::RoomCreate, "")?
        .and_then(|pdu| pdu.content_as::<CanonicalJsonObject>())
        .unwrap_or_default();
    let mut content = CanonicalJsonObject::new();
    for field in ["type", "m.federate"] {
        content.extend(before.get(field).map(|value| (field.to_owned(), value.clone())));
    }
    create::identify(&mut content, &command.new_version, rules, &command.sender);
    let text = |text: &str| CanonicalJsonValue::String(text.to_owned());
    let mut predecessor = CanonicalJsonObject::from([("room_id".to_owned(), text(old.room_id.as_str()))]);
    predecessor.extend(tombstone.map(|event_id| ("event_id".to_owned(), text(event_id.as_str()))));
    content.insert("predecessor".to_owned(), CanonicalJsonValue::Object(predecessor));
    let additional: Vec<_> = creators(command, rules).iter().skip(1).map(|user_id| text(user_id.as_str())).collect();
    if !additional.is_empty() {
        content.insert("additional_creators".to_owned(), CanonicalJsonValue::Array(additional));
    }
    Ok(content)
}

/// What the new room has in place of this event of the old room's state, if anything. Bans go along, other memberships don't:
/// people come by themselves.
fn transferred(pdu: &Pdu, rules: &AuthorizationRules, creators: &[OwnedUserId]) -> Option<CanonicalJsonObject> {
    let event_type = StateEventType::from(pdu.event_type.to_string());
    let mut content: CanonicalJsonObject = pdu.content_as()?;
    let field =
        |content: &CanonicalJsonObject, field: &str| content.get(field).and_then(|value| value.as_str().map(str::to_owned));
    match event_type {
        StateEventType::RoomMember => {
            let banned = field(&content, "membership")? == MembershipState::Ban.as_str();
            let user_id = pdu.state_key.as_deref()?;
            content.retain(|field, _| matches!(field.as_str(), "membership" | "reason"));
            return (banned && creators.iter().all(|creator| creator.as_str() != user_id)).then_some(content);
        }
        StateEventType::SpaceChild => return matches!(content.get("via")?, CanonicalJsonValue::Array(_)).then_some(content),
        StateEventType::RoomJoinRules => {
            let known = match field(&content, "join_rule")?.as_str() {
                "knock" => rules.knocking,
                "restricted" => rules.restricted_join_rule,
                "knock_restricted" => rules.knock_restricted_join_rule,
                _ => true,
            };
            if !known {
                content = CanonicalJsonObject::from([("join_rule".to_owned(), CanonicalJsonValue::String("invite".into()))]);
            }
        }
        _ => {}
    }
    let moves = TRANSFERRED.contains(&event_type) || event_type == StateEventType::from(RETENTION);
    (moves && pdu.state_key.as_deref() == Some("") && !content.is_empty()).then_some(content)
}

/// The old room's power levels in the terms of the new room's version.
fn power_levels(
    cx: &Cx<'_>,
    old: &Room,
    rules: &AuthorizationRules,
    creators: &[OwnedUserId],
) -> Result<Option<CanonicalJsonObject>, Stop> {
    let Some(mut levels) = state_event(cx, &old.room_id, &StateEventType::RoomPowerLevels, "")?
        .and_then(|pdu| pdu.content_as::<CanonicalJsonObject>())
    else {
        return Ok(None);
    };
    if rules.integer_power_levels {
        levels.values_mut().for_each(to_integers);
    }
    let before = &old.rules.authorization;
    let highest = levels.values().map(highest).max().unwrap_or_default().max(Int::from(100_u8));
    let users = levels.entry("users".to_owned()).or_insert_with(|| CanonicalJsonValue::Object(CanonicalJsonObject::new()));
    if let CanonicalJsonValue::Object(users) = users {
        if rules.explicitly_privilege_room_creators {
            users.retain(|user_id, _| creators.iter().all(|creator| creator.as_str() != user_id));
        } else if before.explicitly_privilege_room_creators {
            // Who could do everything without being listed has to be listed now.
            for creator in power::creators(cx, old)? {
                users.insert(creator.to_string(), CanonicalJsonValue::Integer(highest));
            }
        }
    }
    Ok(Some(levels))
}

/// Up to room version 9 a power level may be a number in a text.
fn to_integers(value: &mut CanonicalJsonValue) {
    match value {
        CanonicalJsonValue::String(text) => {
            if let Some(number) = text.trim().parse().ok().and_then(Int::new) {
                *value = CanonicalJsonValue::Integer(number);
            }
        }
        CanonicalJsonValue::Object(fields) => fields.values_mut().for_each(to_integers),
        _ => {}
    }
}

fn highest(value: &CanonicalJsonValue) -> Int {
    match value {
        CanonicalJsonValue::Integer(number) => *number,
        CanonicalJsonValue::Object(fields) => fields.values().map(highest).max().unwrap_or_default(),
        _ => Int::default(),
    }
}

/// Points the old room at the new one; then, as far as the sender's power goes, takes the moved aliases out of its state and
/// closes it.
fn close(draft: &mut Draft<'_>, command: &UpgradeRoom, old: Room, new_room_id: &RoomId) -> Result<OwnedEventId, Stop> {
    let sender = &command.sender;
    let mut room = RoomDraft::open(draft, old)?;
    let content = canonical(&json!({ "body": "This room has been replaced", "replacement_room": new_room_id }))?;
    let tombstone = room.append(NewEvent::state(sender, StateEventType::RoomTombstone, "", content))?;
    if room.state(&StateEventType::RoomCanonicalAlias, "")?.is_some_and(|pdu| pdu.content.get() != "{}") {
        let cleared = NewEvent::state(sender, StateEventType::RoomCanonicalAlias, "", CanonicalJsonObject::new());
        append_if_allowed(&mut room, cleared)?;
    }
    let levels = room.state(&StateEventType::RoomPowerLevels, "")?.and_then(|pdu| pdu.content_as());
    if let Some(levels) = levels.and_then(closed_levels) {
        append_if_allowed(&mut room, NewEvent::state(sender, StateEventType::RoomPowerLevels, "", levels))?;
    }
    room.finish();
    Ok(tombstone)
}

/// The power levels of a room that nobody but its moderators may write and invite into; `None` when they are so already.
fn closed_levels(mut levels: CanonicalJsonObject) -> Option<CanonicalJsonObject> {
    let level = |levels: &CanonicalJsonObject, field: &str| match levels.get(field) {
        Some(CanonicalJsonValue::Integer(number)) => i64::from(*number),
        Some(CanonicalJsonValue::String(text)) => text.trim().parse().unwrap_or(0),
        _ => 0,
    };
    let closed = CLOSED_POWER.max(level(&levels, "users_default").saturating_add(1));
    let mut changed = false;
    for field in ["events_default", "invite"] {
        if level(&levels, field) < closed {
            levels.insert(field.to_owned(), CanonicalJsonValue::Integer(Int::new_saturating(closed)));
            changed = true;
        }
    }
    changed.then_some(levels)
}

fn append_if_allowed(room: &mut RoomDraft<'_, '_>, event: NewEvent) -> Result<(), Stop> {
    match room.append(event) {
        // Nothing of it has been written.
        Ok(_) | Err(Stop::Reject(Reject::Forbidden(_))) => Ok(()),
        Err(stop) => Err(stop),
    }
}
