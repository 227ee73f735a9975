//! The platform is told by its webhook: signed, again until it is taken, and never what was said.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use homeserver::workers::webhooks;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::platform::Platform;
use crate::support::{Server, eventually};

/// What came in, with what was answered.
type Seen = Arc<Mutex<Vec<(HeaderMap, Bytes, StatusCode)>>>;

/// The platform's receiver: it does not take the first attempt.
async fn receive(State(seen): State<Seen>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut seen = seen.lock().expect("not poisoned");
    let status = if seen.is_empty() { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::NO_CONTENT };
    seen.push((headers, body, status));
    status
}

fn taken(seen: &Seen) -> Vec<Value> {
    let seen = seen.lock().expect("not poisoned");
    let taken = seen.iter().filter(|(_, _, status)| status.is_success());
    taken.map(|(_, body, _)| serde_json::from_slice(body).expect("JSON")).collect()
}

async fn until_taken(seen: &Seen, kinds: &[&str]) -> Vec<Value> {
    eventually(&format!("{kinds:?} are told"), async || taken(seen).len() >= kinds.len()).await;
    let told = taken(seen);
    assert_eq!(told.iter().map(|event| event["type"].as_str().expect("a type")).collect::<Vec<_>>(), kinds, "{told:?}");
    told
}

#[tokio::test]
async fn the_platform_is_told_once_and_in_order() {
    let seen = Seen::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
    let router = axum::Router::new().route("/hook", axum::routing::post(receive)).with_state(Arc::clone(&seen));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("webhook.key");
    let server = Server::start_with(|config| {
        config.webhooks.url = Some(url);
        config.webhooks.private_network = true;
        config.webhooks.secret.clone_from(&secret);
    })
    .await;
    server.app.tasks.spawn(webhooks::run(server.app.clone()));
    let platform = Platform::new(&server).await;
    let ada = platform.clinic().await;
    let session = platform.session("visit", "ada", &["pat"]).await.ok();
    let pat_id = &session["invitees"][0]["user_id"];

    let host = platform.page(&ada["user_id"]).await;
    let mut kinds = vec!["user.first_online"];
    let told = until_taken(&seen, &kinds).await;
    assert_eq!(told[0]["data"], json!({ "user_id": ada["user_id"], "host": "ada" }));

    // The invitee has never come. One event for all that waits.
    let room = host.create_room(json!({ "invite": [pat_id], "preset": "trusted_private_chat" })).await;
    for text in ["the secret word", "and another"] {
        host.send(&room, text).await;
    }
    kinds.push("message.waiting");
    let told = until_taken(&seen, &kinds).await;
    assert_eq!(told[1]["data"], json!({ "user_id": pat_id, "session": "visit", "invitee": "pat" }));

    // The invitee comes, and is there: nothing waits.
    let pat = platform.page(pat_id).await;
    kinds.push("user.first_online");
    until_taken(&seen, &kinds).await;
    pat.post(&format!("/_matrix/client/v3/join/{room}"), json!({})).await.ok();
    pat.get("/_matrix/client/v3/sync").await.ok();
    let waits = async || {
        server
            .app
            .read(|cx| {
                Ok(engine::platform::webhooks::is_waited_for(cx, &pat.user_id.parse::<ruma::OwnedUserId>().expect("an id"))?)
            })
            .expect("reads")
    };
    eventually("that they came is noted", async || !waits().await).await;
    host.send(&room, "hello").await;
    platform.page(&ada["user_id"]).await;
    platform.call(Method::POST, "/sessions/visit/end", Value::Null).await.ok();
    kinds.push("session.chat_ended");
    let told = until_taken(&seen, &kinds).await;
    assert_eq!(told[3]["data"], json!({ "session": "visit" }));

    // Each attempt is signed; the first was made twice, under one id; nobody was told what was said.
    let key = std::fs::read_to_string(&secret).expect("a secret");
    let key = STANDARD.decode(key.strip_prefix("whsec_").expect("its form")).expect("base64");
    let seen = seen.lock().expect("not poisoned");
    assert_eq!(seen.len(), kinds.len() + 1, "one was not taken at first");
    let header = |headers: &HeaderMap, name: &str| headers[name].to_str().expect("text").to_owned();
    assert_eq!(header(&seen[0].0, "webhook-id"), header(&seen[1].0, "webhook-id"));
    for (headers, body, _) in seen.iter() {
        let (id, at) = (header(headers, "webhook-id"), header(headers, "webhook-timestamp"));
        let now = server.clock.now().as_ms() / 1_000;
        assert!(now.abs_diff(at.parse::<u64>().expect("seconds")) < 60);
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
        mac.update(format!("{id}.{at}.").as_bytes());
        mac.update(body);
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(header(headers, "webhook-signature"), expected);
        let text = String::from_utf8_lossy(body);
        assert!(!text.contains("secret word") && !text.contains(&room) && !text.contains("Byron"), "{text}");
    }
}
