//! What a receipt may be; what it does is tested with `/sync`.

use journal::Timestamp;
use ruma::RoomId;
use serde_json::json;

use super::{Receipt, SetReceipts, fully_read, next_end, receipt_events, set_receipts, tell_ends, unread};
use crate::{
    Reject,
    changes::Change,
    room::membership::Action,
    tables::{self, UserKind},
    testing::{LIFETIME_MS, Person, World, pair, send},
};

#[test]
fn a_receipt_has_to_be_one() {
    let world = World::new();
    let ada = world.user("ada", UserKind::Plain, "ADA");
    let eve = world.user("eve", UserKind::Plain, "EVE");
    let room_id = world.room(&ada, &[]);
    let event_id = world.say(&ada, &room_id, "hello");
    let set = |person: &Person, receipt_type: &str, thread_id: Option<&str>, event_id: &ruma::EventId| {
        let receipt = Receipt {
            receipt_type: receipt_type.to_owned(),
            event_id: event_id.to_owned(),
            thread_id: thread_id.map(str::to_owned),
        };
        let command = SetReceipts { user_id: person.user_id.clone(), room_id: room_id.clone(), receipts: vec![receipt] };
        world.run(|cx| set_receipts(cx, &command))
    };
    assert_eq!(set(&ada, "m.read", None, &event_id), Ok(()));
    assert_eq!(set(&ada, "m.read", Some("main"), &event_id), Ok(()));
    assert_eq!(set(&ada, "m.read", None, ruma::event_id!("$unknown")), Ok(()), "clients repeat what fails");
    assert!(matches!(set(&ada, "m.read", Some(""), &event_id), Err(Reject::InvalidParam(_))));
    assert!(matches!(set(&ada, "m.fully_read", Some("main"), &event_id), Err(Reject::InvalidParam(_))));
    assert!(matches!(set(&ada, "m.unread", None, &event_id), Err(Reject::InvalidParam(_))));
    assert!(matches!(set(&eve, "m.read", None, &event_id), Err(Reject::Forbidden(_))));
    world.member(&ada, &room_id, Action::Leave);
    assert!(matches!(set(&ada, "m.read", None, &event_id), Err(Reject::Forbidden(_))));
}

/// How often a user's `/sync` has been told of receipts and counts in any room.
fn told(world: &World, person: &Person) -> usize {
    let changes = world.read(|cx| {
        let rows = tables::CHANGES.scan(cx.view, &(cx.user(&person.user_id),));
        rows.map(|row| row.map(|(_, row)| row.value)).collect::<Result<Vec<_>, _>>()
    });
    changes.expect("reads").iter().filter(|change| matches!(change, Change::Receipts { .. })).count()
}

fn count(world: &World, person: &Person, room_id: &RoomId) -> u64 {
    world.read(|cx| unread(cx, &person.user_id, room_id)).expect("reads").total().notification_count
}

#[test]
fn whoever_has_not_read_what_expires_is_told() {
    let world = World::new();
    let (ada, bob) = (world.user("ada", UserKind::Plain, "ADA"), world.user("bob", UserKind::Plain, "BOB"));
    let eve = world.user("eve", UserKind::Plain, "EVE");
    let room_id = world.room(&ada, &[&bob, &eve]);
    world.member(&bob, &room_id, Action::Join);
    world.member(&eve, &room_id, Action::Join);
    world.advance(1_000);
    let one = world.say(&ada, &room_id, "one");
    world.advance(1_000);
    world.say(&ada, &room_id, "two");
    let receipt = Receipt { receipt_type: "m.read.private".to_owned(), event_id: one, thread_id: None };
    let command = SetReceipts { user_id: bob.user_id.clone(), room_id: room_id.clone(), receipts: vec![receipt] };
    world.run(|cx| set_receipts(cx, &command)).expect("read");
    let before = (told(&world, &ada), told(&world, &bob), told(&world, &eve));
    assert_eq!((count(&world, &bob, &room_id), count(&world, &eve, &room_id)), (1, 3));
    let start = Timestamp::from_ms(0);
    let tell = || world.run(|cx| tell_ends(cx, start, 100)).expect("told").0;
    assert_eq!(tell(), 0);

    world.advance(LIFETIME_MS - 2_000);
    assert_eq!(tell(), 2, "the invitations");
    assert_eq!(count(&world, &eve, &room_id), 2);
    let eve_told = told(&world, &eve);
    assert!(eve_told > 0);
    world.advance(1_000);
    assert_eq!(tell(), 1, "the first message");
    assert_eq!(told(&world, &bob), before.1, "who has read it is told nothing, though the receipt has gone with it");
    assert_eq!((count(&world, &bob, &room_id), count(&world, &eve, &room_id)), (1, 1));
    assert_eq!(told(&world, &eve), eve_told + 1);
    world.advance(1_000);
    assert_eq!(world.read(|cx| next_end(cx, start)).expect("reads"), Some(world.now()));
    assert_eq!(tell(), 1);
    assert_eq!(world.read(|cx| next_end(cx, start)).expect("reads"), None);
    assert_eq!((count(&world, &bob, &room_id), count(&world, &eve, &room_id)), (0, 0));
    assert!(told(&world, &bob) > 0);
    assert_eq!(told(&world, &ada), 0, "who sent them never had them unread");
}

#[test]
fn what_was_read_stays_read_when_the_edit_that_was_read_last_goes_before_it() {
    let (world, ada, bob, room_id) = pair();
    let one = world.say(&ada, &room_id, "one");
    world.advance(1_000);
    world.say(&ada, &room_id, "two");
    world.advance(1_000);
    let edit = json!({ "body": "* uno", "m.new_content": { "body": "uno" }, "m.relates_to": { "rel_type": "m.replace", "event_id": one } });
    let edit = send(&world, &ada, &room_id, "m.room.message", edit);
    for receipt_type in ["m.read", "m.fully_read"] {
        let receipt = Receipt { receipt_type: receipt_type.to_owned(), event_id: edit.clone(), thread_id: None };
        let command = SetReceipts { user_id: bob.user_id.clone(), room_id: room_id.clone(), receipts: vec![receipt] };
        world.run(|cx| set_receipts(cx, &command)).expect("read");
    }
    let shown = || {
        let receipts = world.read(|cx| receipt_events(cx, &room_id, &ada.user_id, None)).expect("reads");
        (receipts.len(), world.read(|cx| fully_read(cx, &bob.user_id, &room_id)).expect("reads").is_some())
    };
    assert_eq!((count(&world, &bob, &room_id), shown()), (0, (1, true)));
    world.advance(LIFETIME_MS - 2_000);
    assert_eq!(
        (count(&world, &bob, &room_id), shown()),
        (0, (0, false)),
        "the message that was never edited is not new again"
    );
    world.advance(2_000);
    assert_eq!(count(&world, &bob, &room_id), 0);
}
