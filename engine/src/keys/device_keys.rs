//! `POST /keys/upload`: a device's identity keys, one-time keys and fallback keys
//! ([spec v1.19, Client-Server API § Key management API](https://spec.matrix.org/v1.19/client-server-api/#key-management-api)).

use std::collections::BTreeMap;

use ruma::{
    CanonicalJsonObject, DeviceId, OwnedDeviceId, OwnedOneTimeKeyId, OwnedUserId, UserId,
    encryption::{DeviceKeys, OneTimeKey},
    serde::Raw,
};

use super::{cross_signing, device_lists, one_time_keys, signed_json};
use crate::{
    Cx, Decided, Draft, Reject, Stop,
    tables::{self, DeviceKeysRow, SigningKeyUsage, UserKind},
};

/// Keys a device publishes.
#[derive(Clone, Debug)]
pub struct UploadKeys {
    /// The user.
    pub user_id: OwnedUserId,
    /// The device that asks.
    pub device_id: OwnedDeviceId,
    /// Its identity keys, if they are new.
    pub device_keys: Option<Raw<DeviceKeys>>,
    /// More one-time keys.
    pub one_time_keys: BTreeMap<OwnedOneTimeKeyId, Raw<OneTimeKey>>,
    /// New fallback keys.
    pub fallback_keys: BTreeMap<OwnedOneTimeKeyId, Raw<OneTimeKey>>,
}

/// Stores keys whose signatures hold; answers how many one-time keys of each algorithm are left.
///
/// # Errors
/// `M_INVALID_SIGNATURE` for a key that isn't signed by its device (B4), `M_BAD_JSON` or `M_INVALID_PARAM` for one of the
/// wrong form or of somebody else, `M_UNKNOWN` for a one-time key whose id is taken by another key.
pub fn upload(cx: &Cx<'_>, command: &UploadKeys) -> Decided<BTreeMap<String, u64>> {
    let mut draft = Draft::new(*cx);
    let (user, device) = (cx.user(&command.user_id), cx.device(&command.device_id));
    // Keys of a device that is being deleted meanwhile must not stay behind.
    let row = tables::DEVICES.get(cx.view, &(user, device))?;
    tables::DEVICES.require(&mut draft.batch, &(user, device), row.map(|row| row.version));

    if let Some(keys) = &command.device_keys {
        let self_signing = cross_signing::public_key(cx, &command.user_id, SigningKeyUsage::SelfSigning)?;
        put_device_keys(&mut draft, &command.user_id, &command.device_id, keys, self_signing.as_deref())?;
    }
    let owner = one_time_keys::Owner {
        user_id: &command.user_id,
        device_id: &command.device_id,
        signing_key: match &command.device_keys {
            Some(keys) => own_ed25519(&signed_json::parse(keys)?, &command.device_id),
            None => stored_ed25519(cx, &command.user_id, &command.device_id)?,
        },
        may_be_unsigned: may_be_unsigned(cx, &command.user_id)?,
    };
    let added = one_time_keys::put(&mut draft, &owner, &command.one_time_keys)?;
    one_time_keys::put_fallback(&mut draft, &owner, &command.fallback_keys)?;

    let mut counts = one_time_keys::counts(cx, &command.user_id, &command.device_id)?;
    for (algorithm, count) in added {
        *counts.entry(algorithm).or_default() += count;
    }
    Ok(draft.commit(counts))
}

