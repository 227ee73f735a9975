//! Profiles ([spec v1.19, § Profiles](https://spec.matrix.org/v1.19/client-server-api/#profiles), fields of MSC4133).

use journal::{Name, ReadError};
use ruma::{OwnedMxcUri, OwnedUserId, UserId};
use serde_json::Value;

use super::{Directory, rooms};
use crate::{
    Cx, Decided, Decision, Draft, Reject, Stop, media, policy,
    tables::{self, ProfileRow, RoomsToTellRow},
};

/// Bytes of a whole profile ([spec v1.19, § Profiles](https://spec.matrix.org/v1.19/client-server-api/#profiles)).
pub const PROFILE_BYTES_MAX: usize = 65_536;

/// Bytes of a field's name.
const FIELD_NAME_BYTES_MAX: usize = 255;

/// Bytes of a name that is shown: it is part of every member event, which has 65,535 in all.
const DISPLAY_NAME_BYTES_MAX: usize = 1_024;

const DISPLAY_NAME: &str = "displayname";
const AVATAR_URL: &str = "avatar_url";

/// The name and avatar that go into member events; empty for whoever has no profile here.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn member_profile(cx: &Cx<'_>, user_id: &UserId) -> Result<ProfileRow, ReadError> {
    Ok(tables::PROFILES.get(cx.view, &(cx.user(user_id),))?.map(|row| row.value).unwrap_or_default())
}

/// A profile as `viewer` may see it; `viewer` is `None` for a request without a token.
///
/// # Errors
/// `M_NOT_FOUND` for nobody, and for those whom the viewer may not know of.
pub fn profile(cx: &Cx<'_>, viewer: Option<&UserId>, user_id: &UserId) -> Result<ProfileRow, Stop> {
    let nobody = || Reject::not_found("there is no such user");
    let visible = match viewer {
        Some(viewer) => policy::may_see(cx, viewer, user_id)?,
        // Whoever does not say who they are sees no provisioned user.
        None => matches!(policy::standing(cx, user_id)?, policy::Standing::Plain | policy::Standing::Support),
    };
    let row = tables::PROFILES.get(cx.view, &(cx.user(user_id),))?.filter(|_| visible).ok_or_else(nobody)?;
    Ok(row.value)
}

/// One field of a profile.
#[must_use]
pub fn field(profile: &ProfileRow, name: &str) -> Option<Value> {
    match name {
        DISPLAY_NAME => profile.display_name.clone().map(Value::from),
        AVATAR_URL => profile.avatar_url.as_ref().map(|url| Value::from(url.as_str())),
        _ => profile.fields.get(name).cloned(),
    }
}

/// All fields of a profile.
#[must_use]
pub fn fields(profile: &ProfileRow) -> Vec<(String, Value)> {
    let known = [DISPLAY_NAME, AVATAR_URL].into_iter().filter_map(|name| Some((name.to_owned(), field(profile, name)?)));
    known.chain(profile.fields.clone()).collect()
}

/// `PUT` and `DELETE /profile/{userId}/{keyName}`.
#[derive(Clone, Debug)]
pub struct SetField {
    /// Whose profile.
    pub user_id: OwnedUserId,
    /// Which field.
    pub field: String,
    /// Its new value; `None` removes it.
    pub value: Option<Value>,
}

/// Changes a field. A new name or avatar goes into the member events of the rooms the user is in, the first
/// hundred of them in this batch; [`continue_rooms`] goes on with the others.
///
/// # Errors
/// `M_FORBIDDEN` for provisioned users (their platform names them), `M_TOO_LARGE`, `M_BAD_JSON`, `M_INVALID_PARAM`.
pub fn set_field(cx: &Cx<'_>, command: &SetField) -> Decided<()> {
    let in_rooms = matches!(command.field.as_str(), DISPLAY_NAME | AVATAR_URL);
    policy::may_change_profile(cx, &command.user_id, command.field == DISPLAY_NAME)?;
    let name = (cx.user(&command.user_id),);
    let row = tables::PROFILES.get(cx.view, &name)?.ok_or_else(|| Reject::not_found("there is no such user"))?;
    let mut profile = row.value.clone();
    apply(&mut profile, &command.field, command.value.clone())?;
    let mut draft = Draft::new(*cx);
    if profile == row.value {
        return Ok(draft.commit(()));
    }
    tables::PROFILES.require(&mut draft.batch, &name, Some(row.version));
    tables::PROFILES.put(&mut draft.batch, &name, &profile);
    list(&mut draft, &command.user_id, Some(&row.value), Some(&profile))?;
    let pictures = [&row.value, &profile].map(|profile| profile.avatar_url.as_ref().map(|url| url.as_str()));
    media::picture_changed(&mut draft, name.0, &command.user_id, pictures[0], pictures[1])?;
    if in_rooms {
        tell_rooms(&mut draft, &command.user_id, &profile, None)?;
    }
    Ok(draft.commit(()))
}

