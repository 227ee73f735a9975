//! Whatever comes in: the right error code, never a 5xx, and memory stays as it was.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;

use crate::support::{Server, answer};

const JSON: &str = "application/json";

#[tokio::test]
async fn bodies_that_are_not_json() {
    let server = Server::start().await;
    let user = server.register("ada").await;
    for body in ["not json", "{\"type\":", "{\"a\":1,}", "\u{feff}{}", "nul"] {
        for path in
            ["/_matrix/client/v3/createRoom", "/_matrix/client/v3/keys/query", "/_matrix/client/v3/user_directory/search"]
        {
            let request = user.request(Method::POST, path).header(CONTENT_TYPE, JSON).body(body);
            answer(request).await.is_error(400, "M_NOT_JSON");
        }
        let request = server.request(Method::POST, "/_matrix/client/v3/login").header(CONTENT_TYPE, JSON).body(body);
        answer(request).await.is_error(400, "M_NOT_JSON");
    }
    let latin = user.request(Method::POST, "/_matrix/client/v3/createRoom").body(b"{\"name\":\"caf\xe9\"}".to_vec());
    answer(latin).await.is_error(400, "M_NOT_JSON");
}

#[tokio::test]
async fn bodies_that_are_too_deep() {
    let server = Server::start().await;
    let user = server.register("ada").await;
    let room_id = user.create_room(json!({})).await;
    for levels in [200, 1_000, 500_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let inner = if open == "[" { "" } else { "0" };
            let deep = format!("{{\"body\":{}{inner}{}}}", open.repeat(levels), close.repeat(levels));
            if deep.len() > 2_000_000 {
                continue;
            }
            for path in [
                format!("/_matrix/client/v3/rooms/{room_id}/send/m.room.message/deep"),
                format!("/_matrix/client/v3/rooms/{room_id}/state/org.example.deep/key"),
                format!("/_matrix/client/v3/user/{}/account_data/org.example.deep", user.user_id),
                "/_matrix/client/v3/sendToDevice/org.example.deep/1".to_owned(),
            ] {
                answer(user.request(Method::PUT, &path).body(deep.clone())).await.is_error(400, "M_BAD_JSON");
            }
        }
    }
}

#[tokio::test]
async fn bodies_of_wrong_types() {
    let server = Server::start().await;
    let user = server.register("ada").await;
    for (path, body) in [
        ("createRoom", json!({ "invite": "not a list" })),
        ("createRoom", json!({ "preset": 5 })),
        ("createRoom", json!([])),
        ("keys/query", json!({ "device_keys": [] })),
        ("user_directory/search", json!({ "search_term": {} })),
        ("user_directory/search", json!({})),
    ] {
        user.post(&format!("/_matrix/client/v3/{path}"), body).await.is_error(400, "M_BAD_JSON");
    }
    let login = server.request(Method::POST, "/_matrix/client/v3/login").json(&json!({ "type": 5 }));
    answer(login).await.is_error(400, "M_BAD_JSON");
}

#[tokio::test]
async fn bodies_that_are_too_large() {
    let server = Server::start().await;
    let user = server.register("ada").await;
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(3_000_000));
    let told = user.request(Method::POST, "/_matrix/client/v3/createRoom").body(large.clone());
    answer(told).await.is_error(413, "M_TOO_LARGE");
    let pieces = futures_util::stream::iter(
        large.into_bytes().chunks(50_000).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect::<Vec<_>>(),
    );
    let untold = user.request(Method::POST, "/_matrix/client/v3/createRoom").body(reqwest::Body::wrap_stream(pieces));
    answer(untold).await.is_error(413, "M_TOO_LARGE");
    // An event has a limit of its own, far below that of a body.
    let room_id = user.create_room(json!({})).await;
    let path = format!("/_matrix/client/v3/rooms/{room_id}/send/m.room.message/large");
    user.put(&path, json!({ "msgtype": "m.text", "body": "x".repeat(70_000) })).await.is_error(413, "M_TOO_LARGE");
}

#[tokio::test]
async fn rooms_and_tokens_that_are_not_there() {
    let server = Server::start().await;
    let (ada, eve) = (server.register("ada").await, server.register("eve").await);
    let room_id = ada.create_room(json!({})).await;
    let message = json!({ "msgtype": "m.text", "body": "hello" });
    for (room_id, status, errcode) in [("!nowhere:localhost", 404, "M_NOT_FOUND"), (room_id.as_str(), 403, "M_FORBIDDEN")] {
        let root = format!("/_matrix/client/v3/rooms/{room_id}");
        eve.put(&format!("{root}/send/m.room.message/1"), message.clone()).await.is_error(status, errcode);
        eve.get(&format!("{root}/state")).await.is_error(403, "M_FORBIDDEN");
        eve.get(&format!("{root}/messages?dir=b")).await.is_error(403, "M_FORBIDDEN");
    }
    ada.get("/_matrix/client/v3/rooms/not-a-room/messages?dir=b").await.is_error(400, "M_INVALID_PARAM");

    let whoami = "/_matrix/client/v3/account/whoami";
    answer(server.request(Method::GET, whoami)).await.is_error(401, "M_MISSING_TOKEN");
    answer(server.request(Method::GET, whoami).bearer_auth("")).await.is_error(401, "M_MISSING_TOKEN");
    let unknown = answer(server.request(Method::GET, whoami).bearer_auth("not-a-token")).await;
    unknown.is_error(401, "M_UNKNOWN_TOKEN");
    assert_eq!(unknown.body["soft_logout"], json!(false));
    let foreign = answer(server.request(Method::GET, &format!("{whoami}?access_token=syt_elsewhere"))).await;
    foreign.is_error(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn memory_stays_as_it_was() {
    let server = Server::start().await;
    let user = server.register("ada").await;
    let bad = |user: &crate::support::User<'_>| {
        user.request(Method::POST, "/_matrix/client/v3/createRoom").body("[".repeat(2_000_000))
    };
    // The first ones fill the allocator's pools.
    for _ in 0..20 {
        answer(bad(&user)).await.is_error(400, "M_BAD_JSON");
    }
    let before = resident_bytes();
    for _ in 0..200 {
        answer(bad(&user)).await.is_error(400, "M_BAD_JSON");
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 64 * 1024 * 1024, "400 MB of bad input left {grown} bytes");
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("pages") * 4_096
}
