//! `POST /keys/signatures/upload`: signatures made after the key they are on was uploaded
//! ([spec v1.19, Client-Server API § Key and signature security](https://spec.matrix.org/v1.19/client-server-api/#key-and-signature-security)).
//!
//! Three kinds exist: the self-signing key on an own device, an own device on the own master key, the user-signing key on
//! somebody else's master key. Each is verified (B4), and others are refused.

use std::collections::BTreeMap;

use ruma::{CanonicalJsonObject, OwnedUserId, UserId};
use serde_json::value::RawValue;

use super::{KEYS_PER_REQUEST_MAX, cross_signing, device_keys, device_lists, signed_json};
use crate::{
    Cx, Decided, Draft, Reject, Stop,
    changes::Change,
    policy,
    tables::{self, SignatureRow, SigningKeyUsage},
};

/// Signed objects.
#[derive(Clone, Debug)]
pub struct UploadSignatures {
    /// Who signed.
    pub user_id: OwnedUserId,
    /// By user, and device id or public master key: the object with the new signatures.
    pub signed_keys: BTreeMap<OwnedUserId, BTreeMap<String, Box<RawValue>>>,
}

/// Why a signature was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureFailure {
    /// Its error.
    pub reject: Reject,
}

/// By user and key: what was not taken. The rest was.
pub type SignatureFailures = BTreeMap<OwnedUserId, BTreeMap<String, SignatureFailure>>;

/// Verifies and stores signatures.
///
/// # Errors
/// `M_INVALID_PARAM` for more than [`KEYS_PER_REQUEST_MAX`] objects. What is wrong with one object is in the answer.
pub fn upload_signatures(cx: &Cx<'_>, command: &UploadSignatures) -> Decided<SignatureFailures> {
    if command.signed_keys.values().map(BTreeMap::len).sum::<usize>() > KEYS_PER_REQUEST_MAX {
        return Err(Reject::invalid_param("too many signed keys at once: send fewer").into());
    }
    let mut draft = Draft::new(*cx);
    let mut failures = SignatureFailures::new();
    let mut own_changed = false;
    for (target_user, keys) in &command.signed_keys {
        let mut changed = false;
        for (target, raw) in keys {
            match put_signatures(&mut draft, &command.user_id, target_user, target, raw) {
                Ok(new) => changed |= new,
                Err(Stop::Reject(reject)) => {
                    failures.entry(target_user.clone()).or_default().insert(target.clone(), SignatureFailure { reject });
                }
                Err(stop @ Stop::Read(_)) => return Err(stop),
            }
        }
        if changed && *target_user == command.user_id {
            own_changed = true;
        } else if changed {
            // Only the signer sees what they signed of others.
            draft.tell(&command.user_id, Change::DeviceList { user_id: target_user.clone() });
        }
    }
    if own_changed {
        device_lists::device_list_changed(&mut draft, &command.user_id)?;
    }
    Ok(draft.commit(failures))
}

fn put_signatures(
    draft: &mut Draft<'_>,
    signer: &UserId,
    target_user: &UserId,
    target: &str,
    raw: &RawValue,
) -> Result<bool, Stop> {
    let cx = draft.cx();
    let object: CanonicalJsonObject = serde_json::from_str(raw.get())
        .map_err(|error| Reject::BadJson(format!("this is not a signed object: {error}").into()))?;
    let (stored, signing_keys) = find_target(&cx, signer, target_user, target)?;
    if signed_json::signed_part(&stored)? != signed_json::signed_part(&object)? {
        return Err(
            Reject::InvalidSignature("the signed object is not the key that is stored: query it again".into()).into()
        );
    }
    let mut new = false;
    let mut any = false;
    for (key_id, signature) in signed_json::signatures(&object, signer) {
        if signed_json::signature(&stored, signer, key_id) == Some(signature) {
            any = true;
            continue;
        }
        let public_key = signing_keys.public_key(&cx, signer, key_id)?.ok_or_else(|| {
            Reject::InvalidSignature(format!("{key_id} is not a key that signs this: use {}", signing_keys.as_str()).into())
        })?;
        signed_json::check_signature(&object, key_id, &public_key, signature)?;
        any = true;
        let key = (cx.user(signer), cx.user(target_user), cx.name(target), cx.name(key_id));
        let row = SignatureRow { target: target.to_owned(), key_id: key_id.to_owned(), signature: signature.to_owned() };
        if tables::SIGNATURES.get(cx.view, &key)?.is_none_or(|stored| stored.value != row) {
            tables::SIGNATURES.put(&mut draft.batch, &key, &row);
            new = true;
        }
    }
    if any {
        Ok(new)
    } else {
        Err(Reject::InvalidSignature(format!("there is no signature of {signer} on it").into()).into())
    }
}

/// Which keys of the signer may sign a target.
enum SigningKeys {
    /// The cross-signing key of that usage.
    CrossSigning(SigningKeyUsage),
    /// Any of the signer's devices.
    Devices,
}

impl SigningKeys {
    const fn as_str(&self) -> &'static str {
        match self {
            Self::CrossSigning(usage) => usage.as_str(),
            Self::Devices => "one of your devices",
        }
    }

    fn public_key(&self, cx: &Cx<'_>, signer: &UserId, key_id: &str) -> Result<Option<String>, Stop> {
        let Some(name) = key_id.strip_prefix("ed25519:") else { return Ok(None) };
        match self {
            Self::CrossSigning(usage) => Ok(cross_signing::public_key(cx, signer, *usage)?.filter(|key| key == name)),
            Self::Devices => device_keys::stored_ed25519(cx, signer, name.into()),
        }
    }
}

fn find_target(
    cx: &Cx<'_>,
    signer: &UserId,
    user_id: &UserId,
    target: &str,
) -> Result<(CanonicalJsonObject, SigningKeys), Stop> {
    let user = cx.user(user_id);
    let own = signer == user_id;
    if own && let Some(row) = tables::DEVICE_KEYS.get(cx.view, &(user, cx.name(target)))? {
        return Ok((row.value.keys, SigningKeys::CrossSigning(SigningKeyUsage::SelfSigning)));
    }
    let master = tables::SIGNING_KEYS.get(cx.view, &(user, SigningKeyUsage::Master as u8))?;
    let master = master.map(|row| row.value.key).filter(|key| cross_signing::public_key_of(key).as_deref() == Some(target));
    match master {
        Some(key) if own => Ok((key, SigningKeys::Devices)),
        Some(key) if policy::may_see(cx, signer, user_id)? => {
            Ok((key, SigningKeys::CrossSigning(SigningKeyUsage::UserSigning)))
        }
        _ => Err(Reject::not_found("there is no such device or master key").into()),
    }
}
