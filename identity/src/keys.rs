//! Cross-signing keys and the dehydrated device
//! ([spec v1.19, § Cross-signing](https://spec.matrix.org/v1.19/client-server-api/#cross-signing); MSC3814, `org.matrix.msc3814.v2`).

use serde_json::json;
use vodozemac::Ed25519SecretKey;
use vodozemac::olm::Account;
use zeroize::Zeroizing;

use crate::signed_json::{add_signature, canonical, object};
use crate::{DehydratedDevice, IdentityError, Object, random};

/// A secret by its name in secret storage.
pub type Named = (&'static str, Zeroizing<String>);

/// A user's three signing keys.
pub struct CrossSigning {
    user_id: String,
    master: Ed25519SecretKey,
    self_signing: Ed25519SecretKey,
    user_signing: Ed25519SecretKey,
}

impl CrossSigning {
    /// New ones.
    pub fn new(user_id: &str) -> Self {
        Self {
            user_id: user_id.to_owned(),
            master: Ed25519SecretKey::new(),
            self_signing: Ed25519SecretKey::new(),
            user_signing: Ed25519SecretKey::new(),
        }
    }

    /// The public sides of master, self-signing and user-signing key; the master key signs the other two.
    pub fn public_keys(&self) -> [Object; 3] {
        let public = |usage: &str, key: &Ed25519SecretKey| {
            let public_key = key.public_key().to_base64();
            let keys = json!({ format!("ed25519:{public_key}"): public_key });
            object([("user_id", self.user_id.as_str().into()), ("usage", json!([usage])), ("keys", keys)])
        };
        let signed = |usage: &str, key: &Ed25519SecretKey| {
            let mut public = public(usage, key);
            self.sign(&mut public, &self.master);
            public
        };
        [
            public("master", &self.master),
            signed("self_signing", &self.self_signing),
            signed("user_signing", &self.user_signing),
        ]
    }

    /// The private sides.
    pub fn secrets(&self) -> [Named; 3] {
        let secret = |name, key: &Ed25519SecretKey| (name, Zeroizing::new(key.to_base64()));
        [
            secret("m.cross_signing.master", &self.master),
            secret("m.cross_signing.self_signing", &self.self_signing),
            secret("m.cross_signing.user_signing", &self.user_signing),
        ]
    }

    fn sign(&self, object: &mut Object, key: &Ed25519SecretKey) {
        let signature = key.sign(canonical(object).as_bytes()).to_base64();
        add_signature(object, &self.user_id, &key.public_key().to_base64(), signature);
    }
}

/// A new device, and the key of its pickle.
pub fn dehydrated_device(user_id: &str, cross_signing: &CrossSigning) -> Result<(DehydratedDevice, Named), IdentityError> {
    let mut account = Account::new();
    account.generate_fallback_key();
    let device_id = account.curve25519_key().to_base64();
    let keys = json!({
        format!("curve25519:{device_id}"): device_id,
        format!("ed25519:{device_id}"): account.ed25519_key().to_base64(),
    });
    let mut device_keys = object([
        ("algorithms", json!(["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"])),
        ("dehydrated", true.into()),
        ("device_id", device_id.as_str().into()),
        ("user_id", user_id.into()),
        ("keys", keys),
    ]);
    let own = account.sign(canonical(&device_keys)).to_base64();
    cross_signing.sign(&mut device_keys, &cross_signing.self_signing);
    add_signature(&mut device_keys, user_id, &device_id, own);

    let fallback = account.fallback_key().into_iter().next();
    let (key_id, key) = fallback.ok_or_else(|| IdentityError::new("no fallback key"))?;
    let mut fallback_key = object([("fallback", true.into()), ("key", key.to_base64().into())]);
    let signature = account.sign(canonical(&fallback_key)).to_base64();
    add_signature(&mut fallback_key, user_id, &device_id, signature);

    let pickle_key = Zeroizing::new(random::bytes::<32>());
    let pickle = account.to_dehydrated_device(&pickle_key).map_err(IdentityError::new)?;
    let device_data = object([
        ("algorithm", "org.matrix.msc3814.v2".into()),
        ("device_pickle", pickle.ciphertext.into()),
        ("nonce", pickle.nonce.into()),
    ]);
    let fallback_keys = [(format!("signed_curve25519:{}", key_id.to_base64()), fallback_key)].into();
    let secret = ("org.matrix.msc3814", Zeroizing::new(vodozemac::base64_encode(*pickle_key)));
    Ok((DehydratedDevice { device_id, device_data, device_keys, fallback_keys }, secret))
}
