//! Whoever was away for longer than the change index reaches back, where some of it is kept for longer than that (D11).

use serde_json::json;

use super::{first, joined, next, since, timeline};
use crate::{
    room::membership::Action,
    testing::{Clinic, LIFETIME_MS, clinic, state, words},
};

#[test]
fn what_is_kept_for_longer_is_told_and_what_expired_in_between_leaves_a_gap() {
    let Clinic { world, ada, abe, bob, .. } = clinic();
    let room_id = world.room(&ada, &[&abe]);
    world.member(&abe, &room_id, Action::Join);
    world.say(&ada, &room_id, "known");
    let token = next(&first(&world, &abe));
    world.advance(1_000);
    world.say(&ada, &room_id, "missed");
    // With somebody whose account keeps text for L: what happens now is gone when Abe is back, but for the state.
    world.act(&ada.user_id, &bob.user_id, &room_id, Action::Invite).expect("invited");
    world.member(&bob, &room_id, Action::Join);
    world.say(&bob, &room_id, "lost");
    state(&world, &ada, &room_id, "m.room.topic", "", json!({ "topic": "tea" }));
    world.advance(2 * LIFETIME_MS);
    world.say(&ada, &room_id, "new");
    let answer = since(&world, &abe, &token);
    let room = joined(&answer, &room_id);
    assert_eq!(timeline(room), ["missed", "new"]);
    assert_eq!(room["timeline"]["limited"], json!(true), "something between them is gone");
    let state = words(&room["state"]["events"]);
    for expected in ["m.room.member/@bob:example.org", "m.room.topic/"] {
        assert!(state.iter().any(|word| word == expected), "{expected} in {state:?}");
    }
    assert!(words(&joined(&since(&world, &abe, &next(&answer)), &room_id)["timeline"]["events"]).is_empty());
}
