//! What `/sync` says, on a server in memory.

use ruma::{OwnedEventId, RoomId};
use serde_json::{Value, json, value::to_raw_value};

use super::{Filter, SyncRequest, Token, collect, v3};
use crate::{
    receipts::{self, Receipt, SetReceipts},
    room::membership::Action,
    tables::UserKind,
    testing::{LIFETIME_MS, Nobody, Person, World, pair, send, state, words},
};

mod away;
mod form;

#[derive(Default)]
struct Ask<'a> {
    since: Option<&'a str>,
    filter: Value,
    full_state: bool,
    form: v3::Form,
}

fn sync(world: &World, person: &Person, ask: &Ask<'_>) -> Value {
    let filter: Filter =
        if ask.filter.is_null() { Filter::default() } else { serde_json::from_value(ask.filter.clone()).unwrap() };
    let request = SyncRequest {
        user_id: &person.user_id,
        device_id: Some(&person.device_id),
        since: ask.since.map(|since| Token::decode(since).unwrap()),
        filter: &filter,
        full_state: ask.full_state,
        state_after: ask.form.state != v3::StateKey::Before,
    };
    let collected = world.read(|cx| collect(cx, &request, &Nobody)).unwrap();
    serde_json::from_slice(&v3::write(&collected, ask.form)).unwrap()
}

fn first(world: &World, person: &Person) -> Value {
    sync(world, person, &Ask::default())
}

fn since(world: &World, person: &Person, token: &str) -> Value {
    sync(world, person, &Ask { since: Some(token), ..Ask::default() })
}

fn next(answer: &Value) -> String {
    answer["next_batch"].as_str().unwrap().to_owned()
}

fn joined<'v>(answer: &'v Value, room_id: &RoomId) -> &'v Value {
    &answer["rooms"]["join"][room_id.as_str()]
}

fn timeline(room: &Value) -> Vec<String> {
    words(&room["timeline"]["events"])
}

#[test]
fn a_first_sync_has_every_room_whole() {
    let (world, ada, bob, room_id) = pair();
    world.say(&ada, &room_id, "hello");
    let answer = first(&world, &bob);
    let room = joined(&answer, &room_id);
    let last = timeline(room);
    assert_eq!(last[last.len() - 2..], ["m.room.member/@bob:example.org".to_owned(), "hello".to_owned()]);
    let mut all = words(&room["state"]["events"]);
    all.extend(timeline(room));
    for wanted in ["m.room.create/", "m.room.power_levels/", "m.room.member/@ada:example.org"] {
        assert_eq!(all.iter().filter(|word| *word == wanted).count(), 1, "{wanted} once, in {all:?}");
    }
    assert_eq!(
        room["summary"],
        json!({
            "m.heroes": ["@ada:example.org"], "m.joined_member_count": 2, "m.invited_member_count": 0
        })
    );
    assert_eq!(
        room["unread_notifications"],
        json!({ "highlight_count": 0, "notification_count": 2 }),
        "the invite and the message"
    );
    assert!(
        answer["account_data"]["events"][0]["content"]["global"]["override"].is_array(),
        "push rules are told of unasked"
    );
    assert_eq!(answer["device_one_time_keys_count"], json!({ "signed_curve25519": 0 }));
    assert_eq!(answer["device_unused_fallback_key_types"], json!([]));
}

#[test]
fn a_message_is_all_that_a_later_sync_tells() {
    let (world, ada, bob, room_id) = pair();
    let other = world.room(&bob, &[]);
    let (ada_token, token) = (next(&first(&world, &ada)), next(&first(&world, &bob)));
    assert_eq!(since(&world, &bob, &token).get("rooms"), None, "nothing is new");
    let event_id = world.say(&ada, &room_id, "hello");
    let answer = since(&world, &bob, &token);
    assert_eq!(joined(&answer, &other), &Value::Null);
    let room = joined(&answer, &room_id);
    assert_eq!(timeline(room), ["hello"]);
    assert_eq!(room["timeline"]["limited"], json!(false));
    assert_eq!(room["state"]["events"], json!([]));
    assert_eq!(room.get("summary"), None);
    let event = &room["timeline"]["events"][0];
    assert_eq!(event["event_id"], json!(event_id));
    assert_eq!(event.get("room_id"), None, "the form of /sync");
    assert_eq!(event["unsigned"], json!({ "age": 0, "membership": "join" }), "no transaction id for others");
    let own = since(&world, &ada, &ada_token);
    assert!(joined(&own, &room_id)["timeline"]["events"][0]["unsigned"]["transaction_id"].is_string());
    let again = world.device(&ada.user_id, "OTHER");
    let elsewhere = since(&world, &again, &ada_token);
    assert_eq!(joined(&elsewhere, &room_id)["timeline"]["events"][0]["unsigned"].get("transaction_id"), None);
    assert_eq!(since(&world, &bob, &next(&answer)).get("rooms"), None);
}

