//! A crypto identity for somebody who has no device yet (B2): cross-signing keys, a dehydrated device (MSC3814) with a fallback
//! key, and secret storage that holds the private parts, locked by one recovery key.
//!
//! The homeserver makes one for every host and participant that comes without. A platform that makes them itself, with this crate
//! or with `vestibule identity`, hands over the [`Identity`] and keeps the [`RecoveryKey`]: then the homeserver never has what
//! opens it. No network, no files; private keys live inside [`Identity::make`] only, and are wiped when it returns.
//!
//! ```
//! let user_id = identity::new_user_id(identity::Role::Participant, "chat.example.org");
//! let (identity, recovery_key) = identity::Identity::make(&user_id)?;
//! // The platform keeps `recovery_key.expose()`; `identity` goes into `PUT /sessions/{session}`, beside `id` and `display_name`.
//! assert_eq!(serde_json::to_value(&identity)?["user_id"], user_id);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod keys;
mod random;
mod secret_storage;
mod signed_json;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use keys::{CrossSigning, dehydrated_device};
use secret_storage::SecretStorage;

/// A JSON object.
pub type Object = serde_json::Map<String, serde_json::Value>;

/// Random characters of a user's name: 80 bits. It tells nothing of the person.
const NAME_LENGTH: usize = 16;

/// What is stored of an identity: public keys, and private ones that only the recovery key opens. The platform API takes it in the
/// form in which it is serialised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Whose: every key names the user, so it is for nobody else.
    pub user_id: String,
    /// The master key ([spec v1.19, § Cross-signing](https://spec.matrix.org/v1.19/client-server-api/#cross-signing)).
    pub master_key: Object,
    /// The self-signing key, signed by the master key.
    pub self_signing_key: Object,
    /// The user-signing key, signed by the master key.
    pub user_signing_key: Object,
    /// The device that receives until the user has one.
    pub dehydrated_device: DehydratedDevice,
    /// Secret storage: account data by its types
    /// ([spec v1.19, § Secret storage](https://spec.matrix.org/v1.19/client-server-api/#secret-storage)).
    pub account_data: BTreeMap<String, Object>,
}

/// A device that waits on the server, locked by a key that secret storage holds (MSC3814, `org.matrix.msc3814.v2`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DehydratedDevice {
    /// Its id: its Curve25519 key, in unpadded base64.
    pub device_id: String,
    /// Algorithm, pickle, nonce.
    pub device_data: Object,
    /// Signed by itself and by the self-signing key. `dehydrated: true` is under both signatures.
    pub device_keys: Object,
    /// One key by its id. It serves any number of senders: a device that stays gives up forward secrecy for their first messages
    /// anyway, so it has no one-time keys.
    pub fallback_keys: BTreeMap<String, Object>,
}

/// What opens an identity: whoever has it reads what is addressed to the user, and signs in the user's name. It never shows.
pub struct RecoveryKey(Zeroizing<String>);

impl RecoveryKey {
    /// The key as people and clients write it
    /// ([spec v1.19, § Key representation](https://spec.matrix.org/v1.19/appendices/#cryptographic-key-representation)).
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryKey")
    }
}

/// Why no identity could be made; never the caller's fault.
#[derive(Debug, thiserror::Error)]
#[error("an identity could not be made: {0}")]
pub struct IdentityError(String);

impl IdentityError {
    fn new(reason: impl ToString) -> Self {
        Self(reason.to_string())
    }
}

/// Whom an identity is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Somebody who may start chats.
    Host,
    /// Somebody invited to a session.
    Participant,
}

/// A random user id, of the form that the server takes for this role.
#[must_use]
pub fn new_user_id(role: Role, server_name: &str) -> String {
    let prefix = match role {
        Role::Host => "h_",
        Role::Participant => "p_",
    };
    format!("@{prefix}{}:{server_name}", random::name(NAME_LENGTH))
}

impl Identity {
    /// A new one, and the key to it. Takes about half a millisecond.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn make(user_id: &str) -> Result<(Self, RecoveryKey), IdentityError> {
        let cross_signing = CrossSigning::new(user_id);
        let (dehydrated_device, pickle_key) = dehydrated_device(user_id, &cross_signing)?;
        let storage = SecretStorage::new();
        let mut account_data = BTreeMap::from([storage.key_event()?, storage.default_key()]);
        for (name, secret) in cross_signing.secrets().iter().chain([&pickle_key]) {
            account_data.insert((*name).to_owned(), storage.encrypt(name, secret)?);
        }
        let [master_key, self_signing_key, user_signing_key] = cross_signing.public_keys();
        let user_id = user_id.to_owned();
        let identity = Self { user_id, master_key, self_signing_key, user_signing_key, dehydrated_device, account_data };
        Ok((identity, RecoveryKey(storage.recovery_key())))
    }
}
