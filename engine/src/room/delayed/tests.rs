//! Events that wait: sent once, in time, by who may; never beyond L.

use ruma::RoomId;
use serde_json::{json, value::to_raw_value};

use super::*;
use crate::{
    room::membership::Action,
    tables::{ParticipantRow, UserKind},
    testing::{LIFETIME_MS, Person, World},
};

fn scene() -> (World, Person, Person, OwnedRoomId) {
    let world = World::new();
    let (ada, bob) = (world.user("ada", UserKind::Plain, "ADA"), world.user("bob", UserKind::Plain, "BOB"));
    let room_id = world.room(&ada, &[&bob]);
    world.member(&bob, &room_id, Action::Join);
    (world, ada, bob, room_id)
}

fn command(person: &Person, room_id: &RoomId, name: &str, delay_ms: u64) -> Schedule {
    Schedule {
        requester: person.requester(),
        room_id: room_id.to_owned(),
        event_type: "org.example.delayed".to_owned(),
        state_key: None,
        txn_id: Some(name.into()),
        content: to_raw_value(&json!({ "name": name })).unwrap(),
        delay_ms,
        delay_id: format!("id of {name}"),
    }
}

fn wait(world: &World, command: &Schedule) -> Result<String, Reject> {
    world.run(|cx| schedule(cx, command))
}

/// What the worker does.
fn keep_up(world: &World) {
    for delay_id in world.read(|cx| due(cx, 100)).unwrap() {
        world.run(|cx| send_due(cx, &delay_id)).unwrap();
    }
}

fn said(world: &World, room_id: &RoomId) -> Vec<String> {
    let rows = |cx: &Cx<'_>| {
        tables::TIMELINE
            .scan(cx.view, &(cx.room(room_id),))
            .map(|row| row.map(|(_, row)| row.value.pdu))
            .collect::<Result<Vec<_>, _>>()
    };
    world.read(rows).unwrap().iter().filter_map(|pdu| pdu.content_field("name")).collect()
}

fn count(world: &World, person: &Person) -> usize {
    world.read(|cx| of_user(cx, &person.user_id)).unwrap().len()
}

#[test]
fn what_waits_is_sent_when_it_is_due_in_order_and_once() {
    let (world, ada, bob, room_id) = scene();
    wait(&world, &command(&ada, &room_id, "second", 2_000)).unwrap();
    let first = wait(&world, &command(&ada, &room_id, "first", 1_000)).unwrap();
    let again = Schedule { delay_id: "another".to_owned(), ..command(&ada, &room_id, "first", 1_000) };
    assert_eq!(wait(&world, &again), Ok(first), "the same transaction");
    assert_eq!((count(&world, &ada), count(&world, &bob)), (2, 0));
    assert_eq!(world.read(next_due).unwrap(), Some(world.now().plus_ms(1_000)));
    world.advance(999);
    keep_up(&world);
    assert_eq!(said(&world, &room_id), Vec::<String>::new());
    world.advance(5_000);
    keep_up(&world);
    keep_up(&world);
    assert_eq!(said(&world, &room_id), ["first", "second"]);
    assert_eq!((count(&world, &ada), world.read(next_due).unwrap()), (0, None));
}

#[test]
fn whoever_knows_the_id_sends_cancels_or_restarts() {
    let (world, ada, _, room_id) = scene();
    let act = |delay_id: &str, action| world.run(|cx| act(cx, delay_id, action));
    let ids = ["now", "never", "later"].map(|name| wait(&world, &command(&ada, &room_id, name, 1_000)).unwrap());
    act(&ids[0], DelayedAction::Send).unwrap();
    act(&ids[1], DelayedAction::Cancel).unwrap();
    world.advance(900);
    act(&ids[2], DelayedAction::Restart).unwrap();
    world.advance(900);
    keep_up(&world);
    assert_eq!(said(&world, &room_id), ["now"]);
    world.advance(100);
    keep_up(&world);
    assert_eq!(said(&world, &room_id), ["now", "later"]);
    for action in [DelayedAction::Send, DelayedAction::Cancel, DelayedAction::Restart] {
        assert!(matches!(act(&ids[0], action), Err(Reject::NotFound(_))), "it waits no more");
    }
}

