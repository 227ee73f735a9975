//! Dehydrated devices, and messages to devices.

use ruma::{encryption::CrossSigningKey, signatures::Ed25519KeyPair, to_device::DeviceIdOrAllDevices};

use super::*;
use crate::{
    MEGOLM_ROTATION_MS,
    testing::{LIFETIME_MS, device_keys_of, signing_key},
    to_device::{self, SendToDevice},
};

fn command(person: &Person, device_id: &str) -> PutDehydratedDevice {
    let own = key_pair(device_id);
    let device_id: ruma::OwnedDeviceId = device_id.into();
    let keys = device_keys_of(&person.user_id, &device_id, &own, &[&own]);
    let dehydrated = Person { user_id: person.user_id.clone(), device_id: device_id.clone(), keys: Arc::new(own) };
    let (_, fallback) = one_time_key(&dehydrated, 1);
    PutDehydratedDevice {
        user_id: person.user_id.clone(),
        device_id,
        display_name: Some("Dehydrated device".to_owned()),
        device_data: serde_json::value::to_raw_value(
            &json!({ "algorithm": "org.matrix.msc3814.v2", "device_pickle": "p", "nonce": "n" }),
        )
        .expect("JSON"),
        device_keys: raw(&keys),
        one_time_keys: BTreeMap::new(),
        fallback_keys: map([("signed_curve25519:F".try_into().expect("id"), raw(&fallback))]),
    }
}

fn send(world: &World, from: &Person, txn_id: &str, to: &Person, device: DeviceIdOrAllDevices, text: &str) {
    let content = serde_json::value::to_raw_value(&json!({ "text": text })).expect("JSON");
    let command = SendToDevice {
        requester: from.requester(),
        event_type: "m.room.encrypted".to_owned(),
        txn_id: txn_id.to_owned(),
        messages: map([(to.user_id.clone(), map([(device, content)]))]),
    };
    world.run(|cx| to_device::send(cx, &command)).expect("sent");
}

fn inbox(world: &World, person: &Person) -> Vec<String> {
    let page = world
        .read(|cx| to_device::read(cx, &person.user_id, &person.device_id, Stamp::ZERO, Stamp::MAX, 100))
        .expect("a page");
    page.messages.iter().map(|message| message.content.get().to_owned()).collect()
}

