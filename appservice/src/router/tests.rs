use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::http::Request;
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;

#[derive(Default)]
struct Kept {
    bodies: Mutex<HashMap<OwnedTransactionId, Bytes>>,
    full: AtomicBool,
}

#[derive(Clone, Default)]
struct Recorder(Arc<Kept>);

impl Appservice for Recorder {
    async fn accept(&self, txn_id: &TransactionId, body: Bytes, _: Transaction) -> Result<Accepted, Unavailable> {
        if self.0.full.load(Ordering::SeqCst) {
            return Err(Unavailable("disk full".to_owned()));
        }
        let mut bodies = self.0.bodies.lock().unwrap();
        if bodies.contains_key(txn_id) {
            return Ok(Accepted::Replayed);
        }
        bodies.insert(txn_id.to_owned(), body);
        Ok(Accepted::New)
    }

    async fn knows_user(&self, user_id: &UserId) -> bool {
        user_id == "@support:example.org"
    }

    async fn knows_alias(&self, _: &RoomAliasId) -> bool {
        false
    }
}

async fn call(recorder: &Recorder, method: &str, path: &str, token: Option<&str>, body: &Value) -> (u16, Value) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(Full::from(body.to_string())).unwrap();
    let response = router(recorder.clone(), Token::new("hs")).oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap())
}

const PUT_TRANSACTION: &str = "/_matrix/app/v1/transactions/17";

#[tokio::test]
async fn a_transaction_is_taken_once() {
    let recorder = Recorder::default();
    let body = json!({"events": []});
    assert_eq!(call(&recorder, "PUT", PUT_TRANSACTION, Some("hs"), &body).await, (200, json!({})));
    assert_eq!(call(&recorder, "PUT", PUT_TRANSACTION, Some("hs"), &json!({"events": [], "a": 1})).await.0, 200);
    let bodies = recorder.0.bodies.lock().unwrap();
    assert_eq!(bodies.len(), 1);
    assert_eq!(bodies[<&TransactionId>::from("17")], body.to_string());
}

#[tokio::test]
async fn nobody_but_the_homeserver_is_heard() {
    let recorder = Recorder::default();
    for (method, path) in [
        ("PUT", PUT_TRANSACTION),
        ("GET", "/_matrix/app/v1/users/@support:example.org"),
        ("GET", "/_matrix/app/v1/rooms/%23a:example.org"),
        ("POST", "/_matrix/app/v1/ping"),
    ] {
        let body = json!({"events": []});
        let (status, error) = call(&recorder, method, path, None, &body).await;
        assert_eq!((status, &error["errcode"]), (401, &json!("M_UNAUTHORIZED")), "{path}");
        let (status, error) = call(&recorder, method, path, Some("as"), &body).await;
        assert_eq!((status, &error["errcode"]), (403, &json!("M_FORBIDDEN")), "{path}");
    }
    assert!(recorder.0.bodies.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_old_token_parameter_and_the_old_paths_work() {
    let recorder = Recorder::default();
    let body = json!({"events": []});
    assert_eq!(call(&recorder, "PUT", "/transactions/1?access_token=hs", None, &body).await.0, 200);
    assert_eq!(call(&recorder, "PUT", "/transactions/2?access_token=no", None, &body).await.0, 403);
}

#[tokio::test]
async fn what_can_not_be_stored_is_not_acknowledged() {
    let recorder = Recorder::default();
    recorder.0.full.store(true, Ordering::SeqCst);
    assert_eq!(call(&recorder, "PUT", PUT_TRANSACTION, Some("hs"), &json!({"events": []})).await.0, 503);
    let (status, error) = call(&recorder, "PUT", PUT_TRANSACTION, Some("hs"), &json!({"events": 3})).await;
    assert_eq!((status, &error["errcode"]), (400, &json!("M_BAD_JSON")));
}

#[tokio::test]
async fn queries_answer_for_what_exists() {
    let recorder = Recorder::default();
    let nothing = json!({});
    for (path, expected) in [
        ("/_matrix/app/v1/users/@support:example.org", 200),
        ("/_matrix/app/v1/users/%40support%3Aexample.org", 200),
        ("/_matrix/app/v1/users/@other:example.org", 404),
        ("/_matrix/app/v1/users/nonsense", 404),
        ("/_matrix/app/v1/rooms/%23a:example.org", 404),
        ("/_matrix/app/v1/unknown", 404),
    ] {
        assert_eq!(call(&recorder, "GET", path, Some("hs"), &nothing).await.0, expected, "{path}");
    }
    let ping = json!({"transaction_id": "mautrix_1"});
    assert_eq!(call(&recorder, "POST", "/_matrix/app/v1/ping", Some("hs"), &ping).await, (200, nothing));
}
