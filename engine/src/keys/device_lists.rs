//! Device lists: who is told when somebody's devices or identity keys change
//! ([spec v1.19, Client-Server API § Tracking the device list for a user](https://spec.matrix.org/v1.19/client-server-api/#tracking-the-device-list-for-a-user)).
//!
//! Members who are only invited are told, and told about, as well: keys for a message in a room go to invited people too, so
//! a sender has to know their devices. Telling of joined members only loses the first message to an invitee (tried).

use std::collections::BTreeSet;

use journal::{Name, Stamp};
use ruma::{DeviceId, OwnedUserId, UserId, events::room::member::MembershipState};

use super::one_time_keys;
use crate::{
    Cx, Draft, MEGOLM_ROTATION_MS, Stop,
    changes::Change,
    class, outbox, policy,
    tables::{self, DeviceLists},
};

/// Whether keys for a room's messages go to a member like that.
const fn is_present(membership: &MembershipState) -> bool {
    matches!(membership, MembershipState::Join | MembershipState::Invite)
}

/// Tells the user, everybody who shares a room with them (joined or invited), and interested application services that the
/// user's devices or identity keys changed.
///
/// # Errors
/// When the store cannot be read.
pub fn device_list_changed(draft: &mut Draft<'_>, user_id: &UserId) -> Result<(), Stop> {
    let cx = draft.cx();
    let mut told = BTreeSet::from([user_id.to_owned()]);
    for found in tables::MEMBERSHIPS.scan(cx.view, &(cx.user(user_id),)) {
        let ((_, room), row) = found?;
        if is_present(&row.value.membership) {
            told.extend(present_members(&cx, room)?);
        }
    }
    for other in &told {
        draft.tell(other, Change::DeviceList { user_id: user_id.to_owned() });
    }
    outbox::device_list_changed(draft, user_id, &told);
    Ok(())
}

/// Drops everything a device has published and everything that waits for it, and tells of it. The keys of a device that
/// had any stay readable for participants, see [`super::query`], as long as a message of it can be read. To be called by
/// whatever deletes the device's own row, in the same batch.
///
/// # Errors
/// When the store cannot be read.
pub fn delete_device(draft: &mut Draft<'_>, user_id: &UserId, device_id: &DeviceId) -> Result<(), Stop> {
    let cx = draft.cx();
    let key = (cx.user(user_id), cx.device(device_id));
    one_time_keys::delete_all(draft, user_id, device_id)?;
    for found in tables::TO_DEVICE.scan(cx.view, &key) {
        tables::TO_DEVICE.delete(&mut draft.batch, &found?.0);
    }
    let Some(row) = tables::DEVICE_KEYS.get(cx.view, &key)? else { return Ok(()) };
    tables::DEVICE_KEYS.delete(&mut draft.batch, &key);
    let mut retired = row.value;
    for found in tables::SIGNATURES.scan(cx.view, &(key.0, key.0, key.1)) {
        let (at, row) = found?;
        super::signed_json::add_signature(&mut retired.keys, user_id, &row.value.key_id, &row.value.signature);
        tables::SIGNATURES.delete(&mut draft.batch, &at);
    }
    let lifetime_ms = policy::text_retention_ms(&cx, user_id)?;
    let class = cx.class_and_hour(class::TO_DEVICE, lifetime_ms);
    let expires = cx.now().plus_ms(lifetime_ms).plus_ms(MEGOLM_ROTATION_MS);
    tables::RETIRED_DEVICE_KEYS.put(&mut draft.batch, &key, &retired, class, expires);
    device_list_changed(draft, user_id)
}

/// Whose device lists changed for `user_id` after `from`, up to and with `to` (`device_lists` of `/sync`, and
/// `/keys/changes`). The change index holds those who changed and those who came to share a room or ceased to; who shares no
/// room any more has left.
///
/// # Errors
/// When the store cannot be read.
pub fn device_lists_between(cx: &Cx<'_>, user_id: &UserId, from: Stamp, to: Stamp) -> Result<DeviceLists, Stop> {
    let user = cx.user(user_id);
    let mut told = BTreeSet::new();
    for found in tables::CHANGES.scan_from(cx.view, &(user,), &(user, from.next())) {
        let ((_, stamp), row) = found?;
        if stamp > to {
            break;
        }
        if let Change::DeviceList { user_id: other } = row.value {
            told.insert(other);
        }
    }
    let mut lists = DeviceLists::default();
    for other in told {
        if other == user_id || policy::share_room(cx, user_id, &other)? {
            lists.changed.insert(other);
        } else {
            lists.left.insert(other);
        }
    }
    Ok(lists)
}

/// The same for a token that the change index no longer reaches back to: everybody whom the user writes to may have changed. Who
/// shares no room any more is not known by then; keys of a room go to its members.
///
/// # Errors
/// When the store cannot be read.
pub fn device_lists_of_all(cx: &Cx<'_>, user_id: &UserId) -> Result<DeviceLists, Stop> {
    let mut lists = DeviceLists { changed: BTreeSet::from([user_id.to_owned()]), ..DeviceLists::default() };
    for found in tables::MEMBERSHIPS.scan(cx.view, &(cx.user(user_id),)) {
        let ((_, room), row) = found?;
        if is_present(&row.value.membership) {
            lists.changed.extend(present_members(cx, room)?);
        }
    }
    Ok(lists)
}

fn present_members(cx: &Cx<'_>, room: Name) -> Result<Vec<OwnedUserId>, Stop> {
    let mut present = Vec::new();
    for found in tables::MEMBERS.scan(cx.view, &(room,)) {
        let member = found?.1.value;
        if is_present(&member.membership) {
            present.push(member.user_id);
        }
    }
    Ok(present)
}
