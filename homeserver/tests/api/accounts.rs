//! Registering, logging in and out, devices, and what belongs to a user alone.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Server, User, answer};

const PASSWORD: &str = "correct horse battery staple";

async fn post(server: &Server, path: &str, body: Value) -> Answer {
    answer(server.request(Method::POST, path).json(&body)).await
}

async fn log_in(server: &Server, user: &str, password: &str) -> Answer {
    let identifier = json!({ "type": "m.id.user", "user": user });
    let body = json!({ "type": "m.login.password", "identifier": identifier, "password": password, "refresh_token": true });
    post(server, "/_matrix/client/v3/login", body).await
}

fn with_token<'a>(server: &'a Server, user: &User<'_>, token: &Value) -> User<'a> {
    let token = token.as_str().expect("a token").to_owned();
    User { server, user_id: user.user_id.clone(), device_id: user.device_id.clone(), token }
}

#[tokio::test]
async fn registering_asks_for_one_stage_that_everybody_can_do() {
    let server = Server::start().await;
    let register = |body: Value| post(&server, "/_matrix/client/v3/register", body);
    let wanted = json!({ "username": "Ada", "password": PASSWORD });
    let asked = register(wanted.clone()).await;
    assert_eq!(asked.status, 401);
    assert_eq!(asked.body["flows"], json!([{ "stages": ["m.login.dummy"] }]));
    let with_auth = |session: &Value| {
        let mut body = wanted.clone();
        body["auth"] = json!({ "type": "m.login.dummy", "session": session });
        body
    };
    let wrong = register(with_auth(&json!("no such session"))).await;
    assert_eq!((wrong.status, &wrong.body["errcode"]), (401, &json!("M_FORBIDDEN")));
    let made = register(with_auth(&asked.body["session"])).await.ok();
    assert_eq!(made["user_id"], "@ada:localhost", "small letters");
    assert!(made["access_token"].is_string() && made["device_id"].is_string());

    register(with_auth(&Value::Null)).await.is_error(400, "M_USER_IN_USE");
    let no_login =
        json!({ "username": "bob", "password": PASSWORD, "inhibit_login": true, "auth": { "type": "m.login.dummy" } });
    let made = register(no_login).await.ok();
    assert_eq!(made, json!({ "user_id": "@bob:localhost" }), "no login was wanted");
    register(json!({ "username": "b ob", "auth": { "type": "m.login.dummy" } })).await.is_error(400, "M_INVALID_USERNAME");
    let available = async |name: &str| {
        answer(server.request(Method::GET, &format!("/_matrix/client/v3/register/available?username={name}"))).await
    };
    assert_eq!(available("eve").await.ok(), json!({ "available": true }));
    available("ada").await.is_error(400, "M_USER_IN_USE");
}

