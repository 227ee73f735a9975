//! Key backup, as a client meets it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Server, answer};

const VERSION: &str = "/_matrix/client/v3/room_keys/version";
const ALGORITHM: &str = "m.megolm_backup.v1.curve25519-aes-sha2";
const KEYS: &str = "/_matrix/client/v3/room_keys/keys";

fn key(is_verified: bool, first_message_index: u64, forwarded_count: u64) -> Value {
    json!({
        "is_verified": is_verified, "first_message_index": first_message_index, "forwarded_count": forwarded_count,
        "session_data": { "any": "thing" },
    })
}

#[tokio::test]
async fn a_backup_counts_its_keys_and_keeps_the_better_ones() {
    let server = Server::start().await;
    let alice = server.register("alice").await;
    alice.get(VERSION).await.is_error(404, "M_NOT_FOUND");
    let info = json!({ "algorithm": ALGORITHM, "auth_data": { "public_key": "abcdefg", "signatures": {} } });
    let version = alice.post(VERSION, info.clone()).await.ok()["version"].as_str().expect("a version").to_owned();
    let session = format!("{KEYS}/!foo:hs1/a%2Fb?version={version}");
    let first = alice.put(&session, key(false, 10, 5)).await.ok();
    assert_eq!(first["count"], 1);
    assert_eq!(alice.put(&session, key(false, 11, 5)).await.ok(), first, "a worse key changes nothing");
    let better = alice.put(&session, key(true, 11, 6)).await.ok();
    assert_eq!(better["count"], 1);
    assert_ne!(better["etag"], first["etag"]);
    assert_eq!(alice.get(&session).await.ok(), key(true, 11, 6));
    let whole = json!({ "rooms": { "!bar:hs1": { "sessions": { "c": key(true, 0, 0) } } } });
    assert_eq!(alice.put(&format!("{KEYS}?version={version}"), whole).await.ok()["count"], 2);
    let all = alice.get(&format!("{KEYS}?version={version}")).await.ok();
    assert_eq!(all["rooms"]["!foo:hs1"]["sessions"]["a/b"], key(true, 11, 6));
    let current = alice.get(VERSION).await.ok();
    assert_eq!(
        (&current["count"], &current["auth_data"], &current["version"]),
        (&json!(2), &info["auth_data"], &json!(version))
    );
    alice.get(&format!("{KEYS}/!foo:hs1/none?version={version}")).await.is_error(404, "M_NOT_FOUND");
    let left = answer(alice.request(Method::DELETE, &session)).await.ok();
    assert_eq!(left["count"], 1);
}

#[tokio::test]
async fn keys_for_an_older_backup_are_refused_with_the_current_version() {
    let server = Server::start().await;
    let alice = server.register("alice").await;
    for _ in 0..2 {
        alice.post(VERSION, json!({ "algorithm": ALGORITHM, "auth_data": {} })).await.ok();
    }
    let refused = alice.put(&format!("{KEYS}/!foo:hs1/a?version=1"), key(true, 0, 0)).await;
    refused.is_error(403, "M_WRONG_ROOM_KEYS_VERSION");
    assert_eq!(refused.body["current_version"], "2");
    answer(alice.request(Method::DELETE, &format!("{VERSION}/2"))).await.ok();
    alice.put(&format!("{KEYS}/!foo:hs1/a?version=1"), key(true, 0, 0)).await.ok();
    let again = alice.post(VERSION, json!({ "algorithm": ALGORITHM, "auth_data": {} })).await.ok();
    assert_eq!(again["version"], "3", "a version is never given out twice");
}

#[tokio::test]
async fn a_room_s_keys_and_the_whole_backup_can_be_put_read_and_removed() {
    let server = Server::start().await;
    let alice = server.register("alice").await;
    let info = json!({ "algorithm": ALGORITHM, "auth_data": { "public_key": "abcdefg", "signatures": {} } });
    let version = alice.post(VERSION, info.clone()).await.ok()["version"].as_str().expect("a version").to_owned();
    let own = format!("{VERSION}/{version}");
    assert_eq!(alice.get(&own).await.ok()["auth_data"], info["auth_data"]);
    let signed = json!({ "algorithm": ALGORITHM, "auth_data": { "public_key": "abcdefg", "signatures": { "@a:b": {} } } });
    alice.put(&own, signed.clone()).await.ok();
    assert_eq!(alice.get(&own).await.ok()["auth_data"], signed["auth_data"]);

    let room = format!("{KEYS}/!foo:hs1?version={version}");
    assert_eq!(alice.get(&room).await.ok(), json!({ "sessions": {} }));
    let sessions = json!({ "sessions": { "a": key(true, 0, 0), "b": key(true, 0, 0) } });
    assert_eq!(alice.put(&room, sessions.clone()).await.ok()["count"], 2);
    assert_eq!(alice.get(&room).await.ok(), sessions);
    assert_eq!(answer(alice.request(Method::DELETE, &room)).await.ok()["count"], 0);
    alice.put(&room, sessions).await.ok();
    assert_eq!(answer(alice.request(Method::DELETE, &format!("{KEYS}?version={version}"))).await.ok()["count"], 0);
}
