//! A crypto identity as a whole: a newcomer's, cross-signing keys and a dehydrated device, is written before the user has any device
//! (B2); everybody's ends with the account.

use ruma::{UserId, encryption::CrossSigningKey, serde::Raw};

use super::{PutDehydratedDevice, cross_signing, dehydrated, device_lists, signed_json};
use crate::{
    Draft, Stop,
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
