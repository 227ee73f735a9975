//! Proving who one is: login tokens for other devices, OpenID; and what the server says of itself to anybody.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Server, User, answer};

const GET_TOKEN: &str = "/_matrix/client/v1/login/get_token";

fn auth(user: &str, password: &str) -> Value {
    json!({ "type": "m.login.password", "identifier": { "type": "m.id.user", "user": user }, "password": password })
}

async fn log_in_with(server: &Server, token: &Value) -> Answer {
    let body = json!({ "type": "m.login.token", "token": token });
    answer(server.request(Method::POST, "/_matrix/client/v3/login").json(&body)).await
}

#[tokio::test]
async fn a_login_token_logs_in_one_more_device_once() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let flows = answer(server.request(Method::GET, "/_matrix/client/v3/login")).await.ok();
    let of_tokens = flows["flows"].as_array().expect("a list").iter().find(|flow| flow["type"] == "m.login.token");
    assert_eq!(of_tokens.expect("offered")["get_login_token"], true);
    let capabilities = ada.get("/_matrix/client/v3/capabilities").await.ok();
    assert_eq!(capabilities["capabilities"]["m.get_login_token"], json!({ "enabled": true }));

    let asked = ada.post(GET_TOKEN, json!({})).await;
    assert_eq!((asked.status, &asked.body["flows"]), (401, &json!([{ "stages": ["m.login.password"] }])));
    let wrong = ada.post(GET_TOKEN, json!({ "auth": auth("ada", "wrong") })).await;
    assert_eq!((wrong.status, &wrong.body["errcode"]), (401, &json!("M_FORBIDDEN")));
    let right = json!({ "auth": auth("ada", "correct horse battery staple") });
    let made = ada.post(GET_TOKEN, right.clone()).await.ok();
    assert_eq!(made["expires_in_ms"], 60_000);
    let login = log_in_with(&server, &made["login_token"]).await.ok();
    assert!(login["user_id"] == "@ada:localhost" && login["device_id"] != json!(ada.device_id));
    log_in_with(&server, &made["login_token"]).await.is_error(403, "M_FORBIDDEN");
    let late = ada.post(GET_TOKEN, right).await.ok();
    server.clock.advance(Duration::from_mins(1));
    log_in_with(&server, &late["login_token"]).await.is_error(403, "M_FORBIDDEN");
    answer(server.request(Method::POST, GET_TOKEN).json(&json!({}))).await.is_error(401, "M_MISSING_TOKEN");
}

async fn user_info(server: &Server, token: &Value) -> Answer {
    let token = token.as_str().expect("a token");
    answer(server.request(Method::GET, "/_matrix/federation/v1/openid/userinfo").query(&[("access_token", token)])).await
}

#[tokio::test]
async fn an_openid_token_proves_who_one_is_and_opens_nothing() {
    let server = Server::start().await;
    let (ada, eve) = (server.register("ada").await, server.register("eve").await);
    let path = "/_matrix/client/v3/user/@ada:localhost/openid/request_token";
    eve.post(path, json!({})).await.is_error(403, "M_FORBIDDEN");
    let made = ada.post(path, json!({})).await.ok();
    assert_eq!(
        (&made["token_type"], &made["matrix_server_name"], &made["expires_in"]),
        (&json!("Bearer"), &json!("localhost"), &json!(3_600))
    );
    let token = &made["access_token"];
    assert_eq!(user_info(&server, token).await.ok(), json!({ "sub": "@ada:localhost" }));
    let as_ada =
        User { server: &server, user_id: ada.user_id.clone(), device_id: ada.device_id.clone(), token: String::new() };
    let as_ada = User { token: token.as_str().expect("a token").to_owned(), ..as_ada };
    as_ada.get("/_matrix/client/v3/account/whoami").await.is_error(401, "M_UNKNOWN_TOKEN");
    user_info(&server, &json!(ada.token)).await.is_error(401, "M_UNKNOWN_TOKEN");
    let nobody = answer(server.request(Method::GET, "/_matrix/federation/v1/openid/userinfo")).await;
    nobody.is_error(401, "M_MISSING_TOKEN");
    server.clock.advance(Duration::from_hours(1));
    user_info(&server, token).await.is_error(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn what_is_not_offered_is_not_there() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    for path in ["/_matrix/client/v1/auth_metadata", "/_matrix/client/unstable/org.matrix.msc2965/auth_metadata"] {
        answer(server.request(Method::GET, path)).await.is_error(404, "M_UNRECOGNIZED");
    }
    ada.get("/_matrix/client/unstable/org.matrix.msc4143/rtc/transports").await.is_error(404, "M_UNRECOGNIZED");
    answer(server.request(Method::GET, "/.well-known/matrix/support")).await.is_error(404, "M_NOT_FOUND");
    for (path, token) in [
        ("account/3pid", true),
        ("account/3pid/add", true),
        ("account/3pid/bind", true),
        ("account/3pid/email/requestToken", false),
        ("account/password/email/requestToken", false),
        ("register/email/requestToken", false),
    ] {
        let path = format!("/_matrix/client/v3/{path}");
        ada.post(&path, json!({})).await.is_error(403, "M_THREEPID_DENIED");
        if token {
            answer(server.request(Method::POST, &path).json(&json!({}))).await.is_error(401, "M_MISSING_TOKEN");
        }
    }
    let guest = server.request(Method::POST, "/_matrix/client/v3/register?kind=guest").json(&json!({}));
    answer(guest).await.is_error(403, "M_GUEST_ACCESS_FORBIDDEN");
}

#[tokio::test]
async fn the_operator_says_how_to_reach_them_and_where_calls_go() {
    let server = Server::start_with(|config| {
        config.contact.support_page = Some("https://example.org/help".to_owned());
        config.contact.admin_email = Some("admin@example.org".to_owned());
        config.contact.security_matrix_id = Some("@security:example.org".to_owned());
        config.calls.livekit_service_url = Some("https://livekit.example.org".to_owned());
    })
    .await;
    assert_eq!(
        answer(server.request(Method::GET, "/.well-known/matrix/support")).await.ok(),
        json!({
            "contacts": [
                { "role": "m.role.admin", "email_address": "admin@example.org" },
                { "role": "m.role.security", "matrix_id": "@security:example.org" },
            ],
            "support_page": "https://example.org/help",
        })
    );
    let ada = server.register("ada").await;
    assert_eq!(
        ada.get("/_matrix/client/unstable/org.matrix.msc4143/rtc/transports").await.ok(),
        json!({ "rtc_transports": [{ "type": "livekit", "livekit_service_url": "https://livekit.example.org" }] })
    );
    let well_known = answer(server.request(Method::GET, "/.well-known/matrix/client")).await.ok();
    assert_eq!(well_known["org.matrix.msc4143.rtc_foci"][0]["type"], "livekit");
}
