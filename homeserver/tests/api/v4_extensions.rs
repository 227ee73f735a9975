//! The extensions of sliding sync in its accepted form: typing (MSC4508), messages to devices (MSC4538), encryption (MSC4543), account data
//! (MSC4548), receipts (MSC4551).

use http::Method;
use serde_json::{Value, json};

use crate::support::{Server, User, answer, eventually};
use crate::v4_sync::{Client, list, room_of, subscription};

const V3: &str = "/_matrix/client/v3";
const TO_DEVICE: &str = "org.matrix.msc4538.to_device";
const E2EE: &str = "org.matrix.msc4543.e2ee";
const ACCOUNT_DATA: &str = "org.matrix.msc4548.account_data";
const RECEIPTS: &str = "org.matrix.msc4551.receipts";

/// A request with one extension.
fn with(mut body: Value, extension: &str, mut config: Value) -> Value {
    config["enabled"] = json!(true);
    body["extensions"] = json!({ (extension): config });
    body
}

async fn types(user: &User<'_>, room_id: &str, typing: bool) {
    let path = format!("{V3}/rooms/{room_id}/typing/{}", user.user_id);
    user.put(&path, json!({ "typing": typing, "timeout": 60_000 })).await.ok();
}

async fn reads(user: &User<'_>, room_id: &str, kind: &str, event_id: &str) {
    user.post(&format!("{V3}/rooms/{room_id}/receipt/{kind}/{event_id}"), json!({})).await.ok();
}

#[tokio::test]
async fn extensions_are_advertised_and_others_ignored() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let versions = ada.get("/_matrix/client/versions").await.ok();
    for flag in ["msc4508.stable", "msc4538", "msc4543", "msc4548", "msc4551"] {
        assert_eq!(versions["unstable_features"][format!("org.matrix.{flag}")], json!(true), "{flag}");
    }
    let unknown =
        json!({ "extensions": { "to_device": { "enabled": true }, "e2ee": { "enabled": true }, "org.example": 1 } });
    assert_eq!(Client::of(&ada).ask(&unknown).await["extensions"], json!({}));
}

#[tokio::test]
async fn typing_is_told_where_it_is_looked_at() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let (other, room_id) = (room_of(&[&ada, &bob]).await, room_of(&[&ada, &bob]).await);
    let body = with(list(0, 1, json!({})), "typing", json!({}));
    let mut client = Client::of(&bob);
    assert_eq!(client.ask(&body).await["extensions"], json!({}), "nobody types");
    let mut waits = body.clone();
    (waits["timeout"], waits["pos"]) = (json!(30_000), client.pos());
    waits["conn_id"] = client.conn_id();
    let topic = server.app.read(|cx| Ok(journal::Topic(cx.name(&bob.user_id)))).expect("a topic");
    let act = async {
        eventually("the request waits", async || server.app.hub.is_waited_for(topic)).await;
        types(&ada, &room_id, true).await;
    };
    let told = tokio::join!(bob.post("/_matrix/client/v4/sync", waits), act).0.ok();
    let typing = json!({ "typing": { "rooms": { (room_id.as_str()): { "user_ids": [ada.user_id] } } } });
    assert_eq!((&told["rooms"], &told["extensions"]), (&json!({}), &typing));

    types(&ada, &other, true).await;
    assert_eq!(
        client.ask(&body).await["extensions"],
        typing,
        "the answer before was lost, and the other room is not looked at"
    );
    assert_eq!(client.ask(&body).await["extensions"], json!({}));
    // What comes into view is told as it is now.
    let mut both = body.clone();
    both["lists"]["all"]["range"] = json!([0, 1]);
    let told = client.ask(&both).await;
    assert_eq!(told["extensions"]["typing"]["rooms"], json!({ (other.as_str()): { "user_ids": [ada.user_id] } }));
    let scoped = |config: Value| with(both.clone(), "typing", config);
    types(&ada, &room_id, false).await;
    types(&ada, &other, false).await;
    for config in [json!({ "lists": [] }), json!({ "lists": ["none"], "rooms": [room_id] })] {
        assert_eq!(client.ask(&scoped(config)).await["extensions"], json!({}), "no room is covered");
    }
    types(&ada, &other, true).await;
    let mut one = with(subscription(&other, 1, json!({})), "typing", json!({ "lists": [], "rooms": [other] }));
    one["lists"] = both["lists"].clone();
    let told = client.ask(&one).await;
    assert_eq!(told["extensions"]["typing"]["rooms"], json!({ (other.as_str()): { "user_ids": [ada.user_id] } }));
    // Whoever is not in the room is not told.
    ada.post(&format!("{V3}/rooms/{other}/kick"), json!({ "user_id": bob.user_id })).await.ok();
    types(&ada, &other, false).await;
    assert_eq!(client.ask(&one).await["extensions"], json!({}));
}

