//! All verbs of the platform API: reading, deleting, moving, pages, repeated calls, scopes, and the trail they leave.

use std::time::Duration;

use homeserver::control::{self, Order};
use homeserver::workers::sessions;
use reqwest::Method;
use serde_json::{Value, json};

use crate::platform::Platform;
use crate::support::{Answer, Server, answer, silent};

async fn delete(platform: &Platform<'_>, path: &str) -> Answer {
    platform.call(Method::DELETE, path, Value::Null).await
}

fn is_conflict(answer: &Answer) {
    assert_eq!((answer.status, &answer.body["code"]), (409, &json!("ORG.VESTIBULE.CONFLICT")), "{}", answer.body);
}

/// Takes all pages of a list, each of `limit` items.
pub async fn pages(platform: &Platform<'_>, path: &str, limit: usize) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    let separator = if path.contains('?') { '&' } else { '?' };
    loop {
        let page = platform.get(&format!("{path}{separator}limit={limit}{after}")).await.ok();
        let items = page["items"].as_array().expect("items").clone();
        assert!(items.len() <= limit);
        all.extend(items);
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return all,
        }
    }
}

fn ids(items: &[Value], member: &str) -> Vec<String> {
    let mut ids: Vec<_> = items.iter().map(|item| item[member].as_str().expect("an id").to_owned()).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn what_was_put_is_there_page_by_page() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    platform.clinic().await;
    let wanted: Vec<_> = (0..7).map(|number| format!("x{number}")).collect();
    for id in &wanted {
        platform.put(&format!("/organizations/{id}"), json!({ "name": id.to_uppercase() })).await.ok();
        platform.put(&format!("/organizations/acme/accounts/{id}"), json!({ "name": id })).await.ok();
        platform.host(id, "acme", "north", id).await.ok();
        platform.session(&format!("s-{id}"), "ada", &[id]).await.ok();
    }
    for (path, member, extra) in [
        ("/organizations", "organization", Some("acme")),
        ("/organizations/acme/accounts", "account", Some("north")),
        ("/hosts", "host", Some("ada")),
        ("/hosts?organization=acme", "host", Some("ada")),
    ] {
        let mut expected = wanted.clone();
        expected.extend(extra.map(ToOwned::to_owned));
        expected.sort();
        for limit in [1, 3, 100] {
            assert_eq!(ids(&pages(&platform, path, limit).await, member), expected, "{path} by {limit}");
        }
    }
    for path in ["/sessions", "/sessions?host=ada"] {
        let listed = pages(&platform, path, 2).await;
        assert_eq!(ids(&listed, "session").len(), 7, "{path}");
        assert!(listed.iter().all(|item| item["host"] == "ada" && item["invitees"] == 1), "{path}: {listed:?}");
    }
    assert_eq!(pages(&platform, "/sessions?host=x1", 2).await, Vec::<Value>::new());
    assert_eq!(platform.get("/organizations/x3").await.ok(), json!({ "organization": "x3", "name": "X3" }));
    let account = platform.get("/organizations/acme/accounts/north").await.ok();
    let north = json!({ "organization": "acme", "account": "north", "name": "North Clinic", "chat_enabled": true });
    assert_eq!(account, north);
    let host = platform.get("/hosts/x2").await.ok();
    assert_eq!((&host["display_name"], host.get("recovery_key")), (&json!("x2"), None));
    let session = platform.get("/sessions/s-x1").await.ok();
    assert_eq!((&session["host"], &session["ended"]), (&json!("ada"), &json!(false)));
    assert_eq!((&session["invitees"][0]["id"], session["invitees"][0].get("recovery_key")), (&json!("x1"), None));
    for nowhere in ["/organizations/none", "/organizations/acme/accounts/none", "/hosts/none", "/sessions/none"] {
        assert_eq!(platform.get(nowhere).await.status, 404, "{nowhere}");
    }
    for wrong in ["/hosts?limit=many", "/hosts?colour=red", "/audit?after=x"] {
        assert_eq!(platform.get(wrong).await.status, 400, "{wrong}");
    }
    let usage = platform.get("/usage").await.ok();
    assert_eq!((&usage["hosts"], &usage["sessions"], &usage["participants"]), (&json!(8), &json!(7), &json!(7)));
    let usage = platform.get("/usage?organization=x1").await.ok();
    assert_eq!((&usage["organizations"], &usage["hosts"]), (&json!(1), &json!(0)));
    assert_eq!(platform.get("/health").await.ok(), json!({ "status": "ok" }));
}

