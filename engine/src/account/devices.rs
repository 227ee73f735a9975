//! Devices ([spec v1.19, § Client management](https://spec.matrix.org/v1.19/client-server-api/#device-management)).

use journal::ReadError;
use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};

use super::{DEVICES_MAX, PARTICIPANT_DEVICES_MAX, data, pushers, tokens};
use crate::{
    Cx, Decided, Draft, Reject, Requester, Stop, keys,
    tables::{self, DeviceRow, UserKind},
};

/// Bytes of a device id and of its name.
const DEVICE_TEXT_BYTES_MAX: usize = 512;

/// The user's devices, by their ids.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn devices(cx: &Cx<'_>, user_id: &UserId) -> Result<Vec<DeviceRow>, ReadError> {
    let rows: Result<Vec<_>, _> =
        tables::DEVICES.scan(cx.view, &(cx.user(user_id),)).map(|row| row.map(|(_, row)| row.value)).collect();
    let mut rows = rows?;
    rows.sort_by(|one, other| one.device_id.cmp(&other.device_id));
    Ok(rows)
}

/// One device.
///
/// # Errors
/// `M_NOT_FOUND` when the user has no such device.
pub fn device(cx: &Cx<'_>, user_id: &UserId, device_id: &DeviceId) -> Result<DeviceRow, Stop> {
    let row = tables::DEVICES.get(cx.view, &(cx.user(user_id), cx.device(device_id)))?;
    Ok(row.ok_or_else(|| Reject::not_found("you have no such device"))?.value)
}

/// Whether the user has the device.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn device_id_exists(cx: &Cx<'_>, user_id: &UserId, device_id: &DeviceId) -> Result<bool, ReadError> {
    tables::DEVICES.exists(cx.view, &(cx.user(user_id), cx.device(device_id)))
}

pub(super) fn check_device_id(device_id: &DeviceId) -> Result<(), Reject> {
    if device_id.as_str().is_empty() || device_id.as_str().len() > DEVICE_TEXT_BYTES_MAX {
        return Err(Reject::invalid_param("a device id has between 1 and 512 bytes"));
    }
    Ok(())
}

/// `PUT /devices/{deviceId}`.
#[derive(Clone, Debug)]
pub struct UpdateDevice {
    /// Who asks.
    pub requester: Requester,
    /// Which.
    pub device_id: OwnedDeviceId,
    /// Its new name; `None` leaves it.
    pub display_name: Option<String>,
}

/// Renames a device. For an application service it makes the device if it is missing (MSC4190). Answers whether it did.
///
/// # Errors
/// `M_NOT_FOUND` when the user has no such device.
pub fn update_device(cx: &Cx<'_>, command: &UpdateDevice) -> Decided<bool> {
    let user_id = &command.requester.user_id;
    if command.display_name.as_ref().is_some_and(|name| name.len() > DEVICE_TEXT_BYTES_MAX) {
        return Err(Reject::TooLarge("a device's name has at most 512 bytes".into()).into());
    }
    let key = (cx.user(user_id), cx.device(&command.device_id));
    let known = tables::DEVICES.get(cx.view, &key)?;
    let made = known.is_none();
    if made && command.requester.appservice.is_none() {
        return Err(Reject::not_found("you have no such device").into());
    }
    let mut draft = Draft::new(*cx);
    tables::DEVICES.require(&mut draft.batch, &key, known.as_ref().map(|row| row.version));
    let mut row = if let Some(row) = known {
        row.value
    } else {
        check_device_id(&command.device_id)?;
        let kind = super::users::user(cx, user_id)?.kind;
        make_room(&mut draft, user_id, kind)?;
        let device_id = command.device_id.clone();
        DeviceRow { device_id, display_name: None, last_seen: cx.now(), authenticated: cx.now() }
    };
    if let Some(name) = &command.display_name {
        row.display_name = Some(name.clone());
    }
    tables::DEVICES.put(&mut draft.batch, &key, &row);
    // The name is shown with the keys, to all who see them.
    keys::device_list_changed(&mut draft, user_id)?;
    Ok(draft.commit(made))
}

