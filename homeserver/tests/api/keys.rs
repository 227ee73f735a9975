//! End-to-end keys, messages to devices and dehydrated devices, as a client meets them.

use std::collections::BTreeSet;

use reqwest::Method;
use ruma::signatures::{Ed25519KeyPair, sign_json};
use serde_json::{Value, json};

use crate::support::{Answer, Server, User, answer};

const UPLOAD: &str = "/_matrix/client/v3/keys/upload";
const QUERY: &str = "/_matrix/client/v3/keys/query";
const CLAIM: &str = "/_matrix/client/v3/keys/claim";
const SIGNING: &str = "/_matrix/client/v3/keys/device_signing/upload";
const SIGNATURES: &str = "/_matrix/client/v3/keys/signatures/upload";
const DEHYDRATED: &str = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device";

/// An Ed25519 key: its document, and its public part in base64.
struct Key(Vec<u8>, String);

impl Key {
    fn new() -> Self {
        let document = Ed25519KeyPair::generate().to_vec();
        let pair = Ed25519KeyPair::from_der(&document, String::new()).expect("a key");
        let public: ruma::serde::Base64 = ruma::serde::Base64::new(pair.public_key().to_vec());
        Self(document, public.encode())
    }

    fn sign(&self, value: Value, user_id: &str, name: &str) -> Value {
        let pair = Ed25519KeyPair::from_der(&self.0, name.to_owned()).expect("a key");
        let mut object = serde_json::from_value(value).expect("canonical JSON");
        sign_json(user_id, &pair, &mut object).expect("a signature");
        serde_json::to_value(object).expect("JSON")
    }
}

fn device_keys(user: &User<'_>, device_id: &str, key: &Key) -> Value {
    let keys = json!({
        "user_id": user.user_id, "device_id": device_id, "algorithms": ["m.megolm.v1.aes-sha2"], "dehydrated": true,
        "keys": { (format!("ed25519:{device_id}")): key.1, (format!("curve25519:{device_id}")): Key::new().1 },
    });
    key.sign(keys, &user.user_id, device_id)
}

fn one_time_key(user: &User<'_>, device_id: &str, key: &Key) -> Value {
    key.sign(json!({ "key": Key::new().1 }), &user.user_id, device_id)
}

async fn upload(user: &User<'_>, key: &Key, one_time_keys: usize) -> Value {
    let keys =
        (0..one_time_keys).map(|number| (format!("signed_curve25519:{number}"), one_time_key(user, &user.device_id, key)));
    let keys: serde_json::Map<_, _> = keys.collect();
    user.post(UPLOAD, json!({ "device_keys": device_keys(user, &user.device_id, key), "one_time_keys": keys })).await.ok()
}

async fn claim(user: &User<'_>, of: &User<'_>) -> Vec<String> {
    let body = json!({ "one_time_keys": { (&of.user_id): { (&of.device_id): "signed_curve25519" } } });
    let claimed = user.post(CLAIM, body).await.ok();
    let keys = claimed["one_time_keys"][&of.user_id][&of.device_id].as_object();
    keys.map(|keys| keys.keys().cloned().collect()).unwrap_or_default()
}

async fn sync(user: &User<'_>, since: &str) -> Value {
    user.get(&format!("/_matrix/client/v3/sync{since}")).await.ok()
}

#[tokio::test]
async fn eight_claimers_at_once_get_each_key_once() {
    let server = Server::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    assert_eq!(upload(&alice, &Key::new(), 60).await["one_time_key_counts"]["signed_curve25519"], 60);
    let claims = (0..8).map(|_| async {
        let mut got = Vec::new();
        for _ in 0..10 {
            got.extend(claim(&bob, &alice).await);
        }
        got
    });
    let got: Vec<String> = futures_util::future::join_all(claims).await.concat();
    assert_eq!(got.len(), 60, "80 claims of 60 keys, without a fallback key");
    assert_eq!(got.iter().collect::<BTreeSet<_>>().len(), 60);
    assert_eq!(sync(&alice, "").await["device_one_time_keys_count"]["signed_curve25519"], 0);
}

#[tokio::test]
async fn forged_keys_are_refused_with_the_right_code() {
    let server = Server::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let key = Key::new();
    let good = device_keys(&alice, &alice.device_id, &key);
    let mut forged = good.clone();
    forged["algorithms"] = json!([]);
    alice.post(UPLOAD, json!({ "device_keys": forged })).await.is_error(400, "M_INVALID_SIGNATURE");
    bob.post(UPLOAD, json!({ "device_keys": good })).await.is_error(400, "M_INVALID_PARAM");
    let bare = json!({ "user_id": alice.user_id, "device_id": alice.device_id });
    alice.post(UPLOAD, json!({ "device_keys": bare })).await.is_error(400, "M_BAD_JSON");
    alice.post(UPLOAD, json!({ "device_keys": good })).await.ok();
    let stranger = json!({ "signed_curve25519:1": one_time_key(&alice, &alice.device_id, &Key::new()) });
    alice.post(UPLOAD, json!({ "one_time_keys": stranger })).await.is_error(400, "M_INVALID_SIGNATURE");
    let found = bob.post(QUERY, json!({ "device_keys": { (&alice.user_id): [] } })).await.ok();
    assert_eq!(found["device_keys"][&alice.user_id][&alice.device_id]["dehydrated"], true, "unknown fields are kept");
}