#[tokio::test]
async fn what_is_deleted_is_gone_and_nothing_is_left_hanging() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    let ada = platform.clinic().await;
    platform.put("/organizations/acme/accounts/south", json!({ "name": "South Clinic" })).await.ok();
    let bob = platform.host("bob", "acme", "south", "Bob").await.ok();
    let session = platform.session("s", "ada", &["pat"]).await.ok();
    let (host, colleague) = (platform.page(&ada["user_id"]).await, platform.page(&bob["user_id"]).await);
    let pat = platform.page(&session["invitees"][0]["user_id"]).await;
    let room = host.create_room(json!({ "invite": [bob["user_id"]] })).await;
    colleague.post(&format!("/_matrix/client/v3/join/{room}"), json!({})).await.ok();
    let event = host.send(&room, "remember").await;

    is_conflict(&delete(&platform, "/organizations/acme").await);
    is_conflict(&delete(&platform, "/organizations/acme/accounts/north").await);
    delete(&platform, "/hosts/ada").await.ok();
    for user in [&host, &pat] {
        let refused = user.get("/_matrix/client/v3/account/whoami").await;
        refused.is_error(401, "M_UNKNOWN_TOKEN");
        assert_ne!(refused.body["soft_logout"], true);
        let again = platform.call(Method::POST, "/login_tokens", json!({ "user_id": user.user_id })).await;
        assert_eq!(again.status, 403, "{}", again.body);
    }
    assert_eq!(platform.get("/hosts/ada").await.status, 404);
    assert_eq!(platform.get("/sessions/s").await.ok()["ended"], true);
    // The colleague still reads what was said, until it expires, and is told that the host has left.
    colleague.get(&format!("/_matrix/client/v3/rooms/{room}/event/{event}")).await.ok();
    let members = colleague.get(&format!("/_matrix/client/v3/rooms/{room}/joined_members")).await.ok();
    assert_eq!(members["joined"].as_object().map(serde_json::Map::len), Some(1));

    delete(&platform, "/organizations/acme/accounts/north").await.ok();
    let profile = colleague.get(&format!("/_matrix/client/v3/profile/{}", colleague.user_id)).await.ok();
    assert_eq!(profile["displayname"], "Bob", "with one account left, names are names");
    let again = platform.host("ada", "acme", "south", "Ada").await.ok();
    assert_ne!(again["user_id"], ada["user_id"], "somebody else");
    for host in ["ada", "bob"] {
        delete(&platform, &format!("/hosts/{host}")).await.ok();
    }
    delete(&platform, "/organizations/acme/accounts/south").await.ok();
    delete(&platform, "/organizations/acme").await.ok();
    assert_eq!(platform.get("/organizations/acme").await.status, 404);
    assert_eq!(delete(&platform, "/organizations/acme").await.status, 404);
}

#[tokio::test]
async fn a_repeated_deletion_gets_the_answer_that_was_lost() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    platform.clinic().await;
    platform.session("s", "ada", &["pat"]).await.ok();
    for path in ["/sessions/s", "/hosts/ada"] {
        let deletion = || server.request(Method::DELETE, &format!("/_vestibule/v1{path}")).bearer_auth(&platform.key);
        let repeated = async || answer(deletion().header("idempotency-key", path)).await;
        let first = repeated().await.ok();
        assert_eq!(repeated().await.ok(), first, "{path}");
        assert_eq!(answer(deletion()).await.status, 404, "{path}: without the key it is another call");
    }
}

