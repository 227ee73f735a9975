#![expect(clippy::disallowed_methods, reason = "a test spawns by itself")]

use std::sync::Mutex;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Request, State},
    response::IntoResponse as _,
};
use ruma::{api::client::presence::set_presence, owned_device_id, owned_user_id, presence::PresenceState};
use serde_json::json;

use super::*;

/// A homeserver that gives one prepared answer after another and writes down what it was asked.
#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    answers: Vec<(u16, serde_json::Value, Option<&'static str>)>,
    asked: Vec<(String, String, Bytes)>,
}

async fn answer(State(scripted): State<Scripted>, request: Request) -> axum::response::Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let token = parts.headers["authorization"].to_str().unwrap().to_owned();
    let mut script = scripted.0.lock().unwrap();
    script.asked.push((parts.uri.to_string(), token, body));
    let (status, json, retry_after) = script.answers.remove(0);
    let mut response = (StatusCode::from_u16(status).unwrap(), Json(json)).into_response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.parse().unwrap());
    }
    response
}

async fn homeserver(answers: Vec<(u16, serde_json::Value, Option<&'static str>)>) -> (Homeserver, Scripted) {
    let _ = rustls_provider();
    let scripted = Scripted::default();
    scripted.0.lock().unwrap().answers = answers;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/", listener.local_addr().unwrap());
    let app = Router::new().fallback(answer).with_state(scripted.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let versions = SupportedVersions::from_parts(&["v1.17".to_owned(), "v1.11".to_owned()], &Default::default());
    let homeserver = Homeserver::new(&base_url, Token::new("as-token"), versions).unwrap().acting_as(Identity {
        user_id: Some(owned_user_id!("@support:example.org")),
        device_id: Some(owned_device_id!("D/1")),
    });
    (homeserver, scripted)
}

fn rustls_provider() -> Result<(), Arc<rustls::crypto::CryptoProvider>> {
    rustls::crypto::ring::default_provider().install_default()
}

fn presence() -> set_presence::v3::Request {
    set_presence::v3::Request::new(owned_user_id!("@support:example.org"), PresenceState::Online)
}

#[tokio::test]
async fn a_call_carries_the_token_and_both_names_of_the_device() {
    let (homeserver, scripted) = homeserver(vec![(200, json!({}), None)]).await;
    homeserver.send(presence()).await.unwrap();
    let (uri, token, body) = scripted.0.lock().unwrap().asked[0].clone();
    assert_eq!(token, "Bearer as-token");
    assert_eq!(
        uri,
        "/_matrix/client/v3/presence/@support:example.org/status?user_id=%40support%3Aexample.org\
         &device_id=D%2F1&org.matrix.msc3202.device_id=D%2F1"
    );
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap(), json!({"presence": "online"}));
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let limited = json!({"errcode": "M_LIMIT_EXCEEDED", "error": "slow down", "retry_after_ms": 1});
    let (homeserver, scripted) = homeserver(vec![
        (502, json!("no JSON error"), None),
        (429, limited.clone(), None),
        (429, limited, Some("0")),
        (200, json!({}), None),
    ])
    .await;
    homeserver.send(presence()).await.unwrap();
    assert_eq!(scripted.0.lock().unwrap().asked.len(), 4);
}

#[tokio::test]
async fn a_refusal_is_final_and_names_its_code() {
    let (homeserver, scripted) =
        homeserver(vec![(403, json!({"errcode": "M_FORBIDDEN", "error": "You left."}), None)]).await;
    let error = homeserver.send(presence()).await.unwrap_err();
    assert_eq!(error.errcode(), Some("M_FORBIDDEN"));
    assert!(!error.is_temporary());
    assert_eq!(scripted.0.lock().unwrap().asked.len(), 1);
}

#[tokio::test]
async fn a_wait_too_long_is_the_callers_business() {
    let (homeserver, _) = homeserver(vec![(429, json!({}), Some("3600"))]).await;
    assert!(homeserver.send(presence()).await.unwrap_err().is_temporary());
}

#[tokio::test]
async fn an_answer_of_another_shape_is_a_protocol_error() {
    let (homeserver, _) = homeserver(vec![(200, json!([1]), None)]).await;
    let request = ruma::api::client::account::whoami::v3::Request::new();
    assert!(matches!(homeserver.send(request).await, Err(CallError::Protocol(_))));
}

#[test]
fn a_token_is_never_printed() {
    let printed = format!("{:?}", Token::new("as-token"));
    assert!(!printed.contains("as-token"));
}
