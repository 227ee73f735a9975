//! Sliding sync in the form that was accepted (MSC4186), with the extensions of MSC4508, 4538, 4543, 4548 and 4551.

use std::sync::atomic::{AtomicU64, Ordering};

use http::Method;
use serde_json::{Value, json};

use crate::support::{Server, User, answer};

const V3: &str = "/_matrix/client/v3";
const V4: &str = "/_matrix/client/v4/sync";
const UNSTABLE: &str = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";

/// Names of connections.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

/// A client that asks on and on, on a connection of its own.
pub struct Client<'a> {
    user: &'a User<'a>,
    conn_id: Option<String>,
    pos: Option<String>,
}

impl<'a> Client<'a> {
    pub fn of(user: &'a User<'a>) -> Self {
        let number = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        Self { user, conn_id: Some(format!("connection {number}")), pos: None }
    }

    /// Asks, and goes on from the answer.
    pub async fn ask(&mut self, body: &Value) -> Value {
        let told = self.look(body).await;
        self.pos = Some(told["pos"].as_str().expect("a position").to_owned());
        told
    }

    /// Asks, and loses the answer.
    pub async fn look(&self, body: &Value) -> Value {
        let mut body = body.clone();
        (body["conn_id"], body["pos"]) = (json!(self.conn_id), json!(self.pos));
        self.user.post(V4, body).await.ok()
    }

    /// Where it is, as a request says it.
    pub fn pos(&self) -> Value {
        json!(self.pos)
    }

    /// Which connection it is on, as a request says it.
    pub fn conn_id(&self) -> Value {
        json!(self.conn_id)
    }

    /// What is told of one room.
    pub async fn room(&mut self, room_id: &str, body: &Value) -> Value {
        self.ask(body).await["rooms"][room_id].take()
    }
}

/// A list of the first rooms.
pub fn list(last: u64, timeline_limit: u64, required_state: Value) -> Value {
    json!({ "lists": { "all": {
        "range": [0, last], "timeline_limit": timeline_limit, "required_state": required_state,
    } } })
}

/// One room by itself.
pub fn subscription(room_id: &str, timeline_limit: u64, required_state: Value) -> Value {
    json!({ "room_subscriptions": { (room_id): { "timeline_limit": timeline_limit, "required_state": required_state } } })
}

/// Types and state keys, sorted.
pub fn keys(events: &Value) -> Vec<String> {
    let key = |event: &Value| {
        format!("{}/{}", event["type"].as_str().expect("a type"), event["state_key"].as_str().unwrap_or("-"))
    };
    let mut keys: Vec<_> = events.as_array().into_iter().flatten().map(key).collect();
    keys.sort();
    keys
}

fn bodies(room: &Value) -> Vec<&str> {
    let events = room["timeline"].as_array().into_iter().flatten();
    events.map(|event| event["content"]["body"].as_str().unwrap_or("-")).collect()
}

fn rooms(told: &Value) -> Vec<&String> {
    told["rooms"].as_object().into_iter().flatten().map(|(room_id, _)| room_id).collect()
}

async fn join(user: &User<'_>, room_id: &str) {
    user.post(&format!("{V3}/rooms/{room_id}/join"), json!({})).await.ok();
}

async fn set(user: &User<'_>, room_id: &str, event_type: &str, content: Value) {
    user.put(&format!("{V3}/rooms/{room_id}/state/{event_type}/"), content).await.ok();
}

