//! What is made opens with the recovery key, works as clients expect it, and with no other key.

mod reader;

use serde_json::{Value, json};
use vodozemac::olm::{Account, OlmMessage, SessionConfig};
use vodozemac::{Curve25519PublicKey, Ed25519PublicKey, Ed25519SecretKey, Ed25519Signature};

use super::signed_json::{canonical, object};
use super::{Identity, NAME_LENGTH, Object, RecoveryKey, Role, new_user_id, random};

const USER_ID: &str = "@p_1:example.org";

/// As the other side has it: what was serialised on the platform's.
fn newcomer() -> (Identity, RecoveryKey) {
    let (identity, recovery_key) = Identity::make(USER_ID).unwrap();
    let text = serde_json::to_string(&identity).unwrap();
    (serde_json::from_str(&text).unwrap(), recovery_key)
}

fn check_signature(object: &Object, key_id: &str, public_key: &str) {
    let signature = object["signatures"][USER_ID][format!("ed25519:{key_id}")].as_str().expect("signed by this key");
    let public_key = Ed25519PublicKey::from_base64(public_key).unwrap();
    public_key.verify(canonical(object).as_bytes(), &Ed25519Signature::from_base64(signature).unwrap()).unwrap();
}

#[test]
fn the_recovery_key_opens_the_private_keys_of_the_public_ones() {
    let (identity, recovery_key) = newcomer();
    let secrets = reader::open(recovery_key.expose(), &identity.account_data).expect("it opens");
    for (name, public) in [
        ("m.cross_signing.master", &identity.master_key),
        ("m.cross_signing.self_signing", &identity.self_signing_key),
        ("m.cross_signing.user_signing", &identity.user_signing_key),
    ] {
        let private = Ed25519SecretKey::from_base64(&secrets[name]).unwrap();
        let public_key = private.public_key().to_base64();
        assert_eq!(public["keys"][format!("ed25519:{public_key}")], public_key, "{name}");
        assert_eq!(public["user_id"], USER_ID);
        if name != "m.cross_signing.master" {
            let master = Ed25519SecretKey::from_base64(&secrets["m.cross_signing.master"]).unwrap().public_key().to_base64();
            check_signature(public, &master, &master);
        }
    }
}

#[test]
fn the_rehydrated_device_reads_what_was_encrypted_to_its_fallback_key() {
    let (identity, recovery_key) = newcomer();
    let secrets = reader::open(recovery_key.expose(), &identity.account_data).expect("it opens");
    let device = &identity.dehydrated_device;
    let (device_id, keys) = (&device.device_id, &device.device_keys);
    assert_eq!((&keys["dehydrated"], &keys["device_id"]), (&json!(true), &json!(device_id)));
    let ed25519 = keys["keys"][format!("ed25519:{device_id}")].as_str().unwrap();
    check_signature(keys, device_id, ed25519);
    let self_signing =
        Ed25519SecretKey::from_base64(&secrets["m.cross_signing.self_signing"]).unwrap().public_key().to_base64();
    check_signature(keys, &self_signing, &self_signing);

    // A host who never met the newcomer encrypts to the fallback key.
    let (key_id, fallback) = device.fallback_keys.iter().next().unwrap();
    assert!(key_id.starts_with("signed_curve25519:") && device.fallback_keys.len() == 1);
    assert_eq!(fallback["fallback"], true);
    check_signature(fallback, device_id, ed25519);
    let host = Account::new();
    let identity_key = keys["keys"][format!("curve25519:{device_id}")].as_str().unwrap();
    assert_eq!(identity_key, device_id);
    let identity_key = Curve25519PublicKey::from_base64(identity_key).unwrap();
    let one_time_key = Curve25519PublicKey::from_base64(fallback["key"].as_str().unwrap()).unwrap();
    let mut session = host.create_outbound_session(SessionConfig::version_1(), identity_key, one_time_key).unwrap();
    let OlmMessage::PreKey(message) = session.encrypt("the room key").unwrap() else { panic!("a first message") };

    // The page, much later, opens the device with the pickle key.
    let mut rehydrated = reader::rehydrate(&Value::Object(device.device_data.clone()), &secrets);
    let opened = rehydrated.create_inbound_session(SessionConfig::version_1(), host.curve25519_key(), &message).unwrap();
    assert_eq!(opened.plaintext, b"the room key");
}

#[test]
fn a_wrong_recovery_key_opens_nothing() {
    let ((identity, _), (_, other)) = (newcomer(), newcomer());
    assert_eq!(reader::open(other.expose(), &identity.account_data), None);
}

#[test]
fn what_is_handed_over_holds_no_secret() {
    let (identity, recovery_key) = newcomer();
    let text = serde_json::to_string(&identity).unwrap();
    for (name, secret) in reader::open(recovery_key.expose(), &identity.account_data).expect("it opens") {
        assert!(!text.contains(&secret), "{name}");
    }
    assert!(!text.contains(recovery_key.expose()));
    assert!(!format!("{recovery_key:?}").contains(recovery_key.expose()));
}

#[test]
fn names_are_random_and_say_what_they_are() {
    for (role, prefix) in [(Role::Host, "@h_"), (Role::Participant, "@p_")] {
        let user_id = new_user_id(role, "chat.example.org:8448");
        let name = user_id.strip_prefix(prefix).unwrap().strip_suffix(":chat.example.org:8448").unwrap();
        assert!(name.len() == NAME_LENGTH && name.bytes().all(|byte| random::ALPHABET.contains(&byte)), "{user_id}");
        assert_ne!(user_id, new_user_id(role, "chat.example.org:8448"));
    }
}

/// [Spec v1.19, Appendices § Canonical JSON](https://spec.matrix.org/v1.19/appendices/#canonical-json), its examples.
#[test]
fn what_is_signed_is_canonical_json() {
    for (value, canonical_form) in [
        (json!({}), "{}"),
        (json!({ "one": 1, "two": "Two" }), r#"{"one":1,"two":"Two"}"#),
        (json!({ "b": "2", "a": "1" }), r#"{"a":"1","b":"2"}"#),
        (
            json!({ "auth": { "success": true, "mxid": "@john.doe:example.com", "profile": { "three_pids": [
                { "medium": "email", "address": "john.doe@example.org" }, { "medium": "msisdn", "address": "123456789" },
            ] } } }),
            r#"{"auth":{"mxid":"@john.doe:example.com","profile":{"three_pids":[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}"#,
        ),
        (json!({ "a": "日本語" }), r#"{"a":"日本語"}"#),
        (json!({ "本": 2, "日": 1 }), r#"{"日":1,"本":2}"#),
        (json!({ "a": null, "signatures": {}, "unsigned": 1 }), r#"{"a":null}"#),
    ] {
        assert_eq!(canonical(value.as_object().unwrap()), canonical_form);
    }
    let backwards = object([("z", 1.into()), ("a", json!([{ "y": "\"\n", "x": {} }]))]);
    assert_eq!(canonical(&backwards), r#"{"a":[{"x":{},"y":"\"\n"}],"z":1}"#);
}
