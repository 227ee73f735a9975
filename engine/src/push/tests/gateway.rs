//! What is queued for push gateways, and what of it is sent.

use journal::{Stamp, Timestamp};
use ruma::{RoomId, api::client::push::Pusher};
use serde_json::{Value, json};

use super::scene;
use crate::{
    account::{Pushers, SetPusher, pushers, set_pusher},
    push::{Push, done, due, reject, waiting},
    receipts::{READ, Receipt, SetReceipts, next_end, set_receipts, tell_ends},
    room::membership::Action,
    testing::{LIFETIME_MS, Person, World, send, state},
};

const URL: &str = "https://push.example/_matrix/push/v1/notify";

fn set(world: &World, person: &Person, pushkey: &str, data: Value) {
    let pusher: Pusher = serde_json::from_value(json!({
        "app_id": "app", "pushkey": pushkey, "kind": "http", "app_display_name": "App", "device_display_name": "Phone",
        "lang": "en", "data": data,
    }))
    .expect("a pusher");
    let (app_id, pushkey) = ("app".to_owned(), pushkey.to_owned());
    let command = SetPusher { requester: person.requester(), app_id, pushkey, pusher: Some(pusher), append: true };
    world.run(|cx| set_pusher(cx, &command)).expect("set");
}

/// What is to be sent to the one gateway there is.
fn queue(world: &World) -> Vec<Push> {
    let gateways = world.read(waiting).expect("reads");
    assert!(gateways.len() <= 1);
    gateways.into_iter().flat_map(|gateway| world.read(|cx| due(cx, gateway, Stamp::ZERO, 100)).expect("reads")).collect()
}

/// The bodies of all calls to be made.
fn bodies(world: &World) -> Vec<Value> {
    let calls = queue(world).into_iter().flat_map(|push| push.calls);
    calls.map(|call| serde_json::from_str::<Value>(call.body.get()).expect("JSON")["notification"].take()).collect()
}

fn drain(world: &World) {
    let rows: Vec<_> = queue(world).iter().map(|push| push.row).collect();
    for gateway in world.read(waiting).expect("reads") {
        world.run(|cx| done(cx, gateway, &rows)).expect("done");
    }
    assert_eq!(queue(world).len(), 0);
}

fn read(world: &World, person: &Person, room_id: &RoomId, event_id: &ruma::EventId) {
    let receipt = Receipt { receipt_type: READ.to_owned(), event_id: event_id.to_owned(), thread_id: None };
    let command = SetReceipts { user_id: person.user_id.clone(), room_id: room_id.to_owned(), receipts: vec![receipt] };
    world.run(|cx| set_receipts(cx, &command)).expect("read");
}

#[test]
fn a_gateway_is_told_what_its_pusher_asks_for() {
    let (world, ada, bob, room_id, _) = scene();
    state(&world, &ada, &room_id, "m.room.name", "", json!({ "name": "Tea" }));
    set(&world, &bob, "whole", json!({ "url": URL, "default_payload": { "aps": { "mutable-content": 1 } } }));
    set(&world, &bob, "brief", json!({ "url": URL, "format": "event_id_only" }));
    let event_id = world.say(&ada, &room_id, "secret");
    let bodies = bodies(&world);
    let pushkey_ts = world.now().as_ms() / 1_000;
    let device =
        |pushkey: &str, data: Value| json!({ "app_id": "app", "pushkey": pushkey, "pushkey_ts": pushkey_ts, "data": data });
    let mut whole = device("whole", json!({ "default_payload": { "aps": { "mutable-content": 1 } } }));
    whole["tweaks"] = json!({ "sound": "default" });
    assert_eq!(
        bodies,
        [
            json!({
                "event_id": event_id, "room_id": room_id, "prio": "high", "counts": { "unread": 3 },
                "devices": [device("brief", json!({ "format": "event_id_only" }))],
            }),
            json!({
                "event_id": event_id, "room_id": room_id, "prio": "high", "counts": { "unread": 3 },
                "type": "m.room.message", "sender": "@ada:example.org", "room_name": "Tea",
                "content": { "msgtype": "m.text", "body": "secret" }, "devices": [whole],
            }),
        ]
    );
}

#[test]
fn devices_that_want_the_same_share_a_call() {
    let (world, ada, bob, room_id, _) = scene();
    set(&world, &bob, "one", json!({ "url": URL }));
    set(&world, &bob, "two", json!({ "url": URL }));
    set(&world, &bob, "elsewhere", json!({ "url": "https://other.example/_matrix/push/v1/notify" }));
    world.say(&ada, &room_id, "news");
    let gateways = world.read(waiting).expect("reads");
    let mut keys: Vec<Vec<String>> = Vec::new();
    for gateway in gateways {
        for call in
            world.read(|cx| due(cx, gateway, Stamp::ZERO, 100)).expect("reads").into_iter().flat_map(|push| push.calls)
        {
            let mut of_call: Vec<_> = call.devices.into_iter().map(|(_, pushkey)| pushkey).collect();
            of_call.sort();
            keys.push(of_call);
        }
    }
    keys.sort();
    assert_eq!(keys, [vec!["elsewhere".to_owned()], vec!["one".to_owned(), "two".to_owned()]]);
}

