//! Cross-signing keys and signatures.

use ruma::signatures::Ed25519KeyPair;

use super::*;
use crate::testing::{public_key, signing_key};

struct Identity {
    master: (Ed25519KeyPair, String),
    self_signing: (Ed25519KeyPair, String),
    user_signing: (Ed25519KeyPair, String),
}

impl Identity {
    fn new() -> Self {
        Self { master: signing_key(), self_signing: signing_key(), user_signing: signing_key() }
    }

    fn command(&self, person: &Person) -> UploadSigningKeys {
        let master = [&self.master.0];
        UploadSigningKeys {
            requester: person.requester(),
            authenticated: false,
            master_key: Some(raw(&cross_signing_key(person, "master", &self.master.1, &[]))),
            self_signing_key: Some(raw(&cross_signing_key(person, "self_signing", &self.self_signing.1, &master))),
            user_signing_key: Some(raw(&cross_signing_key(person, "user_signing", &self.user_signing.1, &master))),
        }
    }
}

fn cross_signing_key(person: &Person, usage: &str, public: &str, signers: &[&Ed25519KeyPair]) -> Value {
    let key = json!({ "user_id": person.user_id, "usage": [usage], "keys": { (format!("ed25519:{public}")): public } });
    signed(key, &person.user_id, signers)
}

fn store(world: &World, command: &UploadSigningKeys) -> Result<Uploaded, Reject> {
    world.run(|cx| upload_signing_keys(cx, command))
}

fn sign(world: &World, person: &Person, user: &Person, target: &str, object: &Value) -> SignatureFailures {
    let raw = serde_json::value::to_raw_value(object).expect("JSON");
    let signed_keys = map([(user.user_id.clone(), map([(target.to_owned(), raw)]))]);
    let command = UploadSignatures { user_id: person.user_id.clone(), signed_keys };
    world.run(|cx| upload_signatures(cx, &command)).expect("an answer")
}

fn signatures_on(object: &ruma::CanonicalJsonObject, by: &Person) -> Vec<String> {
    let object = serde_json::to_value(object).expect("JSON");
    object["signatures"][by.user_id.as_str()].as_object().map(|all| all.keys().cloned().collect()).unwrap_or_default()
}

#[test]
fn the_first_identity_and_the_same_again_need_no_authentication_and_another_does() {
    let world = World::new();
    let alice = world.user("alice", UserKind::Plain, "ALICE");
    let identity = Identity::new();
    assert_eq!(store(&world, &identity.command(&alice)), Ok(Uploaded::Stored));
    assert_eq!(store(&world, &identity.command(&alice)), Ok(Uploaded::Stored));
    let other = Identity::new();
    assert_eq!(store(&world, &other.command(&alice)), Ok(Uploaded::AuthenticationNeeded));
    assert_eq!(queried(&world, &alice, &alice).master_keys.len(), 1);
    let authenticated = UploadSigningKeys { authenticated: true, ..other.command(&alice) };
    assert_eq!(store(&world, &authenticated), Ok(Uploaded::Stored));
    let by_service = UploadSigningKeys {
        requester: crate::Requester { appservice: Some("bridge".to_owned()), ..alice.requester() },
        ..identity.command(&alice)
    };
    assert_eq!(store(&world, &by_service), Ok(Uploaded::Stored), "an application service replaces it without");
}

#[test]
fn a_new_self_signing_key_alone_needs_authentication_and_the_stored_master_s_signature() {
    let world = World::new();
    let alice = world.user("alice", UserKind::Plain, "ALICE");
    let identity = Identity::new();
    let none = UploadSigningKeys { self_signing_key: None, user_signing_key: None, ..identity.command(&alice) };
    assert_eq!(store(&world, &none), Ok(Uploaded::Stored));
    let added = UploadSigningKeys { master_key: None, user_signing_key: None, ..identity.command(&alice) };
    assert_eq!(store(&world, &added), Ok(Uploaded::AuthenticationNeeded));
    let added = UploadSigningKeys { authenticated: true, ..added };
    assert_eq!(store(&world, &added), Ok(Uploaded::Stored));
    let stranger = Identity::new();
    let forged =
        UploadSigningKeys { authenticated: true, master_key: None, user_signing_key: None, ..stranger.command(&alice) };
    assert!(matches!(store(&world, &forged), Err(Reject::InvalidSignature(_))));
}

#[test]
fn identities_that_do_not_hold_together_are_refused() {
    let world = World::new();
    let (alice, bob) = (world.user("alice", UserKind::Plain, "ALICE"), world.user("bob", UserKind::Plain, "BOB"));
    upload_all(&world, &alice, 0);
    let identity = Identity::new();
    let (master, public) = (&identity.master.0, &identity.self_signing.1);
    let good = || identity.command(&alice);
    let key = |value: Value| Some(raw(&value));
    let other_device = Ed25519KeyPair::from_der(&Ed25519KeyPair::generate(), "ALICE".to_owned()).expect("a key");
    let cases = [
        (
            "unsigned",
            UploadSigningKeys { self_signing_key: key(cross_signing_key(&alice, "self_signing", public, &[])), ..good() },
        ),
        (
            "wrong usage",
            UploadSigningKeys { self_signing_key: key(cross_signing_key(&alice, "master", public, &[master])), ..good() },
        ),
        (
            "of another user",
            UploadSigningKeys { master_key: key(cross_signing_key(&bob, "master", &identity.master.1, &[])), ..good() },
        ),
        ("no master key", UploadSigningKeys { master_key: None, ..good() }),
        (
            "one key twice",
            UploadSigningKeys {
                self_signing_key: key(cross_signing_key(&alice, "self_signing", &identity.master.1, &[master])),
                ..good()
            },
        ),
        (
            "a device's signature that does not hold",
            UploadSigningKeys {
                master_key: key(cross_signing_key(&alice, "master", &identity.master.1, &[&other_device])),
                ..good()
            },
        ),
    ];
    for (what, command) in cases {
        store(&world, &command).expect_err(what);
    }
    assert!(queried(&world, &alice, &alice).master_keys.is_empty());
    let by_device = key(cross_signing_key(&alice, "master", &identity.master.1, &[&alice.keys]));
    assert_eq!(store(&world, &UploadSigningKeys { master_key: by_device, ..good() }), Ok(Uploaded::Stored));
}