/// Drafts member events with the user's name and avatar, after the room `after`, and notes where to go on.
fn tell_rooms(draft: &mut Draft<'_>, user_id: &UserId, profile: &ProfileRow, after: Option<Name>) -> Result<(), Stop> {
    let cx = draft.cx();
    let key = (cx.user(user_id),);
    let known = tables::ROOMS_TO_TELL.get(cx.view, &key)?;
    tables::ROOMS_TO_TELL.require(&mut draft.batch, &key, known.as_ref().map(|row| row.version));
    match rooms::propagate(draft, user_id, profile, after)? {
        Some(after) => {
            let row = RoomsToTellRow { user_id: user_id.to_owned(), after };
            tables::ROOMS_TO_TELL.put(&mut draft.batch, &key, &row);
        }
        None if known.is_some() => tables::ROOMS_TO_TELL.delete(&mut draft.batch, &key),
        None => {}
    }
    Ok(())
}

/// Whose rooms have not all heard of a new name or avatar: after a change in more rooms than fit into a batch, until
/// [`continue_rooms`] has come to their end.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn users_to_tell_of(cx: &Cx<'_>) -> Result<Vec<OwnedUserId>, ReadError> {
    tables::ROOMS_TO_TELL.scan(cx.view, &()).map(|found| Ok(found?.1.value.user_id)).collect()
}

/// Goes on writing the user's name and avatar into member events. Answers whether there was anything to do.
///
/// # Errors
/// [`Stop::Read`].
pub fn continue_rooms(cx: &Cx<'_>, user_id: &UserId) -> Decided<bool> {
    let Some(row) = tables::ROOMS_TO_TELL.get(cx.view, &(cx.user(user_id),))? else { return Ok(Decision::Done(false)) };
    let mut draft = Draft::new(*cx);
    tell_rooms(&mut draft, user_id, &member_profile(cx, user_id)?, Some(row.value.after))?;
    Ok(draft.commit(true))
}

/// Drafts a new name for a user whom the platform names; [`continue_rooms`] tells the rooms that this batch has no place for.
pub(crate) fn rename(draft: &mut Draft<'_>, user_id: &UserId, display_name: &str) -> Result<(), Stop> {
    let cx = draft.cx();
    let name = (cx.user(user_id),);
    let row = tables::PROFILES.get(cx.view, &name)?;
    let mut profile = row.as_ref().map(|row| row.value.clone()).unwrap_or_default();
    if profile.display_name.as_deref() == Some(display_name) {
        return Ok(());
    }
    profile.display_name = Some(display_name.to_owned());
    tables::PROFILES.require(&mut draft.batch, &name, row.as_ref().map(|row| row.version));
    tables::PROFILES.put(&mut draft.batch, &name, &profile);
    list(draft, user_id, row.as_ref().map(|row| &row.value), Some(&profile))?;
    tell_rooms(draft, user_id, &profile, None)
}

/// Drafts the end of a profile.
pub(crate) fn delete(draft: &mut Draft<'_>, user_id: &UserId) -> Result<(), Stop> {
    let cx = draft.cx();
    let name = cx.user(user_id);
    let row = tables::PROFILES.get(cx.view, &(name,))?;
    tables::PROFILES.require(&mut draft.batch, &(name,), row.as_ref().map(|row| row.version));
    let before = row.map(|row| row.value).unwrap_or_default();
    media::picture_changed(draft, name, user_id, before.avatar_url.as_ref().map(|url| url.as_str()), None)?;
    tables::PROFILES.delete(&mut draft.batch, &(name,));
    tables::ROOMS_TO_TELL.delete(&mut draft.batch, &(name,));
    list(draft, user_id, Some(&before), None)?;
    Ok(())
}

/// Drafts what the user's directory says of them.
fn list(
    draft: &mut Draft<'_>,
    user_id: &UserId,
    before: Option<&ProfileRow>,
    after: Option<&ProfileRow>,
) -> Result<(), ReadError> {
    let name = |profile: Option<&ProfileRow>| profile.map(|profile| profile.display_name.clone().unwrap_or_default());
    let (before, after) = (name(before), name(after));
    if before != after {
        Directory::of(&draft.cx(), user_id)?.list(draft, user_id, before.as_deref(), after.as_deref());
    }
    Ok(())
}

fn apply(profile: &mut ProfileRow, field: &str, value: Option<Value>) -> Result<(), Reject> {
    match field {
        DISPLAY_NAME => profile.display_name = text(value)?.filter(|name| !name.is_empty()),
        AVATAR_URL => profile.avatar_url = text(value)?.filter(|url| !url.is_empty()).map(OwnedMxcUri::from),
        _ => {
            check_field_name(field)?;
            match value {
                Some(value) => drop(profile.fields.insert(field.to_owned(), value)),
                None => drop(profile.fields.remove(field)),
            }
        }
    }
    if profile.display_name.as_ref().is_some_and(|name| name.len() > DISPLAY_NAME_BYTES_MAX) {
        return Err(Reject::TooLarge("a display name has at most 1,024 bytes".into()));
    }
    if serde_json::to_vec(&profile).map_or(0, |bytes| bytes.len()) > PROFILE_BYTES_MAX {
        return Err(Reject::TooLarge("a profile has at most 65,536 bytes".into()));
    }
    Ok(())
}

fn text(value: Option<Value>) -> Result<Option<String>, Reject> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Reject::bad_json("this profile field is a text")),
    }
}

fn check_field_name(field: &str) -> Result<(), Reject> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    if field.is_empty() || field.len() > FIELD_NAME_BYTES_MAX || !field.bytes().all(allowed) {
        return Err(Reject::invalid_param("a profile field's name is made of a-z, 0-9 and . _ -, with 255 bytes at most"));
    }
    Ok(())
}
