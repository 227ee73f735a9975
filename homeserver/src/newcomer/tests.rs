//! A reader that knows the recovery key and the records, and nothing else: what a client does on the first page load.

use std::collections::BTreeMap;

use aes::Aes256;
use aes::cipher::{KeyIvInit as _, StreamCipher as _};
use engine::account::Secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ruma::user_id;
use serde_json::Value;
use sha2::Sha256;
use vodozemac::olm::{Account, OlmMessage, SessionConfig};
use vodozemac::{Curve25519PublicKey, Ed25519PublicKey, Ed25519SecretKey, Ed25519Signature};

use super::identity::canonical;
use super::{Newcomer, provision, secret_storage::derive};
use crate::entropy::Entropy;

fn newcomer() -> Newcomer {
    provision(user_id!("@p_1:example.org"), Entropy).unwrap()
}

fn account_data(newcomer: &Newcomer) -> BTreeMap<String, Value> {
    let read = |(name, content): &(String, Box<serde_json::value::RawValue>)| {
        (name.clone(), serde_json::from_str(content.get()).unwrap())
    };
    newcomer.records.account_data.iter().map(read).collect()
}

fn key_of(recovery_key: &Secret) -> [u8; 32] {
    let text: String = recovery_key.expose().split(' ').collect();
    let bytes = bs58::decode(text).into_vec().unwrap();
    assert_eq!(bytes.len(), 35);
    assert_eq!(bytes[..2], [0x8b, 0x01]);
    assert_eq!(bytes.iter().fold(0, |parity, byte| parity ^ byte), 0, "parity");
    bytes[2..34].try_into().unwrap()
}

fn open(key: &[u8; 32], name: &str, encrypted: &Value) -> String {
    let part = |part: &str| vodozemac::base64_decode(encrypted[part].as_str().unwrap()).unwrap();
    let (aes_key, mac_key) = derive(key, name).unwrap();
    let mut text = part("ciphertext");
    let mut mac = Hmac::<Sha256>::new_from_slice(&*mac_key).unwrap();
    mac.update(&text);
    mac.verify_slice(&part("mac")).expect("the mac of the ciphertext");
    let iv: [u8; 16] = part("iv").try_into().unwrap();
    assert_eq!(iv[8] & 0x80, 0, "bit 63 is clear");
    ctr::Ctr128BE::<Aes256>::new((&*aes_key).into(), (&iv).into()).apply_keystream(&mut text);
    String::from_utf8(text).unwrap()
}

/// All secrets by their names, opened with nothing but the recovery key and the account data.
fn open_all(newcomer: &Newcomer) -> BTreeMap<String, String> {
    let key = key_of(&newcomer.recovery_key);
    let data = account_data(newcomer);
    let key_id = data["m.secret_storage.default_key"]["key"].as_str().unwrap();
    let description = &data[&format!("m.secret_storage.key.{key_id}")];
    assert_eq!(description["algorithm"], "m.secret_storage.v1.aes-hmac-sha2");
    // The key checks out: 32 zero bytes, encrypted under an empty name, have the mac it says.
    let (aes_key, mac_key) = derive(&key, "").unwrap();
    let iv: [u8; 16] = vodozemac::base64_decode(description["iv"].as_str().unwrap()).unwrap().try_into().unwrap();
    let mut zeroes = [0; 32];
    ctr::Ctr128BE::<Aes256>::new((&*aes_key).into(), (&iv).into()).apply_keystream(&mut zeroes);
    let mut mac = Hmac::<Sha256>::new_from_slice(&*mac_key).unwrap();
    mac.update(&zeroes);
    mac.verify_slice(&vodozemac::base64_decode(description["mac"].as_str().unwrap()).unwrap()).expect("the key check");

    let names =
        ["m.cross_signing.master", "m.cross_signing.self_signing", "m.cross_signing.user_signing", "org.matrix.msc3814"];
    names.into_iter().map(|name| (name.to_owned(), open(&key, name, &data[name]["encrypted"][key_id]))).collect()
}

fn check_signature(object: &Value, key_id: &str, public_key: &str) {
    let signature =
        object["signatures"]["@p_1:example.org"][format!("ed25519:{key_id}")].as_str().expect("signed by this key");
    let public_key = Ed25519PublicKey::from_base64(public_key).unwrap();
    public_key.verify(canonical(object).as_bytes(), &Ed25519Signature::from_base64(signature).unwrap()).unwrap();
}

