//! The sender against a real service: HTTP on a port, answering as the test says.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use axum::extract::{Path as PathArg, State};
use axum::routing::{any, put};
use axum::{Json, Router};
use config::Config;
use engine::room::create::{CreateRoom, create_room};
use engine::room::send::{SendEvent, send_event};
use http::{HeaderMap, Request, StatusCode, header};
use ruma::{OwnedRoomId, owned_room_id, owned_user_id};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tower::ServiceExt as _;

use super::*;
use crate::client;
use crate::clock::Clock;
use crate::start;

/// Longer than any machine needs; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_mins(1);

struct Service {
    app: App,
    received: mpsc::UnboundedReceiver<(String, Value)>,
    status: Arc<AtomicU16>,
    _folder: tempfile::TempDir,
}

#[derive(Clone)]
struct Answers {
    status: Arc<AtomicU16>,
    sender: mpsc::UnboundedSender<(String, Value)>,
}

async fn transaction(
    State(answers): State<Answers>,
    PathArg(id): PathArg<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> StatusCode {
    assert_eq!(headers[header::AUTHORIZATION], "Bearer hs-secret");
    answers.sender.send((id, body)).expect("the test listens");
    StatusCode::from_u16(answers.status.load(Ordering::SeqCst)).expect("a status")
}

async fn other(State(answers): State<Answers>, request: axum::extract::Request) -> (StatusCode, Json<Value>) {
    let path = request.uri().path().to_owned();
    answers.sender.send((path, Value::Null)).expect("the test listens");
    (StatusCode::from_u16(answers.status.load(Ordering::SeqCst)).expect("a status"), Json(json!({})))
}

fn registration(folder: &Path, port: u16) -> std::path::PathBuf {
    let file = folder.join("desk.yaml");
    let text = format!(
        "id: desk\nurl: http://127.0.0.1:{port}/\nas_token: as-secret\nhs_token: hs-secret\nsender_localpart: desk\nrate_limited: false\n\
         receive_ephemeral: true\nnamespaces:\n  users:\n    - {{exclusive: true, regex: '@desk.*:localhost'}}\n  aliases:\n    - {{exclusive: true, regex: '#desk.*:localhost'}}\n"
    );
    std::fs::write(&file, text).expect("a registration");
    file
}

async fn service() -> Service {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut config = Config::default();
    config.server.name = "localhost".to_owned();
    config.server.data = folder.path().join("data");
    config.server.root_key = folder.path().join("root-key");
    config.appservices.registrations = vec![registration(folder.path(), listener.local_addr().expect("bound").port())];
    let app = start::open(config, Clock::system(), None).await.expect("opens");
    let (sender, received) = mpsc::unbounded_channel();
    let status = Arc::new(AtomicU16::new(200));
    let answers = Answers { status: Arc::clone(&status), sender };
    let router =
        Router::new().route("/_matrix/app/v1/transactions/{id}", put(transaction)).fallback(any(other)).with_state(answers);
    let ending = app.clone();
    app.tasks.spawn(async move {
        tokio::select! {
            () = ending.tasks.ended() => {}
            _ = axum::serve(listener, router) => {}
        }
    });
    start(&app);
    Service { app, received, status, _folder: folder }
}

impl Service {
    async fn next(&mut self) -> (String, Value) {
        tokio::time::timeout(PATIENCE, self.received.recv()).await.expect("in time").expect("the service runs")
    }

    /// The next transaction with a text message; its id and the texts.
    async fn next_texts(&mut self) -> (String, Vec<String>) {
        loop {
            let (id, body) = self.next().await;
            let events = body["events"].as_array().expect("events").iter();
            let texts: Vec<String> =
                events.filter_map(|event| Some(event["content"]["body"].as_str()?.to_owned())).collect();
            if !texts.is_empty() {
                return (id, texts);
            }
        }
    }

    async fn room(&self) -> OwnedRoomId {
        let mut request = ruma::api::client::room::create_room::v3::Request::new();
        request.invite = vec![owned_user_id!("@desk:localhost")];
        let command = CreateRoom {
            creator: owned_user_id!("@alice:localhost"),
            random_id: owned_room_id!("!room:localhost"),
            request,
        };
        self.app.run(|cx| create_room(cx, &command)).await.expect("a room")
    }

    async fn say(&self, room_id: &OwnedRoomId, text: &str) {
        let command = SendEvent {
            sender: owned_user_id!("@alice:localhost"),
            device_id: Some("ALICE".into()),
            room_id: room_id.clone(),
            event_type: "m.room.message".into(),
            txn_id: text.into(),
            content: serde_json::value::to_raw_value(&json!({ "msgtype": "m.text", "body": text })).expect("JSON"),
            timestamp: None,
        };
        self.app.run(|cx| send_event(cx, &command)).await.expect("sent");
    }

    async fn end(self) {
        self.app.end();
        self.app.tasks.wait().await;
    }
}

#[tokio::test]
async fn what_is_not_taken_is_sent_again_under_the_same_id_and_then_never_again() {
    let mut service = service().await;
    let room_id = service.room().await;
    let (first, body) = service.next().await;
    assert!(body["events"].as_array().expect("events").iter().any(|event| event["type"] == "m.room.member"));

    service.status.store(500, Ordering::SeqCst);
    service.say(&room_id, "one").await;
    let (failed, texts) = service.next_texts().await;
    assert_ne!(failed, first);
    assert_eq!(texts, ["one"]);
    service.say(&room_id, "two").await;
    let again = service.next_texts().await;
    assert_eq!(again, (failed.clone(), vec!["one".to_owned()]), "a repeated transaction is the same one");

    service.status.store(200, Ordering::SeqCst);
    let (taken, _) = service.next_texts().await;
    assert_eq!(taken, failed);
    let (next, texts) = service.next_texts().await;
    assert_ne!(next, failed);
    assert_eq!(texts, ["two"]);
    service.say(&room_id, "three").await;
    assert_eq!(service.next_texts().await.1, ["three"], "what was taken does not come again");
    service.end().await;
}

#[tokio::test]
async fn what_expires_while_a_service_is_down_is_never_told() {
    let mut service = service().await;
    let room_id = service.room().await;
    service.next().await;
    service.status.store(503, Ordering::SeqCst);
    service.say(&room_id, "secret").await;
    assert_eq!(service.next_texts().await.1, ["secret"]);
    service.app.clock.advance(Duration::from_millis(service.app.server.retention_ms));
    // What was on its way when the clock moved may still arrive: it was not expired when it was read.
    service.say(&room_id, "news").await;
    service.status.store(200, Ordering::SeqCst);
    loop {
        let (_, texts) = service.next_texts().await;
        if texts.contains(&"news".to_owned()) {
            assert_eq!(texts, ["news"]);
            break;
        }
    }
    service.end().await;
}

#[tokio::test]
async fn a_service_can_ping_itself_and_only_itself() {
    let mut service = service().await;
    let router = client::routes().into_router(&service.app);
    let ping = |id: &str, token: &str| {
        let request = Request::post(format!("/_matrix/client/v1/appservice/{id}/ping"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(axum::body::Body::from(r#"{"transaction_id":"t"}"#))
            .expect("a request");
        router.clone().oneshot(request)
    };
    let pong = ping("desk", "as-secret").await.expect("answers");
    assert_eq!(pong.status(), StatusCode::OK);
    assert_eq!(service.next().await.0, "/_matrix/app/v1/ping");
    assert_eq!(ping("other", "as-secret").await.expect("answers").status(), StatusCode::FORBIDDEN);
    service.status.store(418, Ordering::SeqCst);
    let refused = ping("desk", "as-secret").await.expect("answers");
    assert_eq!(refused.status(), StatusCode::BAD_GATEWAY);
    service.end().await;
}

#[tokio::test]
async fn a_service_is_asked_for_users_and_aliases_of_its_own_that_are_not_there_yet() {
    let mut service = service().await;
    for user_id in ["@desk_ann:localhost", "@desk:localhost", "@alice:localhost"] {
        make_user_known(&service.app, user_id.try_into().expect("a user id")).await;
    }
    assert_eq!(service.next().await.0, "/_matrix/app/v1/users/%40desk_ann%3Alocalhost");
    make_alias_known(&service.app, "#desk_help:localhost").await;
    make_alias_known(&service.app, "#tea:localhost").await;
    assert_eq!(service.next().await.0, "/_matrix/app/v1/rooms/%23desk_help%3Alocalhost");
    assert!(service.received.try_recv().is_err(), "nobody is asked about users who are there, or about others' names");
    service.end().await;
}
