//! What is queued for application services.

use ruma::{OwnedRoomId, to_device::DeviceIdOrAllDevices};
use serde_json::{Value, json};

use super::*;
use crate::{
    room::membership::Action,
    tables::UserKind,
    testing::{LIFETIME_MS, Person, World, appservice, map},
    to_device::{self, SendToDevice},
};

fn world() -> World {
    World::with_appservices([appservice("desk", "desk"), appservice("other", "other")])
}

fn open(world: &World, service: &str) -> Option<(u64, Transaction)> {
    let number = world.run(|cx| open_transaction(cx, service, false)).expect("opened")?;
    Some((number, world.read(|cx| read_transaction(cx, service, number)).expect("read").expect("it is open")))
}

fn close(world: &World, service: &str, number: u64) {
    world.run(|cx| close_transaction(cx, service, number)).expect("closed");
}

fn drain(world: &World, service: &str) -> Vec<Value> {
    let mut events = Vec::new();
    while let Some((number, transaction)) = open(world, service) {
        events.extend(transaction.events.iter().map(|event| serde_json::from_str::<Value>(event.get()).expect("JSON")));
        close(world, service, number);
    }
    events
}

fn texts(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["content"]["body"].as_str()).collect()
}

fn room_with_desk(world: &World, alice: &Person, desk: &Person) -> OwnedRoomId {
    let room_id = world.room(alice, &[desk]);
    world.member(desk, &room_id, Action::Join);
    room_id
}

#[test]
fn a_service_gets_what_its_users_may_read_and_no_other_service_does() {
    let world = world();
    let (alice, desk) = (world.user("alice", UserKind::Plain, "ALICE"), world.user("desk", UserKind::Appservice, "DESK"));
    let apart = world.room(&alice, &[]);
    world.say(&alice, &apart, "not for the desk");
    assert!(drain(&world, "desk").is_empty());
    let room_id = world.room(&alice, &[&desk]);
    world.say(&alice, &room_id, "while invited");
    world.member(&desk, &room_id, Action::Join);
    world.say(&alice, &room_id, "after joining");
    let events = drain(&world, "desk");
    assert_eq!(texts(&events), ["while invited", "after joining"]);
    assert!(events.iter().any(|event| event["type"] == "m.room.member" && event["content"]["membership"] == "invite"));
    assert!(events.iter().all(|event| event["room_id"] == room_id.as_str() && event["event_id"].is_string()));
    world.member(&desk, &room_id, Action::Leave);
    world.say(&alice, &room_id, "after leaving");
    assert_eq!(texts(&drain(&world, "desk")), Vec::<&str>::new());
    assert!(drain(&world, "other").is_empty());
}

#[test]
fn a_transaction_is_the_same_until_it_is_acknowledged_and_then_never_again() {
    let world = world();
    let (alice, desk) = (world.user("alice", UserKind::Plain, "ALICE"), world.user("desk", UserKind::Appservice, "DESK"));
    let room_id = room_with_desk(&world, &alice, &desk);
    drain(&world, "desk");
    for number in 0..150 {
        world.say(&alice, &room_id, &number.to_string());
    }
    let (number, first) = open(&world, "desk").expect("something is due");
    assert_eq!(first.events.len(), TRANSACTION_ITEMS_MAX);
    world.say(&alice, &room_id, "later");
    let (again, same) = open(&world, "desk").expect("still due");
    assert_eq!(again, number);
    let texts =
        |transaction: &Transaction| transaction.events.iter().map(|event| event.get().to_owned()).collect::<Vec<_>>();
    assert_eq!(texts(&same), texts(&first));
    close(&world, "desk", number);
    close(&world, "desk", number);
    let (next, rest) = open(&world, "desk").expect("the rest is due");
    assert_eq!((next, rest.events.len()), (number + 1, 51));
    close(&world, "desk", next);
    assert!(open(&world, "desk").is_none());
}

#[test]
fn what_has_expired_is_in_no_repeated_transaction() {
    let world = world();
    let (alice, desk) = (world.user("alice", UserKind::Plain, "ALICE"), world.user("desk", UserKind::Appservice, "DESK"));
    let room_id = room_with_desk(&world, &alice, &desk);
    drain(&world, "desk");
    world.say(&alice, &room_id, "old");
    world.advance(1_000);
    world.say(&alice, &room_id, "young");
    let (number, whole) = open(&world, "desk").expect("due");
    assert_eq!(whole.events.len(), 2);
    world.advance(LIFETIME_MS - 1_000);
    let (again, rest) = open(&world, "desk").expect("due");
    assert_eq!((again, rest.events.len()), (number, 1));
    assert!(rest.events[0].get().contains("young"));
    world.advance(1_000);
    let (again, rest) = open(&world, "desk").expect("due");
    assert_eq!((again, rest.events.len()), (number, 0));
}

#[test]
fn messages_to_a_service_s_devices_and_their_key_counts_come_along() {
    let world = world();
    let (alice, desk) = (world.user("alice", UserKind::Plain, "ALICE"), world.user("desk", UserKind::Appservice, "DESK"));
    crate::keys::tests::upload_all(&world, &desk, 3);
    drain(&world, "desk");
    let content = serde_json::value::to_raw_value(&json!({ "ciphertext": "c" })).expect("JSON");
    let command = SendToDevice {
        requester: alice.requester(),
        event_type: "m.room.encrypted".to_owned(),
        txn_id: "1".to_owned(),
        messages: map([(desk.user_id.clone(), map([(DeviceIdOrAllDevices::AllDevices, content)]))]),
    };
    world.run(|cx| to_device::send(cx, &command)).expect("sent");
    let (number, transaction) = open(&world, "desk").expect("due");
    assert_eq!(transaction.to_device.len(), 1);
    assert_eq!((&transaction.to_device[0].user_id, &transaction.to_device[0].device_id), (&desk.user_id, &desk.device_id));
    assert_eq!(transaction.one_time_key_counts[&desk.user_id][&desk.device_id]["signed_curve25519"], 3);
    assert!(transaction.unused_fallback_key_types[&desk.user_id][&desk.device_id].is_empty());
    close(&world, "desk", number);
    assert!(open(&world, "desk").is_none());
}

#[test]
fn a_device_list_change_that_comes_while_one_is_being_told_is_told_again() {
    let world = world();
    let (alice, desk) = (world.user("alice", UserKind::Plain, "ALICE"), world.user("desk", UserKind::Appservice, "DESK"));
    room_with_desk(&world, &alice, &desk);
    drain(&world, "desk");
    crate::keys::tests::upload_all(&world, &alice, 0);
    let (number, transaction) = open(&world, "desk").expect("due");
    assert_eq!(transaction.device_lists, [alice.user_id.clone()]);
    crate::keys::tests::upload_all(&world, &alice, 0);
    close(&world, "desk", number);
    let (number, transaction) = open(&world, "desk").expect("due again");
    assert_eq!(transaction.device_lists, [alice.user_id.clone()]);
    close(&world, "desk", number);
    assert!(open(&world, "desk").is_none());
}