/// `DELETE /devices/{deviceId}` and `POST /delete_devices`, once the user has proved who they are.
#[derive(Clone, Debug)]
pub struct DeleteDevices {
    /// Whose.
    pub user_id: OwnedUserId,
    /// Which; unknown ones are passed over.
    pub device_ids: Vec<OwnedDeviceId>,
}

/// Deletes devices with all they have.
///
/// # Errors
/// [`Stop::Read`].
pub fn delete_devices(cx: &Cx<'_>, command: &DeleteDevices) -> Decided<()> {
    let mut draft = Draft::new(*cx);
    let mut ids = command.device_ids.clone();
    ids.sort();
    ids.dedup();
    for device_id in &ids {
        delete_device(&mut draft, &command.user_id, device_id)?;
    }
    Ok(draft.commit(()))
}

/// `POST /logout`: the device that asks goes with all it has. An application service's own token stays.
///
/// # Errors
/// [`Stop::Read`].
pub fn logout(cx: &Cx<'_>, requester: &Requester) -> Decided<()> {
    let mut draft = Draft::new(*cx);
    if let Some(device_id) = &requester.device_id {
        delete_device(&mut draft, &requester.user_id, device_id)?;
    }
    Ok(draft.commit(()))
}

/// `POST /logout/all`: all devices go. A dehydrated device is none of them.
///
/// # Errors
/// [`Stop::Read`].
pub fn logout_all(cx: &Cx<'_>, user_id: &UserId) -> Decided<()> {
    let mut draft = Draft::new(*cx);
    delete_all_but(&mut draft, user_id, None)?;
    Ok(draft.commit(()))
}

/// Drafts a device's end: its tokens, pushers, keys and waiting messages go with it, whoever shares a room hears of it, and
/// a waiting `/sync` of it is woken to be refused.
///
/// # Errors
/// [`Stop::Read`].
pub fn delete_device(draft: &mut Draft<'_>, user_id: &UserId, device_id: &DeviceId) -> Result<(), Stop> {
    let cx = draft.cx();
    let key = (cx.user(user_id), cx.device(device_id));
    let Some(row) = tables::DEVICES.get(cx.view, &key)? else { return Ok(()) };
    // Tokens that are given out meanwhile come with a new version of the row: then they are found below.
    tables::DEVICES.require(&mut draft.batch, &key, Some(row.version));
    tables::DEVICES.delete(&mut draft.batch, &key);
    tokens::delete_tokens(draft, user_id, device_id, &[])?;
    pushers::delete_of(draft, user_id, Some(device_id))?;
    data::delete_device_settings(draft, user_id, device_id)?;
    keys::delete_device(draft, user_id, device_id)?;
    draft.wake(user_id);
    Ok(())
}

/// Drafts the end of all devices but one.
pub(crate) fn delete_all_but(draft: &mut Draft<'_>, user_id: &UserId, keep: Option<&DeviceId>) -> Result<(), Stop> {
    let cx = draft.cx();
    for row in devices(&cx, user_id)? {
        if Some(&*row.device_id) != keep {
            delete_device(draft, user_id, &row.device_id)?;
        }
    }
    Ok(())
}

/// Makes room for one more device: pages that have gone away make place first; a participant's oldest device goes if it must.
pub(super) fn make_room(draft: &mut Draft<'_>, user_id: &UserId, kind: UserKind) -> Result<(), Stop> {
    let cx = draft.cx();
    let participant = kind == UserKind::Participant;
    let max = if participant { PARTICIPANT_DEVICES_MAX } else { DEVICES_MAX };
    let mut known = devices(&cx, user_id)?;
    if known.len() < max {
        return Ok(());
    }
    known.sort_by_key(|row| row.last_seen);
    for row in &known {
        if kind != UserKind::Appservice && tokens::has_run_out(&cx, user_id, &row.device_id)? {
            return delete_device(draft, user_id, &row.device_id);
        }
    }
    match known.first() {
        Some(oldest) if participant => delete_device(draft, user_id, &oldest.device_id),
        _ => Err(Reject::forbidden(format!("you have {DEVICES_MAX} devices; log out of one first")).into()),
    }
}