#[tokio::test]
async fn receipts_are_ones_own_and_those_on_what_is_shown() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let room_id = room_of(&[&ada, &bob]).await;
    let old = ada.send(&room_id, "old").await;
    let new = ada.send(&room_id, "new").await;
    reads(&ada, &room_id, "m.read", &old).await;
    reads(&bob, &room_id, "m.read.private", &old).await;
    let body = |limit| with(list(9, limit, json!({})), RECEIPTS, json!({}));
    let users = |told: &Value, event_id: &str, kind: &str| {
        let users = &told["extensions"][RECEIPTS]["rooms"][&room_id][event_id][kind];
        users.as_object().into_iter().flatten().map(|(user_id, _)| user_id.clone()).collect::<Vec<_>>()
    };
    let mut client = Client::of(&bob);
    let told = client.ask(&body(1)).await;
    assert_eq!(users(&told, &old, "m.read.private"), [bob.user_id.clone()]);
    assert_eq!(users(&told, &old, "m.read"), Vec::<String>::new(), "another's, on what is not shown");
    assert!(told["extensions"][RECEIPTS]["rooms"][&room_id][&old]["m.read.private"][&bob.user_id]["ts"].is_u64());
    let told = client.ask(&body(2)).await;
    assert_eq!(told["rooms"][&room_id]["expanded_timeline"], json!(true));
    assert_eq!(users(&told, &old, "m.read"), [ada.user_id.clone()], "shown now");
    assert_eq!(client.ask(&body(2)).await["extensions"], json!({}));

    reads(&ada, &room_id, "m.read", &new).await;
    let mut without = body(2);
    without["lists"]["all"]["range"] = json!([7, 9]);
    assert_eq!(client.ask(&without).await["extensions"], json!({}), "out of sight");
    let told = client.ask(&body(2)).await;
    assert_eq!((users(&told, &new, "m.read"), &told["rooms"]), (vec![ada.user_id.clone()], &json!({})), "back in sight");
    reads(&ada, &room_id, "m.read.private", &new).await;
    assert_eq!(client.ask(&body(2)).await["extensions"], json!({}), "another's private one");
}

