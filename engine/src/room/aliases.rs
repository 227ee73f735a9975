//! Room aliases ([spec v1.19, § Room aliases](https://spec.matrix.org/v1.19/client-server-api/#room-aliases)).

use ruma::{OwnedRoomAliasId, OwnedRoomId, RoomAliasId, RoomId, UserId, events::StateEventType};

use super::{RoomDraft, get_room, get_room_for, membership_of, state_event, summary::is_world_readable};
use crate::{
    Cx, Decided, Draft, Reject, Stop, policy,
    room::power::power_of,
    tables::{self, AliasRow},
};

/// The longest alias, in bytes, `#` and server included.
const LENGTH_MAX: usize = 255;

/// The alias `#name:server` of this server, if `name` is a valid local part.
///
/// # Errors
/// `M_INVALID_PARAM` when it is not, `M_ROOM_IN_USE` when it is taken, `M_EXCLUSIVE` when it belongs to a service.
pub(super) fn local_alias(cx: &Cx<'_>, name: &str) -> Result<OwnedRoomAliasId, Stop> {
    let alias = RoomAliasId::parse(format!("#{name}:{}", cx.server.name)).map_err(|_| malformed())?;
    check_form(&alias)?;
    if is_taken(cx, &alias)? {
        return Err(Reject::RoomInUse("this room alias is taken; choose another".into()).into());
    }
    Ok(alias)
}

/// An alias as the [grammar](https://spec.matrix.org/v1.19/appendices/#room-aliases) has it, with nothing in it that looks like a
/// gap or another alias.
fn check_form(alias: &RoomAliasId) -> Result<(), Reject> {
    let name = alias.alias();
    let valid = !name.is_empty() && !name.contains([':', '#', '\0']) && !name.chars().any(char::is_whitespace);
    if valid && alias.as_str().len() <= LENGTH_MAX { Ok(()) } else { Err(malformed()) }
}

fn malformed() -> Reject {
    Reject::invalid_param("a room alias has no spaces, colons or # in its local part, and at most 255 bytes in all")
}

fn is_taken(cx: &Cx<'_>, alias: &RoomAliasId) -> Result<bool, Stop> {
    Ok(tables::ALIASES.exists(cx.view, &(cx.name(alias.as_str()),))?)
}

/// Writes an alias of the room being drafted.
pub(super) fn put_alias(room: &mut RoomDraft<'_, '_>, alias: &RoomAliasId, creator: &UserId) -> Result<(), Stop> {
    let (cx, room_id) = (room.cx(), room.room.room_id.clone());
    write_alias(&cx, room.draft, &room_id, alias, creator);
    Ok(())
}

fn write_alias(cx: &Cx<'_>, draft: &mut Draft<'_>, room_id: &RoomId, alias: &RoomAliasId, creator: &UserId) {
    let key = (cx.name(alias.as_str()),);
    let row = AliasRow { room_id: room_id.to_owned(), creator: creator.to_owned() };
    tables::ALIASES.require(&mut draft.batch, &key, None);
    tables::ALIASES.put(&mut draft.batch, &key, &row);
    tables::ROOM_ALIASES.put(&mut draft.batch, &(cx.room(room_id), key.0), &alias.to_owned());
}

/// Drafts that all aliases of the room `from` name the room `to`. They stay their makers'.
pub(super) fn move_aliases(draft: &mut Draft<'_>, from: &RoomId, to: &RoomId) -> Result<(), Stop> {
    let cx = draft.cx();
    for alias in aliases_of(&cx, from)? {
        let key = (cx.name(alias.as_str()),);
        let Some(row) = tables::ALIASES.get(cx.view, &key)? else { continue };
        tables::ALIASES.require(&mut draft.batch, &key, Some(row.version));
        tables::ALIASES.put(&mut draft.batch, &key, &AliasRow { room_id: to.to_owned(), ..row.value });
        tables::ROOM_ALIASES.delete(&mut draft.batch, &(cx.room(from), key.0));
        tables::ROOM_ALIASES.put(&mut draft.batch, &(cx.room(to), key.0), &alias);
    }
    Ok(())
}

/// Which room the alias names.
///
/// # Errors
/// `M_NOT_FOUND` when none.
pub fn resolve(cx: &Cx<'_>, alias: &RoomAliasId) -> Result<AliasRow, Stop> {
    let row = tables::ALIASES.get(cx.view, &(cx.name(alias.as_str()),))?;
    Ok(row.map(|row| row.value).ok_or_else(|| Reject::not_found("no room has this alias"))?)
}

/// `PUT /directory/room/{roomAlias}`.
///
/// # Errors
/// `M_INVALID_PARAM` for what is no alias of this server, `M_NOT_FOUND` for an unknown room, `M_FORBIDDEN` for somebody outside it
/// or by policy, `M_UNKNOWN` (409) when the alias is taken.
pub fn create_alias(
    cx: &Cx<'_>,
    user_id: &UserId,
    room_id: &RoomId,
    alias: &RoomAliasId,
    service: Option<&str>,
) -> Decided<()> {
    policy::may_alias(cx, user_id)?;
    check_form(alias)?;
    if alias.server_name() != cx.server.name {
        return Err(Reject::invalid_param("aliases are made on their own server").into());
    }
    for (id, appservice) in &cx.server.appservices {
        if appservice.interest.alias_exclusive(alias.as_str()) && service != Some(id) {
            return Err(Reject::Exclusive("this alias is reserved for a service".into()).into());
        }
    }
    get_room_for(cx, room_id, user_id)?;
    if membership_of(cx, room_id, user_id)? != Some(ruma::events::room::member::MembershipState::Join) && service.is_none() {
        return Err(Reject::forbidden("only somebody in the room can give it an alias").into());
    }
    if is_taken(cx, alias)? {
        return Err(Reject::AliasTaken.into());
    }
    let mut draft = Draft::new(*cx);
    write_alias(cx, &mut draft, room_id, alias, user_id);
    Ok(draft.commit(()))
}