/// A room of the first with all others in it.
pub async fn room_of(members: &[&User<'_>]) -> String {
    let invite: Vec<_> = members[1..].iter().map(|user| &user.user_id).collect();
    let room_id = members[0].create_room(json!({ "preset": "private_chat", "invite": invite, "name": "Waiting" })).await;
    for user in &members[1..] {
        join(user, &room_id).await;
    }
    room_id
}

#[tokio::test]
async fn first_all_of_a_room_and_then_what_is_new() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let room_id = room_of(&[&ada, &bob]).await;
    ada.send(&room_id, "one").await;
    let (mut client, mut body) = (Client::of(&bob), list(9, 1, json!({})));
    let first = client.ask(&body).await;
    assert_eq!(first["lists"], json!({ "all": { "count": 1 } }));
    let room = &first["rooms"][&room_id];
    assert_eq!((&room["initial"], &room["membership"], &room["lists"]), (&json!(true), &json!("join"), &json!(["all"])));
    assert_eq!((&room["name"], &room["joined_count"], &room["invited_count"]), (&json!("Waiting"), &json!(2), &json!(0)));
    assert_eq!((bodies(room), &room["limited"], &room["num_live"]), (vec!["one"], &json!(true), &json!(0)));
    assert!(room["bump_stamp"].is_u64());
    for absent in ["required_state", "stripped_state", "is_dm", "heroes", "notification_count", "highlight_count"] {
        assert_eq!(room.get(absent), None, "{absent}");
    }
    assert_eq!(first["extensions"], json!({}));

    // A position is a token like any other.
    let pos = client.pos.clone().expect("a position");
    let page = bob.get(&format!("{V3}/rooms/{room_id}/messages?dir=b&limit=1&from={pos}")).await.ok();
    assert_eq!(page["chunk"][0]["content"]["body"], json!("one"));
    bob.get(&format!("{V3}/keys/changes?from={pos}&to={pos}")).await.ok();

    let two = ada.send(&room_id, "two").await;
    body["timeout"] = json!(30_000);
    let lost = client.look(&body).await;
    let second = client.ask(&body).await;
    let event_id = |told: &Value| told["rooms"][&room_id]["timeline"][0]["event_id"].clone();
    assert_eq!((event_id(&lost), event_id(&second)), (json!(two), json!(two)), "an answer that was lost is given again");
    let room = &second["rooms"][&room_id];
    assert_eq!((bodies(room), &room["num_live"], &room["membership"]), (vec!["two"], &json!(1), &json!("join")));
    for unchanged in ["initial", "limited", "name", "joined_count", "invited_count", "expanded_timeline"] {
        assert_eq!(room.get(unchanged), None, "{unchanged}");
    }

    // Nobody is told of counts: what only changes them is no news.
    body["timeout"] = json!(0);
    bob.post(&format!("{V3}/rooms/{room_id}/receipt/m.read/{two}"), json!({})).await.ok();
    assert_eq!(client.ask(&body).await["rooms"], json!({}));
    set(&ada, &room_id, "m.room.name", json!({ "name": "" })).await;
    let room = client.room(&room_id, &body).await;
    assert_eq!((room.get("name"), &room["heroes"][0]["user_id"]), (Some(&Value::Null), &json!(ada.user_id)));
    let direct = format!("{V3}/user/{}/account_data/m.direct", bob.user_id);
    bob.put(&direct, json!({ (ada.user_id.as_str()): [room_id] })).await.ok();
    assert_eq!(client.room(&room_id, &body).await["is_dm"], json!(true));
    bob.put(&direct, json!({})).await.ok();
    assert_eq!(client.room(&room_id, &body).await["is_dm"], json!(false));
}

#[tokio::test]
async fn a_range_grows() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let mut made = Vec::new();
    for name in ["first", "second", "third"] {
        made.push(ada.create_room(json!({ "name": name })).await);
    }
    let mut client = Client::of(&ada);
    let told = client.ask(&list(0, 1, json!({}))).await;
    assert_eq!((rooms(&told), &told["lists"]["all"]["count"]), (vec![&made[2]], &json!(3)), "the latest");
    assert_eq!(rooms(&client.ask(&list(1, 1, json!({}))).await), [&made[1]], "a place more is a room more");
    let mut all = list(0, 1, json!({}));
    all["lists"]["all"].as_object_mut().expect("a list").remove("range");
    assert_eq!(rooms(&client.ask(&all).await), [&made[0]], "without a range all");
    ada.send(&made[0], "up").await;
    assert_eq!(rooms(&client.ask(&list(0, 1, json!({}))).await), [&made[0]]);
    assert_eq!(rooms(&client.ask(&list(9, 1, json!({}))).await), Vec::<&String>::new());
}

