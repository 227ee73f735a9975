//! One-time and fallback keys: put, counted, and handed out, each one-time key once
//! ([spec v1.19, Client-Server API § One-time and fallback keys](https://spec.matrix.org/v1.19/client-server-api/#one-time-and-fallback-keys)).

use std::collections::BTreeMap;

use ruma::{
    CanonicalJsonValue, DeviceId, OwnedDeviceId, OwnedOneTimeKeyId, OwnedUserId, UserId, encryption::OneTimeKey, serde::Raw,
};

use super::{ONE_TIME_KEYS_MAX, signed_json};
use crate::{
    Cx, Decided, Draft, Reject, Requester, Stop, policy,
    tables::{self, FallbackKeyRow, OneTimeKeyRow},
};

/// The algorithms that have one-time keys. The second is unsigned and deprecated.
const ALGORITHMS: [&str; 2] = [SIGNED, "curve25519"];
const SIGNED: &str = "signed_curve25519";

/// How many keys are left, by algorithm. `signed_curve25519` is always there: a client tops up when it reads 0.
pub type Counts = BTreeMap<String, u64>;

/// Whose keys are put.
pub(super) struct Owner<'a> {
    pub user_id: &'a UserId,
    pub device_id: &'a DeviceId,
    /// The device's Ed25519 key, in base64.
    pub signing_key: Option<String>,
    pub may_be_unsigned: bool,
}

/// Checks and drafts one-time keys; says how many of each algorithm are new.
pub(super) fn put(
    draft: &mut Draft<'_>,
    owner: &Owner<'_>,
    keys: &BTreeMap<OwnedOneTimeKeyId, Raw<OneTimeKey>>,
) -> Result<Counts, Stop> {
    let mut added = Counts::new();
    if keys.is_empty() {
        return Ok(added);
    }
    let cx = draft.cx();
    let (user, device) = (cx.user(owner.user_id), cx.device(owner.device_id));
    let guard = tables::ONE_TIME_KEY_UPLOADS.get(cx.view, &(user, device))?;
    let stored = stored(&cx, owner)?;
    if stored.len() + keys.len() > ONE_TIME_KEYS_MAX {
        return Err(Reject::Unknown(format!("a device has at most {ONE_TIME_KEYS_MAX} one-time keys").into()).into());
    }
    for (key_id, raw) in keys {
        let (algorithm, key) = check_key(owner, key_id, raw)?;
        match stored.get(key_id.as_str()) {
            Some(same) if *same == key => continue,
            // Clients look for these words.
            Some(_) => {
                return Err(Reject::Unknown(
                    format!("One time key {key_id} already exists with another content: upload it under another id").into(),
                )
                .into());
            }
            None => {}
        }
        let stamp = draft.next_stamp();
        let row = OneTimeKeyRow { key_id: key_id.to_string(), key };
        tables::ONE_TIME_KEYS.put(&mut draft.batch, &(user, device, cx.name(algorithm), stamp), &row);
        *added.entry(algorithm.to_owned()).or_default() += 1;
    }
    if !added.is_empty() {
        tables::ONE_TIME_KEY_UPLOADS.require(&mut draft.batch, &(user, device), guard.map(|row| row.version));
        tables::ONE_TIME_KEY_UPLOADS.put(&mut draft.batch, &(user, device), &());
    }
    Ok(added)
}

/// Checks and drafts fallback keys. A key that is already stored keeps its mark: handed out is handed out.
pub(super) fn put_fallback(
    draft: &mut Draft<'_>,
    owner: &Owner<'_>,
    keys: &BTreeMap<OwnedOneTimeKeyId, Raw<OneTimeKey>>,
) -> Result<(), Stop> {
    let cx = draft.cx();
    for (key_id, raw) in keys {
        let (algorithm, key) = check_key(owner, key_id, raw)?;
        let at = (cx.user(owner.user_id), cx.device(owner.device_id), cx.name(algorithm));
        let row = FallbackKeyRow { key_id: key_id.to_string(), key, used: false };
        let stored = tables::FALLBACK_KEYS.get(cx.view, &at)?.map(|row| row.value);
        if stored.is_none_or(|stored| stored.key_id != row.key_id || stored.key != row.key) {
            tables::FALLBACK_KEYS.put(&mut draft.batch, &at, &row);
        }
    }
    Ok(())
}