#[test]
fn a_gap_is_told_and_its_state_with_it() {
    let (world, ada, bob, room_id) = pair();
    let token = next(&first(&world, &bob));
    state(&world, &ada, &room_id, "m.room.topic", "", json!({ "topic": "early" }));
    for number in 0..12 {
        world.say(&ada, &room_id, &format!("message {number}"));
    }
    state(&world, &ada, &room_id, "m.room.name", "", json!({ "name": "late" }));
    let room = joined(&since(&world, &bob, &token), &room_id).clone();
    assert_eq!(room["timeline"]["limited"], json!(true));
    assert_eq!(timeline(&room).first().unwrap(), "message 3");
    assert_eq!(timeline(&room).len(), 10);
    assert_eq!(words(&room["state"]["events"]), ["m.room.topic/"], "up to the start of the timeline");
    for (key, name) in
        [(v3::StateKey::After, "state_after"), (v3::StateKey::UnstableAfter, "org.matrix.msc4222.state_after")]
    {
        let form = v3::Form { state: key, threads: false };
        let answer = sync(&world, &bob, &Ask { since: Some(&token), form, ..Ask::default() });
        let room = joined(&answer, &room_id);
        assert_eq!(words(&room[name]["events"]), ["m.room.topic/", "m.room.name/"], "up to its end");
        assert_eq!(room.get("state"), None);
    }
}

#[test]
fn state_that_a_filter_hides_from_the_timeline_is_in_the_state() {
    let (world, ada, bob, room_id) = pair();
    let token = next(&first(&world, &bob));
    state(&world, &ada, &room_id, "m.room.topic", "", json!({ "topic": "hidden" }));
    world.say(&ada, &room_id, "shown");
    let filter = json!({ "room": { "timeline": { "types": ["m.room.message"] } } });
    let answer = sync(&world, &bob, &Ask { since: Some(&token), filter, ..Ask::default() });
    let room = joined(&answer, &room_id);
    assert_eq!(
        (timeline(room), words(&room["state"]["events"])),
        (vec!["shown".to_owned()], vec!["m.room.topic/".to_owned()])
    );
}

#[test]
fn what_a_timeline_replaces_is_told_as_it_was_before() {
    let (world, ada, bob, room_id) = pair();
    let token = next(&first(&world, &bob));
    state(&world, &ada, &room_id, "m.room.topic", "", json!({ "topic": "before" }));
    for number in 0..11 {
        world.say(&ada, &room_id, &format!("message {number}"));
    }
    state(&world, &ada, &room_id, "m.room.topic", "", json!({ "topic": "after" }));
    let room = joined(&since(&world, &bob, &token), &room_id).clone();
    assert_eq!(room["state"]["events"][0]["content"], json!({ "topic": "before" }));
    let shown = &room["timeline"]["events"][9];
    assert_eq!(
        (&shown["content"], &shown["unsigned"]["prev_content"]),
        (&json!({ "topic": "after" }), &json!({ "topic": "before" }))
    );
}