#[test]
fn the_content_of_an_encrypted_room_goes_to_no_gateway() {
    let (world, ada, bob, room_id, _) = scene();
    set(&world, &bob, "whole", json!({ "url": URL }));
    state(&world, &ada, &room_id, "m.room.encryption", "", json!({ "algorithm": "m.megolm.v1.aes-sha2" }));
    world.say(&ada, &room_id, "sent in the clear by mistake");
    let [body] = &bodies(&world)[..] else { panic!("one call") };
    assert_eq!(body.get("content"), None);
    assert_eq!(body["type"], "m.room.message");
}

#[test]
fn what_is_read_expired_or_out_of_reach_is_not_sent() {
    let (world, ada, bob, room_id, _) = scene();
    set(&world, &bob, "key", json!({ "url": URL }));
    let event_id = world.say(&ada, &room_id, "news");
    assert_eq!(bodies(&world).len(), 1);
    read(&world, &bob, &room_id, &event_id);
    let counts = bodies(&world);
    assert_eq!(counts.len(), 1, "{counts:?}");
    assert_eq!((&counts[0]["counts"], counts[0].get("event_id")), (&json!({ "unread": 0 }), None));
    drain(&world);
    read(&world, &bob, &room_id, &event_id);
    assert_eq!(queue(&world).len(), 0, "reading again changes no count");

    world.say(&ada, &room_id, "old");
    assert_eq!(bodies(&world).len(), 1);
    world.advance(LIFETIME_MS);
    assert!(queue(&world).is_empty(), "the row has expired with its event");
    world.say(&ada, &room_id, "said before bob leaves");
    world.member(&bob, &room_id, Action::Leave);
    assert!(bodies(&world).is_empty());
    assert_eq!(queue(&world).len(), 1);
    drain(&world);
}

#[test]
fn a_pusher_that_is_gone_is_told_nothing() {
    let (world, ada, bob, room_id, _) = scene();
    set(&world, &bob, "key", json!({ "url": URL }));
    world.say(&ada, &room_id, "news");
    let of_bob = || -> Pushers { world.read(|cx| pushers(cx, &bob.user_id)).expect("reads") };
    let [push] = &queue(&world)[..] else { panic!("one thing to tell") };
    let call = &push.calls[0];
    world.run(|cx| reject(cx, call, &["another".to_owned()])).expect("done");
    assert_eq!(of_bob().len(), 1, "a key that was not sent is not the gateway's to reject");
    world.run(|cx| reject(cx, call, &["key".to_owned()])).expect("done");
    assert_eq!(of_bob().len(), 0);
    assert!(bodies(&world).is_empty());
    drain(&world);
    world.say(&ada, &room_id, "hello again");
    assert!(queue(&world).is_empty());
}

#[test]
fn a_fall_that_comes_while_one_is_being_told_is_told_again() {
    let (world, ada, bob, room_id, _) = scene();
    set(&world, &bob, "key", json!({ "url": URL }));
    let (one, two) = (world.say(&ada, &room_id, "one"), world.say(&ada, &room_id, "two"));
    drain(&world);
    read(&world, &bob, &room_id, &one);
    let rows: Vec<_> = queue(&world).iter().map(|push| push.row).collect();
    assert_eq!(bodies(&world)[0]["counts"], json!({ "unread": 1 }));
    read(&world, &bob, &room_id, &two);
    for gateway in world.read(waiting).expect("reads") {
        world.run(|cx| done(cx, gateway, &rows)).expect("done");
    }
    assert_eq!(bodies(&world)[0]["counts"], json!({ "unread": 0 }));
}

#[test]
fn counts_that_fall_because_events_expire_are_told() {
    let (world, ada, bob, room_id, _) = scene();
    set(&world, &bob, "key", json!({ "url": URL }));
    world.advance(1_000);
    world.say(&ada, &room_id, "news");
    drain(&world);
    let start = Timestamp::from_ms(0);
    assert_eq!(world.run(|cx| tell_ends(cx, start, 10)), Ok((0, start)));
    assert!(queue(&world).is_empty(), "nothing has expired");
    world.advance(LIFETIME_MS - 1_000);
    let told = world.run(|cx| tell_ends(cx, start, 10));
    assert_eq!(told, Ok((2, world.now())), "the invitation and the first message");
    assert_eq!(bodies(&world)[0]["counts"], json!({ "unread": 1 }));
    let last = world.read(|cx| next_end(cx, start)).expect("reads").expect("one is left");
    assert_eq!(last, world.now().plus_ms(1_000));
}

#[test]
fn a_call_that_nobody_took_is_missed() {
    let (world, ada, bob, room_id, _) = scene();
    set(&world, &bob, "key", json!({ "url": URL }));
    send(&world, &ada, &room_id, "m.call.invite", json!({ "lifetime": 1 }));
    let body = &bodies(&world)[0];
    assert_eq!(body["counts"], json!({ "unread": 3, "missed_calls": 1 }));
    assert_eq!((&body["devices"][0]["tweaks"], &body["prio"]), (&json!({ "sound": "ring" }), &json!("high")));
}
