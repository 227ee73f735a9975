//! A reader that knows the recovery key and the records, and nothing else: what a client does on the first page load. It shares no code
//! with the provisioner; the homeserver's tests read what they are served with it.

use std::collections::BTreeMap;

use aes::Aes256;
use aes::cipher::{KeyIvInit as _, StreamCipher as _};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Map, Value};
use sha2::Sha256;
use vodozemac::olm::Account;

/// What secret storage holds.
const SECRETS: [&str; 4] =
    ["m.cross_signing.master", "m.cross_signing.self_signing", "m.cross_signing.user_signing", "org.matrix.msc3814"];

/// All secrets by their names, opened with nothing but the recovery key and the account data; `None`: it is another's key.
pub fn open(recovery_key: &str, data: &BTreeMap<String, Map<String, Value>>) -> Option<BTreeMap<String, String>> {
    let key = key_of(recovery_key);
    let key_id = data["m.secret_storage.default_key"]["key"].as_str().expect("a key's name");
    let description = &data[&format!("m.secret_storage.key.{key_id}")];
    assert_eq!(description["algorithm"], "m.secret_storage.v1.aes-hmac-sha2");
    // The key checks out: 32 zero bytes, encrypted under an empty name, have the mac it says.
    let (aes_key, mac_key) = derive(&key, "");
    let mut zeroes = vec![0; 32];
    crypt(&aes_key, &bytes(&description["iv"]), &mut zeroes);
    verify(&mac_key, &zeroes, &bytes(&description["mac"]))?;
    let secrets = SECRETS.map(|name| Some((name.to_owned(), decrypt(&key, name, &data[name]["encrypted"][key_id])?)));
    secrets.into_iter().collect()
}

/// The device that waited, opened with the pickle's key.
pub fn rehydrate(device_data: &Value, secrets: &BTreeMap<String, String>) -> Account {
    assert_eq!(device_data["algorithm"], "org.matrix.msc3814.v2");
    let pickle_key = vodozemac::base64_decode(&secrets["org.matrix.msc3814"]).expect("base64");
    let (pickle, nonce) = (device_data["device_pickle"].as_str(), device_data["nonce"].as_str());
    let key = pickle_key.try_into().expect("32 bytes");
    Account::from_dehydrated_device(pickle.expect("a pickle"), nonce.expect("a nonce"), &key).expect("it opens")
}

fn key_of(recovery_key: &str) -> Vec<u8> {
    let bytes = bs58::decode(recovery_key.replace(' ', "")).into_vec().expect("base58");
    assert_eq!((bytes.len(), bytes[0], bytes[1]), (35, 0x8b, 0x01));
    assert_eq!(bytes.iter().fold(0, |parity, byte| parity ^ byte), 0, "parity");
    bytes[2..34].to_vec()
}

fn decrypt(key: &[u8], name: &str, encrypted: &Value) -> Option<String> {
    let (aes_key, mac_key) = derive(key, name);
    let mut text = bytes(&encrypted["ciphertext"]);
    verify(&mac_key, &text, &bytes(&encrypted["mac"]))?;
    crypt(&aes_key, &bytes(&encrypted["iv"]), &mut text);
    String::from_utf8(text).ok()
}

fn derive(key: &[u8], name: &str) -> ([u8; 32], [u8; 32]) {
    let (mut aes_key, mut mac_key, mut both) = ([0; 32], [0; 32], [0; 64]);
    Hkdf::<Sha256>::new(Some(&[0; 32]), key).expand(name.as_bytes(), &mut both).expect("64 bytes");
    aes_key.copy_from_slice(&both[..32]);
    mac_key.copy_from_slice(&both[32..]);
    (aes_key, mac_key)
}

fn verify(mac_key: &[u8; 32], ciphertext: &[u8], expected: &[u8]) -> Option<()> {
    let mut mac = Hmac::<Sha256>::new_from_slice(mac_key).expect("a key");
    mac.update(ciphertext);
    mac.verify_slice(expected).ok()
}

fn crypt(aes_key: &[u8; 32], iv: &[u8], text: &mut [u8]) {
    let iv: [u8; 16] = iv.try_into().expect("16 bytes");
    assert_eq!(iv[8] & 0x80, 0, "bit 63 is clear");
    ctr::Ctr128BE::<Aes256>::new(aes_key.into(), (&iv).into()).apply_keystream(text);
}

fn bytes(base64: &Value) -> Vec<u8> {
    vodozemac::base64_decode(base64.as_str().expect("a text")).expect("base64")
}
