//! The audit trail: who did what, and when.

use std::time::Duration;

use engine::tables::Scope;
use homeserver::control::{self, Order};
use homeserver::workers::audit;
use reqwest::Method;
use serde_json::{Value, json};

use crate::platform::Platform;
use crate::platform_calls::pages;
use crate::support::{Server, silent};

#[tokio::test]
async fn the_trail_has_every_call_and_every_sign_in_and_no_content() {
    let server = Server::start_with(|config| config.audit.lifetime = config::Span::from_secs(3_600)).await;
    let platform = Platform::new(&server).await;
    let ada = platform.clinic().await;
    platform.page(&ada["user_id"]).await;
    assert_eq!(platform.get("/hosts/none").await.status, 404);
    platform.clinic().await;
    let order = Order::Platform {
        call: "get_host".to_owned(),
        params: vec!["ada".to_owned()],
        query: String::new(),
        body: Value::Null,
    };
    let host = control::execute(&server.app, order, &silent()).await.expect("the host");
    assert_eq!(host["display_name"], "Ada Byron");
    server.register("plain").await;
    // Whom a page was refused for, and who made keys.
    let nobody = platform.call(Method::POST, "/login_tokens", json!({ "user_id": "@nobody:localhost" })).await;
    assert_eq!(nobody.status, 404);
    assert_eq!(platform.call(Method::POST, "/login_tokens", json!({ "user_id": "no id" })).await.status, 400);
    let order = Order::KeysCreate { scopes: vec![Scope::Read, Scope::Audit], lifetime_ms: None };
    let made = control::execute(&server.app, order, &silent()).await.expect("a key");
    let key_id = made["id"].as_str().expect("an id").to_owned();
    for (id, known) in [(key_id.clone(), true), ("none".to_owned(), false)] {
        assert_eq!(control::execute(&server.app, Order::KeysRevoke { id }, &silent()).await.is_ok(), known);
    }
    let keys = control::execute(&server.app, Order::KeysList, &silent()).await.expect("keys");
    let first_id = keys["keys"][0]["id"].as_str().expect("the platform's own");
    let trail = pages(&platform, "/audit", 3).await;
    let told: Vec<_> = trail
        .iter()
        .map(|entry| {
            let objects: Vec<_> = entry["objects"].as_array().expect("objects").iter().filter_map(Value::as_str).collect();
            format!(
                "{} {} {} {}",
                entry["by"].as_str().expect("by"),
                entry["status"],
                entry["action"].as_str().expect("an action"),
                objects.join(",")
            )
        })
        .collect();
    let ada_id = ada["user_id"].as_str().expect("an id");
    let mut expected = vec![
        "key 200 PUT /organizations/{organization} acme".to_owned(),
        "key 200 PUT /organizations/{organization}/accounts/{account} acme,north".to_owned(),
        "key 200 PUT /hosts/{host} ada".to_owned(),
        format!("key 200 POST /login_tokens {ada_id}"),
        "user 200 login m.login.token ".to_owned(),
        "key 404 GET /hosts/{host} none".to_owned(),
        "key 200 PUT /organizations/{organization} acme".to_owned(),
        "key 200 PUT /organizations/{organization}/accounts/{account} acme,north".to_owned(),
        "key 200 PUT /hosts/{host} ada".to_owned(),
        "operator 200 GET /hosts/{host} ada".to_owned(),
        "user 200 register ".to_owned(),
        "key 404 POST /login_tokens @nobody:localhost".to_owned(),
        "key 400 POST /login_tokens ".to_owned(),
        format!("operator 200 keys create {first_id},platform"),
        format!("operator 200 keys create {key_id},read,audit"),
        format!("operator 200 keys revoke {key_id}"),
        "operator 404 keys revoke none".to_owned(),
    ];
    let mut found = told.clone();
    found.retain(|entry| !entry.contains("/audit"));
    // Two entries of one millisecond have no order.
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert!(!serde_json::to_string(&trail).expect("JSON").contains("Byron"), "no names");
    assert!(!serde_json::to_string(&trail).expect("JSON").contains(made["key"].as_str().expect("a key")), "no keys");
    assert!(trail.iter().any(|entry| entry["id"] == ada["user_id"]), "who signed in");

    server.clock.advance(Duration::from_secs(3_601));
    audit::prune(&server.app).await.expect("pruned");
    let left = pages(&platform, "/audit", 100).await;
    assert!(left.iter().all(|entry| entry["action"] == "GET /audit"), "{left:?}");
}
