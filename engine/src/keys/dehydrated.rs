//! Dehydrated devices: a device whose private part waits on the server, encrypted, to receive room keys while its user has
//! none open (MSC3814, `org.matrix.msc3814.v1`).
//!
//! A participant's dehydrated device is pinned: its user's clients cannot replace or delete it, so that every page load,
//! tab and browser reads what it received (B2). A host's clients replace theirs once nothing in it can be read any more: until then
//! the room keys it received may be nowhere else, since a page that took them out may have ended before it put them into a key backup.
//! To delete it is the owner's own choice.

use std::collections::BTreeMap;

use journal::Stamp;
use ruma::{
    DeviceId, OwnedDeviceId, OwnedOneTimeKeyId, OwnedUserId, UserId,
    encryption::{DeviceKeys, OneTimeKey},
    serde::Raw,
};
use serde_json::value::RawValue;

use super::{cross_signing, device_keys, device_lists, one_time_keys, signed_json};
use crate::{
    Cx, Decided, Draft, Reject, Stop, policy,
    tables::{self, DehydratedDeviceRow, SigningKeyUsage, ToDeviceRow, UserKind},
    to_device,
};

/// Messages on one page of a dehydrated device's inbox.
const PAGE: usize = 100;

/// A dehydrated device, whole.
#[derive(Clone, Debug)]
pub struct PutDehydratedDevice {
    /// Whose.
    pub user_id: OwnedUserId,
    /// Its id: the client's choice.
    pub device_id: OwnedDeviceId,
    /// What people see it called.
    pub display_name: Option<String>,
    /// Algorithm, pickle, nonce.
    pub device_data: Box<RawValue>,
    /// Its identity keys, signed by itself and (or clients won't use it) by the self-signing key.
    pub device_keys: Raw<DeviceKeys>,
    /// Its one-time keys.
    pub one_time_keys: BTreeMap<OwnedOneTimeKeyId, Raw<OneTimeKey>>,
    /// Its fallback keys.
    pub fallback_keys: BTreeMap<OwnedOneTimeKeyId, Raw<OneTimeKey>>,
}

/// Replaces the user's dehydrated device: the old one goes with its keys and its inbox.
///
/// # Errors
/// `M_FORBIDDEN` when it is pinned or, a host's, still holds messages; `M_INVALID_SIGNATURE`, `M_INVALID_PARAM` and `M_BAD_JSON` as
/// for any device's keys.
pub fn put_dehydrated_device(cx: &Cx<'_>, command: &PutDehydratedDevice) -> Decided<OwnedDeviceId> {
    check_not_pinned(cx, &command.user_id)?;
    let mut draft = Draft::new(*cx);
    if tables::DEVICES.exists(cx.view, &(cx.user(&command.user_id), cx.device(&command.device_id)))? {
        return Err(Reject::forbidden("a device that is in use has this id: choose another").into());
    }
    let replaced = tables::DEHYDRATED_DEVICES.get(cx.view, &(cx.user(&command.user_id),))?;
    if let Some(replaced) = &replaced {
        check_emptied(cx, &command.user_id, &replaced.value.device_id)?;
    }
    let version = replaced.as_ref().map(|row| row.version);
    tables::DEHYDRATED_DEVICES.require(&mut draft.batch, &(cx.user(&command.user_id),), version);
    if let Some(replaced) = replaced.filter(|row| row.value.device_id != command.device_id) {
        device_lists::delete_device(&mut draft, &command.user_id, &replaced.value.device_id)?;
    }
    let self_signing = cross_signing::public_key(cx, &command.user_id, SigningKeyUsage::SelfSigning)?;
    put(&mut draft, command, self_signing.as_deref())?;
    Ok(draft.commit(command.device_id.clone()))
}

/// Checks and drafts a dehydrated device without asking who wants it.
pub(super) fn put(draft: &mut Draft<'_>, command: &PutDehydratedDevice, self_signing: Option<&str>) -> Result<(), Stop> {
    let cx = draft.cx();
    if serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(command.device_data.get()).is_err() {
        return Err(Reject::bad_json("`device_data` has to be an object").into());
    }
    let row = DehydratedDeviceRow {
        device_id: command.device_id.clone(),
        display_name: command.display_name.clone(),
        device_data: command.device_data.clone(),
    };
    tables::DEHYDRATED_DEVICES.put(&mut draft.batch, &(cx.user(&command.user_id),), &row);
    device_keys::put_device_keys(draft, &command.user_id, &command.device_id, &command.device_keys, self_signing)?;
    let owner = one_time_keys::Owner {
        user_id: &command.user_id,
        device_id: &command.device_id,
        signing_key: device_keys::own_ed25519(&signed_json::parse(&command.device_keys)?, &command.device_id),
        may_be_unsigned: false,
    };
    one_time_keys::put(draft, &owner, &command.one_time_keys)?;
    one_time_keys::put_fallback(draft, &owner, &command.fallback_keys)
}