#[tokio::test]
async fn account_data_is_told_when_it_is_asked_for() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let room_id = ada.create_room(json!({})).await;
    let note = async |place: &str, text: &str| {
        let path = format!("{V3}/user/{}/{place}account_data/org.example.note", ada.user_id);
        ada.put(&path, json!({ "text": text })).await.ok();
    };
    let of_room = format!("rooms/{room_id}/");
    note("", "first").await;
    note(&of_room, "first").await;
    let plain = list(9, 1, json!({}));
    let body = with(plain.clone(), ACCOUNT_DATA, json!({}));
    let texts = |events: &Value| {
        let events = events.as_array().into_iter().flatten();
        events.filter_map(|event| event["content"]["text"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let mut client = Client::of(&ada);
    client.ask(&plain).await;
    let told = client.ask(&body).await["extensions"][ACCOUNT_DATA].take();
    let types: Vec<_> = told["global"].as_array().into_iter().flatten().map(|event| &event["type"]).collect();
    assert!(types.contains(&&json!("m.push_rules")), "all of it, though asked for late: {types:?}");
    assert_eq!((texts(&told["global"]), texts(&told["rooms"][&room_id])), (vec!["first".into()], vec!["first".into()]));
    assert_eq!(client.ask(&body).await["extensions"], json!({}));
    note("", "second").await;
    let told = client.ask(&body).await["extensions"][ACCOUNT_DATA].take();
    assert_eq!(
        (texts(&told["global"]), told["rooms"].as_object().map(serde_json::Map::len)),
        (vec!["second".into()], Some(0))
    );
    // What changed out of sight is told in sight.
    note(&of_room, "third").await;
    let mut away = body.clone();
    away["lists"]["all"]["range"] = json!([7, 9]);
    assert_eq!(client.ask(&away).await["extensions"], json!({}));
    let told = client.ask(&body).await;
    assert_eq!(
        (texts(&told["extensions"][ACCOUNT_DATA]["rooms"][&room_id]), &told["rooms"]),
        (vec!["third".into()], &json!({}))
    );
}

#[tokio::test]
async fn messages_to_the_device_are_kept_until_they_are_acknowledged() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    room_of(&[&ada, &bob]).await;
    for number in 0..3 {
        let messages = json!({ "messages": { (bob.user_id.as_str()): { (bob.device_id.as_str()): { "number": number } } } });
        ada.put(&format!("{V3}/sendToDevice/m.test/{number}"), messages).await.ok();
    }
    let numbers = |told: &Value| {
        let events = told["extensions"][TO_DEVICE]["events"].as_array().into_iter().flatten();
        events.filter_map(|event| event["content"]["number"].as_u64()).collect::<Vec<_>>()
    };
    let ask = |config: Value| with(json!({}), TO_DEVICE, config);
    let mut client = Client::of(&bob);
    let told = client.ask(&ask(json!({ "limit": 2 }))).await;
    let (event, since) = (&told["extensions"][TO_DEVICE]["events"][0], &told["extensions"][TO_DEVICE]["next_batch"]);
    assert_eq!((&event["type"], &event["sender"], numbers(&told)), (&json!("m.test"), &json!(ada.user_id), vec![0, 1]));
    assert_eq!(numbers(&client.ask(&ask(json!({}))).await), [0_u64, 1, 2], "nothing has been acknowledged");
    let mut waits = ask(json!({ "since": since }));
    waits["timeout"] = json!(30_000);
    assert_eq!(numbers(&client.ask(&waits).await), [2_u64], "what waits is told at once");
    assert_eq!(numbers(&Client::of(&bob).ask(&ask(json!({}))).await), [2_u64], "the queue is the device's");
}

#[tokio::test]
async fn keys_and_device_lists_are_told() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let body = with(json!({}), E2EE, json!({}));
    let mut client = Client::of(&bob);
    let first = client.ask(&body).await["extensions"][E2EE].take();
    assert_eq!(
        (first["device_one_time_keys_count"]["signed_curve25519"].as_u64(), first.get("device_lists")),
        (Some(0), None)
    );
    assert_eq!(first["device_unused_fallback_key_types"], json!([]));
    room_of(&[&ada, &bob]).await;
    let told = client.ask(&body).await;
    let changed = told["extensions"][E2EE]["device_lists"]["changed"].as_array().expect("users");
    assert!(changed.contains(&json!(ada.user_id)), "{changed:?}");
    let changes = format!(
        "{V3}/keys/changes?from={}&to={}",
        client.pos().as_str().expect("a position"),
        told["pos"].as_str().unwrap_or_default()
    );
    answer(bob.request(Method::GET, &changes)).await.ok();
}
