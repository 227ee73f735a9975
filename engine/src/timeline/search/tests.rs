//! Searching, on a server in memory.

use ruma::{EventId, RoomId};
use serde_json::{Value, json, value::to_raw_value};

use super::{INDEXED_WORDS_MAX, PAGE_MAX, SearchRequest};
use crate::{
    account::{NewAccountData, set_account_data},
    room::{
        membership::Action,
        redact::{RedactEvent, redact_event},
        send::send_event,
    },
    tables::{self, UserKind},
    testing::{LIFETIME_MS, Person, World, event, pair, send, state},
};

fn search_from(world: &World, person: &Person, criteria: Value, next_batch: Option<&str>) -> Value {
    let request: SearchRequest = serde_json::from_value(criteria).unwrap();
    let results = world.read(|cx| super::search(cx, &person.requester(), &request, next_batch)).unwrap();
    serde_json::to_value(&results).unwrap()
}

fn search(world: &World, person: &Person, criteria: Value) -> Value {
    search_from(world, person, criteria, None)
}

/// The texts of the results, and that as many are counted.
fn find(world: &World, person: &Person, term: &str) -> Vec<String> {
    let found = search(world, person, json!({ "search_term": term, "order_by": "recent" }));
    let bodies = bodies(&found);
    assert_eq!(found["count"], json!(bodies.len()), "{term}");
    bodies
}

fn bodies(found: &Value) -> Vec<String> {
    texts(found["results"].as_array().unwrap().iter().map(|result| &result["result"]))
}

fn texts<'v>(events: impl Iterator<Item = &'v Value>) -> Vec<String> {
    let text =
        |content: &Value| ["body", "name", "topic"].iter().find_map(|field| content[field].as_str().map(str::to_owned));
    events.map(|event| text(&event["content"]).unwrap_or_else(|| event["type"].to_string())).collect()
}

fn redact(world: &World, person: &Person, room_id: &RoomId, event_id: &EventId) {
    let command = RedactEvent {
        sender: person.user_id.clone(),
        device_id: None,
        room_id: room_id.to_owned(),
        event_id: event_id.to_owned(),
        txn_id: format!("redact {event_id}").into(),
        reason: None,
    };
    world.run(|cx| redact_event(cx, &command)).unwrap();
}

fn rows(world: &World) -> u64 {
    world.read(|cx| tables::SEARCH_WORDS.count(cx.view, &())).unwrap()
}

#[test]
fn events_are_found_by_all_their_words() {
    let (world, ada, bob, room_id) = pair();
    for body in
        ["Message number 3", "Message number 4", "Où est l'hôpital ?", "東京で会いましょう", "message 4 of 4: Straße"]
    {
        world.say(&ada, &room_id, body);
    }
    let cases: [(&str, &[&str]); 12] = [
        ("Message 4", &["message 4 of 4: Straße", "Message number 4"]),
        ("message", &["message 4 of 4: Straße", "Message number 4", "Message number 3"]),
        ("number 3 message number", &["Message number 3"]),
        ("NUMBER", &["Message number 4", "Message number 3"]),
        ("numb", &[]),
        ("number 5", &[]),
        ("ou hopital", &["Où est l'hôpital ?"]),
        ("HÔPITAL!", &["Où est l'hôpital ?"]),
        ("strasse", &["message 4 of 4: Straße"]),
        ("京", &["東京で会いましょう"]),
        ("", &[]),
        (" ?! ", &[]),
    ];
    for (term, expected) in cases {
        assert_eq!(find(&world, &bob, term), expected, "{term}");
    }
}

#[test]
fn the_keys_say_where_a_word_is_looked_for() {
    let (world, ada, bob, room_id) = pair();
    world.say(&ada, &room_id, "a harbour in a message");
    state(&world, &ada, &room_id, "m.room.name", "", json!({ "name": "The harbour room" }));
    state(&world, &ada, &room_id, "m.room.topic", "", json!({ "topic": "About the harbour" }));
    let by =
        |keys: Value| bodies(&search(&world, &bob, json!({ "search_term": "harbour", "order_by": "recent", "keys": keys })));
    assert_eq!(by(json!(["content.body"])), ["a harbour in a message"]);
    assert_eq!(by(json!(["content.name"])), ["The harbour room"]);
    assert_eq!(by(json!(["content.topic", "content.name"])), ["About the harbour", "The harbour room"]);
    assert_eq!(find(&world, &bob, "harbour").len(), 3, "everywhere, if it is not said");
}

