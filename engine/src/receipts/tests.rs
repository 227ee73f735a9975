//! What a receipt may be; what it does is tested with `/sync`.

use super::{Receipt, SetReceipts, set_receipts};
use crate::{Reject, room::membership::Action, tables::UserKind, testing::World};

#[test]
fn a_receipt_has_to_be_one() {
    let world = World::new();
    let ada = world.user("ada", UserKind::Plain, "ADA");
    let eve = world.user("eve", UserKind::Plain, "EVE");
    let room_id = world.room(&ada, &[]);
    let event_id = world.say(&ada, &room_id, "hello");
    let set = |person: &crate::testing::Person, receipt_type: &str, thread_id: Option<&str>, event_id: &ruma::EventId| {
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
