//! Keys: uploads, claims, identities, device lists.

mod backup;
mod cross_signing;
mod dehydrated;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use journal::{Journal as _, Outcome, Stamp};
use ruma::serde::Raw;
use serde_json::{Value, json};

use super::*;
use crate::{
    Cx, Decision, Draft, Reject,
    room::membership::Action,
    tables::{self, UserKind},
    testing::{Person, World, device_keys, key_pair, map, signed},
};

pub(super) fn raw<T>(value: &Value) -> Raw<T> {
    Raw::from_json(serde_json::value::to_raw_value(value).expect("JSON"))
}

pub(super) fn one_time_key(person: &Person, number: usize) -> (String, Value) {
    let key = signed(json!({ "key": format!("{number:043}") }), &person.user_id, &[&person.keys]);
    (format!("signed_curve25519:{number}"), key)
}

pub(super) fn upload_command(person: &Person, device_keys: Option<&Value>, one_time_keys: &[(String, Value)]) -> UploadKeys {
    let keys = one_time_keys.iter().map(|(id, key)| (id.as_str().try_into().expect("a key id"), raw(key))).collect();
    UploadKeys {
        user_id: person.user_id.clone(),
        device_id: person.device_id.clone(),
        device_keys: device_keys.map(raw),
        one_time_keys: keys,
        fallback_keys: BTreeMap::new(),
    }
}

pub(crate) fn upload_all(world: &World, person: &Person, count: usize) {
    let keys: Vec<_> = (0..count).map(|number| one_time_key(person, number)).collect();
    let command = upload_command(person, Some(&device_keys(person)), &keys);
    world.run(|cx| upload(cx, &command)).expect("keys are taken");
}

pub(super) fn queried(world: &World, requester: &Person, of: &Person) -> FoundKeys {
    let command = QueryKeys { requester: requester.user_id.clone(), device_keys: map([(of.user_id.clone(), vec![])]) };
    world.read(|cx| query(cx, &command)).expect("a query")
}

fn claim_command(requester: &Person, of: &Person) -> ClaimKeys {
    let devices = map([(of.device_id.clone(), "signed_curve25519".to_owned())]);
    ClaimKeys { requester: requester.requester(), one_time_keys: map([(of.user_id.clone(), devices)]) }
}

fn claimed_id(claimed: &Claimed) -> Option<String> {
    claimed.values().next()?.values().next()?.keys().next().cloned()
}

pub(super) fn position(world: &World) -> Stamp {
    world.read(|cx| Ok::<_, Reject>(Stamp::end_of(cx.view.seq()))).expect("a position")
}

#[test]
fn keys_come_back_as_they_were_sent_with_the_device_s_name() {
    let world = World::new();
    let (alice, bob) = (world.user("alice", UserKind::Plain, "ALICE"), world.user("bob", UserKind::Plain, "BOB"));
    let sent = device_keys(&alice);
    world.run(|cx| upload(cx, &upload_command(&alice, Some(&sent), &[]))).expect("keys are taken");
    let found = queried(&world, &bob, &alice);
    let mut keys = serde_json::to_value(&found.device_keys[&alice.user_id][&alice.device_id]).expect("JSON");
    assert_eq!(keys["unsigned"]["device_display_name"], json!("ALICE of @alice:example.org"));
    keys.as_object_mut().expect("an object").remove("unsigned");
    assert_eq!(keys, sent, "unknown fields and signatures are kept");
    assert_eq!(
        queried(&world, &alice, &bob).device_keys[&bob.user_id],
        BTreeMap::new(),
        "a user without keys has an empty entry"
    );
    let nobody = QueryKeys {
        requester: alice.user_id.clone(),
        device_keys: map([("@no:example.org".try_into().expect("id"), vec![])]),
    };
    assert_eq!(world.read(|cx| query(cx, &nobody)).expect("a query"), FoundKeys::default());
}

