//! Making a room ([spec v1.19, `POST /createRoom`](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3createroom)).

use std::iter;

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedRoomId, OwnedUserId, RoomVersionId, UserId,
    api::client::room::{
        Visibility,
        create_room::v3::{Request, RoomPreset},
    },
    events::{StateEventType, room::member::MembershipState},
    room_version_rules::{AuthorizationRules, RoomVersionDisposition, RoomVersionRules},
    serde::Raw,
};
use serde_json::{Value, json};

use super::{NewEvent, RETENTION, RoomDraft, aliases, membership};
use crate::{Cx, Decided, Draft, Reject, Stop, policy, tables};

/// At most this many people are invited at once; each is an event of the batch.
const INVITES_MAX: usize = 100;
/// At most this many events of initial state.
const INITIAL_STATE_MAX: usize = 200;

/// `POST /createRoom`.
#[derive(Debug)]
pub struct CreateRoom {
    /// Who makes it.
    pub creator: OwnedUserId,
    /// A random id, used by room versions up to 11.
    pub random_id: OwnedRoomId,
    /// What was asked for.
    pub request: Request,
}

/// The power levels of a new room
/// ([spec v1.19, § m.room.power_levels](https://spec.matrix.org/v1.19/client-server-api/#mroompower_levels)).
fn default_power_levels(command: &CreateRoom, creators_privileged: bool, preset: &RoomPreset) -> Value {
    let mut users = serde_json::Map::new();
    if !creators_privileged {
        users.insert(command.creator.to_string(), json!(100));
        if *preset == RoomPreset::TrustedPrivateChat {
            users.extend(command.request.invite.iter().map(|user_id| (user_id.to_string(), json!(100))));
        }
    }
    json!({
        "users": users,
        "users_default": 0,
        "events": {
            "m.room.name": 50, "m.room.avatar": 50, "m.room.canonical_alias": 50,
            "m.room.power_levels": 100, "m.room.history_visibility": 100, "m.room.encryption": 100,
            "m.room.server_acl": 100, RETENTION: 100,
            "m.room.tombstone": if creators_privileged { 150 } else { 100 },
        },
        "events_default": 0, "state_default": 50,
        "ban": 50, "kick": 50, "redact": 50, "invite": if *preset == RoomPreset::PublicChat { 50 } else { 0 },
    })
}

/// Makes a room: all its first events are one batch.
///
/// # Errors
/// `M_FORBIDDEN` by policy, `M_UNSUPPORTED_ROOM_VERSION`, `M_ROOM_IN_USE` for a taken alias, `M_INVALID_ROOM_STATE` when the
/// initial state does not make a room, `M_BAD_JSON`.
pub fn create_room(cx: &Cx<'_>, command: &CreateRoom) -> Decided<OwnedRoomId> {
    let request = &command.request;
    check_limits(request)?;
    policy::may_create_room(cx, &command.creator, &request.invite)?;
    if request.visibility == Visibility::Public || request.room_alias_name.is_some() {
        policy::may_alias(cx, &command.creator)?;
    }
    let version = request.room_version.clone().unwrap_or_else(|| cx.server.default_room_version.clone());
    let rules = supported(&version)?;
    let creators_privileged = rules.authorization.explicitly_privilege_room_creators;
    let preset = request.preset.clone().unwrap_or(match request.visibility {
        Visibility::Public => RoomPreset::PublicChat,
        _ => RoomPreset::PrivateChat,
    });
    let mut draft = Draft::new(*cx);
    let alias = request.room_alias_name.as_deref().map(|name| aliases::local_alias(cx, name)).transpose()?;
    let content = create_content(command, &version, &rules.authorization, &preset)?;
    let create = NewEvent::state(&command.creator, StateEventType::RoomCreate, "", content);
    let mut room = RoomDraft::create(&mut draft, version, command.random_id.clone(), create)?;
    let room_id = room.room.room_id.clone();

    let invalid = |stop: Stop| match stop {
        Stop::Reject(Reject::Forbidden(reason)) => Stop::from(Reject::InvalidRoomState(reason)),
        other => other,
    };
    let join = membership::member_content(cx, &command.creator, MembershipState::Join, None)?;
    room.append(NewEvent::state(&command.creator, StateEventType::RoomMember, command.creator.as_str(), join))?;
    let mut levels = default_power_levels(command, creators_privileged, &preset);
    overlay(&mut levels, request.power_level_content_override.as_ref())?;
    append(&mut room, command, StateEventType::RoomPowerLevels, "", &levels).map_err(invalid)?;
    if let Some(alias) = &alias {
        aliases::put_alias(&mut room, alias, &command.creator)?;
        append(&mut room, command, StateEventType::RoomCanonicalAlias, "", &json!({ "alias": alias })).map_err(invalid)?;
    }
    let people = iter::once(&*command.creator).chain(request.invite.iter().map(|invitee| &**invitee));
    let lifetime_ms = policy::shortest_text_retention_ms(cx, people)?;
    for (event_type, state_key, content) in initial_state(lifetime_ms, request, &preset)? {
        append(&mut room, command, event_type, &state_key, &content).map_err(invalid)?;
    }
    for invitee in &request.invite {
        if *invitee != command.creator {
            policy::may_invite(cx, &command.creator, invitee, None)?;
            invite(&mut room, command, invitee)?;
        }
    }
    room.finish();
    policy::claim_pairs(&mut draft, &room_id, &command.creator, &request.invite)?;
    if request.visibility == Visibility::Public {
        tables::PUBLISHED_ROOMS.put(&mut draft.batch, &(cx.room(&room_id),), &room_id);
    }
    Ok(draft.commit(room_id))
}

