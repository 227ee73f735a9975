//! Account data and tags
//! ([spec v1.19, § Client config](https://spec.matrix.org/v1.19/client-server-api/#client-config)).

use journal::ReadError;
use ruma::{DeviceId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};

use super::{ACCOUNT_DATA_BYTES_MAX, ACCOUNT_DATA_MAX, push_rules};
use crate::{
    Cx, Decided, Draft, Reject, Stop,
    changes::Change,
    policy, receipts,
    tables::{self, AccountDataRow, RoomAccountDataRow},
};

/// The type of tags.
const TAG: &str = "m.tag";

/// Bytes of a tag's name ([spec v1.19, § Room tagging](https://spec.matrix.org/v1.19/client-server-api/#room-tagging)).
const TAG_BYTES_MAX: usize = 255;

/// Tags of one room.
const TAGS_MAX: usize = 100;

/// Whether the server writes this type itself, so that clients may only read it.
#[must_use]
pub fn is_server_controlled(event_type: &str) -> bool {
    matches!(event_type, "m.fully_read" | "m.push_rules" | policy::CHAT | policy::SESSION)
}

/// The user's account data of one type.
///
/// # Errors
/// `M_NOT_FOUND` when there is none.
pub fn account_data(cx: &Cx<'_>, user_id: &UserId, event_type: &str) -> Result<Box<RawValue>, Stop> {
    if event_type == push_rules::TYPE {
        return Ok(push_rules::content(&push_rules::push_rules(cx, user_id)?));
    }
    if event_type == policy::CHAT
        && let Some(state) = policy::chat_state(cx, user_id)?
    {
        return Ok(state.content());
    }
    let row = tables::ACCOUNT_DATA.get(cx.view, &(cx.user(user_id), cx.name(event_type)))?;
    let content = row.map(|row| row.value.content).filter(|content| !is_deleted(content));
    Ok(content.ok_or_else(|| Reject::not_found("there is no account data of this type"))?)
}

/// Whether content says that the data has been deleted: `{}` means so, whoever wrote it (MSC3391). The row stays, so that a
/// device that comes back later is told.
#[must_use]
pub fn is_deleted(content: &RawValue) -> bool {
    content.get().bytes().filter(|byte| !byte.is_ascii_whitespace()).eq(*b"{}")
}

/// All of the user's account data, the push rules always among it.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn all_account_data(cx: &Cx<'_>, user_id: &UserId) -> Result<Vec<AccountDataRow>, ReadError> {
    let rows: Result<Vec<_>, _> =
        tables::ACCOUNT_DATA.scan(cx.view, &(cx.user(user_id),)).map(|row| row.map(|(_, row)| row.value)).collect();
    let mut rows = rows?;
    rows.retain(|row| !is_deleted(&row.content));
    if rows.iter().all(|row| row.event_type != push_rules::TYPE) {
        let content = push_rules::content(&push_rules::push_rules(cx, user_id)?);
        rows.push(AccountDataRow { event_type: push_rules::TYPE.to_owned(), content });
    }
    rows.sort_by(|one, other| one.event_type.cmp(&other.event_type));
    Ok(rows)
}

/// The user's account data of one type for a room.
///
/// # Errors
/// `M_NOT_FOUND` when there is none.
pub fn room_account_data(cx: &Cx<'_>, user_id: &UserId, room_id: &RoomId, event_type: &str) -> Result<Box<RawValue>, Stop> {
    // The one kind that lives with an event, among receipts.
    if event_type == receipts::FULLY_READ {
        let marker =
            receipts::fully_read(cx, user_id, room_id)?.ok_or_else(|| Reject::not_found("nothing has been read here"))?;
        return Ok(receipts::fully_read_content(&marker.0));
    }
    let key = (cx.user(user_id), cx.room(room_id), cx.name(event_type));
    let content = tables::ROOM_ACCOUNT_DATA.get(cx.view, &key)?.map(|row| row.value.content);
    let content = content.filter(|content| !is_deleted(content));
    Ok(content.ok_or_else(|| Reject::not_found("there is no account data of this type for this room"))?)
}

/// All of the user's account data for a room.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn all_room_account_data(cx: &Cx<'_>, user_id: &UserId, room_id: &RoomId) -> Result<Vec<RoomAccountDataRow>, ReadError> {
    let prefix = (cx.user(user_id), cx.room(room_id));
    tables::ROOM_ACCOUNT_DATA.scan(cx.view, &prefix).map(|row| row.map(|(_, row)| row.value)).collect()
}

/// `PUT …/account_data/{type}`, for the whole account or for a room.
#[derive(Clone, Debug)]
pub struct NewAccountData {
    /// Whose.
    pub user_id: OwnedUserId,
    /// For a room, or for the whole account.
    pub room_id: Option<OwnedRoomId>,
    /// The type.
    pub event_type: String,
    /// The content: an object.
    pub content: Box<RawValue>,
}