#[test]
fn keys_that_do_not_verify_are_refused() {
    let world = World::new();
    let alice = world.user("alice", UserKind::Host, "ALICE");
    let good = device_keys(&alice);
    let other = key_pair("ALICE");

    let mut changed = good.clone();
    changed["algorithms"] = json!(["m.olm.v1.curve25519-aes-sha2"]);
    let forged = signed(json!({ "key": "k" }), &alice.user_id, &[&other]);
    let unsigned = json!({ "key": "k", "signatures": {} });
    let id = "signed_curve25519:1".to_owned();
    let mut unsigned_device = good.clone();
    unsigned_device["signatures"] = json!({});
    let cases: [(&str, UploadKeys); 5] = [
        ("a changed field", upload_command(&alice, Some(&changed), &[])),
        ("no signature", upload_command(&alice, Some(&unsigned_device), &[])),
        ("a one-time key of another signer", upload_command(&alice, Some(&good), &[(id.clone(), forged.clone())])),
        ("an unsigned one-time key", upload_command(&alice, Some(&good), &[(id.clone(), unsigned)])),
        ("a one-time key without device keys", upload_command(&alice, None, &[one_time_key(&alice, 1)])),
    ];
    for (what, command) in cases {
        let refused = world.run(|cx| upload(cx, &command)).expect_err(what);
        assert!(matches!(refused, Reject::InvalidSignature(_)), "{what}: {refused:?}");
    }
    let mut fallback = upload_command(&alice, Some(&good), &[]);
    fallback.fallback_keys.insert(id.as_str().try_into().expect("id"), raw(&forged));
    let refused = world.run(|cx| upload(cx, &fallback)).expect_err("a forged fallback key");
    assert!(matches!(refused, Reject::InvalidSignature(_)));
    assert!(queried(&world, &alice, &alice).device_keys[&alice.user_id].is_empty(), "nothing of a refused request is kept");
}

#[test]
fn keys_of_somebody_else_or_of_the_wrong_form_are_refused() {
    let world = World::new();
    let (alice, bob) = (world.user("alice", UserKind::Plain, "ALICE"), world.user("bob", UserKind::Plain, "BOB"));
    let refused = |keys: &Value| world.run(|cx| upload(cx, &upload_command(&bob, Some(keys), &[]))).expect_err("refused");
    assert!(matches!(refused(&device_keys(&alice)), Reject::InvalidParam(_)));
    assert!(matches!(refused(&json!({ "user_id": bob.user_id, "device_id": bob.device_id })), Reject::BadJson(_)));
    let unknown = upload_command(&bob, Some(&device_keys(&bob)), &[("curve448:1".to_owned(), json!("k"))]);
    assert!(matches!(world.run(|cx| upload(cx, &unknown)).expect_err("refused"), Reject::InvalidParam(_)));
}

#[test]
fn the_same_one_time_key_may_come_again_and_another_under_its_id_may_not() {
    let world = World::new();
    let alice = world.user("alice", UserKind::Plain, "ALICE");
    let keys: Vec<_> = (0..4).map(|number| one_time_key(&alice, number)).collect();
    let first = upload_command(&alice, Some(&device_keys(&alice)), &keys[..3]);
    assert_eq!(world.run(|cx| upload(cx, &first)).expect("taken")["signed_curve25519"], 3);
    let overlap = upload_command(&alice, None, &keys[1..]);
    assert_eq!(world.run(|cx| upload(cx, &overlap)).expect("taken")["signed_curve25519"], 4);
    let other = signed(json!({ "key": "another" }), &alice.user_id, &[&alice.keys]);
    let refused = world
        .run(|cx| upload(cx, &upload_command(&alice, None, &[(keys[0].0.clone(), other.clone())])))
        .expect_err("taken id");
    assert!(matches!(&refused, Reject::Unknown(message) if message.contains("already exists")), "{refused:?}");
    let counts = world.read(|cx| one_time_key_counts(cx, &alice.user_id, &alice.device_id)).expect("counts");
    assert_eq!(counts["signed_curve25519"], 4);
}