/// `DELETE /directory/room/{roomAlias}`: by its maker, or by somebody who may change the room's canonical alias.
///
/// # Errors
/// `M_NOT_FOUND` for an unknown alias, `M_FORBIDDEN`.
pub fn delete_alias(cx: &Cx<'_>, user_id: &UserId, alias: &RoomAliasId) -> Decided<()> {
    policy::may_alias(cx, user_id)?;
    let row = resolve(cx, alias)?;
    if row.creator != user_id {
        let room = get_room(cx, &row.room_id)?;
        let (own, needed) = power_of(cx, &room, user_id, &StateEventType::RoomCanonicalAlias)?;
        if own < needed {
            return Err(Reject::forbidden("only its maker or a moderator of the room can delete this alias").into());
        }
    }
    let mut draft = Draft::new(*cx);
    tables::ALIASES.delete(&mut draft.batch, &(cx.name(alias.as_str()),));
    tables::ROOM_ALIASES.delete(&mut draft.batch, &(cx.room(&row.room_id), cx.name(alias.as_str())));
    drop_canonical(cx, &mut draft, user_id, &row.room_id, alias)?;
    Ok(draft.commit(()))
}

/// A deleted alias does not stay the room's canonical one, if the user may change that.
fn drop_canonical(
    cx: &Cx<'_>,
    draft: &mut Draft<'_>,
    user_id: &UserId,
    room_id: &RoomId,
    alias: &RoomAliasId,
) -> Result<(), Stop> {
    let Some(canonical) = state_event(cx, room_id, &StateEventType::RoomCanonicalAlias, "")? else { return Ok(()) };
    let Some(mut content) = canonical.content_as::<serde_json::Value>() else { return Ok(()) };
    let is_alias = |value: &serde_json::Value| value.as_str() == Some(alias.as_str());
    let alternatives = content.get("alt_aliases").and_then(serde_json::Value::as_array).cloned().unwrap_or_default();
    let is_main = content.get("alias").is_some_and(is_alias);
    if !is_main && !alternatives.iter().any(is_alias) {
        return Ok(());
    }
    let room = get_room(cx, room_id)?;
    let (own, needed) = power_of(cx, &room, user_id, &StateEventType::RoomCanonicalAlias)?;
    if own < needed {
        return Ok(());
    }
    if let Some(fields) = content.as_object_mut() {
        if is_main {
            fields.remove("alias");
        }
        let rest: Vec<_> = alternatives.into_iter().filter(|value| !is_alias(value)).collect();
        if rest.is_empty() {
            fields.remove("alt_aliases")
        } else {
            fields.insert("alt_aliases".to_owned(), rest.into())
        };
    }
    let mut room = RoomDraft::open(draft, room)?;
    let content = super::create::canonical(&content)?;
    room.append(super::NewEvent::state(user_id, StateEventType::RoomCanonicalAlias, "", content))?;
    room.finish();
    Ok(())
}

/// The aliases of a room.
///
/// # Errors
/// [`Stop::Read`] when the store cannot be read.
pub fn aliases_of(cx: &Cx<'_>, room_id: &RoomId) -> Result<Vec<OwnedRoomAliasId>, Stop> {
    let rows = tables::ROOM_ALIASES.scan(cx.view, &(cx.room(room_id),));
    Ok(rows.map(|found| found.map(|(_, row)| row.value)).collect::<Result<_, _>>()?)
}

/// `GET /rooms/{roomId}/aliases`: for those in the room, and for everybody if the room is world readable.
///
/// # Errors
/// `M_NOT_FOUND` for an unknown room, `M_FORBIDDEN` for somebody outside it.
pub fn visible_aliases(cx: &Cx<'_>, user_id: &UserId, room_id: &RoomId) -> Result<Vec<OwnedRoomAliasId>, Stop> {
    let world_readable = is_world_readable(cx, &get_room_for(cx, room_id, user_id)?)?;
    let joined = membership_of(cx, room_id, user_id)? == Some(ruma::events::room::member::MembershipState::Join);
    if !joined && !world_readable {
        return Err(Reject::forbidden("you are not in this room").into());
    }
    aliases_of(cx, room_id)
}

/// A room id, or the room that an alias names.
///
/// # Errors
/// `M_NOT_FOUND` when no room has the alias.
pub fn resolve_id_or_alias(cx: &Cx<'_>, room: &ruma::RoomOrAliasId) -> Result<OwnedRoomId, Stop> {
    if let Ok(room_id) = RoomId::parse(room.as_str()) {
        Ok(room_id.clone())
    } else {
        let alias = RoomAliasId::parse(room.as_str())
            .map_err(|_| Reject::invalid_param("this is neither a room id nor an alias"))?;
        Ok(resolve(cx, &alias)?.room_id)
    }
}