/// Stores account data as a client sent it.
///
/// # Errors
/// `M_FORBIDDEN` for the records of a pinned identity, `M_TOO_LARGE`, `M_BAD_JSON`.
pub fn set_account_data(cx: &Cx<'_>, command: &NewAccountData) -> Decided<()> {
    if command.room_id.is_none()
        && is_identity_record(&command.event_type)
        && policy::has_pinned_identity(cx, &command.user_id)?
    {
        return Err(Reject::forbidden("Your encryption keys were made for you and can't be replaced.").into());
    }
    if command.content.get().len() > ACCOUNT_DATA_BYTES_MAX {
        return Err(Reject::TooLarge("one piece of account data has at most 256 KiB".into()).into());
    }
    if !command.content.get().trim_start().starts_with('{') {
        return Err(Reject::bad_json("account data is a JSON object").into());
    }
    let mut draft = Draft::new(*cx);
    check_count(&mut draft, command)?;
    put_account_data(&mut draft, command);
    Ok(draft.commit(()))
}

/// Drafts account data without asking who wants it: for the server's own (read markers, tags, push rules, identities).
pub fn put_account_data(draft: &mut Draft<'_>, data: &NewAccountData) {
    let cx = draft.cx();
    let (user, name) = (cx.user(&data.user_id), cx.name(&data.event_type));
    let (event_type, content) = (data.event_type.clone(), data.content.clone());
    if let Some(room_id) = &data.room_id {
        let row = RoomAccountDataRow { room_id: room_id.clone(), event_type: event_type.clone(), content };
        tables::ROOM_ACCOUNT_DATA.put(&mut draft.batch, &(user, cx.room(room_id), name), &row);
        draft.tell(&data.user_id, Change::RoomAccountData { room_id: room_id.clone(), event_type });
    } else {
        tables::ACCOUNT_DATA.put(
            &mut draft.batch,
            &(user, name),
            &AccountDataRow { event_type: event_type.clone(), content },
        );
        draft.tell(&data.user_id, Change::AccountData { event_type });
    }
}

/// Drafts the end of a device's notification settings
/// ([spec v1.19, § Client config](https://spec.matrix.org/v1.19/client-server-api/#mlocal_notification_settingsdevice-id), MSC3890).
pub(super) fn delete_device_settings(
    draft: &mut Draft<'_>,
    user_id: &UserId,
    device_id: &DeviceId,
) -> Result<(), ReadError> {
    let cx = draft.cx();
    for prefix in ["m.local_notification_settings", "org.matrix.msc3890.local_notification_settings"] {
        let event_type = format!("{prefix}.{device_id}");
        if tables::ACCOUNT_DATA.exists(cx.view, &(cx.user(user_id), cx.name(&event_type)))? {
            put_account_data(draft, &deletion(user_id, None, event_type));
        }
    }
    Ok(())
}

/// What deletes account data of a type (MSC3391).
#[must_use]
pub fn deletion(user_id: &UserId, room_id: Option<&RoomId>, event_type: String) -> NewAccountData {
    let content = RawValue::from_string("{}".to_owned()).unwrap_or_else(|error| unreachable!("`{{}}` is JSON: {error}"));
    NewAccountData { user_id: user_id.to_owned(), room_id: room_id.map(ToOwned::to_owned), event_type, content }
}

fn check_count(draft: &mut Draft<'_>, command: &NewAccountData) -> Result<(), Stop> {
    let cx = draft.cx();
    let (user, name) = (cx.user(&command.user_id), cx.name(&command.event_type));
    let (known, count) = match command.room_id.as_ref().map(|room_id| cx.room(room_id)) {
        Some(room) => (
            tables::ROOM_ACCOUNT_DATA.exists(cx.view, &(user, room, name))?,
            tables::ROOM_ACCOUNT_DATA.count(cx.view, &(user, room))?,
        ),
        None => (tables::ACCOUNT_DATA.exists(cx.view, &(user, name))?, tables::ACCOUNT_DATA.count(cx.view, &(user,))?),
    };
    if !known && count >= ACCOUNT_DATA_MAX && !make_room(draft, command)? {
        return Err(Reject::forbidden("you have 1,000 types of account data; use one of them").into());
    }
    Ok(())
}

/// Drafts the end of what has been deleted; says whether there was any.
fn make_room(draft: &mut Draft<'_>, command: &NewAccountData) -> Result<bool, ReadError> {
    let cx = draft.cx();
    let (user, mut made) = (cx.user(&command.user_id), false);
    if let Some(room_id) = &command.room_id {
        for found in tables::ROOM_ACCOUNT_DATA.scan(cx.view, &(user, cx.room(room_id))) {
            let (key, row) = found?;
            if is_deleted(&row.value.content) {
                tables::ROOM_ACCOUNT_DATA.delete(&mut draft.batch, &key);
                made = true;
            }
        }
        return Ok(made);
    }
    for found in tables::ACCOUNT_DATA.scan(cx.view, &(user,)) {
        let (key, row) = found?;
        if is_deleted(&row.value.content) {
            tables::ACCOUNT_DATA.delete(&mut draft.batch, &key);
            made = true;
        }
    }
    Ok(made)
}