#[tokio::test]
async fn a_session_that_moves_keeps_or_ends_its_chats() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    let ada = platform.clinic().await;
    let bob = platform.host("bob", "acme", "north", "Bob").await.ok();
    let session = platform.session("s", "ada", &["pat"]).await.ok();
    let (host, colleague) = (platform.page(&ada["user_id"]).await, platform.page(&bob["user_id"]).await);
    let pat = platform.page(&session["invitees"][0]["user_id"]).await;
    let room = pat.create_room(json!({ "invite": [ada["user_id"]], "preset": "trusted_private_chat" })).await;
    host.post(&format!("/_matrix/client/v3/join/{room}"), json!({})).await.ok();
    let put = async |host: &str, in_ms: u64| {
        let ends_at = server.clock.now().plus_ms(in_ms).as_ms();
        let invitees = json!([{ "id": "pat", "display_name": "Pat" }]);
        platform.put("/sessions/s", json!({ "host": host, "invitees": invitees, "ends_at": ends_at })).await
    };
    // Later: everything goes on past the old end.
    put("ada", 3 * 3_600_000).await.ok();
    server.clock.advance(Duration::from_hours(2));
    sessions::end_due(&server.app).await.expect("nothing is due");
    let pat = platform.page(&json!(pat.user_id)).await;
    let host = platform.page(&json!(host.user_id)).await;
    pat.send(&room, "still here").await;
    // To a colleague: the chat with the host before ends, one with the new host can begin.
    let before = pat.get("/_matrix/client/v3/sync").await.ok();
    put("bob", 3_600_000).await.ok();
    let since = before["next_batch"].as_str().expect("a token");
    let told = pat.get(&format!("/_matrix/client/v3/sync?since={since}")).await.ok();
    assert!(told["account_data"].to_string().contains("org.vestibule.chat"), "its page asks anew who the host is: {told}");
    let refused = pat
        .put(
            &format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/late"),
            json!({ "body": "x", "msgtype": "m.text" }),
        )
        .await;
    refused.is_error(403, "M_FORBIDDEN");
    let members = host.get(&format!("/_matrix/client/v3/rooms/{room}/joined_members")).await.ok();
    assert_eq!(members["joined"].as_object().map(serde_json::Map::len), Some(1), "pat has left");
    pat.post("/_matrix/client/v3/createRoom", json!({ "invite": [ada["user_id"]] })).await.is_error(403, "M_FORBIDDEN");
    assert_eq!(pat.get("/_vestibule/client/v1/me").await.ok()["inviter"]["user_id"], bob["user_id"]);
    let next = pat.create_room(json!({ "invite": [bob["user_id"]], "preset": "trusted_private_chat" })).await;
    let colleague = platform.page(&json!(colleague.user_id)).await;
    colleague.post(&format!("/_matrix/client/v3/join/{next}"), json!({})).await.ok();
    assert_eq!(ids(&pages(&platform, "/sessions?host=bob", 5).await, "session"), ["s"]);
    assert_eq!(pages(&platform, "/sessions?host=ada", 5).await, Vec::<Value>::new());
    // To another organization: that is another session.
    platform.put("/organizations/other", json!({ "name": "Other" })).await.ok();
    platform.put("/organizations/other/accounts/east", json!({ "name": "East" })).await.ok();
    platform.host("eve", "other", "east", "Eve").await.ok();
    assert_eq!(put("eve", 3_600_000).await.status, 400);
    // Ended by hand, it stays ended.
    let ended = platform.call(Method::POST, "/sessions/s/end", Value::Null).await.ok();
    assert_eq!(ended["ended"], true);
    assert_eq!(ended, platform.call(Method::POST, "/sessions/s/end", Value::Null).await.ok());
    pat.get("/_matrix/client/v3/account/whoami").await.is_error(401, "M_UNKNOWN_TOKEN");
    assert_eq!(put("bob", 3_600_000).await.status, 403);
}

