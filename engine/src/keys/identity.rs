//! A crypto identity as a whole: a newcomer's, cross-signing keys and a dehydrated device, is written before the user has any device
//! (B2); everybody's ends with the account.

use ruma::{
    CanonicalJsonValue, UserId,
    encryption::CrossSigningKey,
    serde::{Base64, Raw},
};

use super::{PutDehydratedDevice, cross_signing, dehydrated, device_lists, signed_json};
use crate::{
    Draft, Reject, Stop,
    tables::{self, SigningKeyUsage},
};

/// The public side of a crypto identity. The private side is in the account data, encrypted, and nowhere else.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The master key.
    pub master_key: Raw<CrossSigningKey>,
    /// The self-signing key, signed by the master key.
    pub self_signing_key: Raw<CrossSigningKey>,
    /// The user-signing key, signed by the master key.
    pub user_signing_key: Raw<CrossSigningKey>,
    /// The device, signed by itself and by the self-signing key.
    pub dehydrated_device: PutDehydratedDevice,
}

/// Checks that the dehydrated device of an identity is what clients will use: one that says so, named by its own Curve25519 key, signed
/// by the self-signing key, with a fallback key and nothing else to be handed out. Whether signatures hold is [`write_identity`]'s to
/// say.
///
/// # Errors
/// `M_INVALID_PARAM`, `M_INVALID_SIGNATURE`, and `M_BAD_JSON` for what is no object.
pub fn check_whole(identity: &Identity) -> Result<(), Reject> {
    let device = &identity.dehydrated_device;
    let wrong = |what: &str| Reject::InvalidParam(format!("`identity.dehydrated_device` {what}").into());
    let keys = signed_json::parse(&device.device_keys)?;
    if keys.get("dehydrated") != Some(&CanonicalJsonValue::Bool(true)) {
        return Err(wrong("does not say `\"dehydrated\": true` in its keys"));
    }
    let own = keys.get("keys").and_then(|keys| keys.as_object()?.get(&format!("curve25519:{}", device.device_id))?.as_str());
    if own != Some(device.device_id.as_str()) || !is_curve25519_key(device.device_id.as_str()) {
        return Err(wrong("has to have its own Curve25519 key as its id"));
    }
    let self_signing = cross_signing::public_key_of(&signed_json::parse(&identity.self_signing_key)?).unwrap_or_default();
    let signer = format!("ed25519:{self_signing}");
    if signed_json::signature(&keys, &device.user_id, &signer).is_none() {
        return Err(Reject::InvalidSignature("the dehydrated device is not signed by the self-signing key".into()));
    }
    let mut fallback = device.fallback_keys.values();
    let (Some(key), None, true) = (fallback.next(), fallback.next(), device.one_time_keys.is_empty()) else {
        return Err(wrong("has to have one fallback key, and no other to be handed out"));
    };
    if signed_json::parse(key)?.get("fallback") != Some(&CanonicalJsonValue::Bool(true)) {
        return Err(wrong("has a fallback key that does not say so"));
    }
    Ok(())
}

/// In unpadded base64, as it is written.
fn is_curve25519_key(text: &str) -> bool {
    let key: Result<Base64, _> = Base64::parse(text);
    key.is_ok_and(|key| key.as_bytes().len() == 32 && key.encode() == text)
}

/// Drafts the records of a new user's identity. All signatures are checked, as for a client's.
///
/// # Errors
/// As [`super::upload_signing_keys`] and [`super::put_dehydrated_device`].
pub fn write_identity(draft: &mut Draft<'_>, user_id: &UserId, identity: &Identity) -> Result<(), Stop> {
    cross_signing::put_raw(
        draft,
        user_id,
        [
            (SigningKeyUsage::Master, &identity.master_key),
            (SigningKeyUsage::SelfSigning, &identity.self_signing_key),
            (SigningKeyUsage::UserSigning, &identity.user_signing_key),
        ],
    )?;
    let self_signing = cross_signing::public_key_of(&signed_json::parse(&identity.self_signing_key)?);
    dehydrated::put(draft, &identity.dehydrated_device, self_signing.as_deref())
}

/// Drafts the end of a user's crypto identity: cross-signing keys, what the user signed, the dehydrated device. Devices go before.
///
/// # Errors
/// [`Stop::Read`].
pub fn delete_identity(draft: &mut Draft<'_>, user_id: &UserId) -> Result<(), Stop> {
    let cx = draft.cx();
    let user = cx.user(user_id);
    if let Some(row) = tables::DEHYDRATED_DEVICES.get(cx.view, &(user,))? {
        tables::DEHYDRATED_DEVICES.delete(&mut draft.batch, &(user,));
        device_lists::delete_device(draft, user_id, &row.value.device_id)?;
    }
    for found in tables::SIGNING_KEYS.scan(cx.view, &(user,)) {
        tables::SIGNING_KEYS.delete(&mut draft.batch, &found?.0);
    }
    for found in tables::SIGNATURES.scan(cx.view, &(user,)) {
        tables::SIGNATURES.delete(&mut draft.batch, &found?.0);
    }
    Ok(())
}