#[test]
fn only_the_owner_sees_the_user_signing_key() {
    let world = World::new();
    let (alice, bob) = (world.user("alice", UserKind::Plain, "ALICE"), world.user("bob", UserKind::Plain, "BOB"));
    store(&world, &Identity::new().command(&alice)).expect("stored");
    assert_eq!(queried(&world, &alice, &alice).user_signing_keys.len(), 1);
    let seen = queried(&world, &bob, &alice);
    assert!(seen.user_signing_keys.is_empty() && seen.self_signing_keys.len() == 1 && seen.master_keys.len() == 1);
}

#[test]
fn signatures_are_merged_for_whom_they_are_meant() {
    let world = World::new();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| world.user(name, UserKind::Plain, &name.to_uppercase()));
    let (of_alice, of_bob) = (Identity::new(), Identity::new());
    let keys = device_keys(&alice);
    world.run(|cx| upload(cx, &upload_command(&alice, Some(&keys), &[]))).expect("taken");
    store(&world, &of_alice.command(&alice)).expect("stored");
    store(&world, &of_bob.command(&bob)).expect("stored");
    world.room(&alice, &[&bob]);

    let from = position(&world);
    let crossed = signed(keys, &alice.user_id, &[&of_alice.self_signing.0]);
    assert!(sign(&world, &alice, &alice, "ALICE", &crossed).is_empty());
    let lists = world.read(|cx| device_lists_between(cx, &bob.user_id, from, position(&world))).expect("lists");
    assert!(lists.changed.contains(&alice.user_id), "a cross-signed device is news");
    let expected = vec!["ed25519:ALICE".to_owned(), format!("ed25519:{}", of_alice.self_signing.1)];
    let seen = queried(&world, &bob, &alice);
    let mut on_device = signatures_on(&seen.device_keys[&alice.user_id][&alice.device_id], &alice);
    on_device.sort_by_key(|key_id| key_id != "ed25519:ALICE");
    assert_eq!(on_device, expected);

    let master = cross_signing_key(&bob, "master", &of_bob.master.1, &[]);
    let verified = signed(master, &alice.user_id, &[&of_alice.user_signing.0]);
    assert!(sign(&world, &alice, &bob, &of_bob.master.1, &verified).is_empty());
    let on_master = |requester: &Person| signatures_on(&queried(&world, requester, &bob).master_keys[&bob.user_id], &alice);
    assert_eq!(on_master(&alice).len(), 1);
    assert!(on_master(&bob).is_empty() && on_master(&carol).is_empty(), "whom somebody verified is nobody else's affair");

    let replaced = UploadSigningKeys { authenticated: true, ..Identity::new().command(&alice) };
    store(&world, &replaced).expect("stored");
    assert!(on_master(&alice).is_empty(), "what the old keys signed goes with them");
    assert_eq!(
        signatures_on(&queried(&world, &bob, &alice).device_keys[&alice.user_id][&alice.device_id], &alice),
        ["ed25519:ALICE"]
    );
}

#[test]
fn signatures_that_do_not_hold_are_listed_and_not_kept() {
    let world = World::new();
    let (alice, bob) = (world.user("alice", UserKind::Plain, "ALICE"), world.user("bob", UserKind::Plain, "BOB"));
    let identity = Identity::new();
    let keys = device_keys(&alice);
    world.run(|cx| upload(cx, &upload_command(&alice, Some(&keys), &[]))).expect("taken");
    store(&world, &identity.command(&alice)).expect("stored");
    let mut changed = keys.clone();
    changed["algorithms"] = json!([]);
    let stranger = signing_key();
    let mut forged = signed(keys.clone(), &alice.user_id, &[&identity.self_signing.0]);
    let key_id = format!("ed25519:{}", identity.self_signing.1);
    forged["signatures"][alice.user_id.as_str()][&key_id] = json!(public_key(&stranger.0));
    let cases = [
        ("a stranger's key", "ALICE", signed(keys.clone(), &alice.user_id, &[&stranger.0])),
        ("another object", "ALICE", signed(changed, &alice.user_id, &[&identity.self_signing.0])),
        ("a wrong signature", "ALICE", forged),
        ("an unknown device", "NOBODY", signed(keys, &alice.user_id, &[&identity.self_signing.0])),
    ];
    for (what, target, object) in cases {
        assert!(sign(&world, &alice, &alice, target, &object)[&alice.user_id].contains_key(target), "{what}");
    }
    let seen = queried(&world, &bob, &alice);
    assert_eq!(signatures_on(&seen.device_keys[&alice.user_id][&alice.device_id], &alice), ["ed25519:ALICE"]);
}
