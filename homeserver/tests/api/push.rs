//! Push gateways: a real one on a port of this machine, told by the running server.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use homeserver::workers;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::support::{Server, User, eventually, record};

/// Longer than any machine needs; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_mins(1);

/// A gateway that answers as the test says.
struct Gateway {
    origin: String,
    answer: Arc<Mutex<(u16, Value)>>,
    received: mpsc::UnboundedReceiver<Value>,
}

type Shared = (Arc<Mutex<(u16, Value)>>, mpsc::UnboundedSender<Value>);

async fn notify(State((answer, sender)): State<Shared>, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    let (status, body) = {
        sender.send(body).expect("the test listens");
        answer.lock().expect("whole").clone()
    };
    (StatusCode::from_u16(status).expect("a status"), Json(body))
}

impl Gateway {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let origin = format!("http://{}", listener.local_addr().expect("bound"));
        let answer = Arc::new(Mutex::new((200, json!({ "rejected": [] }))));
        let (sender, received) = mpsc::unbounded_channel();
        let router = Router::new().route("/_matrix/push/v1/notify", post(notify)).with_state((Arc::clone(&answer), sender));
        let router = record::calls(router);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { origin, answer, received }
    }

    fn url(&self) -> String {
        format!("{}/_matrix/push/v1/notify", self.origin)
    }

    fn answers(&self, status: u16, body: Value) {
        *self.answer.lock().expect("whole") = (status, body);
    }

    /// The next notification.
    async fn next(&mut self) -> Value {
        let next = tokio::time::timeout(PATIENCE, self.received.recv()).await;
        next.expect("in time").expect("the gateway runs")["notification"].take()
    }
}

async fn start(gateway: &Gateway) -> Server {
    let origin = gateway.origin.clone();
    let server = Server::start_with(|config| config.push.trusted_gateways = vec![origin]).await;
    workers::start(&server.app);
    server
}

fn pusher(pushkey: &str, data: Value) -> Value {
    json!({
        "app_id": "org.example", "pushkey": pushkey, "kind": "http", "app_display_name": "App",
        "device_display_name": "Phone", "lang": "en", "data": data,
    })
}

async fn set(user: &User<'_>, pusher: Value) {
    user.post("/_matrix/client/v3/pushers/set", pusher).await.ok();
}

/// Two in a room; the second one has read all there is.
async fn pair(server: &Server) -> (User<'_>, User<'_>, String) {
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let name = format!("/_matrix/client/v3/profile/{}/displayname", ada.user_id);
    ada.put(&name, json!({ "displayname": "Ada" })).await.ok();
    let room_id = ada.create_room(json!({ "preset": "private_chat", "name": "Tea", "invite": [bob.user_id] })).await;
    bob.post(&format!("/_matrix/client/v3/rooms/{room_id}/join"), json!({})).await.ok();
    let event_id = ada.send(&room_id, "before").await;
    read(&bob, &room_id, &event_id).await;
    (ada, bob, room_id)
}

async fn read(user: &User<'_>, room_id: &str, event_id: &str) {
    user.post(&format!("/_matrix/client/v3/rooms/{room_id}/receipt/m.read/{event_id}"), json!({})).await.ok();
}

fn nothing_is_queued(server: &Server) -> bool {
    server.app.read(|cx| Ok(engine::push::waiting(cx)?)).expect("reads").is_empty()
}

#[tokio::test]
async fn a_gateway_is_told_of_events_and_of_counts() {
    let mut gateway = Gateway::start().await;
    let server = start(&gateway).await;
    let (ada, bob, room_id) = pair(&server).await;
    let payload = json!({ "aps": { "mutable-content": 1, "alert": { "loc-key": "SINGLE_UNREAD" } } });
    set(&bob, pusher("brief", json!({ "url": gateway.url(), "format": "event_id_only", "default_payload": payload }))).await;

    let event_id = ada.send(&room_id, "hello").await;
    let mut told = gateway.next().await;
    let updated = told["devices"][0]["pushkey_ts"].take();
    assert!(updated.as_u64().is_some_and(|seconds| seconds.abs_diff(server.clock.now().as_ms() / 1_000) < 60), "{updated}");
    let device = json!({
        "app_id": "org.example", "pushkey": "brief", "pushkey_ts": null,
        "data": { "format": "event_id_only", "default_payload": payload },
    });
    assert_eq!(
        told,
        json!({ "event_id": event_id, "room_id": room_id, "prio": "high", "counts": { "unread": 1 }, "devices": [device] })
    );

    read(&bob, &room_id, &event_id).await;
    let told = gateway.next().await;
    assert_eq!((&told["counts"], told.get("event_id"), &told["prio"]), (&json!({ "unread": 0 }), None, &json!("low")));

    set(&bob, pusher("whole", json!({ "url": gateway.url() }))).await;
    set(&bob, json!({ "app_id": "org.example", "pushkey": "brief", "kind": null })).await;
    ada.send(&room_id, "whole").await;
    let told = gateway.next().await;
    assert_eq!(told["content"], json!({ "msgtype": "m.text", "body": "whole" }));
    assert_eq!((&told["sender"], &told["sender_display_name"]), (&json!(ada.user_id), &json!("Ada")));
    assert_eq!((&told["room_name"], &told["type"]), (&json!("Tea"), &json!("m.room.message")));
    assert_eq!(told["devices"][0]["tweaks"], json!({ "sound": "default" }));
    assert_eq!(told["devices"][0]["data"].get("url"), None);
    eventually("the queue is empty", async || nothing_is_queued(&server)).await;
    assert!(gateway.received.try_recv().is_err(), "nothing is told twice");
}