/// What a room version means, if rooms can be made in it: in all that the specification calls stable.
///
/// # Errors
/// `M_UNSUPPORTED_ROOM_VERSION` for another one.
pub fn supported(version: &RoomVersionId) -> Result<RoomVersionRules, Reject> {
    let rules = version.rules().filter(|rules| rules.disposition == RoomVersionDisposition::Stable);
    rules.ok_or_else(|| Reject::UnsupportedRoomVersion(version.to_string()))
}

fn check_limits(request: &Request) -> Result<(), Reject> {
    if request.invite.len() > INVITES_MAX {
        return Err(Reject::invalid_param(format!(
            "a new room can invite at most {INVITES_MAX} people; invite the others later"
        )));
    }
    if request.initial_state.len() > INITIAL_STATE_MAX {
        return Err(Reject::invalid_param(format!(
            "a new room can have at most {INITIAL_STATE_MAX} events of initial state"
        )));
    }
    if !request.invite_3pid.is_empty() {
        return Err(Reject::ThreepidDenied("people are invited by their Matrix id here, not by e-mail or telephone".into()));
    }
    Ok(())
}

fn create_content(
    command: &CreateRoom,
    version: &RoomVersionId,
    rules: &AuthorizationRules,
    preset: &RoomPreset,
) -> Result<CanonicalJsonObject, Reject> {
    let mut content = match &command.request.creation_content {
        Some(raw) => object(raw)?,
        None => CanonicalJsonObject::new(),
    };
    identify(&mut content, version, rules, &command.creator);
    if rules.additional_room_creators && *preset == RoomPreset::TrustedPrivateChat && !command.request.invite.is_empty() {
        let mut creators = match content.remove("additional_creators") {
            Some(CanonicalJsonValue::Array(creators)) => creators,
            None => Vec::new(),
            Some(_) => return Err(Reject::bad_json("additional_creators has to be a list of user ids")),
        };
        for user_id in &command.request.invite {
            let user = CanonicalJsonValue::String(user_id.to_string());
            if *user_id != command.creator && !creators.contains(&user) {
                creators.push(user);
            }
        }
        content.insert("additional_creators".to_owned(), CanonicalJsonValue::Array(creators));
    }
    Ok(content)
}

/// Writes into the content of `m.room.create` what the server says of every room.
pub(super) fn identify(
    content: &mut CanonicalJsonObject,
    version: &RoomVersionId,
    rules: &AuthorizationRules,
    creator: &UserId,
) {
    content.insert("room_version".to_owned(), CanonicalJsonValue::String(version.to_string()));
    content.remove("creator");
    if !rules.use_room_create_sender {
        content.insert("creator".to_owned(), CanonicalJsonValue::String(creator.to_string()));
    }
}