#[tokio::test]
async fn state_is_included_excluded_and_loaded_lazily() {
    let server = Server::start().await;
    let (ada, bob, eve) = (server.register("ada").await, server.register("bob").await, server.register("eve").await);
    let room_id = room_of(&[&ada, &bob, &eve]).await;
    set(&ada, &room_id, "org.example.note", json!({ "note": "first" })).await;
    ada.send(&room_id, "hello").await;
    let member = |user: &User<'_>| format!("m.room.member/{}", user.user_id);
    let create = json!([{ "type": "m.room.create", "state_key": "" }]);
    let told = Client::of(&bob).room(&room_id, &list(9, 1, json!({ "include": create }))).await;
    assert_eq!(keys(&told["required_state"]), ["m.room.create/"]);
    let told = Client::of(&bob).room(&room_id, &list(9, 1, json!({ "include": [{}], "exclude": create }))).await;
    let all = keys(&told["required_state"]);
    assert!(!all.contains(&"m.room.create/".to_owned()) && all.contains(&"org.example.note/".to_owned()), "{all:?}");
    assert!([&ada, &bob, &eve].into_iter().all(|user| all.contains(&member(user))), "{all:?}");

    let lazy = list(9, 3, json!({ "include": [{}], "exclude": [{ "type": "m.room.member" }], "lazy_members": true }));
    let mut client = Client::of(&bob);
    let told = client.room(&room_id, &list(9, 1, lazy["lists"]["all"]["required_state"].clone())).await;
    let members =
        |room: &Value| keys(&room["required_state"]).into_iter().filter(|key| key.contains("member")).collect::<Vec<_>>();
    assert_eq!(members(&told), [member(&ada)], "the sender, whom no exclusion leaves out");
    assert!(keys(&told["required_state"]).contains(&"m.room.power_levels/".to_owned()));
    eve.send(&room_id, "one").await;
    client.ask(&lazy).await;
    eve.send(&room_id, "two").await;
    assert_eq!(client.room(&room_id, &lazy).await.get("required_state"), None, "the client knows the sender");
    let profile = format!("{V3}/profile/{}/displayname", bob.user_id);
    bob.put(&profile, json!({ "displayname": "Robert" })).await.ok();
    assert_eq!(members(&client.room(&room_id, &lazy).await), [member(&bob)], "without a gap, whoever changed");

    // Another wish is fulfilled at once; what is gone is an event without content, not a deletion.
    let (none, note) = (list(9, 1, json!({})), list(9, 1, json!({ "include": [{ "type": "org.example.note" }] })));
    let mut client = Client::of(&bob);
    client.ask(&none).await;
    let told = client.room(&room_id, &note).await;
    assert_eq!((keys(&told["required_state"]), told.get("timeline")), (vec!["org.example.note/".to_owned()], None));
    client.ask(&none).await;
    set(&ada, &room_id, "org.example.note", json!({})).await;
    client.ask(&none).await;
    let told = client.room(&room_id, &note).await;
    assert_eq!(told["required_state"][0]["content"], json!({}), "it changed while the client did not ask for it");
    assert_eq!(client.ask(&note).await["rooms"], json!({}));
}

#[tokio::test]
async fn a_room_is_subscribed_to() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let room_id = room_of(&[&ada, &bob]).await;
    for text in ["one", "two", "three"] {
        ada.send(&room_id, text).await;
    }
    let foreign = ada.create_room(json!({})).await;
    let mut client = Client::of(&bob);
    let mut both = subscription(&room_id, 1, json!({}));
    both["room_subscriptions"][&foreign] = both["room_subscriptions"][&room_id].clone();
    both["room_subscriptions"]["!unknown:example.org"] = both["room_subscriptions"][&room_id].clone();
    let told = client.ask(&both).await;
    assert_eq!((rooms(&told), &told["lists"]), (vec![&room_id], &json!({})));
    let room = &told["rooms"][&room_id];
    assert_eq!((bodies(room), room.get("lists")), (vec!["three"], None));
    let room = client.room(&room_id, &subscription(&room_id, 2, json!({}))).await;
    assert_eq!((bodies(&room), &room["expanded_timeline"]), (vec!["two", "three"], &json!(true)));
    // In a list as well: what either asks for.
    let mut both = subscription(&room_id, 1, json!({}));
    both["lists"] = list(0, 3, json!({}))["lists"].take();
    let room = client.room(&room_id, &both).await;
    assert_eq!((bodies(&room), &room["lists"]), (vec!["one", "two", "three"], &json!(["all"])));
}