#[tokio::test]
async fn what_a_gateway_does_not_take_comes_again_and_a_rejected_key_does_not() {
    let mut gateway = Gateway::start().await;
    let server = start(&gateway).await;
    let (ada, bob, room_id) = pair(&server).await;
    set(&bob, pusher("good", json!({ "url": gateway.url() }))).await;
    set(&bob, pusher("bad", json!({ "url": gateway.url() }))).await;
    gateway.answers(502, json!({}));
    let event_id = ada.send(&room_id, "hello").await;
    let first = gateway.next().await;
    assert_eq!((first["event_id"].as_str(), first["devices"].as_array().map(Vec::len)), (Some(&*event_id), Some(2)));
    gateway.answers(200, json!({ "rejected": ["bad", "somebody else's"] }));
    assert_eq!(gateway.next().await, first, "the same notification again");
    let keys = async || {
        let pushers = bob.get("/_matrix/client/v3/pushers").await.ok();
        let pushers = pushers["pushers"].as_array().expect("a list").clone();
        pushers.iter().filter_map(|pusher| Some(pusher["pushkey"].as_str()?.to_owned())).collect::<Vec<_>>()
    };
    eventually("the pusher is gone", async || keys().await == ["good"]).await;
    gateway.answers(200, json!({ "rejected": [] }));
    ada.send(&room_id, "again").await;
    assert_eq!(gateway.next().await["devices"].as_array().map(Vec::len), Some(1));
    // A refusal is no reason to come again.
    gateway.answers(400, json!({ "errcode": "M_UNKNOWN" }));
    ada.send(&room_id, "refused").await;
    gateway.next().await;
    eventually("the queue is empty", async || nothing_is_queued(&server)).await;
}

#[tokio::test]
async fn a_notification_survives_a_restart_and_dies_with_its_event() {
    let mut gateway = Gateway::start().await;
    let server = start(&gateway).await;
    let (ada, bob, room_id) = pair(&server).await;
    set(&bob, pusher("key", json!({ "url": gateway.url() }))).await;
    gateway.answers(500, json!({}));
    let event_id = ada.send(&room_id, "hello").await;
    assert_eq!(gateway.next().await["event_id"], event_id.as_str());
    let (user_id, device_id, token) = (ada.user_id.clone(), ada.device_id.clone(), ada.token.clone());
    let server = server.stop().await.start().await;
    gateway.answers(200, json!({ "rejected": [] }));
    while gateway.received.try_recv().is_ok() {}
    workers::start(&server.app);
    assert_eq!(gateway.next().await["event_id"], event_id.as_str());
    eventually("the queue is empty", async || nothing_is_queued(&server)).await;

    gateway.answers(500, json!({}));
    let ada = User { server: &server, user_id, device_id, token };
    let late = ada.send(&room_id, "late").await;
    assert_eq!(gateway.next().await["event_id"], late.as_str());
    server.clock.advance(Duration::from_millis(server.app.server.retention_ms));
    gateway.answers(200, json!({ "rejected": [] }));
    eventually("the row is gone with its event", async || nothing_is_queued(&server)).await;
}