#[test]
fn a_room_goes_from_invite_to_join_to_leave() {
    let world = World::new();
    let ada = world.user("ada", UserKind::Plain, "ADA");
    let bob = world.user("bob", UserKind::Plain, "BOB");
    let token = next(&first(&world, &bob));
    let room_id = world.room(&ada, &[&bob]);

    let invited = since(&world, &bob, &token);
    let stripped = words(&invited["rooms"]["invite"][room_id.as_str()]["invite_state"]["events"]);
    assert!(stripped.contains(&"m.room.member/@bob:example.org".to_owned()), "{stripped:?}");
    assert_eq!(invited["device_lists"]["changed"], json!(["@ada:example.org"]));
    assert_eq!(since(&world, &bob, &next(&invited)).get("rooms"), None, "an invitation is told of once");

    world.member(&bob, &room_id, Action::Join);
    let entered = since(&world, &bob, &next(&invited));
    let room = joined(&entered, &room_id);
    assert_eq!(room["timeline"]["limited"], json!(true), "there is something before it");
    let mut all = words(&room["state"]["events"]);
    all.extend(timeline(room));
    assert!(all.contains(&"m.room.create/".to_owned()) && all.contains(&"m.room.member/@ada:example.org".to_owned()));

    world.member(&bob, &room_id, Action::Leave);
    world.say(&ada, &room_id, "after");
    let left = since(&world, &bob, &next(&entered));
    let room = &left["rooms"]["leave"][room_id.as_str()];
    assert_eq!(timeline(room), ["m.room.member/@bob:example.org"]);
    assert_eq!(room["state"]["events"], json!([]));
    assert_eq!(left["device_lists"]["left"], json!(["@ada:example.org"]));
    assert_eq!(since(&world, &bob, &next(&left)).get("rooms"), None);
    assert_eq!(first(&world, &bob).get("rooms"), None, "a first sync has left rooms only if asked");
    let asked = sync(&world, &bob, &Ask { filter: json!({ "room": { "include_leave": true } }), ..Ask::default() });
    assert!(!timeline(&asked["rooms"]["leave"][room_id.as_str()]).contains(&"after".to_owned()));
}

#[test]
fn a_room_forgotten_at_once_was_still_left() {
    let (world, _, bob, room_id) = pair();
    let token = next(&first(&world, &bob));
    world.member(&bob, &room_id, Action::Leave);
    world.run(|cx| crate::room::membership::forget(cx, &bob.user_id, &room_id)).unwrap();
    let answer = since(&world, &bob, &token);
    assert_eq!(timeline(&answer["rooms"]["leave"][room_id.as_str()]), ["m.room.member/@bob:example.org"]);
    let asked = sync(&world, &bob, &Ask { filter: json!({ "room": { "include_leave": true } }), ..Ask::default() });
    assert_eq!(asked.get("rooms"), None, "forgotten is forgotten");
}

#[test]
fn a_newcomer_sees_what_the_rooms_history_allows() {
    // (visibility, sees what was said before the invitation, between invitation and join)
    let cases = [("shared", true, true), ("invited", false, true), ("joined", false, false), ("world_readable", true, true)];
    for (visibility, before, between) in cases {
        let world = World::new();
        let ada = world.user("ada", UserKind::Plain, "ADA");
        let bob = world.user("bob", UserKind::Plain, "BOB");
        let room_id = world.room(&ada, &[]);
        state(&world, &ada, &room_id, "m.room.history_visibility", "", json!({ "history_visibility": visibility }));
        world.say(&ada, &room_id, "before");
        world.act(&ada.user_id, &bob.user_id, &room_id, Action::Invite).unwrap();
        world.say(&ada, &room_id, "between");
        world.member(&bob, &room_id, Action::Join);
        world.say(&ada, &room_id, "after");
        let seen = timeline(joined(&first(&world, &bob), &room_id));
        let sees = |text: &str| seen.contains(&text.to_owned());
        assert_eq!((sees("before"), sees("between"), sees("after")), (before, between, true), "{visibility}: {seen:?}");
    }
}

#[test]
fn members_are_loaded_lazily() {
    let (world, ada, bob, room_id) = pair();
    let eve = world.user("eve", UserKind::Plain, "EVE");
    world.act(&ada.user_id, &eve.user_id, &room_id, Action::Invite).unwrap();
    world.member(&eve, &room_id, Action::Join);
    for number in 0..12 {
        world.say(&ada, &room_id, &format!("message {number}"));
    }
    let filter = json!({ "room": { "state": { "lazy_load_members": true, "types": ["m.room.member"] }, "timeline": { "limit": 3 } } });
    let answer = sync(&world, &bob, &Ask { filter: filter.clone(), ..Ask::default() });
    let mut members = words(&joined(&answer, &room_id)["state"]["events"]);
    members.sort();
    // The sender, the reader, and whom the room is named after.
    assert_eq!(
        members,
        ["m.room.member/@ada:example.org", "m.room.member/@bob:example.org", "m.room.member/@eve:example.org"]
    );
    let name = json!({ "name": "named" });
    state(&world, &ada, &room_id, "m.room.name", "", name);
    let token = next(&answer);
    world.say(&eve, &room_id, "hello");
    let answer = sync(&world, &bob, &Ask { since: Some(&token), filter: filter.clone(), ..Ask::default() });
    let members = words(&joined(&answer, &room_id)["state"]["events"]);
    assert_eq!(members, ["m.room.member/@ada:example.org", "m.room.member/@eve:example.org"], "only who is seen");
    let whole = sync(&world, &bob, &Ask { filter, ..Ask::default() });
    assert_eq!(joined(&whole, &room_id)["summary"].get("m.heroes"), None, "a room with a name needs no heroes");
}