/// Checks and drafts a device's identity keys; nothing when they are already stored. `self_signing` is the user's
/// self-signing key in base64: it may have signed them before they were uploaded (dehydrated devices are made that way).
pub(super) fn put_device_keys(
    draft: &mut Draft<'_>,
    user_id: &UserId,
    device_id: &DeviceId,
    raw: &Raw<DeviceKeys>,
    self_signing: Option<&str>,
) -> Result<(), Stop> {
    let cx = draft.cx();
    let typed = raw
        .deserialize()
        .map_err(|error| Reject::BadJson(format!("device_keys is not of the right form: {error}").into()))?;
    if typed.user_id != user_id || typed.device_id != device_id {
        return Err(
            Reject::invalid_param("device_keys are of another user or device: a device uploads its own keys only").into()
        );
    }
    let mut keys = signed_json::parse(raw)?;
    // What the server says about a device stands there; a client's own is not kept.
    keys.remove("unsigned");
    check_device_signatures(&cx, user_id, device_id, &keys, self_signing)?;

    let key = (cx.user(user_id), cx.device(device_id));
    let stored = tables::DEVICE_KEYS.get(cx.view, &key)?;
    if let Some(stored) = &stored {
        if stored.value.keys == keys {
            return Ok(());
        }
        if signed_json::signed_part(&stored.value.keys)? != signed_json::signed_part(&keys)? {
            forget_signatures_on(draft, user_id, device_id.as_str())?;
        }
    }
    tables::DEVICE_KEYS.put(&mut draft.batch, &key, &DeviceKeysRow { device_id: device_id.to_owned(), keys });
    device_lists::device_list_changed(draft, user_id)
}

fn check_device_signatures(
    cx: &Cx<'_>,
    user_id: &UserId,
    device_id: &DeviceId,
    keys: &CanonicalJsonObject,
    self_signing: Option<&str>,
) -> Result<(), Stop> {
    let key_id = format!("ed25519:{device_id}");
    let public_key = own_ed25519(keys, device_id)
        .ok_or_else(|| Reject::InvalidParam(format!("device_keys hold no key {key_id}, which has to sign them").into()))?;
    match signed_json::signature(keys, user_id, &key_id) {
        Some(signature) => signed_json::check_signature(keys, &key_id, &public_key, signature)?,
        None if may_be_unsigned(cx, user_id)? => {}
        None => return Err(Reject::InvalidSignature(format!("device_keys are not signed by {key_id}").into()).into()),
    }
    if let Some(self_signing) = self_signing {
        let key_id = format!("ed25519:{self_signing}");
        if let Some(signature) = signed_json::signature(keys, user_id, &key_id) {
            signed_json::check_signature(keys, &key_id, self_signing, signature)?;
        }
    }
    Ok(())
}

/// Whether a user's keys may lack their device's signature. A signature that is there has to hold for everybody.
///
/// The specification asks for it, clients use no key without it, and provisioned users and application services are held
/// to it. Plain accounts are not: the conformance suite uploads such keys, and they endanger nobody.
fn may_be_unsigned(cx: &Cx<'_>, user_id: &UserId) -> Result<bool, Stop> {
    Ok(tables::USERS.get(cx.view, &(cx.user(user_id),))?.is_some_and(|row| row.value.kind == UserKind::Plain))
}

/// The Ed25519 key in a device's identity keys.
pub(super) fn own_ed25519(keys: &CanonicalJsonObject, device_id: &DeviceId) -> Option<String> {
    Some(keys.get("keys")?.as_object()?.get(&format!("ed25519:{device_id}"))?.as_str()?.to_owned())
}

/// The same of a device whose keys are stored.
pub(super) fn stored_ed25519(cx: &Cx<'_>, user_id: &UserId, device_id: &DeviceId) -> Result<Option<String>, Stop> {
    let row = tables::DEVICE_KEYS.get(cx.view, &(cx.user(user_id), cx.device(device_id)))?;
    Ok(row.and_then(|row| own_ed25519(&row.value.keys, device_id)))
}

/// Drops signatures that were uploaded for a key that is no longer what was signed.
pub(super) fn forget_signatures_on(draft: &mut Draft<'_>, user_id: &UserId, target: &str) -> Result<(), Stop> {
    let cx = draft.cx();
    let user = cx.user(user_id);
    for found in tables::SIGNATURES.scan(cx.view, &(user, user, cx.name(target))) {
        tables::SIGNATURES.delete(&mut draft.batch, &found?.0);
    }
    Ok(())
}
