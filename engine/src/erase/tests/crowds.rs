//! Rooms of so many people that their erasure takes several steps.

use super::*;

/// People who are in a room, as far as an erasure is concerned.
fn crowd(world: &World, room_id: &RoomId, count: usize) -> Vec<ruma::OwnedUserId> {
    let names = (0..count).map(|number| UserId::parse(format!("@crowd{number}:example.org")).unwrap());
    let user_ids: Vec<_> = names.collect();
    world
        .run(|cx| {
            let mut draft = Draft::new(*cx);
            for user_id in &user_ids {
                let (room, user) = (cx.room(room_id), cx.user(user_id));
                let row = tables::UserRow::new(user_id.clone(), UserKind::Plain, cx.now());
                tables::USERS.put(&mut draft.batch, &(user,), &row);
                let (user_id, membership) = (user_id.clone(), MembershipState::Join);
                let row = tables::MembershipRow {
                    room_id: room_id.to_owned(),
                    membership: membership.clone(),
                    index: 0,
                    sender: user_id.clone(),
                    stripped_state: Vec::new(),
                };
                tables::MEMBERSHIPS.put(&mut draft.batch, &(user, room), &row);
                let row = tables::MemberRow { user_id, membership, index: 0, display_name: None, avatar_url: None };
                tables::MEMBERS.put(&mut draft.batch, &(room, user), &row);
            }
            Ok(draft.commit(()))
        })
        .unwrap();
    user_ids
}

#[test]
fn however_many_are_in_a_room_all_are_out_of_it_at_once_and_hear_of_it() {
    const CROWD: usize = 4_000;
    let world = World::new();
    let ada = world.user("ada", UserKind::Plain, "A");
    let room_id = world.room(&ada, &[]);
    let user_ids = crowd(&world, &room_id, CROWD);
    let late = batch_of(
        world
            .decide(&|cx| {
                crate::room::send::send_event(
                    cx,
                    &crate::testing::event(
                        &ada,
                        &room_id,
                        "m.room.message",
                        "late",
                        &json!({ "msgtype": "m.text", "body": "late" }),
                    ),
                )
            })
            .unwrap(),
    );
    let changes = || world.read(|cx| tables::CHANGES.count(cx.view, &())).unwrap();
    let before = changes();
    world.run(|cx| erase_room(cx, &room_id)).unwrap();
    assert!(is_conflict(&world, late));
    for user_id in user_ids.iter().chain([&ada.user_id]) {
        assert!(world.read(|cx| crate::room::joined_rooms(cx, user_id)).unwrap().is_empty());
    }
    carry_out(&world);
    assert_eq!(tables_with(&world, room_id.as_str()), told());
    let heard = world.read(|cx| tables::DEPARTURES.count(cx.view, &())).unwrap();
    assert_eq!(usize::try_from(heard).unwrap(), CROWD + 1);
    assert_eq!(changes() - before, heard, "each once");
    assert!(world.read(|cx| crate::room::members(cx, &room_id)).unwrap().is_empty());
}

#[test]
fn a_user_who_takes_a_large_room_along_hears_nothing_of_it() {
    let world = World::new();
    let (ada, bob) = (world.user("ada", UserKind::Plain, "A"), world.user("bob", UserKind::Plain, "B"));
    let room_id = world.room(&bob, &[&ada]);
    crowd(&world, &room_id, 1_000);
    let batch = world.decide(&|cx| {
        let mut draft = Draft::new(*cx);
        super::room::begin(&mut draft, &room_id, Some(&ada.user_id))?;
        Ok(draft.commit(()))
    });
    assert!(matches!(world.journal.commit_now(batch_of(batch.unwrap())).unwrap(), journal::Outcome::Committed(_)));
    carry_out(&world);
    let heard = world.read(|cx| tables::DEPARTURES.exists(cx.view, &(cx.user(&ada.user_id), cx.room(&room_id))));
    assert!(!heard.unwrap());
    assert_eq!(world.read(|cx| tables::DEPARTURES.count(cx.view, &())).unwrap(), 1_001);
}