#[tokio::test]
async fn invitations_and_partings_are_told() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let (stays, kicked) = (room_of(&[&ada, &bob]).await, room_of(&[&ada, &bob]).await);
    let all = list(99, 1, json!({ "include": [{}] }));
    let mut client = Client::of(&bob);
    client.ask(&all).await;
    let invited = ada.create_room(json!({ "name": "Secret", "invite": [bob.user_id] })).await;
    let room = client.room(&invited, &all).await;
    assert_eq!((&room["membership"], &room["initial"]), (&json!("invite"), &json!(true)));
    assert!(keys(&room["stripped_state"]).contains(&format!("m.room.member/{}", bob.user_id)), "{room}");
    for absent in ["name", "timeline", "required_state", "joined_count", "prev_batch", "is_dm"] {
        assert_eq!(room.get(absent), None, "{absent}");
    }
    let mut filtered = all.clone();
    for (is_invited, count) in [(true, 1), (false, 2)] {
        filtered["lists"]["all"]["filters"] = json!({ "is_invited": is_invited });
        assert_eq!(Client::of(&bob).ask(&filtered).await["lists"]["all"]["count"], json!(count));
    }
    bob.post(&format!("{V3}/rooms/{invited}/leave"), json!({})).await.ok();
    let room = client.room(&invited, &all).await;
    assert_eq!((&room["membership"], keys(&room["stripped_state"]).len()), (&json!("leave"), 1), "{room}");
    assert_eq!(room.get("timeline"), None);

    let target = json!({ "user_id": bob.user_id });
    ada.post(&format!("{V3}/rooms/{kicked}/kick"), target.clone()).await.ok();
    ada.send(&kicked, "unseen").await;
    let room = client.room(&kicked, &all).await;
    assert_eq!(
        (&room["membership"], keys(&room["timeline"])),
        (&json!("leave"), vec![format!("m.room.member/{}", bob.user_id)])
    );
    bob.post(&format!("{V3}/rooms/{stays}/leave"), json!({})).await.ok();
    assert_eq!(client.room(&stays, &all).await["membership"], json!("leave"));
    let told = client.ask(&all).await;
    assert_eq!((&told["rooms"], &told["lists"]["all"]["count"]), (&json!({}), &json!(3)), "the client knows of them");
    let told = Client::of(&bob).ask(&all).await;
    assert_eq!(rooms(&told), [&kicked], "another is told of what the user may not know");
    assert_eq!((&told["rooms"][&kicked]["membership"], bodies(&told["rooms"][&kicked])), (&json!("leave"), vec!["-"]));
    ada.post(&format!("{V3}/rooms/{kicked}/ban"), target).await.ok();
    assert_eq!(client.room(&kicked, &all).await["membership"], json!("ban"));
}

#[tokio::test]
async fn lists_are_filtered() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let space = ada.create_room(json!({ "creation_content": { "type": "m.space" } })).await;
    let (inside, outside) = (ada.create_room(json!({})).await, ada.create_room(json!({})).await);
    let child = format!("{V3}/rooms/{space}/state/m.space.child/{inside}");
    ada.put(&child, json!({ "via": ["example.org"] })).await.ok();
    let tag = format!("{V3}/user/{}/rooms/{outside}/tags/m.favourite", ada.user_id);
    ada.put(&tag, json!({})).await.ok();
    let cases = [
        (json!({ "spaces": [space, "!unknown:example.org"] }), vec![&inside]),
        (json!({ "spaces": ["!unknown:example.org"] }), vec![]),
        (json!({ "tags": ["m.favourite", "u.other"] }), vec![&outside]),
        (json!({ "not_tags": ["m.favourite"], "room_types": [null] }), vec![&inside]),
        (json!({ "tags": ["m.favourite"], "not_tags": ["m.favourite"] }), vec![]),
        (json!({ "not_room_types": [null] }), vec![&space]),
        (json!({ "is_encrypted": true }), vec![]),
    ];
    for (filters, expected) in cases {
        let mut body = list(9, 1, json!({}));
        body["lists"]["all"]["filters"] = filters;
        let told = Client::of(&ada).ask(&body).await;
        assert_eq!((rooms(&told), &told["lists"]["all"]["count"]), (expected.clone(), &json!(expected.len())), "{body}");
    }
}