/// Records that open a crypto identity (reference/newcomer.md, trap 12).
fn is_identity_record(event_type: &str) -> bool {
    ["m.cross_signing.", "m.secret_storage.", "org.matrix.msc3814"].iter().any(|prefix| event_type.starts_with(prefix))
}

/// The content of `m.tag`.
#[derive(Default, Serialize, Deserialize)]
struct Tags {
    #[serde(default)]
    tags: Map<String, Value>,
}

/// The tags of a room, as `{"tag": {"order": …}}`.
///
/// # Errors
/// [`Stop::Read`].
pub fn tags(cx: &Cx<'_>, user_id: &UserId, room_id: &RoomId) -> Result<Map<String, Value>, Stop> {
    let row = tables::ROOM_ACCOUNT_DATA.get(cx.view, &(cx.user(user_id), cx.room(room_id), cx.name(TAG)))?;
    Ok(row.and_then(|row| serde_json::from_str::<Tags>(row.value.content.get()).ok()).unwrap_or_default().tags)
}

/// `PUT …/tags/{tag}`.
///
/// # Errors
/// `M_INVALID_PARAM` for a tag without a name, with a name that is too long, or past a hundred tags.
pub fn put_tag(cx: &Cx<'_>, user_id: &UserId, room_id: &RoomId, tag: &str, info: &Value) -> Decided<()> {
    if tag.is_empty() || tag.len() > TAG_BYTES_MAX {
        return Err(Reject::invalid_param("a tag's name has between 1 and 255 bytes").into());
    }
    change_tags(cx, user_id, room_id, |tags| {
        tags.insert(tag.to_owned(), info.clone());
        if tags.len() > TAGS_MAX { Err(Reject::invalid_param("a room has at most 100 tags")) } else { Ok(()) }
    })
}

/// `DELETE …/tags/{tag}`.
///
/// # Errors
/// [`Stop::Read`].
pub fn delete_tag(cx: &Cx<'_>, user_id: &UserId, room_id: &RoomId, tag: &str) -> Decided<()> {
    change_tags(cx, user_id, room_id, |tags| {
        tags.remove(tag);
        Ok(())
    })
}

fn change_tags(
    cx: &Cx<'_>,
    user_id: &UserId,
    room_id: &RoomId,
    change: impl FnOnce(&mut Map<String, Value>) -> Result<(), Reject>,
) -> Decided<()> {
    let mut tags = tags(cx, user_id, room_id)?;
    change(&mut tags)?;
    let mut draft = Draft::new(*cx);
    put_tags(&mut draft, user_id, room_id, tags)?;
    Ok(draft.commit(()))
}

/// Drafts all tags of a room, in place of those that the draft's view shows.
pub(super) fn put_tags(
    draft: &mut Draft<'_>,
    user_id: &UserId,
    room_id: &RoomId,
    tags: Map<String, Value>,
) -> Result<(), Stop> {
    let cx = draft.cx();
    let key = (cx.user(user_id), cx.room(room_id), cx.name(TAG));
    let version = tables::ROOM_ACCOUNT_DATA.get(cx.view, &key)?.map(|row| row.version);
    let content = to_raw_value(&Tags { tags }).map_err(|_| Reject::bad_json("this tag cannot be stored"))?;
    tables::ROOM_ACCOUNT_DATA.require(&mut draft.batch, &key, version);
    let data = NewAccountData {
        user_id: user_id.to_owned(),
        room_id: Some(room_id.to_owned()),
        event_type: TAG.to_owned(),
        content,
    };
    put_account_data(draft, &data);
    Ok(())
}

/// Drafts the end of all account data and filters of a user.
pub(crate) fn delete_all(draft: &mut Draft<'_>, user_id: &UserId) -> Result<(), ReadError> {
    let cx = draft.cx();
    let user = cx.user(user_id);
    for found in tables::ACCOUNT_DATA.scan(cx.view, &(user,)) {
        tables::ACCOUNT_DATA.delete(&mut draft.batch, &found?.0);
    }
    for found in tables::ROOM_ACCOUNT_DATA.scan(cx.view, &(user,)) {
        tables::ROOM_ACCOUNT_DATA.delete(&mut draft.batch, &found?.0);
    }
    for found in tables::FILTERS.scan(cx.view, &(user,)) {
        tables::FILTERS.delete(&mut draft.batch, &found?.0);
    }
    Ok(())
}
