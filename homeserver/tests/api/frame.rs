//! What holds for every call: paths, methods, web pages of other origins, rates, ending.

use std::time::Duration;

use reqwest::Method;
use ruma::CanonicalJsonObject;
use ruma::serde::Base64;
use ruma::signatures::{PublicKeyMap, PublicKeySet, verify_json};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Server, answer, eventually};

#[tokio::test]
async fn versions_are_told_to_anybody() {
    let server = Server::start().await;
    let versions = answer(server.request(Method::GET, "/_matrix/client/versions")).await.ok();
    assert!(versions["versions"].as_array().expect("a list").contains(&json!("v1.11")));
    let well_known = answer(server.request(Method::GET, "/.well-known/matrix/client")).await.ok();
    assert_eq!(well_known["m.homeserver"]["base_url"], json!(server.base));
}

#[tokio::test]
async fn the_first_bytes_of_a_connection_say_which_http_it_is() {
    let server = Server::start().await;
    let mut slow = TcpStream::connect(server.address).await.expect("connects");
    // HTTP/2 begins like this, and so does a POST.
    slow.write_all(b"P").await.expect("writes");

    let knowing = reqwest::Client::builder().http2_prior_knowledge().build().expect("a client");
    let request = knowing.get(format!("{}/_matrix/client/versions", server.base));
    let answer = request.send().await.expect("an answer");
    assert_eq!((answer.version(), answer.status().as_u16()), (reqwest::Version::HTTP_2, 200));

    let rest = b"OST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    slow.write_all(rest).await.expect("writes");
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.expect("reads");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_apart() {
    let server = Server::start().await;
    for path in [
        "/",
        "/_matrix/client/v3/nothing",
        "/_matrix/client/v99/sync",
        "/_matrix/client/v1/media/preview_url",
        "/_vestibule/nothing",
    ] {
        answer(server.request(Method::GET, path)).await.is_error(404, "M_UNRECOGNIZED");
    }
    answer(server.request(Method::DELETE, "/_matrix/client/versions")).await.is_error(405, "M_UNRECOGNIZED");
    answer(server.request(Method::PATCH, "/_matrix/client/v3/login")).await.is_error(405, "M_UNRECOGNIZED");
}

#[tokio::test]
async fn other_servers_may_ask_for_the_keys() {
    let server = Server::start().await;
    let own = server.request(Method::GET, "/_matrix/key/v2/server").send().await.expect("an answer");
    let text = own.text().await.expect("text");
    let signed: CanonicalJsonObject = serde_json::from_str(&text).expect("canonical JSON");
    assert_eq!(serde_json::to_string(&signed).expect("JSON"), text, "what is signed is what is sent");
    let (id, key) = signed["verify_keys"].as_object().expect("keys").first_key_value().expect("a key");
    let key = Base64::parse(key.as_object().expect("a key")["key"].as_str().expect("text")).expect("base64");
    let keys = PublicKeyMap::from([("localhost".to_owned(), PublicKeySet::from([(id.clone(), key)]))]);
    verify_json(&keys, &signed).expect("it holds");

    let query = async |body: Value| answer(server.request(Method::POST, "/_matrix/key/v2/query").json(&body)).await.ok();
    let found = query(json!({ "server_keys": { "localhost": {}, "elsewhere.example": {} } })).await;
    assert_eq!(found["server_keys"][0]["verify_keys"], json!(signed["verify_keys"]));
    assert_eq!(query(json!({ "server_keys": { "elsewhere.example": {} } })).await, json!({ "server_keys": [] }));
    let one = answer(server.request(Method::GET, "/_matrix/key/v2/query/localhost")).await.ok();
    assert_eq!(one["server_keys"].as_array().map(Vec::len), Some(1));
    answer(server.request(Method::PUT, "/_matrix/key/v2/query")).await.is_error(405, "M_UNRECOGNIZED");
    let version = answer(server.request(Method::GET, "/_matrix/federation/v1/version")).await.ok();
    assert_eq!(version["server"]["name"], "Vestibule");
    answer(server.request(Method::GET, "/_matrix/federation/v1/publicRooms")).await.is_error(404, "M_UNRECOGNIZED");
}

#[tokio::test]
async fn the_directory_tells_how_a_room_is_joined() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    for (preset, rule) in [("public_chat", "public"), ("private_chat", "invite")] {
        let room_id = ada.create_room(json!({ "preset": preset, "visibility": "public" })).await;
        let page = answer(server.request(Method::GET, "/_matrix/client/v3/publicRooms")).await.ok();
        let asked = ada.post("/_matrix/client/v3/publicRooms", json!({ "limit": 10 })).await.ok();
        assert_eq!(page, asked);
        let rooms = page["chunk"].as_array().expect("rooms");
        let room = rooms.iter().find(|room| room["room_id"] == json!(room_id)).expect("the room");
        assert_eq!(room["join_rule"], rule);
    }
    let none = json!({ "filter": { "generic_search_term": "nowhere" } });
    let found = ada.post("/_matrix/client/v3/publicRooms", none).await.ok();
    assert_eq!((&found["chunk"], &found["total_room_count_estimate"]), (&json!([]), &json!(0)));
    let first = answer(server.request(Method::GET, "/_matrix/client/v3/publicRooms?limit=1")).await.ok();
    let rest = format!("/_matrix/client/v3/publicRooms?since={}", first["next_batch"].as_str().expect("a place"));
    let rest = answer(server.request(Method::GET, &rest)).await.ok();
    assert!(rest["prev_batch"].is_string() && rest["chunk"] != first["chunk"]);
}