fn check_key(
    owner: &Owner<'_>,
    key_id: &OwnedOneTimeKeyId,
    raw: &Raw<OneTimeKey>,
) -> Result<(&'static str, CanonicalJsonValue), Reject> {
    let algorithm = algorithm(key_id.algorithm().as_str())?;
    if algorithm != SIGNED {
        let key: CanonicalJsonValue = serde_json::from_str(raw.json().get())
            .map_err(|error| Reject::BadJson(format!("{key_id} is not a key: {error}").into()))?;
        return match key {
            CanonicalJsonValue::String(_) if owner.may_be_unsigned => Ok((algorithm, key)),
            _ => Err(Reject::InvalidSignature(format!("{key_id} is not signed: upload {SIGNED} keys").into())),
        };
    }
    let object = signed_json::parse(raw)?;
    if object.get("key").and_then(CanonicalJsonValue::as_str).is_none() {
        return Err(Reject::BadJson(format!("{key_id} has no `key`").into()));
    }
    let signing_key_id = format!("ed25519:{}", owner.device_id);
    match (&owner.signing_key, signed_json::signature(&object, owner.user_id, &signing_key_id)) {
        (Some(signing_key), Some(signature)) => {
            signed_json::check_signature(&object, &signing_key_id, signing_key, signature)?;
        }
        (_, None) if owner.may_be_unsigned => {}
        (_, None) => return Err(Reject::InvalidSignature(format!("{key_id} is not signed by {signing_key_id}").into())),
        (None, Some(_)) => {
            let message = format!("{key_id} is signed by {signing_key_id}, which is not known: upload device_keys with it");
            return Err(Reject::InvalidSignature(message.into()));
        }
    }
    Ok((algorithm, CanonicalJsonValue::Object(object)))
}

fn algorithm(name: &str) -> Result<&'static str, Reject> {
    ALGORITHMS.into_iter().find(|known| *known == name).ok_or_else(|| {
        Reject::InvalidParam(format!("one-time keys of algorithm {name} are not known; upload {SIGNED} keys").into())
    })
}

fn stored(cx: &Cx<'_>, owner: &Owner<'_>) -> Result<BTreeMap<String, CanonicalJsonValue>, Stop> {
    let mut stored = BTreeMap::new();
    for found in tables::ONE_TIME_KEYS.scan(cx.view, &(cx.user(owner.user_id), cx.device(owner.device_id))) {
        let row = found?.1.value;
        stored.insert(row.key_id, row.key);
    }
    Ok(stored)
}

/// How many one-time keys of a device are left, by algorithm (`device_one_time_keys_count`).
///
/// # Errors
/// When the store cannot be read.
pub fn counts(cx: &Cx<'_>, user_id: &UserId, device_id: &DeviceId) -> Result<Counts, Stop> {
    let mut counts = Counts::new();
    for algorithm in ALGORITHMS {
        let count = tables::ONE_TIME_KEYS.count(cx.view, &(cx.user(user_id), cx.device(device_id), cx.name(algorithm)))?;
        if count > 0 || algorithm == SIGNED {
            counts.insert(algorithm.to_owned(), count);
        }
    }
    Ok(counts)
}

/// The algorithms whose fallback key has not been handed out (`device_unused_fallback_key_types`).
///
/// # Errors
/// When the store cannot be read.
pub fn unused_fallback_types(cx: &Cx<'_>, user_id: &UserId, device_id: &DeviceId) -> Result<Vec<String>, Stop> {
    let mut unused = Vec::new();
    for algorithm in ALGORITHMS {
        let at = (cx.user(user_id), cx.device(device_id), cx.name(algorithm));
        if tables::FALLBACK_KEYS.get(cx.view, &at)?.is_some_and(|row| !row.value.used) {
            unused.push(algorithm.to_owned());
        }
    }
    Ok(unused)
}

