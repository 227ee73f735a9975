//! `POST /keys/device_signing/upload`: a user's master, self-signing and user-signing keys
//! ([spec v1.19, Client-Server API § Cross-signing](https://spec.matrix.org/v1.19/client-server-api/#cross-signing)).

use journal::Seq;
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, UserId,
    encryption::CrossSigningKey,
    serde::{Base64, Raw},
};

use super::{device_keys, device_lists, signed_json};
use crate::{
    Cx, Decided, Decision, Draft, Reject, Requester, Stop, policy,
    tables::{self, SigningKeyRow, SigningKeyUsage},
};

/// Cross-signing keys to be stored.
#[derive(Clone, Debug)]
pub struct UploadSigningKeys {
    /// Who asks.
    pub requester: Requester,
    /// Whether they have just proved who they are (interactive authentication).
    pub authenticated: bool,
    /// The master key.
    pub master_key: Option<Raw<CrossSigningKey>>,
    /// The self-signing key, signed by the master key.
    pub self_signing_key: Option<Raw<CrossSigningKey>>,
    /// The user-signing key, signed by the master key.
    pub user_signing_key: Option<Raw<CrossSigningKey>>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uploaded {
    /// The keys are stored.
    Stored,
    /// The user has to prove first who they are.
    AuthenticationNeeded,
}

/// A key that is to be stored: the object, and its public part in base64.
struct NewKey {
    object: CanonicalJsonObject,
    public_key: String,
}

/// What is stored of one usage.
struct StoredKey {
    object: CanonicalJsonObject,
    public_key: Option<String>,
    version: Seq,
}

/// Stores cross-signing keys. No authentication is needed while there is no master key, when nothing would change, and for
/// application services (MSC3967, MSC4190); users with a pinned identity keep the one they have (B2).
///
/// # Errors
/// `M_INVALID_SIGNATURE` for a key not signed by the master key, `M_INVALID_PARAM` for one of the wrong form, `M_MISSING_PARAM`
/// without any master key, `M_FORBIDDEN` for a public key that is used twice and for a pinned identity.
pub fn upload_signing_keys(cx: &Cx<'_>, command: &UploadSigningKeys) -> Decided<Uploaded> {
    let user_id = &command.requester.user_id;
    let given = [
        (SigningKeyUsage::Master, &command.master_key),
        (SigningKeyUsage::SelfSigning, &command.self_signing_key),
        (SigningKeyUsage::UserSigning, &command.user_signing_key),
    ];
    let mut new = Vec::new();
    let mut same = true;
    for (usage, raw) in given {
        let Some(raw) = raw else { continue };
        let key = check_key(user_id, usage, raw)?;
        same &= stored(cx, user_id, usage)?.is_some_and(|stored| stored.object == key.object);
        new.push((usage, key));
    }
    if same {
        return Ok(Decision::Done(Uploaded::Stored));
    }
    let has_master = stored(cx, user_id, SigningKeyUsage::Master)?.is_some();
    if has_master && policy::has_pinned_identity(cx, user_id)? {
        return Err(Reject::forbidden("Your encryption identity was made for you and can't be replaced.").into());
    }
    if has_master && command.requester.appservice.is_none() && !command.authenticated {
        return Ok(Decision::Done(Uploaded::AuthenticationNeeded));
    }
    let mut draft = Draft::new(*cx);
    put(&mut draft, user_id, new)?;
    Ok(draft.commit(Uploaded::Stored))
}

/// Checks and drafts the keys of a new identity without asking who wants it.
pub(super) fn put_raw(
    draft: &mut Draft<'_>,
    user_id: &UserId,
    keys: [(SigningKeyUsage, &Raw<CrossSigningKey>); 3],
) -> Result<(), Stop> {
    let mut new = Vec::new();
    for (usage, raw) in keys {
        new.push((usage, check_key(user_id, usage, raw)?));
    }
    put(draft, user_id, new)
}

fn put(draft: &mut Draft<'_>, user_id: &UserId, new: Vec<(SigningKeyUsage, NewKey)>) -> Result<(), Stop> {
    let cx = draft.cx();
    let user = cx.user(user_id);
    check_distinct(&cx, user_id, &new)?;
    let master = match new.iter().find(|(usage, _)| *usage == SigningKeyUsage::Master) {
        Some((_, key)) => key.public_key.clone(),
        None => public_key(&cx, user_id, SigningKeyUsage::Master)?
            .ok_or_else(|| Reject::MissingParam("there is no master key: upload it with the keys that it signs".into()))?,
    };
    for (usage, key) in &new {
        if *usage == SigningKeyUsage::Master {
            check_device_signatures(&cx, user_id, &key.object)?;
        } else {
            signed_json::check_signed_by(&key.object, user_id, &format!("ed25519:{master}"), &master)?;
        }
    }
    for usage in SigningKeyUsage::ALL {
        let at = (user, usage as u8);
        let replaced = stored(&cx, user_id, usage)?;
        tables::SIGNING_KEYS.require(&mut draft.batch, &at, replaced.as_ref().map(|stored| stored.version));
        let row = new.iter().find(|(of, _)| *of == usage).map(|(_, key)| SigningKeyRow { key: key.object.clone() });
        match (&row, &replaced) {
            (Some(row), _) => tables::SIGNING_KEYS.put(&mut draft.batch, &at, row),
            // A key that another master key has signed is nobody's any more.
            (None, Some(stored)) if !is_signed_by(&stored.object, user_id, &master) => {
                tables::SIGNING_KEYS.delete(&mut draft.batch, &at);
            }
            (None, _) => continue,
        }
        let old = replaced.and_then(|stored| stored.public_key);
        if let Some(old) = old.filter(|old| !new.iter().any(|(_, key)| key.public_key == *old)) {
            forget_signatures_of(draft, user_id, &old)?;
        }
    }
    device_lists::device_list_changed(draft, user_id)
}

fn check_key(user_id: &UserId, usage: SigningKeyUsage, raw: &Raw<CrossSigningKey>) -> Result<NewKey, Reject> {
    let name = usage.as_str();
    let wrong = |what: &str| Reject::InvalidParam(format!("the {name} key {what}").into());
    let typed = raw
        .deserialize()
        .map_err(|error| Reject::BadJson(format!("the {name} key is not of the right form: {error}").into()))?;
    if typed.user_id != user_id {
        return Err(wrong("is of another user"));
    }
    if !typed.usage.iter().any(|usage| usage.as_str() == name) {
        return Err(wrong("does not say so in its `usage`"));
    }
    let mut keys = typed.keys.iter();
    let (Some((key_id, public_key)), None) = (keys.next(), keys.next()) else {
        return Err(wrong("has to hold exactly one public key"));
    };
    let bytes: Base64 = Base64::parse(public_key).map_err(|_| wrong("is not in base64"))?;
    if key_id.as_str() != format!("ed25519:{public_key}") || bytes.as_bytes().len() != 32 {
        return Err(wrong("has to be an Ed25519 key under its own name, `ed25519:<key in unpadded base64>`"));
    }
    Ok(NewKey { object: signed_json::parse(raw)?, public_key: public_key.clone() })
}

/// No two keys of a user may share a name: signatures could not be told apart.
fn check_distinct(cx: &Cx<'_>, user_id: &UserId, new: &[(SigningKeyUsage, NewKey)]) -> Result<(), Stop> {
    let taken = || Reject::forbidden("a public key is used twice: every key and every device of a user has its own");
    for (usage, key) in new {
        let device = (cx.user(user_id), cx.name(&key.public_key));
        if tables::DEVICE_KEYS.exists(cx.view, &device)? {
            return Err(taken().into());
        }
        for other in SigningKeyUsage::ALL.into_iter().filter(|other| other != usage) {
            let beside = match new.iter().find(|(of, _)| *of == other) {
                Some((_, key)) => Some(key.public_key.clone()),
                None => public_key(cx, user_id, other)?,
            };
            if beside.as_deref() == Some(key.public_key.as_str()) {
                return Err(taken().into());
            }
        }
    }
    Ok(())
}

/// A master key may come signed by devices: those that are known have to have signed it.
fn check_device_signatures(cx: &Cx<'_>, user_id: &UserId, master: &CanonicalJsonObject) -> Result<(), Stop> {
    for (key_id, signature) in signed_json::signatures(master, user_id) {
        let Some(device_id) = key_id.strip_prefix("ed25519:") else { continue };
        if let Some(key) = device_keys::stored_ed25519(cx, user_id, device_id.into())? {
            signed_json::check_signature(master, key_id, &key, signature)?;
        }
    }
    Ok(())
}

fn is_signed_by(object: &CanonicalJsonObject, user_id: &UserId, public_key: &str) -> bool {
    let key_id = format!("ed25519:{public_key}");
    let is_itself = public_key_of(object).as_deref() == Some(public_key);
    is_itself || signed_json::check_signed_by(object, user_id, &key_id, public_key).is_ok()
}

/// The only public key in a cross-signing key.
pub(super) fn public_key_of(object: &CanonicalJsonObject) -> Option<String> {
    object.get("keys")?.as_object()?.values().next().and_then(CanonicalJsonValue::as_str).map(ToOwned::to_owned)
}

/// The public part of a user's key of that usage, in base64.
pub(super) fn public_key(cx: &Cx<'_>, user_id: &UserId, usage: SigningKeyUsage) -> Result<Option<String>, Stop> {
    Ok(stored(cx, user_id, usage)?.and_then(|stored| stored.public_key))
}

fn stored(cx: &Cx<'_>, user_id: &UserId, usage: SigningKeyUsage) -> Result<Option<StoredKey>, Stop> {
    let row = tables::SIGNING_KEYS.get(cx.view, &(cx.user(user_id), usage as u8))?;
    Ok(row.map(|row| StoredKey { public_key: public_key_of(&row.value.key), object: row.value.key, version: row.version }))
}

/// Drops what a key that has been replaced signed, and the signatures on it.
fn forget_signatures_of(draft: &mut Draft<'_>, user_id: &UserId, public_key: &str) -> Result<(), Stop> {
    let cx = draft.cx();
    let user = cx.user(user_id);
    let key_id = format!("ed25519:{public_key}");
    for found in tables::SIGNATURES.scan(cx.view, &(user,)) {
        let (key, row) = found?;
        if row.value.key_id == key_id || (key.1 == user && row.value.target == public_key) {
            tables::SIGNATURES.delete(&mut draft.batch, &key);
        }
    }
    Ok(())
}
