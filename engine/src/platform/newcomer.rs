//! The records of a newcomer's crypto identity: written with the user, before anybody can invite them (B2).

use ruma::{OwnedUserId, UserId, serde::Raw};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    Cx, Draft, Reject, Stop,
    account::{self, NewAccountData, put_account_data},
    keys::{self, Identity},
    tables::UserKind,
};

/// Bytes of one record: what the provisioner makes stays below 1 KiB.
const RECORD_BYTES_MAX: usize = 8 * 1024;

/// Says that secret storage is whole, and which key opens it
/// ([spec v1.19, § Secret storage](https://spec.matrix.org/v1.19/client-server-api/#secret-storage)).
const DEFAULT_KEY: &str = "m.secret_storage.default_key";

/// What secret storage holds.
const SECRETS: [&str; 4] =
    ["m.cross_signing.master", "m.cross_signing.self_signing", "m.cross_signing.user_signing", "org.matrix.msc3814"];

/// Who a new host or invitee is to be.
///
/// An identity that the platform made is checked whole: its user id has the form of the server's own and was never given out, its
/// records are those that the provisioner makes, none less and none more, and every signature is there and holds. `M_INVALID_PARAM`,
/// `M_BAD_JSON`, `M_INVALID_SIGNATURE` or `M_TOO_LARGE` otherwise; [`Reject::Conflict`] for an id that is or was somebody's, and for a
/// host or invitee who is another user already.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// A random user id.
    pub user_id: OwnedUserId,
    /// The identity made for it.
    pub records: NewcomerRecords,
    /// Whether the platform made it, and not this server.
    pub by_platform: bool,
}

/// What the provisioner made: public keys, and private ones that only the recovery key opens.
#[derive(Clone, Debug)]
pub struct NewcomerRecords {
    /// Cross-signing keys and the dehydrated device.
    pub identity: Identity,
    /// Secret storage: account data types with their contents.
    pub account_data: Vec<(String, Box<RawValue>)>,
}

/// The user that a host or invitee is, or is to be.
pub(super) fn user_of(known: Option<&UserId>, new: Option<&NewUser>) -> Result<OwnedUserId, Reject> {
    match (known, new) {
        (Some(known), Some(new)) if new.by_platform && new.user_id != known => {
            let message = "this host or invitee is another user already, and keeps that identity: leave `identity` out";
            Err(Reject::Conflict(message.into()))
        }
        (Some(known), _) => Ok(known.to_owned()),
        (None, Some(new)) => Ok(new.user_id.clone()),
        (None, None) => Err(Reject::Unknown("a new host or invitee needs a user".into())),
    }
}

/// Checks what the platform made, as [`NewUser`] says. Signatures are checked by [`write()`], whoever made them.
pub(super) fn check(cx: &Cx<'_>, new: &NewUser, kind: UserKind) -> Result<(), Stop> {
    if !new.by_platform {
        return Ok(());
    }
    account::check_provisioned(cx, &new.user_id, kind)?;
    let Identity { master_key, self_signing_key, user_signing_key, dehydrated_device: device } = &new.records.identity;
    let public_keys = [master_key, self_signing_key, user_signing_key].map(Raw::json);
    let device_records = [&*device.device_data, device.device_keys.json()];
    let fallback_keys = device.fallback_keys.values().map(Raw::json);
    let account_data = new.records.account_data.iter().map(|(_, content)| &**content);
    let mut records = public_keys.into_iter().chain(device_records).chain(fallback_keys).chain(account_data);
    if records.any(|record| record.get().len() > RECORD_BYTES_MAX) {
        return Err(Reject::TooLarge("one record of an identity has at most 8 KiB".into()).into());
    }
    keys::check_whole(&new.records.identity)?;
    check_secret_storage(&new.records.account_data)?;
    Ok(())
}

/// That secret storage has its key's description and each secret, under that key, and nothing else.
fn check_secret_storage(account_data: &[(String, Box<RawValue>)]) -> Result<(), Reject> {
    let wrong = |what: String| Reject::InvalidParam(format!("`identity.account_data` {what}").into());
    let content = |event_type: &str| {
        let found = account_data.iter().find(|(name, _)| name == event_type);
        let content = found.and_then(|(_, content)| serde_json::from_str::<Map<String, Value>>(content.get()).ok());
        content.ok_or_else(|| wrong(format!("lacks {event_type}")))
    };
    let default_key = content(DEFAULT_KEY)?;
    let key_id = default_key.get("key").and_then(Value::as_str).unwrap_or_default();
    let description = format!("m.secret_storage.key.{key_id}");
    if content(&description)?.get("algorithm").and_then(Value::as_str) != Some("m.secret_storage.v1.aes-hmac-sha2") {
        return Err(wrong("describes a key of an algorithm that is not known".to_owned()));
    }
    for name in SECRETS {
        let secret = content(name)?;
        if !secret.get("encrypted").and_then(|by_key| by_key.get(key_id)).is_some_and(Value::is_object) {
            return Err(wrong(format!("holds {name}, but not under the default key")));
        }
    }
    let is_known = |name: &str| SECRETS.contains(&name) || name == DEFAULT_KEY || name == description;
    if account_data.len() != SECRETS.len() + 2 || !account_data.iter().all(|(name, _)| is_known(name)) {
        return Err(wrong("holds something else than secret storage".to_owned()));
    }
    Ok(())
}

/// Drafts all of it.
pub(super) fn write(draft: &mut Draft<'_>, new: &NewUser) -> Result<(), Stop> {
    keys::write_identity(draft, &new.user_id, &new.records.identity)?;
    for (event_type, content) in &new.records.account_data {
        let data = NewAccountData {
            user_id: new.user_id.clone(),
            room_id: None,
            event_type: event_type.clone(),
            content: content.clone(),
        };
        put_account_data(draft, &data);
    }
    Ok(())
}
