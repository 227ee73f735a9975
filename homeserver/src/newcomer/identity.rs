//! Cross-signing keys and the dehydrated device
//! ([spec v1.19, § Cross-signing](https://spec.matrix.org/v1.19/client-server-api/#cross-signing); MSC3814, `org.matrix.msc3814.v2`).

use engine::account::Secret;
use ruma::{CanonicalJsonValue, OwnedDeviceId, OwnedOneTimeKeyId, UserId};
use serde_json::{Value, json};
use vodozemac::Ed25519SecretKey;
use vodozemac::olm::Account;
use zeroize::Zeroizing;

use super::ProvisionError;
use crate::entropy::Entropy;

/// A user's three signing keys.
pub(super) struct CrossSigning {
    user_id: String,
    master: Ed25519SecretKey,
    self_signing: Ed25519SecretKey,
    user_signing: Ed25519SecretKey,
}

impl CrossSigning {
    /// New ones.
    pub fn new(user_id: &UserId) -> Self {
        Self {
            user_id: user_id.to_string(),
            master: Ed25519SecretKey::new(),
            self_signing: Ed25519SecretKey::new(),
            user_signing: Ed25519SecretKey::new(),
        }
    }

    /// The public sides of master, self-signing and user-signing key; the master key signs the other two.
    pub fn public_keys(&self) -> [Value; 3] {
        let public = |usage: &str, key: &Ed25519SecretKey| {
            let public_key = key.public_key().to_base64();
            json!({ "user_id": self.user_id, "usage": [usage], "keys": { format!("ed25519:{public_key}"): public_key } })
        };
        let signed = |usage: &str, key: &Ed25519SecretKey| {
            let mut public = public(usage, key);
            let signature = self.master.sign(canonical(&public).as_bytes()).to_base64();
            add_signature(&mut public, &self.user_id, &self.master.public_key().to_base64(), signature);
            public
        };
        [
            public("master", &self.master),
            signed("self_signing", &self.self_signing),
            signed("user_signing", &self.user_signing),
        ]
    }

    /// The private sides, by their names in secret storage.
    pub fn secrets(&self) -> [(String, Secret); 3] {
        let secret =
            |usage: &str, key: &Ed25519SecretKey| (format!("m.cross_signing.{usage}"), Secret::new(key.to_base64()));
        [
            secret("master", &self.master),
            secret("self_signing", &self.self_signing),
            secret("user_signing", &self.user_signing),
        ]
    }

    fn sign_device(&self, keys: &mut Value) {
        let signature = self.self_signing.sign(canonical(keys).as_bytes()).to_base64();
        add_signature(keys, &self.user_id, &self.self_signing.public_key().to_base64(), signature);
    }
}

/// A device that waits on the server, locked by a key that secret storage holds.
pub(super) struct Dehydrated {
    pub device_id: OwnedDeviceId,
    /// Algorithm, pickle, nonce.
    pub device_data: Value,
    /// Signed by itself and by the self-signing key. `dehydrated: true` is under both signatures.
    pub device_keys: Value,
    pub fallback_key_id: OwnedOneTimeKeyId,
    pub fallback_key: Value,
    /// The pickle's key, by its name in secret storage.
    pub secret: (String, Secret),
}

impl Dehydrated {
    /// A new one. A fallback key is enough: it serves any number of senders, and a device that stays gives up forward
    /// secrecy for these sessions anyway.
    pub fn new(user_id: &UserId, cross_signing: &CrossSigning, entropy: Entropy) -> Result<Self, ProvisionError> {
        let mut account = Account::new();
        account.generate_fallback_key();
        let curve25519 = account.curve25519_key().to_base64();
        let device_id = OwnedDeviceId::from(curve25519.as_str());
        let mut device_keys = json!({
            "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
            "dehydrated": true,
            "device_id": device_id,
            "user_id": user_id,
            "keys": {
                format!("curve25519:{device_id}"): curve25519,
                format!("ed25519:{device_id}"): account.ed25519_key().to_base64(),
            },
        });
        let own = account.sign(canonical(&device_keys)).to_base64();
        cross_signing.sign_device(&mut device_keys);
        add_signature(&mut device_keys, user_id.as_str(), device_id.as_str(), own);

        let (key_id, key) =
            account.fallback_key().into_iter().next().ok_or_else(|| ProvisionError::new("no fallback key"))?;
        let fallback_key_id = OwnedOneTimeKeyId::try_from(format!("signed_curve25519:{}", key_id.to_base64()));
        let mut fallback_key = json!({ "fallback": true, "key": key.to_base64() });
        let signature = account.sign(canonical(&fallback_key)).to_base64();
        add_signature(&mut fallback_key, user_id.as_str(), device_id.as_str(), signature);

        let pickle_key = Zeroizing::new(entropy.bytes::<32>());
        let pickle = account.to_dehydrated_device(&pickle_key).map_err(ProvisionError::new)?;
        Ok(Self {
            device_id,
            device_data: json!({
                "algorithm": "org.matrix.msc3814.v2", "device_pickle": pickle.ciphertext, "nonce": pickle.nonce,
            }),
            device_keys,
            fallback_key_id: fallback_key_id.map_err(ProvisionError::new)?,
            fallback_key,
            secret: ("org.matrix.msc3814".to_owned(), Secret::new(vodozemac::base64_encode(*pickle_key))),
        })
    }
}

/// What is signed: [canonical JSON](https://spec.matrix.org/v1.19/appendices/#canonical-json) without signatures.
pub(super) fn canonical(object: &Value) -> String {
    let mut object = object.clone();
    if let Some(object) = object.as_object_mut() {
        object.remove("signatures");
        object.remove("unsigned");
    }
    match CanonicalJsonValue::try_from(object) {
        Ok(canonical) => canonical.to_string(),
        Err(error) => unreachable!("keys are strings and booleans: {error}"),
    }
}

fn add_signature(object: &mut Value, user_id: &str, key: &str, signature: String) {
    object["signatures"][user_id][format!("ed25519:{key}")] = signature.into();
}
