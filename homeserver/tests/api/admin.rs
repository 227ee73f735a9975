//! What administrators and the operator do: locking, suspending, looking; reports; accounts at the terminal.

use homeserver::control::{self, Mark, Order, UserOrder};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Server, User, answer, silent};

const PASSWORD: &str = "correct horse battery staple";

async fn order(server: &Server, order: Order) -> Value {
    control::execute(&server.app, order, &silent()).await.map_err(|error| error.sentence()).expect("carried out")
}

async fn of_users(server: &Server, wanted: UserOrder) -> Value {
    order(server, Order::User(wanted)).await
}

fn set(user: &str, mark: Mark, on: bool) -> UserOrder {
    UserOrder::Set { user: user.to_owned(), mark, on }
}

async fn log_in(server: &Server, user: &str, password: &str) -> crate::support::Answer {
    let identifier = json!({ "type": "m.id.user", "user": user });
    let body = json!({ "type": "m.login.password", "identifier": identifier, "password": password });
    answer(server.request(Method::POST, "/_matrix/client/v3/login").json(&body)).await
}

async fn administrator(server: &Server) -> User<'_> {
    let root = server.register("root").await;
    of_users(server, set("root", Mark::Admin, true)).await;
    root
}

const LOCK: &str = "/_matrix/client/v1/admin/lock/@ada:localhost";
const SUSPEND: &str = "/_matrix/client/v1/admin/suspend/@ada:localhost";

