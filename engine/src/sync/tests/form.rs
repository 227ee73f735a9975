//! How the answer is written: by the filter, and with the state under the name it was asked by.

use serde_json::{Value, json};

use super::{Ask, first, joined, next, sync};
use crate::{
    room::membership::Action,
    sync::v3,
    testing::{pair, state, words},
};

#[test]
fn a_filter_says_how_events_are_written() {
    let (world, ada, bob, room_id) = pair();
    let token = next(&first(&world, &bob));
    state(&world, &ada, &room_id, "m.room.topic", "", json!({ "topic": "tea" }));
    world.say(&ada, &room_id, "hello");
    let ask = |filter: Value| {
        let answer = sync(&world, &bob, &Ask { since: Some(&token), filter, ..Ask::default() });
        joined(&answer, &room_id).clone()
    };
    let hidden = json!({ "timeline": { "not_types": ["m.room.topic"] } });
    let plain = ask(json!({ "room": hidden }));
    let full = ask(json!({ "event_format": "federation", "room": hidden }));
    let few = ask(json!({ "event_fields": ["content.topic", "content.body", r"content.no\.thing"], "room": hidden }));
    for place in ["timeline", "state"] {
        let (plain, full) = (&plain[place]["events"][0], &full[place]["events"][0]);
        for name in ["auth_events", "prev_events", "depth", "hashes", "signatures", "room_id"] {
            assert!(plain.get(name).is_none() && !full[name].is_null(), "{name} in {place}");
        }
        for name in ["content", "event_id", "origin_server_ts", "sender", "type"] {
            assert_eq!(plain[name], full[name], "{name} in {place}");
        }
    }
    assert_eq!(few["timeline"]["events"], json!([{ "content": { "body": "hello" } }]));
    assert_eq!(few["state"]["events"], json!([{ "content": { "topic": "tea" } }]));
}

#[test]
fn the_state_after_a_timeline_is_whole_with_lazy_members_too() {
    let (world, ada, bob, room_id) = pair();
    let form = v3::Form { state: v3::StateKey::After, threads: false };
    let filter = json!({ "room": { "state": { "lazy_load_members": true } } });
    let ask = |since: Option<&str>| {
        let answer = sync(&world, &bob, &Ask { since, filter: filter.clone(), form, ..Ask::default() });
        (next(&answer), words(&joined(&answer, &room_id)["state_after"]["events"]))
    };
    let (token, all) = ask(None);
    for expected in ["m.room.create/", "m.room.member/@ada:example.org", "m.room.member/@bob:example.org"] {
        assert!(all.contains(&expected.to_owned()), "{all:?}");
    }
    state(&world, &ada, &room_id, "m.room.topic", "", json!({ "topic": "one" }));
    state(&world, &ada, &room_id, "m.room.topic", "", json!({ "topic": "two" }));
    let (token, changed) = ask(Some(&token));
    assert_eq!(changed, ["m.room.member/@ada:example.org", "m.room.topic/"], "the latest topic, and who set it");
    world.say(&ada, &room_id, "hello");
    let (token, redundant) = ask(Some(&token));
    assert_eq!(redundant, ["m.room.member/@ada:example.org"], "the sender, whether or not the client has them");
    world.member(&bob, &room_id, Action::Leave);
    let left = sync(&world, &bob, &Ask { since: Some(&token), filter, form, ..Ask::default() });
    let left = &left["rooms"]["leave"][room_id.as_str()];
    assert_eq!(
        (words(&left["state_after"]["events"]), left.get("state")),
        (vec!["m.room.member/@bob:example.org".to_owned()], None)
    );
}