#[test]
fn the_filter_leaves_out_and_chooses() {
    let (world, ada, bob, room_id) = pair();
    let other = world.room(&bob, &[]);
    world.say(&ada, &room_id, "tea from ada");
    world.say(&bob, &room_id, "tea from bob");
    world.say(&bob, &other, "tea elsewhere");
    send(&world, &bob, &room_id, "org.example.order", json!({ "body": "tea ordered", "url": "mxc://a/b" }));
    let all = ["tea ordered", "tea elsewhere", "tea from bob", "tea from ada"];
    let cases: [(Value, &[usize]); 10] = [
        (json!({}), &[0, 1, 2, 3]),
        (json!({ "rooms": [other] }), &[1]),
        (json!({ "rooms": [other, room_id], "not_rooms": [other] }), &[0, 2, 3]),
        (json!({ "rooms": [] }), &[]),
        (json!({ "senders": [ada.user_id] }), &[3]),
        (json!({ "not_senders": [bob.user_id] }), &[3]),
        (json!({ "types": ["org.*"] }), &[0]),
        (json!({ "not_types": ["m.room.message"] }), &[0]),
        (json!({ "contains_url": false }), &[1, 2, 3]),
        (json!({ "limit": 0 }), &[]),
    ];
    for (filter, expected) in cases {
        let found = search(&world, &bob, json!({ "search_term": "tea", "order_by": "recent", "filter": filter }));
        let expected: Vec<_> = expected.iter().map(|index| all[*index]).collect();
        assert_eq!(bodies(&found), expected, "{filter}");
    }
}

#[test]
fn only_what_the_reader_may_read_is_found_and_counted() {
    let (world, ada, bob, room_id) = pair();
    let eve = world.user("eve", UserKind::Plain, "EVE");
    state(&world, &ada, &room_id, "m.room.history_visibility", "", json!({ "history_visibility": "joined" }));
    world.say(&ada, &room_id, "secret one");
    let named = |person| search(&world, person, json!({ "search_term": "secret", "filter": { "rooms": [room_id] } }));
    assert_eq!((named(&eve)["count"].clone(), named(&eve)["results"].clone()), (json!(0), json!([])));
    assert_eq!(find(&world, &eve, "secret"), [""; 0]);

    let mallory = world.user("mallory", UserKind::Plain, "MALLORY");
    state(&world, &ada, &room_id, "m.room.member", mallory.user_id.as_str(), json!({ "membership": "invite" }));
    assert_eq!(find(&world, &mallory, "secret"), [""; 0], "invited is not in it");
    world.member(&mallory, &room_id, Action::Join);
    assert_eq!(find(&world, &mallory, "secret"), [""; 0], "what was said before was not said to them");
    world.say(&ada, &room_id, "secret two");
    assert_eq!(find(&world, &mallory, "secret"), ["secret two"]);
    world.member(&mallory, &room_id, Action::Leave);
    world.say(&ada, &room_id, "secret three");
    assert_eq!(find(&world, &mallory, "secret"), ["secret two"], "what was said after they left was not");
    assert_eq!(find(&world, &bob, "secret"), ["secret three", "secret two", "secret one"]);

    let list = json!({ "ignored_users": { (ada.user_id.as_str()): {} } });
    let data = NewAccountData {
        user_id: bob.user_id.clone(),
        room_id: None,
        event_type: "m.ignored_user_list".into(),
        content: to_raw_value(&list).unwrap(),
    };
    world.run(|cx| set_account_data(cx, &data)).unwrap();
    assert_eq!(find(&world, &bob, "secret"), [""; 0], "whom one ignores one does not find");
}

#[test]
fn what_was_redacted_or_has_expired_is_not_found_and_leaves_no_words() {
    let (world, ada, bob, room_id) = pair();
    let before = rows(&world);
    let redacted = world.say(&ada, &room_id, "This message is going to be redacted");
    world.say(&ada, &room_id, "This message is not going to be redacted");
    redact(&world, &ada, &room_id, &redacted);
    assert_eq!(find(&world, &bob, "redacted"), ["This message is not going to be redacted"]);
    assert_eq!(rows(&world) - before, 8, "the words of the one that is left");
    world.advance(LIFETIME_MS - 1);
    assert_eq!(find(&world, &bob, "redacted").len(), 1);
    world.advance(1);
    assert_eq!((find(&world, &bob, "redacted").len(), rows(&world)), (0, 0));
}

