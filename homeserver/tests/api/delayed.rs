//! Events that wait (MSC4140), over HTTP and across a restart.

use std::time::Duration;

use homeserver::workers;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Server, User, answer, eventually};

const PATH: &str = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events";

async fn waiting(user: &User<'_>) -> Vec<Value> {
    user.get(PATH).await.ok()["delayed_events"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn delayed_events_are_sent_by_the_clock_even_after_a_restart() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let room_id = ada.create_room(json!({})).await;
    let at = |rest: &str| format!("/_matrix/client/v3/rooms/{room_id}/{rest}");
    let message = at("send/org.example/1?org.matrix.msc4140.delay=60000");
    let sent = ada.put(&message, json!({ "a": 1 })).await.ok();
    let state = at("state/org.example/key?org.matrix.msc4140.delay=60000");
    ada.put(&state, json!({ "a": 2 })).await.ok();
    let again = answer(ada.request(Method::PUT, &message)).await.ok();
    assert_eq!(again, sent, "the same transaction, whatever its body");
    let mut rows = waiting(&ada).await;
    // Both may be due in the same millisecond.
    rows.sort_by_key(|row| row.get("state_key").is_some());
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (&rows[0]["type"], &rows[0]["delay"], &rows[0]["room_id"]),
        (&json!("org.example"), &json!(60_000), &json!(room_id))
    );
    assert_eq!((rows[0].get("state_key"), &rows[1]["state_key"]), (None, &json!("key")));
    assert!(rows[0]["running_since"].is_u64() && rows[1]["content"] == json!({ "a": 2 }));
    ada.get(&at("state/org.example/key")).await.is_error(404, "M_NOT_FOUND");

    let (token, user_id) = (ada.token.clone(), ada.user_id.clone());
    let server = server.stop().await.start().await;
    let ada = User { server: &server, user_id, device_id: String::new(), token };
    assert_eq!(waiting(&ada).await.len(), 2);
    server.clock.advance(Duration::from_mins(1));
    workers::start(&server.app);
    eventually("both are sent", async || waiting(&ada).await.is_empty()).await;
    assert_eq!(ada.get(&at("state/org.example/key")).await.ok(), json!({ "a": 2 }));
    let page = ada.get(&at("messages?dir=b&limit=2")).await.ok();
    assert!(page["chunk"].as_array().expect("events").iter().any(|event| event["content"] == json!({ "a": 1 })));
}

#[tokio::test]
async fn delayed_events_are_acted_on_by_their_id_and_seen_by_their_sender_alone() {
    let server = Server::start().await;
    let (ada, eve) = (server.register("ada").await, server.register("eve").await);
    let room_id = ada.create_room(json!({ "preset": "public_chat" })).await;
    let at = |rest: &str| format!("/_matrix/client/v3/rooms/{room_id}/{rest}");
    let wait = async |name: &str| {
        let path = at(&format!("state/org.example/{name}?org.matrix.msc4140.delay=3600000"));
        ada.put(&path, json!({ "name": name })).await.ok()["delay_id"].as_str().expect("an id").to_owned()
    };
    let act =
        async |rest: &str, body: Value| answer(server.request(Method::POST, &format!("{PATH}/{rest}")).json(&body)).await;
    let (sent, cancelled, kept) = (wait("sent").await, wait("cancelled").await, wait("kept").await);
    act(&format!("{sent}/send"), json!({})).await.ok();
    act(&cancelled, json!({ "action": "cancel" })).await.ok();
    act(&format!("{kept}/restart"), json!({})).await.ok();
    assert_eq!(ada.get(&at("state/org.example/sent")).await.ok(), json!({ "name": "sent" }));
    assert_eq!(waiting(&ada).await.len(), 1);
    assert_eq!(ada.get(&format!("{PATH}/{kept}")).await.ok()["delay_id"], json!(kept));
    eve.get(&format!("{PATH}/{kept}")).await.is_error(404, "M_NOT_FOUND");
    assert_eq!(waiting(&eve).await, Vec::<Value>::new());

    act(&format!("{cancelled}/send"), json!({})).await.is_error(404, "M_NOT_FOUND");
    act(&format!("{kept}/forget"), json!({})).await.is_error(404, "M_UNRECOGNIZED");
    act(&kept, json!({})).await.is_error(400, "M_BAD_JSON");
    act(&kept, json!({ "action": "forget" })).await.is_error(400, "M_INVALID_PARAM");
    answer(server.request(Method::GET, PATH)).await.is_error(401, "M_MISSING_TOKEN");
    eve.put(&at("state/org.example/eve?org.matrix.msc4140.delay=1"), json!({})).await.is_error(403, "M_FORBIDDEN");
    ada.put(&at("send/org.example/1?org.matrix.msc4140.delay=soon"), json!({})).await.is_error(400, "M_INVALID_PARAM");
    let too_long = ada.put(&at("send/org.example/2?org.matrix.msc4140.delay=99999999999"), json!({})).await;
    too_long.is_error(400, "M_UNKNOWN");
    assert_eq!(too_long.body["org.matrix.msc4140.errcode"], "M_MAX_DELAY_EXCEEDED");
    assert_eq!(too_long.body["org.matrix.msc4140.max_delay"], 12 * 3_600_000);
}
