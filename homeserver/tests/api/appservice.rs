//! Application services: an encrypted conversation with a bot, and a restart in the middle of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use axum::extract::{Path, State};
use axum::routing::put;
use axum::{Json, Router};
use homeserver::workers;
use http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::support::{Server, answer, record};

type Transaction = (String, Value);

/// A service that takes transactions or not, as the test says.
struct Service {
    port: u16,
    status: Arc<AtomicU16>,
    received: mpsc::UnboundedReceiver<Transaction>,
}

async fn transaction(
    State((status, sender)): State<(Arc<AtomicU16>, mpsc::UnboundedSender<Transaction>)>,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> StatusCode {
    sender.send((id, body)).expect("the test listens");
    StatusCode::from_u16(status.load(Ordering::SeqCst)).expect("a status")
}

impl Service {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let status = Arc::new(AtomicU16::new(200));
        let (sender, received) = mpsc::unbounded_channel();
        let router = Router::new()
            .route("/_matrix/app/v1/transactions/{id}", put(transaction))
            .with_state((Arc::clone(&status), sender));
        let router = record::calls(router);
        #[expect(clippy::disallowed_methods, reason = "the service is not the server's: it outlives a restart of it")]
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { port, status, received }
    }

    fn registration(&self) -> String {
        format!(
            "id: desk\nurl: http://127.0.0.1:{}\nas_token: as-secret\nhs_token: hs-secret\nsender_localpart: desk\n\
             rate_limited: false\nreceive_ephemeral: true\nnamespaces:\n  users:\n    - {{exclusive: true, regex: '@desk.*'}}\n",
            self.port
        )
    }

    /// The next transaction that `wanted` finds something in.
    async fn next<T>(&mut self, wanted: impl Fn(&Value) -> Option<T>) -> (String, T) {
        loop {
            let next = tokio::time::timeout(std::time::Duration::from_secs(60), self.received.recv()).await;
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
    let registration = service.registration();
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