/// `POST /keys/claim`: one key of each device that is named.
#[derive(Clone, Debug)]
pub struct ClaimKeys {
    /// Who asks.
    pub requester: Requester,
    /// By user and device: the algorithm.
    pub one_time_keys: BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, String>>,
}

/// By user and device: key id and key.
pub type Claimed = BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, BTreeMap<String, CanonicalJsonValue>>>;

/// Hands out the oldest one-time key of each device, or its fallback key. The batch rests on each key still being there,
/// so no one-time key is ever handed out twice. Users the requester may not see are left out, as if they had no keys.
///
/// # Errors
/// `M_INVALID_PARAM` for more than [`super::KEYS_PER_REQUEST_MAX`] devices.
pub fn claim(cx: &Cx<'_>, command: &ClaimKeys) -> Decided<Claimed> {
    let mut draft = Draft::new(*cx);
    let mut claimed = Claimed::new();
    if command.one_time_keys.values().map(BTreeMap::len).sum::<usize>() > super::KEYS_PER_REQUEST_MAX {
        return Err(Reject::invalid_param("too many devices at once: claim keys of fewer").into());
    }
    for (user_id, devices) in &command.one_time_keys {
        if !policy::may_see(cx, &command.requester.user_id, user_id)? {
            continue;
        }
        for (device_id, algorithm) in devices {
            if let Some((key_id, key)) = claim_one(&mut draft, user_id, device_id, algorithm)? {
                let of_device = claimed.entry(user_id.clone()).or_default().entry(device_id.clone()).or_default();
                of_device.insert(key_id, key);
            }
        }
    }
    Ok(draft.commit(claimed))
}

fn claim_one(
    draft: &mut Draft<'_>,
    user_id: &UserId,
    device_id: &DeviceId,
    algorithm: &str,
) -> Result<Option<(String, CanonicalJsonValue)>, Stop> {
    let cx = draft.cx();
    let at = (cx.user(user_id), cx.device(device_id), cx.name(algorithm));
    if let Some(first) = tables::ONE_TIME_KEYS.scan(cx.view, &at).next() {
        let (key, row) = first?;
        tables::ONE_TIME_KEYS.require(&mut draft.batch, &key, Some(row.version));
        tables::ONE_TIME_KEYS.delete(&mut draft.batch, &key);
        return Ok(Some((row.value.key_id, row.value.key)));
    }
    let Some(row) = tables::FALLBACK_KEYS.get(cx.view, &at)? else { return Ok(None) };
    let fallback = row.value;
    if !fallback.used {
        // Another upload may replace the key meanwhile: its mark must not be put on the new one.
        tables::FALLBACK_KEYS.require(&mut draft.batch, &at, Some(row.version));
        tables::FALLBACK_KEYS.put(&mut draft.batch, &at, &FallbackKeyRow { used: true, ..fallback.clone() });
    }
    Ok(Some((fallback.key_id, fallback.key)))
}

/// Drops all one-time and fallback keys of a device.
pub(super) fn delete_all(draft: &mut Draft<'_>, user_id: &UserId, device_id: &DeviceId) -> Result<(), Stop> {
    let cx = draft.cx();
    let (user, device) = (cx.user(user_id), cx.device(device_id));
    for found in tables::ONE_TIME_KEYS.scan(cx.view, &(user, device)) {
        tables::ONE_TIME_KEYS.delete(&mut draft.batch, &found?.0);
    }
    for found in tables::FALLBACK_KEYS.scan(cx.view, &(user, device)) {
        tables::FALLBACK_KEYS.delete(&mut draft.batch, &found?.0);
    }
    tables::ONE_TIME_KEY_UPLOADS.delete(&mut draft.batch, &(user, device));
    Ok(())
}