#[tokio::test]
async fn a_pusher_goes_with_its_device_and_counts_fall_when_events_expire() {
    let mut gateway = Gateway::start().await;
    let server = start(&gateway).await;
    let (ada, bob, room_id) = pair(&server).await;
    set(&bob, pusher("key", json!({ "url": gateway.url() }))).await;
    ada.send(&room_id, "hello").await;
    assert_eq!(gateway.next().await["counts"], json!({ "unread": 1 }));
    let since = bob.get("/_matrix/client/v3/sync").await.ok()["next_batch"].as_str().expect("a token").to_owned();

    server.clock.advance(Duration::from_millis(server.app.server.retention_ms));
    workers::counts::tell_due(&server.app, &mut workers::counts::Progress::default()).await.expect("told");
    let told = gateway.next().await;
    assert_eq!((&told["counts"], told.get("event_id")), (&json!({ "unread": 0 }), None));
    let news = bob.get(&format!("/_matrix/client/v3/sync?since={since}&timeout=30000")).await.ok();
    let room = &news["rooms"]["join"][&room_id];
    assert_eq!(room["unread_notifications"], json!({ "highlight_count": 0, "notification_count": 0 }), "{news}");

    bob.post("/_matrix/client/v3/logout", json!({})).await.ok();
    ada.send(&room_id, "to nobody").await;
    assert!(nothing_is_queued(&server));
}

#[tokio::test]
async fn only_push_gateways_anybody_can_reach_are_called() {
    let server = Server::start().await;
    workers::start(&server.app);
    let (ada, bob, room_id) = pair(&server).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    for url in [
        format!("http://127.0.0.1:{port}/_matrix/push/v1/notify"),
        format!("https://127.0.0.1:{port}/_matrix/push/v1/notify"),
        "https://[::1]/_matrix/push/v1/notify".to_owned(),
        "https://169.254.169.254/_matrix/push/v1/notify".to_owned(),
        "http://push.example/_matrix/push/v1/notify".to_owned(),
        "https://push.example/".to_owned(),
        "https://push.example/_matrix/push/v1/notify?key=1".to_owned(),
        "https://user:word@push.example/_matrix/push/v1/notify".to_owned(),
        "push.example".to_owned(),
    ] {
        let refused = bob.post("/_matrix/client/v3/pushers/set", pusher("key", json!({ "url": url }))).await;
        refused.is_error(400, "M_INVALID_PARAM");
    }
    let long = pusher(&"k".repeat(513), json!({ "url": "https://push.example/_matrix/push/v1/notify" }));
    bob.post("/_matrix/client/v3/pushers/set", long).await.is_error(400, "M_INVALID_PARAM");
    let mut mail = pusher("bob@example.org", json!({}));
    mail["kind"] = "email".into();
    bob.post("/_matrix/client/v3/pushers/set", mail).await.is_error(400, "M_INVALID_PARAM");

    // A name is looked up when it is called: this one leads here, and nothing is sent.
    set(&bob, pusher("key", json!({ "url": format!("https://localhost:{port}/_matrix/push/v1/notify") }))).await;
    ada.send(&room_id, "hello").await;
    eventually("it is given up", async || nothing_is_queued(&server)).await;
    let connected = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(connected.is_err(), "nobody connected");
}

#[tokio::test]
async fn push_rules_are_refused_where_they_cannot_stand() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let rule = |kind: &str, rest: &str| format!("/_matrix/client/v3/pushrules/global/{kind}/{rest}");
    let body = json!({ "actions": ["notify"], "conditions": [] });
    ada.put(&rule("override", "one"), body.clone()).await.ok();
    ada.put(&rule("override", "two?after=one"), body.clone()).await.ok();
    ada.put(&rule("override", "one?after=two"), body.clone()).await.ok();
    let rules = ada.get("/_matrix/client/v3/pushrules/").await.ok();
    let ids: Vec<_> =
        rules["global"]["override"].as_array().expect("a list").iter().take(3).map(|rule| &rule["rule_id"]).collect();
    assert_eq!(ids, [".m.rule.master", "two", "one"]);
    assert_eq!(ada.get("/_matrix/client/v3/pushrules/global/").await.ok()["override"], rules["global"]["override"]);
    ada.put(&rule("override", "three?before=nowhere"), body.clone()).await.is_error(400, "M_UNKNOWN");
    ada.put(&rule("override", "three?before=.m.rule.master"), body.clone()).await.is_error(400, "M_INVALID_PARAM");
    ada.put(&rule("override", ".m.rule.mine"), body.clone()).await.is_error(400, "M_INVALID_PARAM");
    ada.put(&rule("content", "cake"), json!({ "actions": ["notify"] })).await.is_error(400, "M_BAD_JSON");
    ada.put(&rule("override", "none/enabled"), json!({ "enabled": true })).await.is_error(404, "M_NOT_FOUND");
    ada.put(&rule("override", "none/actions"), json!({ "actions": [] })).await.is_error(404, "M_NOT_FOUND");
    for rest in ["none", "none/enabled", "none/actions"] {
        ada.get(&rule("room", rest)).await.is_error(404, "M_NOT_FOUND");
    }
}