#[test]
fn encrypted_events_are_not_indexed() {
    let (world, ada, bob, room_id) = pair();
    let before = rows(&world);
    let content =
        json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgAEnAC", "session_id": "s", "body": "leaked" });
    send(&world, &ada, &room_id, "m.room.encrypted", content);
    send(&world, &ada, &room_id, "org.example.odd", json!({ "body": ["leaked"], "name": { "leaked": 1 }, "topic": null }));
    assert_eq!((rows(&world), find(&world, &bob, "leaked")), (before, vec![]));
}

#[test]
fn a_word_is_readable_in_no_key_and_differs_by_room() {
    let (world, ada, _, room_id) = pair();
    let other = world.room(&ada, &[]);
    let keys = |room_id: &RoomId| {
        let content = json!({ "msgtype": "m.text", "body": "confidential" });
        let command = event(&ada, room_id, "m.room.message", "one", &content);
        let crate::Decision::Commit { batch, .. } = world.decide(&|cx| send_event(cx, &command)).unwrap() else {
            panic!("a message is a change")
        };
        let key = |op: &journal::Op| match op {
            journal::Op::Put { table, key, .. } | journal::Op::Delete { table, key } => (table.name, key.clone()),
        };
        batch.ops().iter().map(key).collect::<Vec<_>>()
    };
    let (here, there) = (keys(&room_id), keys(&other));
    for (table, key) in here.iter().chain(&there) {
        assert!(!key.windows(6).any(|bytes| bytes.eq_ignore_ascii_case(b"confid")), "{table}");
    }
    let word = |keys: &[(&str, Vec<u8>)]| {
        keys.iter().find(|(table, _)| *table == "search_words").map(|(_, key)| key[..16].to_vec()).unwrap()
    };
    assert_ne!(word(&here), word(&there));
}

#[test]
fn the_words_of_one_event_are_bounded() {
    let (world, ada, bob, room_id) = pair();
    let before = rows(&world);
    let body: Vec<String> = (0..INDEXED_WORDS_MAX + 100).map(|number| format!("w{number}")).collect();
    world.say(&ada, &room_id, &body.join(" "));
    assert_eq!(rows(&world) - before, u64::try_from(INDEXED_WORDS_MAX).unwrap());
    assert_eq!(find(&world, &bob, "w0 w499").len(), 1);
    assert_eq!(find(&world, &bob, "w500").len(), 0);
}

#[test]
fn pages_go_on_until_one_is_empty() {
    let (world, ada, bob, room_id) = pair();
    let said: Vec<String> = (0..20).map(|number| format!("Message number {number}")).collect();
    for body in &said {
        world.say(&ada, &room_id, body);
    }
    let criteria =
        |limit: usize, order: &str| json!({ "search_term": "Message", "order_by": order, "filter": { "limit": limit } });
    for (limit, order) in [(10, "recent"), (7, "recent"), (10, "rank"), (PAGE_MAX + 1, "recent")] {
        let (mut next_batch, mut all): (Option<String>, Vec<String>) = (None, Vec::new());
        loop {
            let page = search_from(&world, &bob, criteria(limit, order), next_batch.as_deref());
            assert_eq!(page["count"], json!(20), "on every page");
            all.extend(bodies(&page));
            next_batch = page["next_batch"].as_str().map(str::to_owned);
            assert_eq!(next_batch.is_some(), bodies(&page).len() == limit, "a full page may not be the last");
            if next_batch.is_none() {
                break;
            }
        }
        all.reverse();
        assert_eq!(all, said, "{limit} by {order}");
    }
    let invalid = world.read(|cx| {
        let request = serde_json::from_value(criteria(1, "recent")).unwrap();
        super::search(cx, &bob.requester(), &request, Some("s1_1_2_3"))
    });
    assert!(matches!(invalid, Err(crate::Stop::Reject(crate::Reject::InvalidParam(_)))));
}