#[test]
fn who_is_ignored_is_not_heard() {
    let (world, ada, bob, room_id) = pair();
    let data = crate::account::NewAccountData {
        user_id: bob.user_id.clone(),
        room_id: None,
        event_type: "m.ignored_user_list".to_owned(),
        content: to_raw_value(&json!({ "ignored_users": { "@ada:example.org": {} } })).unwrap(),
    };
    let token = next(&first(&world, &bob));
    world.run(|cx| crate::account::set_account_data(cx, &data)).unwrap();
    let told = since(&world, &bob, &token);
    assert_eq!(told["account_data"]["events"][0]["type"], json!("m.ignored_user_list"));
    world.say(&ada, &room_id, "spam");
    state(&world, &ada, &room_id, "m.room.topic", "", json!({ "topic": "state is no message" }));
    let answer = since(&world, &bob, &next(&told));
    assert_eq!(timeline(joined(&answer, &room_id)), ["m.room.topic/"]);
    assert_eq!(
        joined(&answer, &room_id)["unread_notifications"]["notification_count"],
        json!(1),
        "the invitation, from before"
    );
    world.room(&ada, &[&bob]);
    assert_eq!(since(&world, &bob, &next(&answer))["rooms"].get("invite"), None, "nor heard of");
}

#[test]
fn deleted_account_data_is_told_to_who_knew_it_and_then_never_was() {
    let (world, ada, _, room_id) = pair();
    let put = |room_id: Option<&RoomId>, event_type: &str, content: Option<Value>| {
        let mut data = crate::account::deletion(&ada.user_id, room_id, event_type.to_owned());
        if let Some(content) = content {
            data.content = to_raw_value(&content).unwrap();
        }
        world.run(|cx| crate::account::set_account_data(cx, &data)).unwrap();
    };
    for room_id in [None, Some(&*room_id)] {
        put(room_id, "org.example", Some(json!({ "a": 1 })));
    }
    let before = next(&first(&world, &ada));
    for room_id in [None, Some(&*room_id)] {
        put(room_id, "org.example", None);
    }
    let gone = json!([{ "type": "org.example", "content": {} }]);
    let told = since(&world, &ada, &before);
    assert_eq!(told["account_data"]["events"], gone);
    assert_eq!(joined(&told, &room_id)["account_data"]["events"], gone);
    let anew = first(&world, &ada).to_string();
    assert!(!anew.contains("org.example"), "{anew}");
    let read = world.read(|cx| crate::account::account_data(cx, &ada.user_id, "org.example").map(drop));
    assert!(matches!(read, Err(crate::Stop::Reject(crate::Reject::NotFound(_)))));
    // A device's settings go with it.
    let phone = world.device(&ada.user_id, "PHONE");
    put(None, "m.local_notification_settings.PHONE", Some(json!({ "is_silenced": true })));
    world.run(|cx| crate::account::logout(cx, &phone.requester())).unwrap();
    assert!(!first(&world, &ada).to_string().contains("local_notification_settings"));
}

fn read(
    world: &World,
    person: &Person,
    room_id: &RoomId,
    receipt_type: &str,
    event_id: &OwnedEventId,
    thread: Option<&str>,
) {
    let receipt =
        Receipt { receipt_type: receipt_type.to_owned(), event_id: event_id.clone(), thread_id: thread.map(str::to_owned) };
    let command = SetReceipts { user_id: person.user_id.clone(), room_id: room_id.to_owned(), receipts: vec![receipt] };
    world.run(|cx| receipts::set_receipts(cx, &command)).unwrap();
}

