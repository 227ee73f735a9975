//! Application services: an encrypted conversation with a bot, and a restart in the middle of it.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use homeserver::workers;
use http::{HeaderMap, StatusCode};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::support::{Server, answer, record};

type Transaction = (String, Value);

/// A service that takes transactions or not, as the test says, and makes the users and rooms it is asked for.
struct Service {
    port: u16,
    status: Arc<AtomicU16>,
    received: mpsc::UnboundedReceiver<Transaction>,
    /// Where to make what is asked for; without one it knows nothing.
    server: Arc<Mutex<Option<String>>>,
    /// What it was asked for.
    asked: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone)]
struct Shared {
    status: Arc<AtomicU16>,
    sender: mpsc::UnboundedSender<Transaction>,
    server: Arc<Mutex<Option<String>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

async fn transaction(State(shared): State<Shared>, Path(id): Path<String>, Json(body): Json<Value>) -> StatusCode {
    shared.sender.send((id, body)).expect("the test listens");
    StatusCode::from_u16(shared.status.load(Ordering::SeqCst)).expect("a status")
}

async fn ping(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    (StatusCode::from_u16(shared.status.load(Ordering::SeqCst)).expect("a status"), "a teapot")
}

/// Makes what it is asked for, unless it is somebody nobody knows.
async fn query(State(shared): State<Shared>, Path(name): Path<String>, headers: HeaderMap) -> (StatusCode, Json<Value>) {
    assert_eq!(headers["authorization"], "Bearer hs-secret");
    shared.asked.lock().expect("whole").push(name.clone());
    let server = shared.server.lock().expect("whole").clone();
    let localpart = name[1..].split(':').next().expect("a name").to_owned();
    let Some(server) = server.filter(|_| !localpart.contains("no")) else {
        return (StatusCode::NOT_FOUND, Json(json!({ "errcode": "M_NOT_FOUND" })));
    };
    let (path, body) = if name.starts_with('@') {
        ("register", json!({ "type": "m.login.application_service", "username": localpart, "inhibit_login": true }))
    } else {
        ("createRoom", json!({ "preset": "public_chat", "room_alias_name": localpart }))
    };
    let request = reqwest::Client::new().post(format!("{server}/_matrix/client/v3/{path}")).bearer_auth("as-secret");
    answer(request.json(&body)).await.ok();
    (StatusCode::OK, Json(json!({})))
}

impl Service {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let status = Arc::new(AtomicU16::new(200));
        let (sender, received) = mpsc::unbounded_channel();
        let (server, asked) = (Arc::default(), Arc::default());
        let shared = Shared { status: Arc::clone(&status), sender, server: Arc::clone(&server), asked: Arc::clone(&asked) };
        let router = Router::new()
            .route("/_matrix/app/v1/transactions/{id}", put(transaction))
            .route("/_matrix/app/v1/users/{name}", get(query))
            .route("/_matrix/app/v1/rooms/{name}", get(query))
            .route("/_matrix/app/v1/ping", post(ping))
            .with_state(shared);
        let router = record::calls(router);
        #[expect(clippy::disallowed_methods, reason = "the service is not the server's: it outlives a restart of it")]
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { port, status, received, server, asked }
    }

    fn registration(&self) -> String {
        format!(
            "id: desk\nurl: http://127.0.0.1:{}\nas_token: as-secret\nhs_token: hs-secret\nsender_localpart: desk\n\
             rate_limited: false\nreceive_ephemeral: true\nnamespaces:\n  users:\n    - {{exclusive: true, regex: '@desk.*'}}\n\
             \x20 aliases:\n    - {{exclusive: true, regex: '#desk.*'}}\n",
            self.port
        )
    }

    /// The next transaction that `wanted` finds something in.
    async fn next<T>(&mut self, wanted: impl Fn(&Value) -> Option<T>) -> (String, T) {
        loop {
            let next = tokio::time::timeout(std::time::Duration::from_mins(1), self.received.recv()).await;
            let (id, body) = next.expect("in time").expect("the service runs");
            if let Some(found) = wanted(&body) {
                return (id, found);
            }
        }
    }
}

