//! `POST /keys/query`: the devices and identity keys of users
//! ([spec v1.19, Client-Server API § Key management API](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysquery)).

use std::collections::BTreeMap;

use ruma::{CanonicalJsonObject, CanonicalJsonValue, OwnedDeviceId, OwnedUserId, UserId};

use super::{KEYS_PER_REQUEST_MAX, signed_json};
use crate::{
    Cx, Reject, Stop, policy,
    tables::{self, DeviceKeysRow, SignatureRow, SigningKeyUsage},
};

/// Whose keys are asked for.
#[derive(Clone, Debug)]
pub struct QueryKeys {
    /// Who asks.
    pub requester: OwnedUserId,
    /// By user: the devices, or none for all of them.
    pub device_keys: BTreeMap<OwnedUserId, Vec<OwnedDeviceId>>,
}

/// What was found. A user who exists and has no keys has an empty entry in `device_keys`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundKeys {
    /// By user and device.
    pub device_keys: BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, CanonicalJsonObject>>,
    /// By user.
    pub master_keys: BTreeMap<OwnedUserId, CanonicalJsonObject>,
    /// By user.
    pub self_signing_keys: BTreeMap<OwnedUserId, CanonicalJsonObject>,
    /// Only the requester's own.
    pub user_signing_keys: BTreeMap<OwnedUserId, CanonicalJsonObject>,
}

/// Finds keys. Users who don't exist or whom the requester may not see are left out alike.
///
/// A participant is also shown the deleted devices of the inviter and their own, for as long as a message of them can be
/// read: a page that starts without a store knows a sender's device only from here, and would call a message of a deleted
/// one forged. Nobody else is: to them a deleted device is gone.
///
/// # Errors
/// `M_INVALID_PARAM` for more than [`KEYS_PER_REQUEST_MAX`] users.
pub fn query(cx: &Cx<'_>, command: &QueryKeys) -> Result<FoundKeys, Stop> {
    if command.device_keys.len() > KEYS_PER_REQUEST_MAX {
        return Err(Reject::invalid_param("too many users at once: query fewer").into());
    }
    let mut found = FoundKeys::default();
    for (user_id, devices) in &command.device_keys {
        if !tables::USERS.exists(cx.view, &(cx.user(user_id),))? || !policy::may_see(cx, &command.requester, user_id)? {
            continue;
        }
        query_user(cx, &command.requester, user_id, devices, &mut found)?;
    }
    Ok(found)
}

fn query_user(
    cx: &Cx<'_>,
    requester: &UserId,
    user_id: &UserId,
    devices: &[OwnedDeviceId],
    found: &mut FoundKeys,
) -> Result<(), Stop> {
    let signatures = visible_signatures(cx, requester, user_id)?;
    let of_user = found.device_keys.entry(user_id.to_owned()).or_default();
    for row in device_rows(cx, requester, user_id, devices)? {
        let mut keys = row.keys;
        add_signatures(&mut keys, &signatures, row.device_id.as_str());
        if let Some(name) = display_name(cx, user_id, &row.device_id)? {
            let unsigned = CanonicalJsonObject::from([("device_display_name".to_owned(), CanonicalJsonValue::String(name))]);
            keys.insert("unsigned".to_owned(), CanonicalJsonValue::Object(unsigned));
        }
        of_user.insert(row.device_id, keys);
    }
    for usage in SigningKeyUsage::ALL {
        let shown = match usage {
            SigningKeyUsage::Master => &mut found.master_keys,
            SigningKeyUsage::SelfSigning => &mut found.self_signing_keys,
            SigningKeyUsage::UserSigning if requester == user_id => &mut found.user_signing_keys,
            SigningKeyUsage::UserSigning => continue,
        };
        let Some(row) = tables::SIGNING_KEYS.get(cx.view, &(cx.user(user_id), usage as u8))? else { continue };
        let mut key = row.value.key;
        if let Some(target) = super::cross_signing::public_key_of(&key) {
            add_signatures(&mut key, &signatures, &target);
        }
        shown.insert(user_id.to_owned(), key);
    }
    Ok(())
}

fn device_rows(
    cx: &Cx<'_>,
    requester: &UserId,
    user_id: &UserId,
    devices: &[OwnedDeviceId],
) -> Result<Vec<DeviceKeysRow>, Stop> {
    let user = cx.user(user_id);
    let mut rows = BTreeMap::new();
    let mut add = |row: DeviceKeysRow| {
        if devices.is_empty() || devices.contains(&row.device_id) {
            rows.entry(row.device_id.clone()).or_insert(row);
        }
    };
    for row in tables::DEVICE_KEYS.scan(cx.view, &(user,)) {
        add(row?.1.value);
    }
    if sees_retired(cx, requester, user_id)? {
        for row in tables::RETIRED_DEVICE_KEYS.scan(cx.view, &(user,)) {
            add(row?.1.value);
        }
    }
    Ok(rows.into_values().collect())
}

fn sees_retired(cx: &Cx<'_>, requester: &UserId, user_id: &UserId) -> Result<bool, Stop> {
    let participant = tables::PARTICIPANTS.get(cx.view, &(cx.user(requester),))?;
    Ok(participant.is_some_and(|row| requester == user_id || row.value.inviter == user_id))
}

fn display_name(cx: &Cx<'_>, user_id: &UserId, device_id: &OwnedDeviceId) -> Result<Option<String>, Stop> {
    let user = cx.user(user_id);
    if let Some(row) = tables::DEVICES.get(cx.view, &(user, cx.device(device_id)))? {
        return Ok(row.value.display_name);
    }
    let dehydrated = tables::DEHYDRATED_DEVICES.get(cx.view, &(user,))?.map(|row| row.value);
    Ok(dehydrated.filter(|row| row.device_id == *device_id).and_then(|row| row.display_name))
}

/// Who signed, and the signature. The user's own on own keys are for everybody; the requester's on the user's master key
/// are for the requester.
fn visible_signatures(cx: &Cx<'_>, requester: &UserId, user_id: &UserId) -> Result<Vec<(OwnedUserId, SignatureRow)>, Stop> {
    let mut signatures = Vec::new();
    let signers: &[&UserId] = if requester == user_id { &[user_id] } else { &[user_id, requester] };
    for signer in signers {
        for row in tables::SIGNATURES.scan(cx.view, &(cx.user(signer), cx.user(user_id))) {
            signatures.push(((*signer).to_owned(), row?.1.value));
        }
    }
    Ok(signatures)
}

fn add_signatures(object: &mut CanonicalJsonObject, signatures: &[(OwnedUserId, SignatureRow)], target: &str) {
    for (signer, row) in signatures.iter().filter(|(_, row)| row.target == target) {
        signed_json::add_signature(object, signer, &row.key_id, &row.signature);
    }
}