#[tokio::test]
async fn pages_of_any_origin_may_call() {
    let server = Server::start().await;
    for path in ["/_matrix/client/versions", "/_matrix/client/v3/sync", "/nothing"] {
        let response =
            server.request(Method::GET, path).header("origin", "https://app.example").send().await.expect("an answer");
        assert_eq!(response.headers()["access-control-allow-origin"], "*", "{path}");
        let preflight = server
            .request(Method::OPTIONS, path)
            .header("origin", "https://app.example")
            .header("access-control-request-method", "PUT")
            .header("access-control-request-headers", "authorization,content-type")
            .send()
            .await
            .expect("an answer");
        assert_eq!(preflight.status(), 200, "{path}");
        assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
        let allowed = preflight.headers()["access-control-allow-headers"].to_str().expect("text").to_lowercase();
        assert!(
            allowed.contains("authorization") && allowed.contains("content-type") && allowed.contains("x-requested-with")
        );
        assert!(preflight.headers()["access-control-allow-methods"].to_str().expect("text").contains("PUT"));
    }
}

#[tokio::test]
async fn a_slash_inside_a_path_segment_survives() {
    let server = Server::start().await;
    let user = server.register("ada").await;
    let path =
        format!("/_matrix/client/v3/user/{}/account_data/org.example%2Fwith%20slash", user.user_id.replace('@', "%40"));
    user.put(&path, json!({ "kept": true })).await.ok();
    assert_eq!(user.get(&path).await.ok(), json!({ "kept": true }));
    let other = format!("/_matrix/client/v3/user/{}/account_data/org.example", user.user_id);
    user.get(&other).await.is_error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn the_widget_is_served_if_it_was_built() {
    let server = Server::start().await;
    let built = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../widget/dist/frame.html").exists();
    let path = "/_vestibule/widget/frame.html";
    if !built {
        let missing = answer(server.request(Method::GET, path)).await;
        missing.is_error(404, "M_NOT_FOUND");
        assert!(missing.body["error"].as_str().expect("text").contains("npm run build"));
        return;
    }
    let page = server.request(Method::GET, path).send().await.expect("an answer");
    assert_eq!(page.status(), 200);
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!(page.headers()["cache-control"], "no-cache");
    let policy = page.headers()["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.contains("script-src 'self' 'wasm-unsafe-eval'") && policy.contains("frame-ancestors *"));
    let etag = page.headers()["etag"].clone();
    let again = server.request(Method::GET, path).header("if-none-match", etag).send().await.expect("an answer");
    assert_eq!(again.status(), 304);
    let loader = server.request(Method::GET, "/_vestibule/widget/loader.js").send().await.expect("an answer");
    assert_eq!(loader.headers()["content-type"], "text/javascript; charset=utf-8");
    answer(server.request(Method::GET, "/_vestibule/widget/../root.key")).await.is_error(404, "M_UNRECOGNIZED");
    answer(server.request(Method::GET, "/_vestibule/widget/%2e%2e%2froot.key")).await.is_error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn guesses_from_one_address_are_limited() {
    let server = Server::start_with(|config| {
        config.limits.enabled = true;
        config.limits.address_per_second = 1;
        config.limits.address_burst = 3;
    })
    .await;
    let login =
        json!({ "type": "m.login.password", "identifier": { "type": "m.id.user", "user": "ada" }, "password": "guess" });
    for _ in 0..3 {
        answer(server.request(Method::POST, "/_matrix/client/v3/login").json(&login)).await.is_error(403, "M_FORBIDDEN");
    }
    answer(server.request(Method::POST, "/_matrix/client/v3/login").json(&login)).await.is_error(429, "M_LIMIT_EXCEEDED");
    let guess = server.request(Method::GET, "/_matrix/client/v3/account/whoami").bearer_auth("guess");
    answer(guess).await.is_error(429, "M_LIMIT_EXCEEDED");
    for _ in 0..10 {
        answer(server.request(Method::GET, "/_matrix/client/versions")).await.ok();
    }
}

#[tokio::test]
async fn rates_are_limited_and_come_back() {
    let server = Server::start_with(|config| {
        config.limits.enabled = true;
        config.limits.user_per_second = 1;
        config.limits.user_burst = 3;
        config.limits.address_burst = 100;
    })
    .await;
    let user = server.register("ada").await;
    let path = "/_matrix/client/v3/account/whoami";
    for _ in 0..3 {
        user.get(path).await.ok();
    }
    let response = user.request(Method::GET, path).send().await.expect("an answer");
    assert_eq!(response.status(), 429);
    assert!(response.headers()["retry-after"].to_str().expect("text").parse::<u64>().expect("seconds") >= 1);
    let body: serde_json::Value = serde_json::from_slice(&response.bytes().await.expect("a body")).expect("JSON");
    assert_eq!(body["errcode"], json!("M_LIMIT_EXCEEDED"));
    assert!(body["retry_after_ms"].as_u64().expect("a number") > 0);
    server.clock.advance(Duration::from_secs(5));
    user.get(path).await.ok();
}

#[tokio::test]
async fn ending_answers_who_waits_and_keeps_what_was_written() {
    let server = Server::start().await;
    let user = server.register("ada").await;
    let room_id = user.create_room(json!({ "name": "kept" })).await;
    let since = user.get("/_matrix/client/v3/sync").await.ok()["next_batch"].as_str().expect("a token").to_owned();
    let token = user.token.clone();
    let poll = user.request(Method::GET, &format!("/_matrix/client/v3/sync?timeout=600000&since={since}"));
    let polling = tokio::spawn(answer(poll));
    let topic = server.app.read(|cx| Ok(journal::Topic(cx.user(ruma::user_id!("@ada:localhost"))))).expect("a topic");
    let app = server.app.clone();
    eventually("the poll waits", async || app.hub.is_waited_for(topic)).await;
    drop(app);
    let stopped = server.stop().await;
    assert_eq!(polling.await.expect("an answer").status, 200);

    let server = stopped.start().await;
    let path = format!("/_matrix/client/v3/rooms/{room_id}/state/m.room.name");
    let name = answer(server.request(Method::GET, &path).bearer_auth(token)).await.ok();
    assert_eq!(name, json!({ "name": "kept" }));
}

#[tokio::test]
async fn data_belongs_to_one_server_name_and_one_root_key() {
    let server = Server::start().await;
    let data = server.data();
    let stopped = server.stop().await;
    let mut config = config::Config::default();
    config.server.data = data.clone();
    config.server.root_key = data.join("../root.key");
    config.server.name = "elsewhere.example".to_owned();
    let open = |config| homeserver::start::open(config, homeserver::clock::Clock::system(), None);
    let error = open(config.clone()).await.expect_err("another name").to_string();
    assert!(error.contains("elsewhere.example") && error.contains("localhost"), "{error}");
    config.server.name = "localhost".to_owned();
    config.server.root_key = data.join("../another.key");
    let error = open(config.clone()).await.expect_err("no root key").to_string();
    assert!(error.contains("another.key"), "{error}");
    assert!(!data.join("../another.key").exists(), "no new key over old data");
    let wrong = journal::RootKey::generate().expect("a key");
    assert!(homeserver::start::open(config, homeserver::clock::Clock::system(), Some(wrong)).await.is_err());
    stopped.start().await;
}