fn texts(body: &Value) -> Option<Vec<String>> {
    let events = body["events"].as_array()?.iter();
    let texts: Vec<String> = events.filter_map(|event| Some(event["content"]["body"].as_str()?.to_owned())).collect();
    (!texts.is_empty()).then_some(texts)
}

async fn start(service: &Service) -> Server {
    start_with(service.registration()).await
}

async fn start_with(registration: String) -> Server {
    let server = Server::start_with(|config| {
        std::fs::create_dir_all(&config.server.data).expect("a folder");
        let file = config.server.data.join("desk.yaml");
        std::fs::write(&file, registration).expect("a file");
        config.appservices.registrations = vec![file];
    })
    .await;
    workers::start(&server.app);
    server
}

#[tokio::test]
async fn a_service_s_device_gets_messages_receipts_and_key_counts() {
    let mut service = Service::start().await;
    let server = start(&service).await;
    let alice = server.register("alice").await;
    let desk = |method: Method, path: &str| {
        let separator = if path.contains('?') { '&' } else { '?' };
        server.request(method, &format!("{path}{separator}user_id=@desk:localhost")).bearer_auth("as-secret")
    };
    let made = answer(desk(Method::PUT, "/_matrix/client/v3/devices/DESK").json(&json!({}))).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let room_id = alice.create_room(json!({ "invite": ["@desk:localhost"] })).await;
    service
        .next(|body| {
            let mut events = body["events"].as_array()?.iter();
            events.any(|event| event["state_key"] == "@desk:localhost" && event["room_id"] == room_id.as_str()).then_some(())
        })
        .await;
    answer(desk(Method::POST, &format!("/_matrix/client/v3/rooms/{room_id}/join")).json(&json!({}))).await.ok();
    let event_id = alice.send(&room_id, "help").await;
    assert_eq!(service.next(texts).await.1, ["help"]);

    let messages = json!({ "messages": { "@desk:localhost": { "DESK": { "ciphertext": "c" } } } });
    alice.put("/_matrix/client/v3/sendToDevice/m.room.encrypted/1", messages).await.ok();
    let (_, message) = service.next(|body| Some(body.get("de.sorunome.msc2409.to_device")?[0].clone())).await;
    assert_eq!(message["to_device_id"], "DESK");
    assert_eq!(message["content"], json!({ "ciphertext": "c" }));

    alice.post(&format!("/_matrix/client/v3/rooms/{room_id}/receipt/m.read/{event_id}"), json!({})).await.ok();
    let (_, receipt) = service.next(|body| Some(body.get("ephemeral")?[0].clone())).await;
    assert!(receipt["content"][&event_id]["m.read"][&alice.user_id]["ts"].is_u64(), "{receipt}");
}

#[tokio::test]
async fn a_transaction_keeps_its_id_over_a_restart() {
    let mut service = Service::start().await;
    let server = start(&service).await;
    let alice = server.register("alice").await;
    let room_id = alice.create_room(json!({ "invite": ["@desk:localhost"] })).await;
    alice.send(&room_id, "first").await;
    service.next(texts).await;
    service.status.store(500, Ordering::SeqCst);
    alice.send(&room_id, "second").await;
    let before = service.next(texts).await;
    let (token, user_id, device_id) = (alice.token.clone(), alice.user_id.clone(), alice.device_id.clone());
    let server = server.stop().await.start().await;
    workers::start(&server.app);
    let after = service.next(texts).await;
    assert_eq!(after, before);
    service.status.store(200, Ordering::SeqCst);
    let alice = crate::support::User { server: &server, user_id, device_id, token };
    alice.send(&room_id, "third").await;
    loop {
        let (id, texts) = service.next(texts).await;
        if texts == ["third"] {
            assert_ne!(id, before.0);
            break;
        }
        assert_eq!((id, texts), before, "nothing else comes between");
    }
}

/// As the service itself, or as one of its users.
fn as_service(server: &Server, method: Method, path: &str) -> reqwest::RequestBuilder {
    server.request(method, path).bearer_auth("as-secret")
}