#[test]
fn a_message_is_queued_once_per_transaction_and_goes_when_acknowledged() {
    let world = World::new();
    let (alice, bob) = (world.user("alice", UserKind::Plain, "ALICE"), world.user("bob", UserKind::Plain, "BOB"));
    let phone = world.device(&bob.user_id, "PHONE");
    send(&world, &alice, "1", &bob, DeviceIdOrAllDevices::AllDevices, "one");
    send(&world, &alice, "1", &bob, DeviceIdOrAllDevices::AllDevices, "one");
    send(&world, &alice, "2", &bob, DeviceIdOrAllDevices::DeviceId(bob.device_id.clone()), "two");
    send(&world, &alice, "3", &bob, DeviceIdOrAllDevices::DeviceId("NOBODY".into()), "three");
    assert_eq!(inbox(&world, &bob), [r#"{"text":"one"}"#, r#"{"text":"two"}"#]);
    assert_eq!(inbox(&world, &phone), [r#"{"text":"one"}"#]);

    let read = |from, limit| {
        world.read(|cx| to_device::read(cx, &bob.user_id, &bob.device_id, from, Stamp::MAX, limit)).expect("a page")
    };
    let first = read(Stamp::ZERO, 1);
    assert!(first.more && first.messages.len() == 1);
    let acknowledged =
        to_device::Acknowledged { user_id: &bob.user_id, device_id: &bob.device_id, gone: Stamp::ZERO, through: first.next };
    assert!(world.read(|cx| to_device::has_acknowledged(cx, &acknowledged)).expect("a read"));
    world.run(|cx| to_device::acknowledge(cx, &acknowledged)).expect("acknowledged");
    assert!(!world.read(|cx| to_device::has_acknowledged(cx, &acknowledged)).expect("a read"));
    let later = to_device::Acknowledged { gone: first.next, ..acknowledged };
    assert!(!world.read(|cx| to_device::has_acknowledged(cx, &later)).expect("a read"));
    assert_eq!(inbox(&world, &bob), [r#"{"text":"two"}"#]);
    let second = read(first.next, 1);
    assert!(!second.more && second.messages.len() == 1);

    world.advance(LIFETIME_MS + MEGOLM_ROTATION_MS - 1);
    assert_eq!(inbox(&world, &phone).len(), 1);
    world.advance(1);
    assert!(inbox(&world, &phone).is_empty(), "what nobody fetched is gone after L and a rotation");
}

#[test]
fn who_must_not_be_seen_is_sent_nothing() {
    let world = World::new();
    let (host, plain) = (world.user("host", UserKind::Host, "HOST"), world.user("plain", UserKind::Plain, "PLAIN"));
    let guest = world.user("guest", UserKind::Participant, "GUEST");
    provision(&world, &[&host], &guest);
    send(&world, &plain, "1", &guest, DeviceIdOrAllDevices::AllDevices, "no");
    send(&world, &host, "1", &guest, DeviceIdOrAllDevices::AllDevices, "yes");
    assert_eq!(inbox(&world, &guest), [r#"{"text":"yes"}"#]);
    upload_all(&world, &guest, 1);
    assert!(!queried(&world, &plain, &guest).device_keys.contains_key(&guest.user_id));
    assert!(world.run(|cx| claim(cx, &claim_command(&plain, &guest))).expect("a claim").is_empty());
    assert_eq!(world.run(|cx| claim(cx, &claim_command(&host, &guest))).expect("a claim").len(), 1);
}

#[test]
fn a_dehydrated_device_receives_and_is_read_again_and_again() {
    let world = World::new();
    let (alice, bob) = (world.user("alice", UserKind::Plain, "ALICE"), world.user("bob", UserKind::Plain, "BOB"));
    let missing = world.read(|cx| dehydrated_device(cx, &bob.user_id)).expect_err("none yet");
    assert!(matches!(missing, crate::Stop::Reject(Reject::NotFound(_))));
    let put = command(&bob, "a/b+c");
    world.run(|cx| put_dehydrated_device(cx, &put)).expect("stored");
    let keys = &queried(&world, &alice, &bob).device_keys[&bob.user_id];
    assert!(keys[&put.device_id].contains_key("org.example.unknown"));
    let claimed = ClaimKeys {
        requester: alice.requester(),
        one_time_keys: map([(bob.user_id.clone(), map([(put.device_id.clone(), "signed_curve25519".to_owned())]))]),
    };
    assert_eq!(claimed_id(&world.run(|cx| claim(cx, &claimed)).expect("a claim")).as_deref(), Some("signed_curve25519:F"));

    for number in 0..150 {
        send(&world, &alice, &number.to_string(), &bob, DeviceIdOrAllDevices::DeviceId(put.device_id.clone()), "key");
    }
    let events = |from| world.read(|cx| dehydrated_events(cx, &bob.user_id, "a/b+c", from)).expect("a page");
    for _ in 0..2 {
        let first = events(Stamp::ZERO);
        assert!(first.more && first.events.len() == 100);
        let second = events(first.next);
        assert!(!second.more && second.events.len() == 50, "the last page says that it is the last");
    }
    let of_another = world.read(|cx| dehydrated_events(cx, &alice.user_id, "a/b+c", Stamp::ZERO)).expect_err("not hers");
    assert!(matches!(of_another, crate::Stop::Reject(Reject::Forbidden(_))));

    world.run(|cx| put_dehydrated_device(cx, &command(&bob, "second"))).expect("replaced");
    let keys = queried(&world, &alice, &bob).device_keys.remove(&bob.user_id).expect("an entry");
    assert_eq!(keys.keys().map(|id| id.as_str()).collect::<Vec<_>>(), ["second"]);
    world.run(|cx| delete_dehydrated_device(cx, &bob.user_id)).expect("deleted");
    assert!(queried(&world, &alice, &bob).device_keys[&bob.user_id].is_empty());
}

fn cross(person: &Person, usage: &str, public: &str, signers: &[&Ed25519KeyPair]) -> Raw<CrossSigningKey> {
    let key = json!({ "user_id": person.user_id, "usage": [usage], "keys": { (format!("ed25519:{public}")): public } });
    raw(&signed(key, &person.user_id, signers))
}

/// A newcomer's identity with a dehydrated device `D`, which `signer` signs for the self-signing key.
fn identity(person: &Person, self_signing: &(Ed25519KeyPair, String), signer: &Ed25519KeyPair) -> Identity {
    let [master, user_signing] = [signing_key(), signing_key()];
    let own = key_pair("D");
    let keys = device_keys_of(&person.user_id, "D".into(), &own, &[&own, signer]);
    Identity {
        master_key: cross(person, "master", &master.1, &[]),
        self_signing_key: cross(person, "self_signing", &self_signing.1, &[&master.0]),
        user_signing_key: cross(person, "user_signing", &user_signing.1, &[&master.0]),
        dehydrated_device: PutDehydratedDevice {
            device_keys: raw(&keys),
            fallback_keys: BTreeMap::new(),
            ..command(person, "D")
        },
    }
}

fn write(world: &World, person: &Person, identity: &Identity) -> Result<(), Reject> {
    world.run(|cx| {
        let mut draft = Draft::new(*cx);
        write_identity(&mut draft, &person.user_id, identity)?;
        Ok(draft.commit(()))
    })
}

#[test]
fn a_host_s_dehydrated_device_is_replaced_when_nothing_in_it_can_be_read_any_more() {
    let world = World::new();
    let host = world.user("host", UserKind::Host, "HOST");
    provision(&world, &[&host], &world.user("guest", UserKind::Participant, "GUEST"));
    let self_signing = signing_key();
    write(&world, &host, &identity(&host, &self_signing, &self_signing.0)).expect("written");
    let put = |device_id: &str| world.run(|cx| put_dehydrated_device(cx, &command(&host, device_id)));
    let held = || world.read(|cx| dehydrated_device(cx, &host.user_id)).expect("a device").device_id;

    send(&world, &host, "1", &host, DeviceIdOrAllDevices::DeviceId("D".into()), "key");
    assert!(matches!(put("E").expect_err("it holds a key"), Reject::Forbidden(_)));
    world.advance(LIFETIME_MS + MEGOLM_ROTATION_MS - 1);
    assert!(matches!(put("E").expect_err("it still does"), Reject::Forbidden(_)));
    assert_eq!(held(), "D");
    world.advance(1);
    put("E").expect("replaced");
    assert_eq!(held(), "E");

    send(&world, &host, "2", &host, DeviceIdOrAllDevices::DeviceId("E".into()), "key");
    put("F").expect("a device that its owner's key has not signed is of no use to anybody");
    assert_eq!(held(), "F");
}

#[test]
fn a_newcomer_s_identity_is_written_whole_checked_and_pinned() {
    let world = World::new();
    let host = world.user("host", UserKind::Host, "HOST");
    let guest = world.user("guest", UserKind::Participant, "GUEST");
    provision(&world, &[&host], &guest);
    let self_signing = signing_key();
    let pretender = Ed25519KeyPair::from_der(&Ed25519KeyPair::generate(), self_signing.1.clone()).expect("a key");
    let forged =
        write(&world, &guest, &identity(&guest, &self_signing, &pretender)).expect_err("a signature that does not hold");
    assert!(matches!(forged, Reject::InvalidSignature(_)));
    write(&world, &guest, &identity(&guest, &self_signing, &self_signing.0)).expect("written");

    let seen = queried(&world, &host, &guest);
    assert_eq!((seen.master_keys.len(), seen.self_signing_keys.len(), seen.user_signing_keys.len()), (1, 1, 0));
    assert_eq!(seen.device_keys[&guest.user_id].len(), 1);
    let refused = world.run(|cx| put_dehydrated_device(cx, &command(&guest, "E"))).expect_err("pinned");
    assert!(matches!(refused, Reject::Forbidden(_)));
    assert!(matches!(
        world.run(|cx| delete_dehydrated_device(cx, &guest.user_id)).expect_err("pinned"),
        Reject::Forbidden(_)
    ));
    let other = UploadSigningKeys {
        requester: guest.requester(),
        authenticated: true,
        master_key: Some(cross(&guest, "master", &signing_key().1, &[])),
        self_signing_key: None,
        user_signing_key: None,
    };
    assert!(matches!(world.run(|cx| upload_signing_keys(cx, &other)).expect_err("pinned"), Reject::Forbidden(_)));
}