#[tokio::test]
async fn a_locked_user_can_only_log_out() {
    let server = Server::start().await;
    let (root, ada) = (administrator(&server).await, server.register("ada").await);
    ada.put(LOCK, json!({ "locked": true })).await.is_error(403, "M_FORBIDDEN");
    ada.get(LOCK).await.is_error(403, "M_FORBIDDEN");
    assert_eq!(root.get(LOCK).await.ok(), json!({ "locked": false }));
    root.put(LOCK, json!({})).await.is_error(400, "M_BAD_JSON");
    root.put("/_matrix/client/v1/admin/lock/@root:localhost", json!({ "locked": true })).await.is_error(403, "M_FORBIDDEN");
    root.put("/_matrix/client/v1/admin/lock/@ada:elsewhere.example", json!({ "locked": true }))
        .await
        .is_error(400, "M_INVALID_PARAM");
    root.put("/_matrix/client/v1/admin/lock/@nobody:localhost", json!({ "locked": true }))
        .await
        .is_error(404, "M_NOT_FOUND");
    let since = ada.get("/_matrix/client/v3/sync").await.ok()["next_batch"].as_str().expect("a token").to_owned();
    let poll = format!("/_matrix/client/v3/sync?since={since}&timeout=60000");
    let (waited, locked) = tokio::join!(ada.get(&poll), root.put(LOCK, json!({ "locked": true })));
    waited.is_error(401, "M_USER_LOCKED");
    assert_eq!(locked.ok(), json!({ "locked": true }));
    assert_eq!(root.get(LOCK).await.ok(), json!({ "locked": true }));

    let refused = ada.get("/_matrix/client/v3/account/whoami").await;
    refused.is_error(401, "M_USER_LOCKED");
    assert_eq!(refused.body["soft_logout"], true, "the client keeps its keys");
    ada.post("/_matrix/client/v3/createRoom", json!({})).await.is_error(401, "M_USER_LOCKED");
    log_in(&server, "ada", PASSWORD).await.is_error(401, "M_USER_LOCKED");
    log_in(&server, "ada", "wrong").await.is_error(403, "M_FORBIDDEN");

    root.put(LOCK, json!({ "locked": false })).await.ok();
    ada.get("/_matrix/client/v3/account/whoami").await.ok();
    root.put(LOCK, json!({ "locked": true })).await.ok();
    ada.post("/_matrix/client/v3/logout", json!({})).await.ok();
    root.put(LOCK, json!({ "locked": false })).await.ok();
    ada.get("/_matrix/client/v3/account/whoami").await.is_error(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn a_suspended_user_reads_and_leaves() {
    let server = Server::start().await;
    let (root, ada) = (administrator(&server).await, server.register("ada").await);
    let room_id = ada.create_room(json!({})).await;
    assert_eq!(root.get(SUSPEND).await.ok(), json!({ "suspended": false }));
    assert_eq!(root.put(SUSPEND, json!({ "suspended": true })).await.ok(), json!({ "suspended": true }));
    let message = json!({ "msgtype": "m.text", "body": "hi" });
    let send = format!("/_matrix/client/v3/rooms/{room_id}/send/m.room.message/1");
    ada.put(&send, message.clone()).await.is_error(403, "M_USER_SUSPENDED");
    ada.post("/_matrix/client/v3/createRoom", json!({})).await.is_error(403, "M_USER_SUSPENDED");
    let name = "/_matrix/client/v3/profile/@ada:localhost/displayname";
    ada.put(name, json!({ "displayname": "Eve" })).await.is_error(403, "M_USER_SUSPENDED");
    ada.get("/_matrix/client/v3/sync").await.ok();
    log_in(&server, "ada", PASSWORD).await.ok();
    root.put(SUSPEND, json!({ "suspended": false })).await.ok();
    ada.put(&send, message).await.ok();
    root.put(SUSPEND, json!({ "suspended": true })).await.ok();
    ada.post(&format!("/_matrix/client/v3/rooms/{room_id}/leave"), json!({})).await.ok();
}

#[tokio::test]
async fn administrators_are_told_what_they_may_do() {
    let server = Server::start().await;
    let (root, ada) = (administrator(&server).await, server.register("ada").await);
    let capabilities =
        async |user: &User<'_>| user.get("/_matrix/client/v3/capabilities").await.ok()["capabilities"].clone();
    assert_eq!(capabilities(&root).await["m.account_moderation"], json!({ "lock": true, "suspend": true }));
    assert_eq!(capabilities(&ada).await["m.account_moderation"], Value::Null);

    let whois = async |user: &User<'_>, name: &str| user.get(&format!("/_matrix/client/v3/admin/whois/{name}")).await;
    let own = whois(&ada, "@ada:localhost").await.ok();
    let connections = &own["devices"][&ada.device_id]["sessions"][0]["connections"];
    assert!(own["user_id"] == "@ada:localhost" && connections[0]["last_seen"].is_u64(), "{own}");
    assert_eq!(whois(&root, "@ada:localhost").await.ok(), own);
    whois(&ada, "@root:localhost").await.is_error(403, "M_FORBIDDEN");
    whois(&root, "@nobody:localhost").await.is_error(404, "M_NOT_FOUND");
    of_users(&server, set("root", Mark::Admin, false)).await;
    whois(&root, "@ada:localhost").await.is_error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn the_operator_looks_after_accounts() {
    let server = Server::start_with(|config| config.registration.open = false).await;
    let create = |password: Option<&str>| UserOrder::Create {
        user: "Ada".to_owned(),
        password: password.map(|password| engine::account::Secret::new(password.to_owned())),
        admin: true,
    };
    let made = of_users(&server, create(None)).await;
    assert_eq!(made["user_id"], "@ada:localhost");
    let first = made["password"].as_str().expect("a password, this once");
    let login = log_in(&server, "ada", first).await.ok();
    let taken = control::execute(&server.app, Order::User(create(Some("x"))), &silent()).await.expect_err("taken");
    assert_eq!(taken.errcode(), "M_USER_IN_USE");

    let listed = of_users(&server, UserOrder::List).await;
    let ada = &listed["users"][0];
    assert_eq!((&ada["user_id"], &ada["admin"], &ada["locked"]), (&json!("@ada:localhost"), &json!(true), &json!(false)));
    assert!(!listed.to_string().contains("argon2"), "no hashes");

    let second = of_users(&server, UserOrder::Password { user: "@ada:localhost".to_owned(), password: None }).await;
    log_in(&server, "ada", first).await.is_error(403, "M_FORBIDDEN");
    log_in(&server, "ada", second["password"].as_str().expect("a password")).await.ok();
    let old = server.request(Method::GET, "/_matrix/client/v3/account/whoami");
    answer(old.bearer_auth(login["access_token"].as_str().expect("a token"))).await.is_error(401, "M_UNKNOWN_TOKEN");

    // As the command line sends it.
    let sent = serde_json::to_value(Order::User(set("ada", Mark::Suspended, true))).expect("JSON");
    let read: Order = serde_json::from_value(sent).expect("an order");
    assert_eq!(order(&server, read).await["on"], true);
    let nobody =
        control::execute(&server.app, Order::User(set("nobody", Mark::Locked, true)), &silent()).await.expect_err("nobody");
    assert_eq!(nobody.errcode(), "M_NOT_FOUND");
}

#[tokio::test]
async fn reports_reach_the_operator() {
    let server = Server::start().await;
    let (ada, eve) = (server.register("ada").await, server.register("eve").await);
    let room_id = ada.create_room(json!({})).await;
    let event_id = ada.send(&room_id, "what was said").await;
    let path = |of: &str| format!("/_matrix/client/v3/{of}/report");
    let event = format!("/_matrix/client/v3/rooms/{room_id}/report/{event_id}");
    assert_eq!(ada.post(&event, json!({ "reason": "rude", "score": -100 })).await.ok(), json!({}));
    eve.post(&event, json!({ "reason": "rude" })).await.is_error(404, "M_NOT_FOUND");
    let never = format!("/_matrix/client/v3/rooms/{room_id}/report/$never");
    ada.post(&never, json!({})).await.is_error(404, "M_NOT_FOUND");
    for of in [format!("rooms/{room_id}"), "rooms/!never:localhost".to_owned()] {
        assert_eq!(eve.post(&path(&of), json!({ "reason": "spam" })).await.ok(), json!({}));
    }
    for of in ["users/@ada:localhost", "users/@never:localhost"] {
        assert_eq!(eve.post(&path(of), json!({ "reason": "" })).await.ok(), json!({}));
    }
    let reason = json!({ "reason": "x" });
    answer(server.request(Method::POST, &path("users/@ada:localhost")).json(&reason)).await.is_error(401, "M_MISSING_TOKEN");

    let listed = order(&server, Order::ReportsList).await;
    let reports = listed["reports"].as_array().expect("a list");
    assert_eq!(reports.len(), 5);
    assert_eq!(reports[0]["reported"], json!({ "kind": "event", "room_id": room_id, "event_id": event_id }));
    assert_eq!((&reports[0]["reporter"], &reports[0]["reason"]), (&json!("@ada:localhost"), &json!("rude")));
    assert!(!listed.to_string().contains("what was said"), "no content");
    server.clock.advance(std::time::Duration::from_hours(24));
    assert_eq!(order(&server, Order::ReportsList).await, json!({ "reports": [] }));
}