/// What follows the power levels, in the specification's order: the preset, the client's own state, name and topic. What is said in the
/// room lives for `lifetime_ms`, unless the client says less.
fn initial_state(
    lifetime_ms: u64,
    request: &Request,
    preset: &RoomPreset,
) -> Result<Vec<(StateEventType, String, Value)>, Reject> {
    let (join_rule, guest_access) = match preset {
        RoomPreset::PublicChat => ("public", "forbidden"),
        _ => ("invite", "can_join"),
    };
    let mut state = vec![
        (StateEventType::RoomJoinRules, String::new(), json!({ "join_rule": join_rule })),
        (StateEventType::RoomHistoryVisibility, String::new(), json!({ "history_visibility": "shared" })),
        (StateEventType::RoomGuestAccess, String::new(), json!({ "guest_access": guest_access })),
        (RETENTION.into(), String::new(), json!({ "max_lifetime": lifetime_ms })),
    ];
    let mut replace = |event_type: StateEventType, state_key: String, content: Value| {
        state.retain(|(other_type, other_key, _)| (other_type, other_key) != (&event_type, &state_key));
        state.push((event_type, state_key, content));
    };
    for raw in &request.initial_state {
        let event: Value = serde_json::from_str(raw.json().get()).map_err(|_| invalid_initial_state())?;
        let event_type = event.get("type").and_then(Value::as_str).ok_or_else(invalid_initial_state)?;
        if matches!(event_type, "m.room.member" | "m.room.create") {
            // Whoever is brought in by an event of their own would pass by the policy.
            let message = "`initial_state` can't hold members or the create event: name people in `invite`";
            return Err(Reject::invalid_param(message));
        }
        let state_key = event.get("state_key").and_then(Value::as_str).unwrap_or_default();
        let content = event.get("content").filter(|content| content.is_object()).ok_or_else(invalid_initial_state)?;
        replace(event_type.into(), state_key.to_owned(), content.clone());
    }
    if let Some(name) = &request.name {
        replace(StateEventType::RoomName, String::new(), json!({ "name": name }));
    }
    if let Some(topic) = &request.topic {
        let content = json!({ "topic": topic, "m.topic": { "m.text": [{ "body": topic }] } });
        replace(StateEventType::RoomTopic, String::new(), content);
    }
    Ok(state)
}

fn invalid_initial_state() -> Reject {
    Reject::bad_json("each event of initial_state needs a type and a content object")
}

fn overlay<T>(levels: &mut Value, with: Option<&Raw<T>>) -> Result<(), Reject> {
    let Some(raw) = with else { return Ok(()) };
    let with = object(raw)?;
    if let Value::Object(levels) = levels {
        for (field, value) in with {
            levels.insert(field, value.into());
        }
    }
    Ok(())
}

fn append(
    room: &mut RoomDraft<'_, '_>,
    command: &CreateRoom,
    event_type: StateEventType,
    state_key: &str,
    content: &Value,
) -> Result<(), Stop> {
    let content = canonical(content)?;
    room.append(NewEvent::state(&command.creator, event_type, state_key, content)).map(|_| ())
}

fn invite(room: &mut RoomDraft<'_, '_>, command: &CreateRoom, invitee: &OwnedUserId) -> Result<(), Stop> {
    let cx = room.cx();
    let mut content = membership::member_content(&cx, invitee, MembershipState::Invite, None)?;
    if command.request.is_direct {
        content.insert("is_direct".to_owned(), CanonicalJsonValue::Bool(true));
    }
    room.append(NewEvent::state(&command.creator, StateEventType::RoomMember, invitee.as_str(), content)).map(|_| ())
}

/// A JSON value that has to be an object without floats, as canonical JSON.
///
/// # Errors
/// `M_BAD_JSON` when it is not.
pub(super) fn canonical(value: &Value) -> Result<CanonicalJsonObject, Reject> {
    match CanonicalJsonValue::try_from(value.clone()) {
        Ok(CanonicalJsonValue::Object(object)) => Ok(object),
        Ok(_) => Err(Reject::bad_json("an event's content has to be a JSON object")),
        Err(_) => Err(Reject::bad_json("numbers in events have to be integers between -(2^53)+1 and (2^53)-1")),
    }
}

fn object<T>(raw: &Raw<T>) -> Result<CanonicalJsonObject, Reject> {
    let value: Value =
        serde_json::from_str(raw.json().get()).map_err(|_| Reject::bad_json("this has to be a JSON object"))?;
    canonical(&value)
}