#[tokio::test]
async fn what_is_not_of_the_form_is_refused() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let entry = json!({ "timeline_limit": 1, "required_state": {} });
    let many = |name: &dyn Fn(usize) -> String| {
        (0..101).map(|number| (name(number), entry.clone())).collect::<serde_json::Map<_, _>>()
    };
    let to_device = |config: Value| json!({ "extensions": { "org.matrix.msc4538.to_device": config } });
    let cases = [
        (json!({ "pos": "7" }), "M_UNKNOWN_POS"),
        (json!({ "pos": "nonsense" }), "M_UNKNOWN_POS"),
        (json!({ "lists": many(&|number| format!("list{number}")) }), "M_INVALID_PARAM"),
        (json!({ "room_subscriptions": many(&|number| format!("!{number}:example.org")) }), "M_INVALID_PARAM"),
        (json!({ "lists": { "not opaque": entry } }), "M_INVALID_PARAM"),
        (json!({ "set_presence": "asleep" }), "M_INVALID_PARAM"),
        (json!({ "conn_id": "x".repeat(65) }), "M_INVALID_PARAM"),
        (to_device(json!({ "enabled": true, "limit": 0 })), "M_INVALID_PARAM"),
        (to_device(json!({ "enabled": true, "limit": "ten" })), "M_INVALID_PARAM"),
        (to_device(json!({ "enabled": true, "since": "nonsense" })), "M_INVALID_PARAM"),
        (json!({ "lists": { "all": { "timeline_limit": 1 } } }), "M_BAD_JSON"),
        (json!({ "lists": { "all": { "required_state": {} } } }), "M_BAD_JSON"),
        (json!({ "lists": { "all": { "timeline_limit": 1, "required_state": [["*", "*"]] } } }), "M_BAD_JSON"),
    ];
    for (body, errcode) in cases {
        ada.post(V4, body).await.is_error(400, errcode);
    }
    answer(server.request(Method::POST, V4).json(&json!({}))).await.is_error(401, "M_MISSING_TOKEN");
    assert_eq!(answer(ada.request(Method::GET, V4)).await.status, 405);
    let full: serde_json::Map<_, _> = many(&|number| format!("list{number}")).into_iter().take(100).collect();
    ada.post(V4, json!({ "lists": full, "set_presence": "offline" })).await.ok();

    // A position is its device's, its connection's and this process's.
    let pos = ada.post(V4, json!({ "conn_id": "main" })).await.ok()["pos"].clone();
    ada.post(V4, json!({ "conn_id": "main", "pos": pos })).await.ok();
    ada.post(V4, json!({ "conn_id": "other", "pos": pos })).await.is_error(400, "M_UNKNOWN_POS");
    bob.post(V4, json!({ "conn_id": "main", "pos": pos })).await.is_error(400, "M_UNKNOWN_POS");
    let (user_id, device_id, token) = (ada.user_id, ada.device_id, ada.token);
    let server = server.stop().await.start().await;
    let ada = User { server: &server, user_id, device_id, token };
    ada.post(V4, json!({ "conn_id": "main", "pos": pos })).await.is_error(400, "M_UNKNOWN_POS");
}

#[tokio::test]
async fn one_device_uses_both_forms() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let room_id = room_of(&[&ada, &bob]).await;
    let body = list(9, 5, json!({}));
    let old = json!({ "lists": { "all": { "ranges": [[0, 9]], "timeline_limit": 5, "required_state": [] } } });
    let mut client = Client { conn_id: None, ..Client::of(&bob) };
    client.ask(&body).await;
    let mut pos = bob.post(UNSTABLE, old.clone()).await.ok()["pos"].as_str().expect("a position").to_owned();
    for text in ["one", "two", "three"] {
        ada.send(&room_id, text).await;
        assert_eq!(bodies(&client.room(&room_id, &body).await), [text]);
        let told = bob.post(&format!("{UNSTABLE}?pos={pos}"), old.clone()).await.ok();
        assert_eq!((bodies(&told["rooms"][&room_id]), told["rooms"][&room_id].get("membership")), (vec![text], None));
        pos = told["pos"].as_str().expect("a position").to_owned();
    }
    bob.post(V4, json!({ "pos": pos })).await.is_error(400, "M_UNKNOWN_POS");
    let pos = client.pos.expect("a position");
    bob.post(&format!("{UNSTABLE}?pos={pos}"), old).await.is_error(400, "M_UNKNOWN_POS");
}