#[test]
fn receipts_reach_others_and_counts_their_reader() {
    let (world, ada, bob, room_id) = pair();
    let one = world.say(&ada, &room_id, "one");
    let two = world.say(&ada, &room_id, "two");
    let (ada_token, bob_token) = (next(&first(&world, &ada)), next(&first(&world, &bob)));
    read(&world, &bob, &room_id, "m.read.private", &one, None);
    assert_eq!(since(&world, &ada, &ada_token).get("rooms"), None, "private receipts are nobody else's");
    let answer = since(&world, &bob, &bob_token);
    assert_eq!(joined(&answer, &room_id)["unread_notifications"]["notification_count"], json!(1));
    read(&world, &bob, &room_id, "m.read", &two, None);
    let answer = since(&world, &ada, &ada_token);
    let receipt = &joined(&answer, &room_id)["ephemeral"]["events"][0];
    assert_eq!(receipt["content"][two.as_str()]["m.read"]["@bob:example.org"]["ts"], json!(world.now()));
    assert_eq!(joined(&first(&world, &bob), &room_id)["unread_notifications"]["notification_count"], json!(0));
    read(&world, &bob, &room_id, "m.read", &one, None);
    assert_eq!(joined(&first(&world, &bob), &room_id)["unread_notifications"]["notification_count"], json!(0), "never back");
    read(&world, &bob, &room_id, "m.fully_read", &one, None);
    let marker = joined(&first(&world, &bob), &room_id)["account_data"]["events"].clone();
    assert_eq!(marker, json!([{ "type": "m.fully_read", "content": { "event_id": one } }]));
}

#[test]
fn threads_count_and_are_read_apart() {
    let (world, ada, bob, room_id) = pair();
    let root = world.say(&ada, &room_id, "root");
    let reply = |text: &str| {
        let relates_to = json!({ "rel_type": "m.thread", "event_id": root });
        send(
            &world,
            &ada,
            &room_id,
            "m.room.message",
            json!({ "msgtype": "m.text", "body": text, "m.relates_to": relates_to }),
        )
    };
    let first_reply = reply("first");
    reply("second");
    let mention = json!({ "msgtype": "m.text", "body": "you", "m.mentions": { "user_ids": ["@bob:example.org"] } });
    let last = send(&world, &ada, &room_id, "m.room.message", mention);
    let form = v3::Form { threads: true, ..v3::Form::default() };
    let ask = Ask { form, ..Ask::default() };
    let counts = |ask: &Ask<'_>| {
        let answer = sync(&world, &bob, ask);
        let room = joined(&answer, &room_id);
        let main = &room["unread_notifications"];
        let thread = &room["unread_thread_notifications"][root.as_str()]["notification_count"];
        (main["notification_count"].as_u64().unwrap(), main["highlight_count"].as_u64().unwrap(), thread.as_u64())
    };
    assert_eq!(counts(&Ask::default()), (5, 1, None), "an invitation, three messages of the room's own, two of a thread");
    assert_eq!(counts(&ask), (3, 1, Some(2)));
    read(&world, &bob, &room_id, "m.read", &root, Some("main"));
    assert_eq!(counts(&ask), (1, 1, Some(2)));
    read(&world, &bob, &room_id, "m.read", &first_reply, Some(root.as_str()));
    assert_eq!(counts(&ask), (1, 1, Some(1)));
    read(&world, &bob, &room_id, "m.read", &first_reply, None);
    let events = joined(&first(&world, &bob), &room_id)["ephemeral"]["events"].as_array().unwrap().len();
    assert_eq!(events, 2, "two receipts of one user on one event");
    read(&world, &bob, &room_id, "m.read", &last, None);
    assert_eq!(counts(&ask), (0, 0, None));
}

#[test]
fn what_relates_to_an_event_is_bundled_with_it() {
    let (world, ada, bob, room_id) = pair();
    let token = next(&first(&world, &bob));
    let parent = world.say(&ada, &room_id, "tpyo");
    let edit = json!({
        "msgtype": "m.text", "body": "* typo", "m.new_content": { "msgtype": "m.text", "body": "typo" },
        "m.relates_to": { "rel_type": "m.replace", "event_id": parent },
    });
    let edit_id = send(&world, &ada, &room_id, "m.room.message", edit.clone());
    send(&world, &bob, &room_id, "m.room.message", edit);
    let reply =
        json!({ "msgtype": "m.text", "body": "reply", "m.relates_to": { "rel_type": "m.thread", "event_id": parent } });
    send(&world, &bob, &room_id, "m.room.message", reply);
    let reaction = json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": parent, "key": "+1" } });
    send(&world, &bob, &room_id, "m.reaction", reaction);
    let answer = since(&world, &bob, &token);
    let relations = &joined(&answer, &room_id)["timeline"]["events"][0]["unsigned"]["m.relations"];
    assert_eq!(relations["m.replace"]["event_id"], json!(edit_id), "only the sender's own edits count");
    assert_eq!(relations["m.thread"]["count"], json!(1));
    assert_eq!(relations["m.thread"]["current_user_participated"], json!(true));
    assert_eq!(relations["m.thread"]["latest_event"]["content"]["body"], json!("reply"));
    assert_eq!(relations.get("m.annotation"), None, "reactions are not bundled");
}