#[tokio::test]
async fn a_repeated_call_gets_the_same_answer() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    platform.clinic().await;
    let ends_at = server.clock.now().plus_ms(7_200_000).as_ms();
    let session = json!({ "host": "ada", "invitees": [{ "id": "pat", "display_name": "Pat" }], "ends_at": ends_at });
    let put = async |key: &str, path: &str, body: &Value| {
        let request = server.request(Method::PUT, &format!("/_vestibule/v1{path}")).bearer_auth(&platform.key);
        answer(request.header("idempotency-key", key).json(body)).await
    };
    // The first answer got lost on its way; both at once, one of them makes the invitee.
    let (first, second) = tokio::join!(put("k1", "/sessions/s", &session), put("k1", "/sessions/s", &session));
    let first = first.ok();
    assert_eq!(first, second.ok());
    assert!(first["invitees"][0]["recovery_key"].is_string(), "{first}");
    assert_eq!(put("k1", "/sessions/s", &session).await.ok(), first, "recovery key included");
    let without = put("k2", "/sessions/s", &session).await.ok();
    assert_eq!(without["invitees"][0].get("recovery_key"), None, "under another key it is another call");
    assert_eq!(put("k1", "/sessions/t", &session).await.status, 409, "one key, two calls");
    assert_eq!(put("", "/sessions/s", &session).await.status, 400);
    let request = server.request(Method::PUT, "/_vestibule/v1/sessions/s").header("idempotency-key", "k1");
    let request = request.header("authorization", format!("bearer  {}", platform.key));
    assert_eq!(answer(request.json(&session)).await.ok(), first, "however the key of the interface is written");
    // Another key of the interface has its own idempotency keys.
    let other = Platform::new(&server).await;
    let request = server.request(Method::PUT, "/_vestibule/v1/sessions/s").bearer_auth(&other.key);
    let answered = answer(request.header("idempotency-key", "k1").json(&session)).await.ok();
    assert_eq!(answered["invitees"][0].get("recovery_key"), None);
    // And none is kept for long.
    server.clock.advance(Duration::from_secs(3_601));
    assert_eq!(put("k1", "/sessions/s", &session).await.ok()["invitees"][0].get("recovery_key"), None);
    let token = async |key: &str| {
        let request = server.request(Method::POST, "/_vestibule/v1/login_tokens").bearer_auth(&platform.key);
        answer(request.header("idempotency-key", key).json(&json!({ "user_id": first["invitees"][0]["user_id"] })))
            .await
            .ok()
    };
    assert_eq!(token("t1").await, token("t1").await);
    assert_ne!(token("t1").await, token("t2").await);
}

#[tokio::test]
async fn a_key_is_for_what_it_says_and_for_as_long() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    platform.clinic().await;
    let key = async |scopes: Value, lifetime_ms: Option<u64>| {
        let order = Order::KeysCreate { scopes: serde_json::from_value(scopes).expect("scopes"), lifetime_ms };
        let made = control::execute(&server.app, order, &silent()).await.expect("a key");
        Platform { server: &server, key: made["key"].as_str().expect("a key").to_owned() }
    };
    let (reader, writer) = (key(json!(["read"]), None).await, key(json!(["provision", "login"]), Some(60_000)).await);
    let name = json!({ "name": "X" });
    for (who, method, path, body, status) in [
        (&reader, Method::GET, "/organizations", Value::Null, 200),
        (&reader, Method::PUT, "/organizations/x", name.clone(), 403),
        (&reader, Method::GET, "/audit", Value::Null, 403),
        (&writer, Method::PUT, "/organizations/x", name.clone(), 200),
        (&writer, Method::GET, "/organizations", Value::Null, 403),
        (&writer, Method::POST, "/login_tokens", json!({ "user_id": "@none:localhost" }), 404),
        (&platform, Method::GET, "/audit", Value::Null, 200),
    ] {
        assert_eq!(who.call(method.clone(), path, body).await.status, status, "{method} {path}");
    }
    server.clock.advance(Duration::from_mins(1));
    assert_eq!(writer.put("/organizations/x", name).await.status, 401);
    assert_eq!(reader.get("/organizations").await.status, 200);
}

#[tokio::test]
async fn an_account_has_its_own_share_of_uploads() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    let ada = platform.clinic().await;
    let body = json!({ "name": "North Clinic", "upload_per_day": 1_000 });
    assert_eq!(platform.put("/organizations/acme/accounts/north", body).await.ok()["upload_per_day"], 1_000);
    let host = platform.page(&ada["user_id"]).await;
    assert_eq!(host.upload("a", "text/plain", vec![0; 600]).await.status, 200);
    host.upload("b", "text/plain", vec![0; 600]).await.is_error(403, "M_USER_LIMIT_EXCEEDED");
    assert_eq!(platform.get("/usage?organization=acme").await.ok()["uploaded_bytes"], 600);
    platform
        .put("/organizations/acme/accounts/north", json!({ "name": "North Clinic", "upload_per_day": 2_000 }))
        .await
        .ok();
    assert_eq!(host.upload("b", "text/plain", vec![0; 600]).await.status, 200);
}