#[tokio::test]
async fn nobody_registers_unless_the_operator_says_so() {
    let server = Server::start_with(|config| config.registration.open = false).await;
    let body = json!({ "username": "ada", "password": PASSWORD, "auth": { "type": "m.login.dummy" } });
    post(&server, "/_matrix/client/v3/register", body).await.is_error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn logging_in_refreshing_and_logging_out() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    for (user, password, status) in [
        ("ada", "wrong", 403),
        ("nobody", PASSWORD, 403),
        ("@ada:elsewhere.example", PASSWORD, 403),
        ("@ada:localhost", PASSWORD, 200),
    ] {
        assert_eq!(log_in(&server, user, password).await.status, status, "{user}");
    }
    for (body, errcode) in [
        (json!({}), "M_BAD_JSON"),
        (json!({ "type": "m.login.password", "password": "x" }), "M_MISSING_PARAM"),
        (json!({ "type": "m.login.token" }), "M_MISSING_PARAM"),
        (json!({ "type": "org.example.magic" }), "M_UNKNOWN"),
    ] {
        post(&server, "/_matrix/client/v3/login", body).await.is_error(400, errcode);
    }
    let login = log_in(&server, "ada", PASSWORD).await.ok();
    assert_eq!(login["expires_in_ms"], 300_000);
    let first = with_token(&server, &ada, &login["access_token"]);
    first.get("/_matrix/client/v3/account/whoami").await.ok();
    server.clock.advance(Duration::from_mins(5));
    let run_out = first.get("/_matrix/client/v3/account/whoami").await;
    run_out.is_error(401, "M_UNKNOWN_TOKEN");
    assert_eq!(run_out.body["soft_logout"], true, "the client refreshes");
    let refresh = json!({ "refresh_token": login["refresh_token"] });
    let refreshed = post(&server, "/_matrix/client/v3/refresh", refresh.clone()).await.ok();
    let second = with_token(&server, &ada, &refreshed["access_token"]);
    second.get("/_matrix/client/v3/account/whoami").await.ok();
    post(&server, "/_matrix/client/v3/refresh", refresh).await.is_error(401, "M_UNKNOWN_TOKEN");

    second.post("/_matrix/client/v3/logout", json!({})).await.ok();
    let out = second.get("/_matrix/client/v3/account/whoami").await;
    out.is_error(401, "M_UNKNOWN_TOKEN");
    assert_ne!(out.body["soft_logout"], true, "the client wipes its store");
    ada.get("/_matrix/client/v3/account/whoami").await.ok();
    ada.post("/_matrix/client/v3/logout/all", json!({})).await.ok();
    ada.get("/_matrix/client/v3/account/whoami").await.is_error(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn a_waiting_sync_ends_with_its_device() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let since = ada.get("/_matrix/client/v3/sync").await.ok()["next_batch"].as_str().expect("a token").to_owned();
    let path = format!("/_matrix/client/v3/sync?since={since}&timeout=60000");
    let (waited, ()) = tokio::join!(ada.get(&path), async {
        ada.post("/_matrix/client/v3/logout", json!({})).await.ok();
    });
    waited.is_error(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn deleting_a_device_asks_for_the_password() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    server.register("eve").await;
    let other = log_in(&server, "ada", PASSWORD).await.ok();
    let device_id = other["device_id"].as_str().expect("an id").to_owned();
    let path = format!("/_matrix/client/v3/devices/{device_id}");
    let named = json!({ "display_name": "Old phone" });
    ada.put(&path, named).await.ok();
    assert_eq!(ada.get(&path).await.ok()["display_name"], "Old phone");
    ada.put("/_matrix/client/v3/devices/NONE", json!({})).await.is_error(404, "M_NOT_FOUND");

    let delete = async |auth: Value| answer(ada.request(Method::DELETE, &path).json(&json!({ "auth": auth }))).await;
    let asked = answer(ada.request(Method::DELETE, &path).json(&json!({}))).await;
    assert_eq!((asked.status, &asked.body["flows"]), (401, &json!([{ "stages": ["m.login.password"] }])));
    let auth = |user: &str, password: &str, session: &Value| json!({ "type": "m.login.password", "identifier": { "type": "m.id.user", "user": user }, "password": password, "session": session });
    let wrong = delete(auth("ada", "wrong", &asked.body["session"])).await;
    assert_eq!((wrong.status, &wrong.body["errcode"]), (401, &json!("M_FORBIDDEN")));
    assert!(
        matches!(delete(auth("eve", PASSWORD, &asked.body["session"])).await.status, 401 | 403),
        "somebody else's password"
    );
    let password = json!({ "new_password": "x", "auth": auth("ada", PASSWORD, &asked.body["session"]) });
    assert_eq!(
        ada.post("/_matrix/client/v3/account/password", password).await.status,
        401,
        "a session is for one operation"
    );
    assert_eq!(delete(auth("ada", PASSWORD, &asked.body["session"])).await.ok(), json!({}));
    ada.get(&path).await.is_error(404, "M_NOT_FOUND");
    let devices = ada.get("/_matrix/client/v3/devices").await.ok();
    assert_eq!(devices["devices"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_new_password_logs_the_other_devices_out() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let other = log_in(&server, "ada", PASSWORD).await.ok();
    let auth =
        json!({ "type": "m.login.password", "identifier": { "type": "m.id.user", "user": "ada" }, "password": PASSWORD });
    ada.post("/_matrix/client/v3/account/password", json!({ "new_password": "another one", "auth": auth })).await.ok();
    with_token(&server, &ada, &other["access_token"])
        .get("/_matrix/client/v3/account/whoami")
        .await
        .is_error(401, "M_UNKNOWN_TOKEN");
    ada.get("/_matrix/client/v3/account/whoami").await.ok();
    log_in(&server, "ada", PASSWORD).await.is_error(403, "M_FORBIDDEN");
    log_in(&server, "ada", "another one").await.ok();
}

#[tokio::test]
async fn a_closed_account_cannot_be_entered() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let auth =
        json!({ "type": "m.login.password", "identifier": { "type": "m.id.user", "user": "ada" }, "password": PASSWORD });
    ada.post("/_matrix/client/v3/account/deactivate", json!({ "auth": auth })).await.ok();
    log_in(&server, "ada", PASSWORD).await.is_error(403, "M_USER_DEACTIVATED");
    answer(server.request(Method::GET, "/_matrix/client/v3/profile/@ada:localhost")).await.is_error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn profiles_hold_names_avatars_and_anything_else() {
    let server = Server::start().await;
    let (ada, eve) = (server.register("ada").await, server.register("eve").await);
    let profile = "/_matrix/client/v3/profile/@ada:localhost";
    ada.put(&format!("{profile}/displayname"), json!({ "displayname": "Ada Byron" })).await.ok();
    ada.put(&format!("{profile}/m.tz"), json!({ "m.tz": "Europe/London" })).await.ok();
    assert_eq!(
        answer(server.request(Method::GET, profile)).await.ok(),
        json!({ "displayname": "Ada Byron", "m.tz": "Europe/London" })
    );
    assert_eq!(eve.get(&format!("{profile}/m.tz")).await.ok(), json!({ "m.tz": "Europe/London" }));
    eve.put(&format!("{profile}/displayname"), json!({ "displayname": "Eve" })).await.is_error(403, "M_FORBIDDEN");
    ada.put(&format!("{profile}/displayname"), json!({})).await.is_error(400, "M_MISSING_PARAM");
    answer(ada.request(Method::DELETE, &format!("{profile}/m.tz"))).await.ok();
    eve.get(&format!("{profile}/m.tz")).await.is_error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn account_data_is_private_and_partly_the_servers() {
    let server = Server::start().await;
    let (ada, eve) = (server.register("ada").await, server.register("eve").await);
    let path = |event_type: &str| format!("/_matrix/client/v3/user/@ada:localhost/account_data/{event_type}");
    ada.put(&path("org.example"), json!({ "kept": [1, { "two": null }] })).await.ok();
    assert_eq!(ada.get(&path("org.example")).await.ok(), json!({ "kept": [1, { "two": null }] }));
    eve.get(&path("org.example")).await.is_error(403, "M_FORBIDDEN");
    ada.put(&path("m.push_rules"), json!({})).await.is_error(405, "M_BAD_JSON");
    assert!(ada.get(&path("m.push_rules")).await.ok()["global"]["override"].is_array());
    let synced = ada.get("/_matrix/client/v3/sync").await.ok();
    let types: Vec<&str> = synced["account_data"]["events"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|event| event["type"].as_str())
        .collect();
    assert!(types.contains(&"org.example") && types.contains(&"m.push_rules"), "{types:?}");

    let filter = json!({ "room": { "timeline": { "limit": 3 } }, "org.example": true });
    let made = ada.post("/_matrix/client/v3/user/@ada:localhost/filter", filter.clone()).await.ok();
    let filter_path =
        format!("/_matrix/client/v3/user/@ada:localhost/filter/{}", made["filter_id"].as_str().expect("an id"));
    assert_eq!(ada.get(&filter_path).await.ok(), filter);
    ada.post("/_matrix/client/v3/user/@ada:localhost/filter", json!({ "room": 1 })).await.is_error(400, "M_BAD_JSON");
}

#[tokio::test]
async fn push_rules_and_pushers_can_be_changed() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let all = ada.get("/_matrix/client/v3/pushrules/").await.ok();
    assert_eq!(all["global"], ada.get("/_matrix/client/v3/pushrules/global/").await.ok());
    assert_eq!(all["global"]["override"][0]["rule_id"], ".m.rule.master");
    let rule = "/_matrix/client/v3/pushrules/global/content/cake";
    ada.put(rule, json!({ "pattern": "cake", "actions": ["notify"] })).await.ok();
    assert_eq!(ada.get(rule).await.ok()["pattern"], "cake");
    ada.put(&format!("{rule}/enabled"), json!({ "enabled": false })).await.ok();
    assert_eq!(ada.get(&format!("{rule}/enabled")).await.ok(), json!({ "enabled": false }));
    ada.put(&format!("{rule}/actions"), json!({ "actions": [] })).await.ok();
    assert_eq!(ada.get(&format!("{rule}/actions")).await.ok(), json!({ "actions": [] }));
    answer(ada.request(Method::DELETE, rule)).await.ok();
    ada.get(rule).await.is_error(404, "M_NOT_FOUND");

    let pusher = json!({
        "app_id": "org.example", "pushkey": "k", "kind": "http", "app_display_name": "App", "device_display_name": "Phone",
        "lang": "en", "data": { "url": "https://push.example/_matrix/push/v1/notify" },
    });
    ada.post("/_matrix/client/v3/pushers/set", pusher).await.ok();
    assert_eq!(ada.get("/_matrix/client/v3/pushers").await.ok()["pushers"][0]["pushkey"], "k");
    ada.post("/_matrix/client/v3/pushers/set", json!({ "app_id": "org.example", "pushkey": "k", "kind": null })).await.ok();
    assert_eq!(ada.get("/_matrix/client/v3/pushers").await.ok(), json!({ "pushers": [] }));
}

#[tokio::test]
async fn what_the_server_tells_of_itself() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let capabilities = ada.get("/_matrix/client/v3/capabilities").await.ok();
    assert_eq!(capabilities["capabilities"]["m.room_versions"]["default"], "11");
    assert_eq!(ada.get("/_matrix/client/v3/account/3pid").await.ok(), json!({ "threepids": [] }));
    ada.get("/_matrix/client/v3/voip/turnServer").await.is_error(404, "M_UNRECOGNIZED");
    assert_eq!(ada.get("/_matrix/client/v3/thirdparty/protocols").await.ok(), json!({}));
    let retention = ada.get("/_matrix/client/unstable/org.matrix.msc1763/retention/configuration").await.ok();
    assert_eq!(retention["policies"]["*"]["max_lifetime"], 86_400_000);
    let me = ada.get("/_vestibule/client/v1/me").await.ok();
    assert_eq!((&me["role"], &me["chat_enabled"], &me["support"]), (&json!("plain"), &json!(true), &Value::Null));
    answer(server.request(Method::GET, "/_vestibule/client/v1/me")).await.is_error(401, "M_MISSING_TOKEN");
}
