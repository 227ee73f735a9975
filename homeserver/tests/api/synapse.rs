//! The calls of Synapse's administration API that are offered.

use reqwest::Method;
use ring::hmac;
use serde_json::{Value, json};

use crate::support::{Answer, Server, User, answer};

const REGISTER: &str = "/_synapse/admin/v1/register";
const NOTICE: &str = "/_synapse/admin/v1/send_server_notice";

async fn register(server: &Server, secret: &str, user: &str, admin: bool) -> Answer {
    let nonce = answer(server.request(Method::GET, REGISTER)).await.ok()["nonce"].as_str().expect("a nonce").to_owned();
    let signed = format!("{nonce}\0{user}\0sUp3rs3kr1t\0{}", if admin { "admin" } else { "notadmin" });
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    let mac: String = hmac::sign(&key, signed.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let body = json!({ "nonce": nonce, "username": user, "password": "sUp3rs3kr1t", "admin": admin, "mac": mac });
    answer(server.request(Method::POST, REGISTER).json(&body)).await
}

async fn with_secret() -> Server {
    Server::start_with(|config| {
        config.registration.open = false;
        config.registration.shared_secret = Some(config::Hidden::new("complement".to_owned()));
    })
    .await
}

fn user<'a>(server: &'a Server, made: &Value) -> User<'a> {
    let text = |key: &str| made[key].as_str().expect("text").to_owned();
    User { server, user_id: text("user_id"), device_id: text("device_id"), token: text("access_token") }
}

#[tokio::test]
async fn who_knows_the_secret_makes_accounts() {
    let server = Server::start().await;
    answer(server.request(Method::GET, REGISTER)).await.is_error(404, "M_UNRECOGNIZED");
    answer(server.request(Method::POST, REGISTER).json(&json!({}))).await.is_error(404, "M_UNRECOGNIZED");

    let server = with_secret().await;
    register(&server, "guessed", "ada", true).await.is_error(403, "M_FORBIDDEN");
    let root = register(&server, "complement", "Root", true).await.ok();
    assert_eq!((&root["user_id"], &root["home_server"]), (&json!("@root:localhost"), &json!("localhost")));
    let ada = register(&server, "complement", "ada", false).await.ok();
    register(&server, "complement", "us,er", false).await.is_error(400, "M_INVALID_USERNAME");
    register(&server, "complement", "ada", false).await.is_error(400, "M_USER_IN_USE");
    register(&server, "complement", "_server", false).await.is_error(400, "M_EXCLUSIVE");
    let lock = "/_matrix/client/v1/admin/lock/@ada:localhost";
    user(&server, &ada).get(lock).await.is_error(403, "M_FORBIDDEN");
    user(&server, &root).get(lock).await.ok();
    let replayed = json!({ "nonce": "never given", "username": "x", "password": "x", "mac": "00" });
    answer(server.request(Method::POST, REGISTER).json(&replayed)).await.is_error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn notices_come_in_a_room_of_their_own() {
    let server = with_secret().await;
    let made =
        (register(&server, "complement", "root", true).await.ok(), register(&server, "complement", "ada", false).await.ok());
    let (root, ada) = (user(&server, &made.0), user(&server, &made.1));
    let body = json!({ "user_id": "@ada:localhost", "content": { "msgtype": "m.text", "body": "hello" } });
    ada.post(NOTICE, body.clone()).await.is_error(403, "M_FORBIDDEN");
    let first = root.post(NOTICE, body.clone()).await.ok()["event_id"].clone();
    let synced = ada.get("/_matrix/client/v3/sync").await.ok();
    let invitations = synced["rooms"]["invite"].as_object().expect("invitations");
    let (room_id, invitation) = invitations.iter().next().expect("one");
    assert_eq!(invitation["invite_state"]["events"][0]["sender"], "@_server:localhost");
    let tags = ada.get(&format!("/_matrix/client/v3/user/@ada:localhost/rooms/{room_id}/tags")).await.ok();
    assert_eq!(tags, json!({ "tags": { "m.server_notice": {} } }));

    let membership = async |what: &str| ada.post(&format!("/_matrix/client/v3/rooms/{room_id}/{what}"), json!({})).await;
    membership("leave").await.is_error(403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM");
    membership("join").await.ok();
    let path = format!("/_matrix/client/v3/rooms/{room_id}/event/{}", first.as_str().expect("an id"));
    assert_eq!(ada.get(&path).await.ok()["content"]["body"], "hello");
    membership("leave").await.ok();
    let again = format!("{NOTICE}/1");
    let second = root.put(&again, body.clone()).await.ok();
    assert_eq!(root.put(&again, body.clone()).await.ok(), second, "a repeated request");
    let synced = ada.get("/_matrix/client/v3/sync").await.ok();
    assert!(synced["rooms"]["invite"][room_id].is_object(), "the same room: {synced}");
    root.post(NOTICE, json!({ "user_id": "@nobody:localhost", "content": {} })).await.is_error(404, "M_NOT_FOUND");
}
