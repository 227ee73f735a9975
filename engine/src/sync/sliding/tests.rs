//! What sliding sync says, on a server in memory.

use ruma::RoomId;
use serde_json::{Value, json};

use super::{Ask, Connection, collect, unstable};
use crate::{
    erase,
    room::membership::Action,
    tables::UserKind,
    testing::{Nobody, Person, World, pair, state, words},
};

/// One client: it asks for the same again and again.
struct Client<'w> {
    world: &'w World,
    person: &'w Person,
    connection: Connection,
}

impl Client<'_> {
    fn ask(&mut self, request: Value) -> Value {
        let body: unstable::Body = serde_json::from_value(request).unwrap();
        let request = body.into_request(&self.person.user_id).unwrap();
        let (user_id, device_id) = (&self.person.user_id, Some(&*self.person.device_id));
        let ask = Ask { user_id, device_id, request: &request, connection: &self.connection };
        let (told, connection) = self.world.read(|cx| collect(cx, &ask, &Nobody)).unwrap();
        let quiet = told.is_empty();
        self.connection = connection;
        let mut answer: Value = serde_json::from_slice(&unstable::write(&told, "1", None)).unwrap();
        answer["quiet"] = json!(quiet);
        answer
    }
}

fn list(range: (u64, u64), timeline_limit: u64) -> Value {
    let required =
        json!([["m.room.create", ""], ["m.room.member", "$LAZY"], ["m.room.member", "$ME"], ["m.room.topic", ""]]);
    json!({ "lists": { "all": { "ranges": [range], "timeline_limit": timeline_limit, "required_state": required } } })
}

fn rooms(answer: &Value) -> Vec<String> {
    answer["rooms"].as_object().unwrap().keys().cloned().collect()
}

fn topic(world: &World, person: &Person, room_id: &RoomId, topic: &str) {
    state(world, person, room_id, "m.room.topic", "", json!({ "topic": topic }));
}

#[test]
fn a_list_shows_the_latest_rooms_and_then_what_is_new() {
    let world = World::new();
    let (ada, bob) = (world.user("ada", UserKind::Plain, "ADA"), world.user("bob", UserKind::Plain, "BOB"));
    let old = world.room(&bob, &[]);
    let new = world.room(&ada, &[&bob]);
    world.member(&bob, &new, Action::Join);
    world.say(&ada, &new, "one");
    world.say(&ada, &new, "two");
    let mut client = Client { world: &world, person: &bob, connection: Connection::default() };

    let answer = client.ask(list((0, 0), 1));
    assert_eq!(answer["lists"]["all"]["count"], json!(2));
    assert_eq!(rooms(&answer), [new.to_string()], "one place, the latest room");
    let room = &answer["rooms"][new.as_str()];
    assert_eq!(
        (words(&room["timeline"]), &room["limited"], &room["initial"]),
        (vec!["two".to_owned()], &json!(true), &json!(true))
    );
    let state = words(&room["required_state"]);
    assert_eq!(state, ["m.room.create/", "m.room.member/@ada:example.org", "m.room.member/@bob:example.org"]);
    assert_eq!(room["heroes"], json!([{ "user_id": "@ada:example.org" }]));
    assert_eq!((&room["joined_count"], &room["num_live"]), (&json!(2), &json!(0)));

    assert_eq!(client.ask(list((0, 0), 1))["quiet"], json!(true));
    world.say(&ada, &new, "three");
    let answer = client.ask(list((0, 0), 1));
    let room = &answer["rooms"][new.as_str()];
    assert_eq!(
        (words(&room["timeline"]), &room["limited"], &room["num_live"]),
        (vec!["three".to_owned()], &json!(false), &json!(1))
    );
    assert_eq!(room.get("initial"), None);
    assert_eq!(room.get("required_state"), None, "nothing has changed, and the client knows the sender");

    let answer = client.ask(list((0, 1), 1));
    assert_eq!(rooms(&answer), [old.to_string()], "a place more is a room more");
}

#[test]
fn what_happened_out_of_sight_is_told_when_looked_at() {
    let world = World::new();
    let (ada, bob) = (world.user("ada", UserKind::Plain, "ADA"), world.user("bob", UserKind::Plain, "BOB"));
    let (here, there) = (world.room(&ada, &[&bob]), world.room(&ada, &[&bob]));
    world.member(&bob, &here, Action::Join);
    world.member(&bob, &there, Action::Join);
    let mut client = Client { world: &world, person: &bob, connection: Connection::default() };
    client.ask(list((0, 9), 5));
    topic(&world, &ada, &there, "changed");
    world.say(&ada, &here, "up");
    let both = list((0, 9), 5);
    let answer = client.ask(list((0, 0), 5));
    assert_eq!(rooms(&answer), [here.to_string()]);
    let answer = client.ask(both.clone());
    assert_eq!(rooms(&answer), [there.to_string()]);
    assert_eq!(words(&answer["rooms"][there.as_str()]["timeline"]), ["m.room.topic/"]);
    assert!(words(&answer["rooms"][there.as_str()]["required_state"]).contains(&"m.room.topic/".to_owned()));
    assert_eq!(client.ask(both)["quiet"], json!(true));
}