#[test]
fn an_old_token_is_told_of_everything_that_is_left() {
    let (world, ada, bob, room_id) = pair();
    let quiet = world.room(&ada, &[&bob]);
    world.member(&bob, &quiet, Action::Join);
    let token = next(&first(&world, &bob));
    world.advance(1_000);
    let lost = world.say(&ada, &room_id, "lost");
    read(&world, &bob, &room_id, "m.fully_read", &lost, None);
    state(&world, &ada, &room_id, "m.room.topic", "", json!({ "topic": "kept" }));
    world.advance(LIFETIME_MS);
    let unchanged = since(&world, &bob, &token);
    let room = joined(&unchanged, &room_id);
    assert_eq!(timeline(room), [""; 0], "a message of a day ago is nobody's to read");
    assert_eq!(room["timeline"]["limited"], json!(true), "but something was said");
    assert_eq!(words(&room["state"]["events"]), ["m.room.topic/"]);
    assert_eq!(room["account_data"]["events"], json!([]), "a marker goes with its message");
    assert_eq!(room["unread_notifications"]["notification_count"], json!(0));
    let told = joined(&unchanged, &quiet);
    assert_eq!(timeline(told), [""; 0], "nothing was said there");
    assert_eq!(told["unread_notifications"]["notification_count"], json!(0), "but the invitation no longer counts");
    world.say(&ada, &room_id, "new");
    let answer = since(&world, &bob, &token);
    assert_eq!(timeline(joined(&answer, &room_id)), ["new"]);
    assert_eq!(joined(&answer, &room_id)["timeline"]["limited"], json!(true));
    assert_eq!(timeline(joined(&since(&world, &bob, &next(&unchanged)), &room_id)), ["new"]);
}

#[test]
fn filters_choose_rooms_and_kinds() {
    let (world, ada, bob, room_id) = pair();
    world.say(&ada, &room_id, "hello");
    let ask = |filter: Value| sync(&world, &bob, &Ask { filter, ..Ask::default() });
    assert_eq!(ask(json!({ "room": { "rooms": [] } })).get("rooms"), None);
    assert_eq!(ask(json!({ "room": { "not_rooms": [room_id] } })).get("rooms"), None);
    let none = ask(json!({ "room": { "timeline": { "limit": 0 } }, "account_data": { "types": [] } }));
    assert_eq!(timeline(joined(&none, &room_id)), [""; 0]);
    assert_eq!(none.get("account_data"), None);
    assert!(words(&joined(&none, &room_id)["state"]["events"]).contains(&"m.room.member/@bob:example.org".to_owned()));
    let state = ask(json!({ "room": { "state": { "types": ["m.room.power_*"] }, "timeline": { "types": ["m.none"] } } }));
    assert_eq!(words(&joined(&state, &room_id)["state"]["events"]), ["m.room.power_levels/"]);
}

#[test]
fn the_whole_state_comes_when_asked_for() {
    let (world, _, bob, room_id) = pair();
    let token = next(&first(&world, &bob));
    let answer = sync(&world, &bob, &Ask { since: Some(&token), full_state: true, ..Ask::default() });
    let state = words(&joined(&answer, &room_id)["state"]["events"]);
    assert!(
        state.contains(&"m.room.create/".to_owned()) && state.contains(&"m.room.member/@bob:example.org".to_owned()),
        "{state:?}"
    );
    assert_eq!(timeline(joined(&answer, &room_id)), [""; 0]);
}

#[test]
fn a_token_from_the_future_starts_anew() {
    let (world, _, bob, room_id) = pair();
    let token = Token::after(journal::Seq::from_u64(1_000_000), world.now(), 0).encode();
    let answer = since(&world, &bob, &token);
    assert!(
        words(&joined(&answer, &room_id)["state"]["events"]).contains(&"m.room.create/".to_owned())
            || !timeline(joined(&answer, &room_id)).is_empty()
    );
}