#[test]
fn two_uploads_of_one_key_at_once_store_it_once() {
    let world = World::new();
    let alice = world.user("alice", UserKind::Plain, "ALICE");
    upload_all(&world, &alice, 0);
    let command = upload_command(&alice, None, &[one_time_key(&alice, 1)]);
    let decide = |cx: &Cx<'_>| upload(cx, &command);
    let decided = [world.decide(&decide).expect("decided"), world.decide(&decide).expect("decided")];
    let outcomes = decided.map(|decision| match decision {
        Decision::Commit { batch, .. } => world.journal.commit_now(batch).expect("written"),
        Decision::Done(_) => panic!("there is something to write"),
    });
    assert!(matches!(outcomes, [Outcome::Committed(_), Outcome::Conflict { .. }]));
    assert_eq!(world.run(decide).expect("taken")["signed_curve25519"], 1);
}

#[test]
fn keys_are_handed_out_in_the_order_they_came_and_then_the_fallback_key() {
    let world = World::new();
    let (alice, bob) = (world.user("alice", UserKind::Plain, "ALICE"), world.user("bob", UserKind::Plain, "BOB"));
    upload_all(&world, &alice, 0);
    for number in [7, 3] {
        world.run(|cx| upload(cx, &upload_command(&alice, None, &[one_time_key(&alice, number)]))).expect("taken");
    }
    let mut fallback = upload_command(&alice, None, &[]);
    let (_, key) = one_time_key(&alice, 9);
    fallback.fallback_keys.insert("signed_curve25519:F".try_into().expect("id"), raw(&key));
    world.run(|cx| upload(cx, &fallback)).expect("taken");
    let unused = || world.read(|cx| unused_fallback_key_types(cx, &alice.user_id, &alice.device_id)).expect("types");
    let next = || claimed_id(&world.run(|cx| claim(cx, &claim_command(&bob, &alice))).expect("a claim"));
    assert_eq!(next().as_deref(), Some("signed_curve25519:7"));
    assert_eq!(next().as_deref(), Some("signed_curve25519:3"));
    assert_eq!(unused(), ["signed_curve25519"]);
    assert_eq!(next().as_deref(), Some("signed_curve25519:F"));
    assert_eq!(next().as_deref(), Some("signed_curve25519:F"), "it serves any number");
    assert!(unused().is_empty());
    world.run(|cx| upload(cx, &fallback)).expect("taken");
    assert!(unused().is_empty(), "the same key again is still a used one");
}

#[test]
fn eight_claimers_at_once_never_get_one_key_twice() {
    const KEYS: usize = 200;
    let world = World::new();
    let (alice, bob) = (world.user("alice", UserKind::Plain, "ALICE"), world.user("bob", UserKind::Plain, "BOB"));
    upload_all(&world, &alice, KEYS);
    let now = world.now();
    let World { journal, server, .. } = world;
    let handed_out = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let view = journal.view(now);
                    let decision = claim(&Cx::new(&view, &server), &claim_command(&bob, &alice)).expect("a decision");
                    let Decision::Commit { batch, output } = decision else { return };
                    if let Outcome::Committed(_) = journal.commit_now(batch).expect("written") {
                        handed_out.lock().expect("lock").push(claimed_id(&output).expect("a key"));
                    }
                }
            });
        }
    });
    let handed_out = handed_out.into_inner().expect("lock");
    assert_eq!(handed_out.len(), KEYS);
    assert_eq!(handed_out.iter().collect::<BTreeSet<_>>().len(), KEYS, "a key was handed out twice");
}

#[test]
fn everybody_in_a_room_hears_of_new_keys_also_who_is_only_invited_and_nobody_else_does() {
    let world = World::new();
    let [alice, bob, carol, dave] =
        ["alice", "bob", "carol", "dave"].map(|name| world.user(name, UserKind::Plain, &name.to_uppercase()));
    let room_id = world.room(&alice, &[&bob, &carol]);
    world.member(&carol, &room_id, Action::Join);
    let from = position(&world);
    upload_all(&world, &bob, 1);
    let heard = |person: &Person| {
        let lists = world.read(|cx| device_lists_between(cx, &person.user_id, from, position(&world))).expect("lists");
        lists.changed.contains(&bob.user_id)
    };
    assert!(heard(&alice) && heard(&carol) && heard(&bob) && !heard(&dave));
    let from = position(&world);
    upload_all(&world, &carol, 0);
    let lists = world.read(|cx| device_lists_between(cx, &bob.user_id, from, position(&world))).expect("lists");
    assert!(lists.changed.contains(&carol.user_id), "an invited user hears of members, to be able to answer");
}