#[test]
fn the_recovery_key_opens_the_private_keys_of_the_public_ones() {
    let newcomer = newcomer();
    let secrets = open_all(&newcomer);
    let identity = &newcomer.records.identity;
    for (name, public) in [
        ("m.cross_signing.master", &identity.master_key),
        ("m.cross_signing.self_signing", &identity.self_signing_key),
        ("m.cross_signing.user_signing", &identity.user_signing_key),
    ] {
        let private = Ed25519SecretKey::from_base64(&secrets[name]).unwrap();
        let public_key = private.public_key().to_base64();
        let object: Value = serde_json::from_str(public.json().get()).unwrap();
        assert_eq!(object["keys"][format!("ed25519:{public_key}")], public_key, "{name}");
        if name != "m.cross_signing.master" {
            let master = Ed25519SecretKey::from_base64(&secrets["m.cross_signing.master"]).unwrap().public_key().to_base64();
            check_signature(&object, &master, &master);
        }
    }
}

#[test]
fn the_rehydrated_device_reads_what_was_encrypted_to_its_fallback_key() {
    let newcomer = newcomer();
    let secrets = open_all(&newcomer);
    let device = &newcomer.records.identity.dehydrated_device;
    let keys: Value = serde_json::from_str(device.device_keys.json().get()).unwrap();
    assert_eq!(keys["dehydrated"], true);
    let device_id = device.device_id.as_str();
    let ed25519 = keys["keys"][format!("ed25519:{device_id}")].as_str().unwrap();
    check_signature(&keys, device_id, ed25519);
    let self_signing =
        Ed25519SecretKey::from_base64(&secrets["m.cross_signing.self_signing"]).unwrap().public_key().to_base64();
    check_signature(&keys, &self_signing, &self_signing);

    // A host who never met the newcomer encrypts to the fallback key.
    let (key_id, fallback) = device.fallback_keys.iter().next().unwrap();
    assert!(key_id.as_str().starts_with("signed_curve25519:"));
    let fallback: Value = serde_json::from_str(fallback.json().get()).unwrap();
    assert_eq!(fallback["fallback"], true);
    check_signature(&fallback, device_id, ed25519);
    let host = Account::new();
    let identity_key =
        Curve25519PublicKey::from_base64(keys["keys"][format!("curve25519:{device_id}")].as_str().unwrap()).unwrap();
    let one_time_key = Curve25519PublicKey::from_base64(fallback["key"].as_str().unwrap()).unwrap();
    let mut session = host.create_outbound_session(SessionConfig::version_1(), identity_key, one_time_key).unwrap();
    let OlmMessage::PreKey(message) = session.encrypt("the room key").unwrap() else { panic!("a first message") };

    // The page, much later, opens the device with the pickle key.
    let data: Value = serde_json::from_str(device.device_data.get()).unwrap();
    assert_eq!(data["algorithm"], "org.matrix.msc3814.v2");
    let pickle_key: [u8; 32] = vodozemac::base64_decode(&secrets["org.matrix.msc3814"]).unwrap().try_into().unwrap();
    let (pickle, nonce) = (data["device_pickle"].as_str().unwrap(), data["nonce"].as_str().unwrap());
    let mut rehydrated = Account::from_dehydrated_device(pickle, nonce, &pickle_key).unwrap();
    let opened = rehydrated.create_inbound_session(SessionConfig::version_1(), host.curve25519_key(), &message).unwrap();
    assert_eq!(opened.plaintext, b"the room key");
}

#[test]
fn a_wrong_recovery_key_opens_nothing() {
    let newcomer = newcomer();
    let other = key_of(&self::newcomer().recovery_key);
    let data = account_data(&newcomer);
    let key_id = data["m.secret_storage.default_key"]["key"].as_str().unwrap();
    let encrypted = &data["m.cross_signing.master"]["encrypted"][key_id];
    let (_, mac_key) = derive(&other, "m.cross_signing.master").unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&*mac_key).unwrap();
    mac.update(&vodozemac::base64_decode(encrypted["ciphertext"].as_str().unwrap()).unwrap());
    assert!(mac.verify_slice(&vodozemac::base64_decode(encrypted["mac"].as_str().unwrap()).unwrap()).is_err());
}

#[test]
fn default_key_comes_last() {
    let newcomer = newcomer();
    assert_eq!(newcomer.records.account_data.last().unwrap().0, "m.secret_storage.default_key");
}

#[test]
fn the_recovery_key_never_shows() {
    assert!(!format!("{:?}", newcomer()).contains(newcomer().recovery_key.expose()));
    assert!(format!("{:?}", newcomer().recovery_key).len() < 20);
}