/// The user's dehydrated device.
///
/// # Errors
/// `M_NOT_FOUND` when there is none; a client takes it as "supported".
pub fn dehydrated_device(cx: &Cx<'_>, user_id: &UserId) -> Result<DehydratedDeviceRow, Stop> {
    let row = tables::DEHYDRATED_DEVICES.get(cx.view, &(cx.user(user_id),))?;
    Ok(row.ok_or_else(|| Reject::not_found("there is no dehydrated device"))?.value)
}

/// Deletes the user's dehydrated device with its keys and its inbox.
///
/// # Errors
/// `M_NOT_FOUND` when there is none, `M_FORBIDDEN` when it is pinned.
pub fn delete_dehydrated_device(cx: &Cx<'_>, user_id: &UserId) -> Decided<OwnedDeviceId> {
    let row = dehydrated_device(cx, user_id)?;
    check_not_pinned(cx, user_id)?;
    let mut draft = Draft::new(*cx);
    tables::DEHYDRATED_DEVICES.delete(&mut draft.batch, &(cx.user(user_id),));
    device_lists::delete_device(&mut draft, user_id, &row.device_id)?;
    Ok(draft.commit(row.device_id))
}

fn check_not_pinned(cx: &Cx<'_>, user_id: &UserId) -> Result<(), Stop> {
    if policy::has_pinned_identity(cx, user_id)? {
        return Err(Reject::forbidden("Your dehydrated device was made for you and can't be replaced.").into());
    }
    Ok(())
}

/// A host's device stays while it holds messages: as long as those are kept, which is a rotation longer than both accounts' text. One that a former identity signed goes: nobody
/// sends to it any more.
fn check_emptied(cx: &Cx<'_>, user_id: &UserId, device_id: &DeviceId) -> Result<(), Stop> {
    let user = tables::USERS.get(cx.view, &(cx.user(user_id),))?;
    if user.is_none_or(|row| row.value.kind != UserKind::Host) {
        return Ok(());
    }
    let Some(self_signing) = cross_signing::public_key(cx, user_id, SigningKeyUsage::SelfSigning)? else { return Ok(()) };
    let keys = tables::DEVICE_KEYS.get(cx.view, &(cx.user(user_id), cx.device(device_id)))?;
    let key_id = format!("ed25519:{self_signing}");
    let is_own = keys.is_some_and(|row| signed_json::signature(&row.value.keys, user_id, &key_id).is_some());
    if is_own && !to_device::read(cx, user_id, device_id, Stamp::ZERO, Stamp::MAX, 1)?.messages.is_empty() {
        let message = "Your dehydrated device holds messages. It can be replaced when they have expired.";
        return Err(Reject::forbidden(message).into());
    }
    Ok(())
}

/// A page of a dehydrated device's inbox.
#[derive(Clone, Debug)]
pub struct DehydratedEvents {
    /// The messages, oldest first.
    pub events: Vec<ToDeviceRow>,
    /// Where the next page starts.
    pub next: Stamp,
    /// Whether there is one.
    pub more: bool,
}

/// Messages to the dehydrated device after `from`. Nothing is deleted by it: they stay until they expire or the device goes.
///
/// # Errors
/// `M_FORBIDDEN` when `device_id` is not the user's dehydrated device.
pub fn dehydrated_events(cx: &Cx<'_>, user_id: &UserId, device_id: &str, from: Stamp) -> Result<DehydratedEvents, Stop> {
    let row = tables::DEHYDRATED_DEVICES.get(cx.view, &(cx.user(user_id),))?.map(|row| row.value);
    let row = row.filter(|row| row.device_id == device_id);
    let row = row.ok_or_else(|| Reject::forbidden("this is not your dehydrated device"))?;
    let page = to_device::read(cx, user_id, &row.device_id, from, Stamp::MAX, PAGE)?;
    Ok(DehydratedEvents { events: page.messages, next: page.next, more: page.more })
}
