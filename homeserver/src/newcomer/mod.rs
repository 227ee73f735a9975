//! A newcomer's crypto identity, made before they have a device (B2): cross-signing keys, a dehydrated device (MSC3814) with a
//! fallback key, and secret storage that holds the private parts, locked by one recovery key.
//!
//! Whoever is given the recovery key can open all of it; nothing secret is kept here. Private keys live inside
//! [`provision`] only, and are wiped when it returns.

mod identity;
mod secret_storage;

#[cfg(test)]
mod tests;

use engine::account::Secret;
use engine::keys::{Identity, PutDehydratedDevice};
use engine::platform::NewcomerRecords;
use ruma::UserId;
use ruma::serde::Raw;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::app::App;
use crate::entropy::Entropy;
use crate::http::ApiError;
use identity::{CrossSigning, Dehydrated};
use secret_storage::SecretStorage;

/// What everybody sees the waiting device called.
const DEVICE_NAME: &str = "Waiting room";

/// An identity and the key to it.
#[derive(Clone, Debug)]
pub struct Newcomer {
    /// What is stored.
    pub records: NewcomerRecords,
    /// What opens it: for the platform, once, and for nobody else.
    pub recovery_key: Secret,
}

/// Why no identity could be made; never the caller's fault.
#[derive(Debug, thiserror::Error)]
#[error("a newcomer's identity could not be made: {0}")]
pub struct ProvisionError(String);

impl ProvisionError {
    fn new(reason: impl ToString) -> Self {
        Self(reason.to_string())
    }
}

/// Makes identities for several users, off the async threads: each takes about half a millisecond.
///
/// # Errors
/// When the server is ending, or our own fault.
pub async fn provision_all(app: &App, users: Vec<ruma::OwnedUserId>) -> Result<Vec<Newcomer>, ApiError> {
    let entropy = app.entropy;
    let made = tokio::task::spawn_blocking(move || {
        users.iter().map(|user_id| provision(user_id, entropy)).collect::<Result<Vec<_>, _>>()
    });
    made.await.map_err(ApiError::internal)?.map_err(ApiError::internal)
}

/// Makes an identity for `user_id`.
///
/// # Errors
/// [`ProvisionError`].
pub fn provision(user_id: &UserId, entropy: Entropy) -> Result<Newcomer, ProvisionError> {
    let cross_signing = CrossSigning::new(user_id);
    let dehydrated = Dehydrated::new(user_id, &cross_signing, entropy)?;
    let storage = SecretStorage::new(entropy);

    let mut account_data = vec![storage.key_event()?];
    for (name, secret) in cross_signing.secrets().iter().chain([&dehydrated.secret]) {
        account_data.push((name.clone(), storage.encrypt(name, secret.expose(), entropy)?));
    }
    // Last: it says that everything before it is there.
    account_data.push(("m.secret_storage.default_key".to_owned(), raw(&json!({ "key": storage.key_id() }))?));

    let [master_key, self_signing_key, user_signing_key] = cross_signing.public_keys();
    let identity = Identity {
        master_key: typed(&master_key)?,
        self_signing_key: typed(&self_signing_key)?,
        user_signing_key: typed(&user_signing_key)?,
        dehydrated_device: PutDehydratedDevice {
            user_id: user_id.to_owned(),
            device_id: dehydrated.device_id.clone(),
            display_name: Some(DEVICE_NAME.to_owned()),
            device_data: raw(&dehydrated.device_data)?,
            device_keys: typed(&dehydrated.device_keys)?,
            one_time_keys: std::collections::BTreeMap::new(),
            fallback_keys: [(dehydrated.fallback_key_id.clone(), typed(&dehydrated.fallback_key)?)].into(),
        },
    };
    Ok(Newcomer { records: NewcomerRecords { identity, account_data }, recovery_key: storage.recovery_key() })
}

fn raw(value: &Value) -> Result<Box<RawValue>, ProvisionError> {
    to_raw_value(value).map_err(ProvisionError::new)
}

fn typed<T>(value: &Value) -> Result<Raw<T>, ProvisionError> {
    raw(value).map(Raw::from_json)
}