#[test]
fn a_client_that_asks_for_more_gets_more() {
    let world = World::new();
    let ada = world.user("ada", UserKind::Plain, "ADA");
    let room_id = world.room(&ada, &[]);
    topic(&world, &ada, &room_id, "first");
    for number in 0..5 {
        world.say(&ada, &room_id, &format!("message {number}"));
    }
    let mut client = Client { world: &world, person: &ada, connection: Connection::default() };
    let subscription = |limit: u64, state: Value| json!({ "room_subscriptions": { (room_id.as_str()): { "timeline_limit": limit, "required_state": state } } });
    let narrow = client.ask(subscription(1, json!([])));
    assert_eq!(words(&narrow["rooms"][room_id.as_str()]["timeline"]), ["message 4"]);
    let wide = client.ask(subscription(3, json!([["m.room.topic", ""]])));
    let room = &wide["rooms"][room_id.as_str()];
    assert_eq!(words(&room["timeline"]), ["message 2", "message 3", "message 4"]);
    assert_eq!(room["unstable_expanded_timeline"], json!(true));
    assert_eq!(words(&room["required_state"]), ["m.room.topic/"], "asked for now, though it has not changed");
    assert_eq!(client.ask(subscription(3, json!([["m.room.topic", ""]])))["quiet"], json!(true));
}

#[test]
fn invitations_and_partings_are_told() {
    let world = World::new();
    let (ada, bob) = (world.user("ada", UserKind::Plain, "ADA"), world.user("bob", UserKind::Plain, "BOB"));
    let mut client = Client { world: &world, person: &bob, connection: Connection::default() };
    assert_eq!(client.ask(list((0, 9), 1))["lists"]["all"]["count"], json!(0));
    let room_id = world.room(&ada, &[&bob]);
    let invited = client.ask(list((0, 9), 1));
    let room = &invited["rooms"][room_id.as_str()];
    assert!(words(&room["invite_state"]).contains(&"m.room.member/@bob:example.org".to_owned()));
    assert_eq!(room.get("timeline"), None);
    let only =
        json!({ "lists": { "invites": { "ranges": [[0, 9]], "timeline_limit": 1, "filters": { "is_invite": true } } } });
    assert_eq!(
        Client { world: &world, person: &bob, connection: Connection::default() }.ask(only.clone())["lists"]["invites"]["count"],
        json!(1)
    );
    world.member(&bob, &room_id, Action::Join);
    let joined = client.ask(list((0, 9), 1));
    assert!(
        words(&joined["rooms"][room_id.as_str()]["required_state"]).contains(&"m.room.create/".to_owned()),
        "all of it now"
    );
    assert_eq!(
        Client { world: &world, person: &bob, connection: Connection::default() }.ask(only)["lists"]["invites"]["count"],
        json!(0)
    );
    world.member(&bob, &room_id, Action::Leave);
    let left = client.ask(list((0, 9), 1));
    assert_eq!(words(&left["rooms"][room_id.as_str()]["timeline"]), ["m.room.member/@bob:example.org"]);
    let after = client.ask(list((0, 9), 1));
    assert_eq!(
        (rooms(&after), &after["lists"]["all"]["count"]),
        (Vec::<String>::new(), &json!(1)),
        "the client knows of it"
    );
    let mut other = Client { world: &world, person: &bob, connection: Connection::default() };
    assert_eq!(other.ask(list((0, 9), 1))["lists"]["all"]["count"], json!(0));
}

#[test]
fn an_erased_room_is_one_that_was_left() {
    let (world, ada, bob, room_id) = pair();
    let mut client = Client { world: &world, person: &bob, connection: Connection::default() };
    client.ask(list((0, 9), 5));
    world.run(|cx| erase::erase_room(cx, &room_id)).unwrap();
    let told = client.ask(list((0, 9), 5));
    assert_eq!(words(&told["rooms"][room_id.as_str()]["timeline"]), ["m.room.member/@bob:example.org"]);
    assert_eq!(told["rooms"][room_id.as_str()]["timeline"][0]["content"]["membership"], json!("leave"));
    assert_eq!(client.ask(list((0, 9), 5))["quiet"], json!(true), "once");
    let mut other = Client { world: &world, person: &ada, connection: Connection::default() };
    assert_eq!(other.ask(list((0, 9), 5))["lists"]["all"]["count"], json!(0));
}

#[test]
fn extensions_bring_the_rest() {
    let world = World::new();
    let (ada, bob) = (world.user("ada", UserKind::Plain, "ADA"), world.user("bob", UserKind::Plain, "BOB"));
    let mut client = Client { world: &world, person: &bob, connection: Connection::default() };
    let ask = json!({ "extensions": {
        "e2ee": { "enabled": true }, "to_device": { "enabled": true }, "account_data": { "enabled": true },
        "receipts": { "enabled": true }, "typing": { "enabled": true },
    } });
    let answer = client.ask(ask.clone());
    assert_eq!(answer["extensions"]["e2ee"]["device_one_time_keys_count"], json!({ "signed_curve25519": 0 }));
    assert_eq!(answer["extensions"]["account_data"]["global"][0]["type"], json!("m.push_rules"));
    assert!(answer["extensions"]["to_device"]["next_batch"].is_string());
    assert_eq!(client.ask(ask.clone())["quiet"], json!(true));
    world.room(&ada, &[&bob]);
    assert_eq!(client.ask(ask)["extensions"]["e2ee"]["device_lists"]["changed"], json!(["@ada:example.org"]));
}
