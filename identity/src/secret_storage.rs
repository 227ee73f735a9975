//! Secret storage with a random key
//! ([spec v1.19, § m.secret_storage.v1.aes-hmac-sha2](https://spec.matrix.org/v1.19/client-server-api/#msecret_storagev1aes-hmac-sha2)).

use aes::Aes256;
use aes::cipher::{KeyIvInit as _, StreamCipher as _};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::signed_json::object;
use crate::{IdentityError, Object, random};

/// Characters of a key's name.
const KEY_ID_LENGTH: usize = 32;

/// What a recovery key starts with
/// ([spec v1.19, § Key representation](https://spec.matrix.org/v1.19/appendices/#cryptographic-key-representation)).
const RECOVERY_KEY_PREFIX: [u8; 2] = [0x8b, 0x01];

/// A secret storage: everything in it opens with one key.
pub struct SecretStorage {
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
    pub fn new() -> Self {
        Self { key_id: random::name(KEY_ID_LENGTH), key: Zeroizing::new(random::bytes()), check_iv: iv() }
    }

    /// The account data that describes the key, with which a key can be checked.
    pub fn key_event(&self) -> Result<(String, Object), IdentityError> {
        let check = self.seal("", &[0; 32], self.check_iv)?;
        let algorithm = Value::from("m.secret_storage.v1.aes-hmac-sha2");
        let content = object([("algorithm", algorithm), ("iv", check.iv.into()), ("mac", check.mac.into())]);
        Ok((format!("m.secret_storage.key.{}", self.key_id), content))
    }

    /// The account data that names the key.
    pub fn default_key(&self) -> (String, Object) {
        ("m.secret_storage.default_key".to_owned(), object([("key", self.key_id.as_str().into())]))
    }

    /// A secret as account data.
    pub fn encrypt(&self, name: &str, secret: &str) -> Result<Object, IdentityError> {
        let Encrypted { iv, ciphertext, mac } = self.seal(name, secret.as_bytes(), iv())?;
        let encrypted = json!({ &self.key_id: { "iv": iv, "ciphertext": ciphertext, "mac": mac } });
        Ok(object([("encrypted", encrypted)]))
    }

    /// The key as people and clients write it: base58 in groups of four.
    pub fn recovery_key(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(35));
        bytes.extend_from_slice(&RECOVERY_KEY_PREFIX);
        bytes.extend_from_slice(&*self.key);
        let parity = bytes.iter().fold(0, |parity, byte| parity ^ byte);
        bytes.push(parity);
        let text = Zeroizing::new(bs58::encode(&*bytes).into_string());
        let groups: Vec<&str> = (0..text.len()).step_by(4).map(|at| &text[at..(at + 4).min(text.len())]).collect();
        Zeroizing::new(groups.join(" "))
    }

    fn seal(&self, name: &str, plain: &[u8], iv: [u8; 16]) -> Result<Encrypted, IdentityError> {
        let (aes_key, mac_key) = derive(&self.key, name)?;
        let mut ciphertext = plain.to_vec();
        ctr::Ctr128BE::<Aes256>::new((&*aes_key).into(), (&iv).into()).apply_keystream(&mut ciphertext);
        let mut mac = Hmac::<Sha256>::new_from_slice(&*mac_key).map_err(IdentityError::new)?;
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
fn derive(key: &[u8; 32], name: &str) -> Result<Keys, IdentityError> {
    let hkdf = Hkdf::<Sha256>::new(Some(&[0; 32]), key);
    let mut okm = Zeroizing::new([0; 64]);
    hkdf.expand(name.as_bytes(), &mut *okm).map_err(IdentityError::new)?;
    let (mut aes_key, mut mac_key) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
    aes_key.copy_from_slice(&okm[..32]);
    mac_key.copy_from_slice(&okm[32..]);
    Ok((aes_key, mac_key))
}

/// A random start of the counter, with bit 63 cleared as the specification asks.
fn iv() -> [u8; 16] {
    let mut iv = random::bytes::<16>();
    iv[8] &= 0x7f;
    iv
}