#[tokio::test]
async fn the_platforms_own_token_lets_one_page_in_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("jwt.key");
    let secret = vodozemac::Ed25519SecretKey::new();
    std::fs::write(&key, format!("ed25519:{}\n", secret.public_key().to_base64())).expect("written");
    let server = Server::start_with(|config| config.jwt.key = Some(key)).await;
    let platform = Platform::new(&server).await;
    let ada = platform.clinic().await;
    let plain = server.register("plain").await;
    let flows = answer(server.request(Method::GET, "/_matrix/client/v3/login")).await.ok();
    assert!(flows["flows"].as_array().expect("flows").contains(&json!({ "type": "org.matrix.login.jwt" })));
    let log_in = async |user: &Value, id: &str| {
        let encode = |value: Value| vodozemac::base64_encode(value.to_string()).replace('+', "-").replace('/', "_");
        let exp = server.clock.now().as_ms() / 1_000 + 60;
        let signed =
            format!("{}.{}", encode(json!({ "alg": "EdDSA" })), encode(json!({ "sub": user, "jti": id, "exp": exp })));
        let signature = secret.sign(signed.as_bytes()).to_base64().replace('+', "-").replace('/', "_");
        let body =
            json!({ "type": "org.matrix.login.jwt", "token": format!("{signed}.{signature}"), "refresh_token": true });
        answer(server.request(Method::POST, "/_matrix/client/v3/login").json(&body)).await
    };
    assert_eq!(log_in(&ada["user_id"], "1").await.ok()["user_id"], ada["user_id"]);
    log_in(&ada["user_id"], "1").await.is_error(403, "M_FORBIDDEN");
    log_in(&ada["user_id"], "2").await.ok();
    log_in(&json!(plain.user_id), "3").await.is_error(403, "M_FORBIDDEN");
    log_in(&json!("@p_qqqqqqqqqqqqqqqq:localhost"), "4").await.is_error(403, "M_FORBIDDEN");
    let (one, other) = tokio::join!(log_in(&ada["user_id"], "5"), log_in(&ada["user_id"], "5"));
    assert_eq!([one.status, other.status].iter().filter(|status| **status == 200).count(), 1, "of two at once, one");
}

#[tokio::test]
async fn who_is_erased_is_gone_with_all_they_wrote() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    let ada = platform.clinic().await;
    let session = platform.session("s", "ada", &["pat", "paul"]).await.ok();
    let host = platform.page(&ada["user_id"]).await;
    let mut rooms = Vec::new();
    for invitee in session["invitees"].as_array().expect("invitees") {
        let participant = platform.page(&invitee["user_id"]).await;
        let body = json!({ "invite": [ada["user_id"]], "preset": "trusted_private_chat" });
        let room = participant.create_room(body).await;
        host.post(&format!("/_matrix/client/v3/join/{room}"), json!({})).await.ok();
        participant.send(&room, "remember me").await;
        rooms.push((participant, room));
    }
    let erase = async |user: &Value| {
        let path = format!("/users/{}/erase", user.as_str().expect("an id"));
        platform.call(Method::POST, &path, Value::Null).await
    };
    let gone = async |index: usize| {
        let (participant, room) = &rooms[index];
        participant.get("/_matrix/client/v3/account/whoami").await.is_error(401, "M_UNKNOWN_TOKEN");
        let profile = host.get(&format!("/_matrix/client/v3/profile/{}", participant.user_id)).await;
        profile.is_error(404, "M_NOT_FOUND");
        let read = host.get(&format!("/_matrix/client/v3/rooms/{room}/messages?dir=b")).await;
        assert!(!read.body.to_string().contains("remember me"), "{}", read.body);
        assert_eq!(erase(&json!(participant.user_id)).await.status, 404, "nobody twice");
    };
    erase(&session["invitees"][0]["user_id"]).await.ok();
    gone(0).await;
    let read = host.get(&format!("/_matrix/client/v3/rooms/{}/messages?dir=b", rooms[1].1)).await.ok();
    assert!(read.to_string().contains("remember me"), "the other one is still there");

    delete(&platform, "/sessions/s").await.ok();
    gone(1).await;
    assert_eq!(platform.get("/sessions/s").await.status, 404);
    assert_eq!(pages(&platform, "/sessions?host=ada", 5).await, Vec::<Value>::new());
    let plain = server.register("plain").await;
    assert_eq!(erase(&json!(plain.user_id)).await.status, 404, "plain users are the operator's");
    assert_eq!(erase(&json!("nobody")).await.status, 400);
    erase(&ada["user_id"]).await.ok();
    assert_eq!(platform.get("/hosts/ada").await.status, 404);
}