#[tokio::test]
async fn an_identity_needs_authentication_only_to_be_replaced_and_its_signatures_are_told_to_invited_people() {
    let server = Server::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let (device, master, own) = (Key::new(), Key::new(), Key::new());
    upload(&alice, &device, 0).await;
    let cross = |usage: &str, key: &Key| json!({ "user_id": alice.user_id, "usage": [usage], "keys": { (format!("ed25519:{}", key.1)): key.1 } });
    let self_signing = master.sign(cross("self_signing", &own), &alice.user_id, &master.1);
    let identity = json!({ "master_key": cross("master", &master), "self_signing_key": self_signing });
    alice.post(SIGNING, identity.clone()).await.ok();
    alice.post(SIGNING, identity).await.ok();
    let other = json!({ "master_key": cross("master", &Key::new()) });
    let Answer { status, body } = alice.post(SIGNING, other).await;
    assert_eq!((status, body["flows"].is_array()), (401, true), "{body}");

    bob.create_room(json!({ "invite": [alice.user_id] })).await;
    let since = sync(&bob, "").await["next_batch"].as_str().expect("a token").to_owned();
    let found = alice.post(QUERY, json!({ "device_keys": { (&alice.user_id): [] } })).await.ok();
    let mut object = found["device_keys"][&alice.user_id][&alice.device_id].clone();
    object.as_object_mut().expect("an object").remove("unsigned");
    let signed = own.sign(object.clone(), &alice.user_id, &own.1);
    let forged = master.sign(object, &alice.user_id, &own.1);
    let refused = alice.post(SIGNATURES, json!({ (&alice.user_id): { (&alice.device_id): forged } })).await.ok();
    assert_eq!(refused["failures"][&alice.user_id][&alice.device_id]["errcode"], "M_INVALID_SIGNATURE");
    let taken = alice.post(SIGNATURES, json!({ (&alice.user_id): { (&alice.device_id): signed } })).await.ok();
    assert_eq!(taken["failures"], json!({}));
    let news = sync(&bob, &format!("?since={since}")).await;
    assert_eq!(news["device_lists"]["changed"], json!([alice.user_id]));
    let to = news["next_batch"].as_str().expect("a token");
    let changes = bob.get(&format!("/_matrix/client/v3/keys/changes?from={since}&to={to}")).await.ok();
    assert_eq!(changes["changed"], json!([alice.user_id]));
    let seen = bob.post(QUERY, json!({ "device_keys": { (&alice.user_id): [] } })).await.ok();
    let signatures = &seen["device_keys"][&alice.user_id][&alice.device_id]["signatures"][&alice.user_id];
    assert!(signatures[format!("ed25519:{}", own.1)].is_string(), "{seen}");
}

#[tokio::test]
async fn a_message_to_a_device_comes_once_and_is_gone_when_acknowledged() {
    let server = Server::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    for text in ["first", "again"] {
        let messages =
            json!({ "messages": { (&alice.user_id): { "*": { "text": text } }, "@nobody:localhost": { "*": {} } } });
        bob.put("/_matrix/client/v3/sendToDevice/org.example.test/1", messages).await.ok();
    }
    let first = sync(&alice, "").await;
    let event = json!({ "type": "org.example.test", "sender": bob.user_id, "content": { "text": "first" } });
    assert_eq!(first["to_device"]["events"], json!([event]));
    let next = first["next_batch"].as_str().expect("a token");
    for since in [format!("?since={next}"), String::new()] {
        assert!(sync(&alice, &since).await["to_device"]["events"].as_array().is_none_or(Vec::is_empty));
    }
}

#[tokio::test]
async fn a_dehydrated_device_is_read_page_by_page_as_often_as_asked() {
    let server = Server::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    alice.get(DEHYDRATED).await.is_error(404, "M_NOT_FOUND");
    let (id, key) = ("a/b+c", Key::new());
    let data = json!({ "algorithm": "org.matrix.msc3814.v2", "device_pickle": "p", "nonce": "n" });
    let device = json!({ "device_id": id, "device_data": data, "device_keys": device_keys(&alice, id, &key) });
    assert_eq!(alice.put(DEHYDRATED, device).await.ok(), json!({ "device_id": id }));
    for number in 0..101 {
        let path = format!("/_matrix/client/v3/sendToDevice/org.example.test/{number}");
        bob.put(&path, json!({ "messages": { (&alice.user_id): { (id): { "number": number } } } })).await.ok();
    }
    let events = format!("{DEHYDRATED}/a%2Fb%2Bc/events");
    for _ in 0..2 {
        let first = alice.get(&events).await.ok();
        assert_eq!(first["events"].as_array().expect("events").len(), 100);
        let next = first["next_batch"].as_str().expect("another page");
        let last = alice.get(&format!("{events}?from={next}")).await.ok();
        assert_eq!(last["events"][0]["content"]["number"], 100);
        assert_eq!(last.get("next_batch"), None, "a client asks on as long as there is one");
    }
    alice.get(&format!("{DEHYDRATED}/other/events")).await.is_error(403, "M_FORBIDDEN");
    answer(alice.request(Method::DELETE, DEHYDRATED)).await.ok();
    alice.get(DEHYDRATED).await.is_error(404, "M_NOT_FOUND");
}