#[test]
fn by_rank_the_events_that_are_most_of_the_words_come_first() {
    let (world, ada, bob, room_id) = pair();
    for body in ["tea", "tea with a lot of milk and sugar", "tea and tea"] {
        world.say(&ada, &room_id, body);
    }
    let found = search(&world, &bob, json!({ "search_term": "tea" }));
    assert_eq!(bodies(&found), ["tea", "tea and tea", "tea with a lot of milk and sugar"]);
    let ranks: Vec<f64> =
        found["results"].as_array().unwrap().iter().map(|result| result["rank"].as_f64().unwrap()).collect();
    assert_eq!(ranks, [1.0, 2.0 / 3.0, 0.125]);
}

#[test]
fn results_are_grouped_and_each_group_goes_on_by_itself() {
    let (world, ada, bob, room_id) = pair();
    let other = world.room(&bob, &[]);
    for number in 0..3 {
        world.say(&ada, &room_id, &format!("tea {number}"));
        world.say(&bob, &room_id, &format!("tea and cake {number}"));
        world.say(&bob, &other, &format!("tea alone {number}"));
    }
    let groupings = json!({ "group_by": [{ "key": "room_id" }, { "key": "sender" }] });
    let criteria = json!({ "search_term": "tea", "order_by": "recent", "filter": { "limit": 4 }, "groupings": groupings });
    let first = search(&world, &bob, criteria.clone());
    assert_eq!(bodies(&first), ["tea alone 2", "tea and cake 2", "tea 2", "tea alone 1"]);
    let event_id = |index: usize| first["results"][index]["result"]["event_id"].clone();
    let by_room = &first["groups"]["room_id"];
    assert_eq!(by_room[other.as_str()]["results"], json!([event_id(0), event_id(3)]));
    assert_eq!(by_room[room_id.as_str()]["results"], json!([event_id(1), event_id(2)]));
    assert_eq!((&by_room[other.as_str()]["order"], &by_room[room_id.as_str()]["order"]), (&json!(0), &json!(1)));
    let next = by_room[room_id.as_str()]["next_batch"].as_str().unwrap();
    let second = search_from(&world, &bob, criteria.clone(), Some(next));
    assert_eq!(bodies(&second), ["tea and cake 1", "tea 1", "tea and cake 0", "tea 0"], "nothing of the other room");
    let third = search_from(&world, &bob, criteria.clone(), second["next_batch"].as_str());
    assert_eq!((bodies(&third), third.get("next_batch")), (vec![], None), "nor on its next page");
    let by_ada = first["groups"]["sender"][ada.user_id.as_str()]["next_batch"].as_str().unwrap();
    let of_ada = search_from(&world, &bob, criteria, Some(by_ada));
    assert_eq!(bodies(&of_ada), ["tea 1", "tea 0"]);
    assert_eq!(of_ada["groups"]["sender"][ada.user_id.as_str()].get("next_batch"), None, "that was all");
}

#[test]
fn a_result_comes_with_what_stood_around_it() {
    let (world, ada, bob, room_id) = pair();
    for number in 1..=7 {
        world.say(if number % 2 == 0 { &ada } else { &bob }, &room_id, &format!("Message number {number}"));
    }
    let context = json!({ "before_limit": 2, "after_limit": 2, "include_profile": true });
    let criteria = json!({ "search_term": "MESSAGE 4", "event_context": context, "include_state": true });
    let found = search(&world, &bob, criteria);
    let context = &found["results"][0]["context"];
    let around = |side: &str| texts(context[side].as_array().unwrap().iter());
    assert_eq!(around("events_before"), ["Message number 3", "Message number 2"]);
    assert_eq!(around("events_after"), ["Message number 5", "Message number 6"]);
    assert!(context["start"].is_string() && context["end"].is_string());
    let people: Vec<&String> = context["profile_info"].as_object().unwrap().keys().collect();
    assert_eq!(people, ["@ada:example.org", "@bob:example.org"]);
    assert_eq!(found["highlights"], json!(["4", "message"]));
    let state = found["state"][room_id.as_str()].as_array().unwrap();
    assert!(state.iter().any(|event| event["type"] == "m.room.create"));
    let plain = search(&world, &bob, json!({ "search_term": "4" }));
    assert_eq!((plain.get("state"), plain["results"][0].get("context"), plain.get("groups")), (None, None, None));
}