#[test]
fn nothing_waits_beyond_what_content_lives() {
    let (world, ada, _, room_id) = scene();
    let too_long = command(&ada, &room_id, "too long", LIFETIME_MS / 2 + 1);
    assert_eq!(wait(&world, &too_long), Err(Reject::MaxDelayExceeded { max_delay_ms: LIFETIME_MS / 2 }));
    let delay_id = wait(&world, &command(&ada, &room_id, "put off", LIFETIME_MS / 2)).unwrap();
    let received = world.now();
    for _ in 0..3 {
        world.advance(LIFETIME_MS / 4);
        world.run(|cx| act(cx, &delay_id, DelayedAction::Restart)).unwrap();
    }
    let due = world.read(next_due).unwrap().unwrap();
    assert_eq!(due, received.plus_ms(LIFETIME_MS - LIFETIME_MS / 100), "restarts end before the content does");
    for number in 1..DELAYED_MAX {
        wait(&world, &command(&ada, &room_id, &number.to_string(), 1_000)).unwrap();
    }
    assert_eq!(wait(&world, &command(&ada, &room_id, "one more", 1)), Err(Reject::MaxDelayedEventsExceeded));
    world.advance(LIFETIME_MS / 4);
    assert_eq!(count(&world, &ada), 99, "without anybody sending it, it is gone L after it came");
    world.advance(LIFETIME_MS);
    assert_eq!((count(&world, &ada), world.read(next_due).unwrap()), (0, None));
}

#[test]
fn who_may_not_speak_any_more_does_not() {
    let (world, ada, bob, room_id) = scene();
    let eve = world.user("eve", UserKind::Plain, "EVE");
    assert!(matches!(wait(&world, &command(&eve, &room_id, "stranger", 1)), Err(Reject::Forbidden(_))));
    wait(&world, &command(&bob, &room_id, "left", 1_000)).unwrap();
    world.member(&bob, &room_id, Action::Leave);
    let over = wait(&world, &command(&ada, &room_id, "over", 1_000)).unwrap();
    world
        .run(|cx| {
            let mut draft = Draft::new(*cx);
            let row = ParticipantRow {
                invitee: "ada".to_owned(),
                user_id: ada.user_id.clone(),
                session: "s".to_owned(),
                inviter: bob.user_id.clone(),
                ends_at: cx.now().plus_ms(500),
            };
            tables::PARTICIPANTS.put(&mut draft.batch, &(cx.user(&ada.user_id),), &row);
            Ok(draft.commit(()))
        })
        .unwrap();
    world.advance(1_000);
    assert!(matches!(world.run(|cx| act(cx, &over, DelayedAction::Send)), Err(Reject::Forbidden(_))));
    keep_up(&world);
    assert_eq!(said(&world, &room_id), Vec::<String>::new());
    assert_eq!((count(&world, &ada), count(&world, &bob)), (0, 0), "and it is dropped");
}

#[test]
fn state_that_somebody_else_sets_meanwhile_is_not_overwritten() {
    let (world, ada, bob, room_id) = scene();
    let topic = |name: &str| Schedule {
        event_type: "m.room.topic".to_owned(),
        state_key: Some(String::new()),
        txn_id: None,
        content: to_raw_value(&json!({ "topic": name })).unwrap(),
        ..command(&ada, &room_id, name, 1_000)
    };
    let set = |person: &Person, event_type: &str, content: serde_json::Value| {
        let command = SendState {
            sender: person.user_id.clone(),
            room_id: room_id.clone(),
            event_type: event_type.into(),
            state_key: String::new(),
            content: to_raw_value(&content).unwrap(),
            timestamp: None,
        };
        world.run(|cx| send_state(cx, &command)).unwrap()
    };
    let now = || {
        let pdu = world.read(|cx| state_event(cx, &room_id, &"m.room.topic".into(), "")).unwrap();
        pdu.and_then(|pdu| pdu.content_field::<String>("topic"))
    };
    set(&ada, "m.room.power_levels", json!({ "users": { ada.user_id.as_str(): 100, bob.user_id.as_str(): 100 } }));
    wait(&world, &topic("ada's, later")).unwrap();
    world.advance(500);
    set(&ada, "m.room.topic", json!({ "topic": "ada's, now" }));
    world.advance(500);
    keep_up(&world);
    assert_eq!(now().as_deref(), Some("ada's, later"), "one's own doesn't count");
    wait(&world, &topic("ada's, too late")).unwrap();
    world.advance(500);
    set(&bob, "m.room.topic", json!({ "topic": "bob's" }));
    assert_eq!(count(&world, &ada), 0);
    world.advance(500);
    keep_up(&world);
    assert_eq!(now().as_deref(), Some("bob's"));
}