#[tokio::test]
async fn a_service_that_asks_for_them_is_told_of_typing_presence_and_its_own_private_receipts() {
    let mut service = Service::start().await;
    let server = start(&service).await;
    let (alice, eve) = (server.register("alice").await, server.register("eve").await);
    let room_id = alice.create_room(json!({ "invite": ["@desk:localhost"] })).await;
    let join = format!("/_matrix/client/v3/rooms/{room_id}/join?user_id=@desk:localhost");
    answer(as_service(&server, Method::POST, &join).json(&json!({}))).await.ok();
    let event_id = alice.send(&room_id, "help").await;
    service.next(texts).await;

    let apart = eve.create_room(json!({})).await;
    let typing = |room_id: &str, user_id: &str| format!("/_matrix/client/v3/rooms/{room_id}/typing/{user_id}");
    eve.put(&typing(&apart, &eve.user_id), json!({ "typing": true, "timeout": 60_000 })).await.ok();
    let status = |user_id: &str| format!("/_matrix/client/v3/presence/{user_id}/status");
    eve.put(&status(&eve.user_id), json!({ "presence": "online", "status_msg": "nobody's" })).await.ok();
    alice.put(&typing(&room_id, &alice.user_id), json!({ "typing": true, "timeout": 60_000 })).await.ok();
    let events = |body: &Value| body.get("ephemeral").and_then(Value::as_array).cloned();
    let (_, told) = service.next(events).await;
    let expected = json!({ "type": "m.typing", "room_id": room_id, "content": { "user_ids": [alice.user_id] } });
    assert_eq!(told, [expected], "and nothing of a room and a user that are none of its business");
    alice.put(&typing(&room_id, &alice.user_id), json!({ "typing": false })).await.ok();
    let (_, told) = service.next(events).await;
    assert_eq!(told[0]["content"], json!({ "user_ids": [] }));

    // What is on its way stays the same, whatever changes meanwhile.
    service.status.store(500, Ordering::SeqCst);
    alice.put(&status(&alice.user_id), json!({ "presence": "online", "status_msg": "here" })).await.ok();
    let first = service.next(events).await;
    assert_eq!((&first.1[0]["type"], &first.1[0]["sender"]), (&json!("m.presence"), &json!(alice.user_id)));
    assert_eq!(first.1[0]["content"]["status_msg"], json!("here"));
    alice.put(&status(&alice.user_id), json!({ "presence": "online", "status_msg": "gone" })).await.ok();
    assert_eq!(service.next(events).await, first);
    service.status.store(200, Ordering::SeqCst);
    let (id, told) = loop {
        let next = service.next(events).await;
        if next != first {
            break next;
        }
    };
    assert_ne!(id, first.0);
    assert_eq!(told[0]["content"]["status_msg"], json!("gone"));

    let receipt = |user: &str| format!("/_matrix/client/v3/rooms/{room_id}/receipt/m.read.private/{event_id}{user}");
    alice.post(&receipt(""), json!({})).await.ok();
    answer(as_service(&server, Method::POST, &receipt("?user_id=@desk:localhost")).json(&json!({}))).await.ok();
    let (_, told) = service.next(events).await;
    let readers = told[0]["content"][&event_id]["m.read.private"].as_object().expect("users");
    assert_eq!(readers.keys().collect::<Vec<_>>(), ["@desk:localhost"]);
}

#[tokio::test]
async fn the_older_name_of_ephemeral_events_goes_to_those_who_ask_by_it() {
    let mut service = Service::start().await;
    let registration = service.registration().replace("receive_ephemeral", "de.sorunome.msc2409.push_ephemeral");
    let server = start_with(registration).await;
    let alice = server.register("alice").await;
    let room_id = alice.create_room(json!({ "invite": ["@desk:localhost"] })).await;
    let join = format!("/_matrix/client/v3/rooms/{room_id}/join?user_id=@desk:localhost");
    answer(as_service(&server, Method::POST, &join).json(&json!({}))).await.ok();
    let typing = format!("/_matrix/client/v3/rooms/{room_id}/typing/{}", alice.user_id);
    alice.put(&typing, json!({ "typing": true })).await.ok();
    let (_, body) = service.next(|body| body.get("ephemeral").map(|_| body.clone())).await;
    assert_eq!(body["ephemeral"][0]["type"], "m.typing");
    assert_eq!(body["de.sorunome.msc2409.ephemeral"], body["ephemeral"]);
}