#[test]
fn who_shares_no_room_any_more_has_left_the_device_list() {
    let world = World::new();
    let [alice, bob] = ["alice", "bob"].map(|name| world.user(name, UserKind::Plain, &name.to_uppercase()));
    let room_id = world.room(&alice, &[&bob]);
    world.member(&bob, &room_id, Action::Join);
    let from = position(&world);
    world.member(&bob, &room_id, Action::Leave);
    let lists = |from| world.read(|cx| device_lists_between(cx, &alice.user_id, from, position(&world))).expect("lists");
    assert_eq!(lists(from).left, BTreeSet::from([bob.user_id.clone()]));
    assert!(lists(from).changed.is_empty());
    let from = position(&world);
    upload_all(&world, &bob, 0);
    assert_eq!(lists(from), tables::DeviceLists::default());
}

#[test]
fn the_keys_of_a_deleted_device_are_gone_except_for_the_inviter_s_participants() {
    let world = World::new();
    let (host, plain) = (world.user("host", UserKind::Host, "HOST"), world.user("plain", UserKind::Plain, "PLAIN"));
    let colleague = world.user("colleague", UserKind::Host, "COLLEAGUE");
    let guest = world.user("guest", UserKind::Participant, "GUEST");
    provision(&world, &[&host, &colleague], &guest);
    upload_all(&world, &host, 3);
    world
        .run(|cx| {
            let mut draft = Draft::new(*cx);
            tables::DEVICES.delete(&mut draft.batch, &(cx.user(&host.user_id), cx.device(&host.device_id)));
            delete_device(&mut draft, &host.user_id, &host.device_id)?;
            Ok(draft.commit(()))
        })
        .expect("deleted");
    let devices =
        |requester: &Person| queried(&world, requester, &host).device_keys.remove(&host.user_id).unwrap_or_default();
    assert!(
        devices(&guest).contains_key(&host.device_id),
        "a page opened later can tell that a message was really the host's"
    );
    assert!(devices(&colleague).is_empty() && devices(&host).is_empty() && devices(&plain).is_empty());
    let counts = world.read(|cx| one_time_key_counts(cx, &host.user_id, &host.device_id)).expect("counts");
    assert_eq!(counts["signed_curve25519"], 0);
    world.advance(crate::testing::LIFETIME_MS + crate::MEGOLM_ROTATION_MS);
    assert!(devices(&guest).is_empty(), "for as long as a message of it can be read");
}

/// Puts hosts into one organization, and a participant of the first of them.
pub(super) fn provision(world: &World, hosts: &[&Person], guest: &Person) {
    world
        .run(|cx| {
            let mut draft = Draft::new(*cx);
            for host in hosts {
                let row = serde_json::from_value(json!({
                    "host": "h", "user_id": host.user_id, "organization": "o", "account": "a", "display_name": "Host",
                }))
                .expect("a host");
                tables::HOST_USERS.put(&mut draft.batch, &(cx.user(&host.user_id),), &row);
            }
            let row = serde_json::from_value(json!({
                "invitee": "i", "user_id": guest.user_id, "session": "s", "inviter": hosts[0].user_id, "ends_at": 9_999_999_999_999_u64,
                "host": hosts[0].user_id, "organization": "o", "account": "a", "display_name": "Guest",
            }))
            .expect("a participant");
            tables::PARTICIPANTS.put(&mut draft.batch, &(cx.user(&guest.user_id),), &row);
            let row = serde_json::from_value(json!({ "organization": "o", "account": "a", "name": "A", "chat_enabled": true }))
                .expect("an account");
            tables::ORGANIZATION_ACCOUNTS.put(&mut draft.batch, &(cx.name("o"), cx.name("a")), &row);
            Ok(draft.commit(()))
        })
        .expect("provisioned");
}
