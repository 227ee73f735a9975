//! Secret storage with a random key
//! ([spec v1.19, § m.secret_storage.v1.aes-hmac-sha2](https://spec.matrix.org/v1.19/client-server-api/#msecret_storagev1aes-hmac-sha2)).

use aes::Aes256;
use aes::cipher::{KeyIvInit as _, StreamCipher as _};
use engine::account::Secret;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use serde_json::value::RawValue;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{ProvisionError, raw};
use crate::entropy::Entropy;

/// Characters of a key's name.
const KEY_ID_LENGTH: usize = 32;

/// What a recovery key starts with
/// ([spec v1.19, § Key representation](https://spec.matrix.org/v1.19/appendices/#cryptographic-key-representation)).
const RECOVERY_KEY_PREFIX: [u8; 2] = [0x8b, 0x01];

/// A secret storage: everything in it opens with one key.
pub(super) struct SecretStorage {
    key_id: String,
    key: Zeroizing<[u8; 32]>,
    check_iv: [u8; 16],
}

struct Encrypted {
    iv: String,
    ciphertext: String,
    mac: String,
}

impl SecretStorage {
    /// With a new key.
    pub fn new(entropy: Entropy) -> Self {
        Self { key_id: entropy.id(KEY_ID_LENGTH), key: Zeroizing::new(entropy.bytes()), check_iv: iv(entropy) }
    }

    /// The key's name.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The account data that describes the key, with which a key can be checked.
    pub fn key_event(&self) -> Result<(String, Box<RawValue>), ProvisionError> {
        let check = self.seal("", &[0; 32], self.check_iv)?;
        let content = json!({ "algorithm": "m.secret_storage.v1.aes-hmac-sha2", "iv": check.iv, "mac": check.mac });
        Ok((format!("m.secret_storage.key.{}", self.key_id), raw(&content)?))
    }

    /// A secret as account data.
    pub fn encrypt(&self, name: &str, secret: &str, entropy: Entropy) -> Result<Box<RawValue>, ProvisionError> {
        let Encrypted { iv, ciphertext, mac } = self.seal(name, secret.as_bytes(), iv(entropy))?;
        raw(&json!({ "encrypted": { &self.key_id: { "iv": iv, "ciphertext": ciphertext, "mac": mac } } }))
    }

    /// The key as people and clients write it: base58 in groups of four.
    pub fn recovery_key(&self) -> Secret {
        let mut bytes = Zeroizing::new(Vec::with_capacity(35));
        bytes.extend_from_slice(&RECOVERY_KEY_PREFIX);
        bytes.extend_from_slice(&*self.key);
        let parity = bytes.iter().fold(0, |parity, byte| parity ^ byte);
        bytes.push(parity);
        let text = Zeroizing::new(bs58::encode(&*bytes).into_string());
        let groups: Vec<&str> = (0..text.len()).step_by(4).map(|at| &text[at..(at + 4).min(text.len())]).collect();
        Secret::new(groups.join(" "))
    }

    fn seal(&self, name: &str, plain: &[u8], iv: [u8; 16]) -> Result<Encrypted, ProvisionError> {
        let (aes_key, mac_key) = derive(&self.key, name)?;
        let mut ciphertext = plain.to_vec();
        ctr::Ctr128BE::<Aes256>::new((&*aes_key).into(), (&iv).into()).apply_keystream(&mut ciphertext);
        let mut mac = Hmac::<Sha256>::new_from_slice(&*mac_key).map_err(ProvisionError::new)?;
        mac.update(&ciphertext);
        Ok(Encrypted {
            iv: vodozemac::base64_encode(iv),
            mac: vodozemac::base64_encode(mac.finalize().into_bytes()),
            ciphertext: vodozemac::base64_encode(ciphertext),
        })
    }
}

type Keys = (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>);

/// The keys for encrypting a secret of this name, and for its authentication.
pub(super) fn derive(key: &[u8; 32], name: &str) -> Result<Keys, ProvisionError> {
    let hkdf = Hkdf::<Sha256>::new(Some(&[0; 32]), key);
    let mut okm = Zeroizing::new([0; 64]);
    hkdf.expand(name.as_bytes(), &mut *okm).map_err(ProvisionError::new)?;
    let (mut aes_key, mut mac_key) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
    aes_key.copy_from_slice(&okm[..32]);
    mac_key.copy_from_slice(&okm[32..]);
    Ok((aes_key, mac_key))
}

/// A random start of the counter, with bit 63 cleared as the specification asks.
fn iv(entropy: Entropy) -> [u8; 16] {
    let mut iv = entropy.bytes::<16>();
    iv[8] &= 0x7f;
    iv
}