#[tokio::test]
async fn a_service_makes_the_users_and_rooms_that_are_asked_for() {
    let service = Service::start().await;
    let server = start(&service).await;
    *service.server.lock().expect("whole") = Some(server.base.clone());
    let alice = server.register("alice").await;
    alice.get("/_matrix/client/v3/profile/@desk_ann:localhost").await.ok();
    alice.get("/_matrix/client/v3/profile/@desk_nobody:localhost").await.is_error(404, "M_NOT_FOUND");
    alice.get("/_matrix/client/v3/profile/@ann:localhost").await.is_error(404, "M_NOT_FOUND");
    let found = alice.get("/_matrix/client/v3/directory/room/%23desk_tea:localhost").await.ok();
    assert!(found["room_id"].is_string());
    let joined = alice.post("/_matrix/client/v3/join/%23desk_cake:localhost", json!({})).await.ok();
    assert!(joined["room_id"].is_string() && joined["room_id"] != found["room_id"]);
    alice.get("/_matrix/client/v3/directory/room/%23desk_nowhere:localhost").await.is_error(404, "M_NOT_FOUND");
    assert_eq!(
        *service.asked.lock().expect("whole"),
        [
            "@desk_ann:localhost",
            "@desk_nobody:localhost",
            "#desk_tea:localhost",
            "#desk_cake:localhost",
            "#desk_nowhere:localhost"
        ]
    );
}

#[tokio::test]
async fn a_ping_says_what_is_wrong() {
    let service = Service::start().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound").port();
    let registration = service.registration();
    let other = |id: &str, url: &str| {
        let text = registration.replace("id: desk", &format!("id: {id}")).replace("as-secret", &format!("as-{id}"));
        let text =
            text.replace("sender_localpart: desk", &format!("sender_localpart: {id}")).replace("'@desk", &format!("'@{id}"));
        text.replace(&format!("http://127.0.0.1:{}", service.port), url)
    };
    let server = Server::start_with(|config| {
        std::fs::create_dir_all(&config.server.data).expect("a folder");
        let gone = other("gone", &format!("http://127.0.0.1:{closed}"));
        for (name, text) in [("desk", registration.clone()), ("mute", other("mute", "null")), ("gone", gone)] {
            let file = config.server.data.join(format!("{name}.yaml"));
            std::fs::write(&file, text).expect("a file");
            config.appservices.registrations.push(file);
        }
    })
    .await;
    let ping = async |id: &str, token: &str| {
        let path = format!("/_matrix/client/v1/appservice/{id}/ping");
        answer(server.request(Method::POST, &path).bearer_auth(token).json(&json!({ "transaction_id": "t" }))).await
    };
    let pong = ping("desk", "as-secret").await.ok();
    assert!(pong["duration_ms"].is_u64(), "{pong}");
    ping("gone", "as-secret").await.is_error(403, "M_FORBIDDEN");
    ping("mute", "as-mute").await.is_error(400, "M_URL_NOT_SET");
    ping("gone", "as-gone").await.is_error(502, "M_CONNECTION_FAILED");
    let alice = server.register("alice").await;
    ping("desk", &alice.token).await.is_error(403, "M_FORBIDDEN");
    ping("desk", "nobody's").await.is_error(401, "M_UNKNOWN_TOKEN");
    service.status.store(418, Ordering::SeqCst);
    let bad = ping("desk", "as-secret").await;
    bad.is_error(502, "M_BAD_STATUS");
    assert_eq!((&bad.body["status"], &bad.body["body"]), (&json!(418), &json!("a teapot")));
}
