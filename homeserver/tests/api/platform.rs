//! The platform's back end provisions; hosts and participants come in, and are held to what they may.

use std::time::Duration;

use homeserver::control::{self, Order};
use homeserver::workers::sessions;
use reqwest::Method;
use serde_json::{Value, json};

use crate::openapi;
use crate::support::{Answer, Server, User, answer, eventually, silent};

/// The platform's back end.
pub struct Platform<'a> {
    pub server: &'a Server,
    pub key: String,
}

impl<'a> Platform<'a> {
    pub async fn new(server: &'a Server) -> Self {
        let order = Order::KeysCreate { scopes: Vec::new(), lifetime_ms: None };
        let made = control::execute(&server.app, order, &silent()).await.expect("a key");
        Self { server, key: made["key"].as_str().expect("a key").to_owned() }
    }

    pub async fn call(&self, method: Method, path: &str, body: Value) -> Answer {
        let request = self.server.request(method.clone(), &format!("/_vestibule/v1{path}")).bearer_auth(&self.key);
        let answer = answer(if body.is_null() { request } else { request.json(&body) }).await;
        openapi::check(&method, path, &body, &answer);
        answer
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, Value::Null).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PUT, path, body).await
    }

    /// An organization with an account and a host, Ada.
    pub async fn clinic(&self) -> Value {
        self.put("/organizations/acme", json!({ "name": "Acme Health" })).await.ok();
        self.put("/organizations/acme/accounts/north", json!({ "name": "North Clinic" })).await.ok();
        self.host("ada", "acme", "north", "Ada Byron").await.ok()
    }

    pub async fn host(&self, id: &str, organization: &str, account: &str, name: &str) -> Answer {
        let body = json!({ "organization": organization, "account": account, "display_name": name });
        self.put(&format!("/hosts/{id}"), body).await
    }

    pub async fn session(&self, id: &str, host: &str, invitees: &[&str]) -> Answer {
        let invitees: Vec<_> =
            invitees.iter().map(|id| json!({ "id": id, "display_name": format!("{id} Patient") })).collect();
        let ends_at = self.server.clock.now().plus_ms(3_600_000).as_ms();
        self.put(&format!("/sessions/{id}"), json!({ "host": host, "invitees": invitees, "ends_at": ends_at })).await
    }

    /// Somebody's page logs in by itself.
    pub async fn page(&self, user_id: &Value) -> User<'a> {
        let made = self.call(Method::POST, "/login_tokens", json!({ "user_id": user_id })).await.ok();
        assert_eq!(made["expires_in_ms"], 60_000);
        let body = json!({ "type": "m.login.token", "token": made["login_token"], "refresh_token": true });
        let login = answer(self.server.request(Method::POST, "/_matrix/client/v3/login").json(&body)).await.ok();
        assert!(login["refresh_token"].is_string() && login["expires_in_ms"].as_u64().is_some_and(|ms| ms <= 300_000));
        let again = answer(self.server.request(Method::POST, "/_matrix/client/v3/login").json(&body)).await;
        again.is_error(403, "M_FORBIDDEN");
        let text = |key: &str| login[key].as_str().expect("text").to_owned();
        User { server: self.server, user_id: text("user_id"), device_id: text("device_id"), token: text("access_token") }
    }
}

fn is_problem(answer: &Answer, status: u16) {
    assert_eq!((answer.status, &answer.body["status"]), (status, &json!(status)), "{}", answer.body);
    assert!(answer.body["title"].is_string() && answer.body["detail"].is_string() && answer.body["type"].is_string());
}

#[tokio::test]
async fn nobody_without_a_key_and_no_key_after_its_end() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    platform.clinic().await;
    let path = "/_vestibule/v1/organizations/x";
    let body = json!({ "name": "X" });
    is_problem(&answer(server.request(Method::PUT, path).json(&body)).await, 401);
    is_problem(&answer(server.request(Method::PUT, path).bearer_auth("guess").json(&body)).await, 401);
    let ada = server.register("plain").await;
    is_problem(&ada.put(path, body.clone()).await, 401);
    let keys = control::execute(&server.app, Order::KeysList, &silent()).await.expect("keys");
    let id = keys["keys"][0]["id"].as_str().expect("an id").to_owned();
    assert!(!keys.to_string().contains(&platform.key));
    control::execute(&server.app, Order::KeysRevoke { id }, &silent()).await.expect("revoked");
    is_problem(&platform.put("/organizations/x", body).await, 401);
}

#[tokio::test]
async fn bad_requests_are_told_as_problems() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    platform.clinic().await;
    for (path, body, status) in [
        ("/organizations/x", json!({}), 400),
        ("/organizations/x", json!({ "name": "X", "colour": "red" }), 400),
        ("/organizations/none/accounts/a", json!({ "name": "A" }), 404),
        ("/hosts/x", json!({ "organization": "acme", "account": "none", "display_name": "X" }), 404),
        (
            "/sessions/x",
            json!({ "host": "none", "invitees": [], "ends_at": server.clock.now().plus_ms(1_000).as_ms() }),
            404,
        ),
        ("/sessions/x", json!({ "host": "ada", "invitees": [], "ends_at": 1 }), 400),
    ] {
        is_problem(&platform.put(path, body).await, status);
    }
    let plain = server.register("plain").await;
    is_problem(&platform.call(Method::POST, "/login_tokens", json!({ "user_id": plain.user_id })).await, 404);
}

#[tokio::test]
async fn recovery_keys_are_handed_out_once() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    let ada = platform.clinic().await;
    assert!(ada["recovery_key"].as_str().is_some_and(|key| key.starts_with("Es")), "{ada}");
    assert!(!ada["user_id"].as_str().expect("an id").contains("ada"), "no personal data in ids");
    let again = platform.host("ada", "acme", "north", "Ada Byron").await.ok();
    assert_eq!((&again["user_id"], again.get("recovery_key")), (&ada["user_id"], None));
    let first = platform.session("s", "ada", &["pat"]).await.ok();
    assert!(first["invitees"][0]["recovery_key"].is_string());
    let second = platform.session("s", "ada", &["pat", "paul"]).await.ok();
    let pat = json!({ "id": "pat", "user_id": first["invitees"][0]["user_id"], "display_name": "pat Patient" });
    assert_eq!(second["invitees"][0], pat);
    assert!(second["invitees"][1]["recovery_key"].is_string());
}

#[tokio::test]
async fn a_newcomer_is_ready_before_the_first_page_and_stays_as_made() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    let ada = platform.clinic().await;
    let session = platform.session("s", "ada", &["pat"]).await.ok();
    let pat_id = session["invitees"][0]["user_id"].clone();
    let name = pat_id.as_str().expect("an id").to_owned();

    // The host's client finds a device to encrypt to, signed by its owner's keys.
    let host = platform.page(&ada["user_id"]).await;
    let query = json!({ "device_keys": { name.as_str(): [] } });
    let keys = host.post("/_matrix/client/v3/keys/query", query).await.ok();
    let devices = keys["device_keys"][&name].as_object().expect("devices").clone();
    assert_eq!(devices.len(), 1);
    let (device_id, device) = devices.iter().next().expect("a device");
    assert_eq!(device["dehydrated"], true);
    assert_eq!(device["signatures"][&name].as_object().map(serde_json::Map::len), Some(2), "by itself and by its owner");
    assert!(keys["master_keys"][&name].is_object() && keys["self_signing_keys"][&name].is_object());
    let claim = json!({ "one_time_keys": { name.as_str(): { device_id.as_str(): "signed_curve25519" } } });
    let claimed = host.post("/_matrix/client/v3/keys/claim", claim).await.ok();
    let claimed = claimed["one_time_keys"][&name][device_id].as_object().expect("keys").clone();
    assert!(claimed.values().all(|key| key["fallback"] == true) && claimed.len() == 1);

    // The page finds what opens it, and cannot replace it.
    let pat = platform.page(&pat_id).await;
    let dehydrated = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device";
    let waiting = pat.get(dehydrated).await.ok();
    assert_eq!(waiting["device_id"], json!(device_id));
    assert_eq!(waiting["device_data"]["algorithm"], "org.matrix.msc3814.v2");
    let data = |event_type: &str| format!("/_matrix/client/v3/user/{name}/account_data/{event_type}");
    let key_id = pat.get(&data("m.secret_storage.default_key")).await.ok()["key"].as_str().expect("a key").to_owned();
    for event_type in
        ["m.cross_signing.master", "m.cross_signing.self_signing", "m.cross_signing.user_signing", "org.matrix.msc3814"]
    {
        assert!(pat.get(&data(event_type)).await.ok()["encrypted"][&key_id].is_object(), "{event_type}");
        pat.put(&data(event_type), json!({ "encrypted": {} })).await.is_error(403, "M_FORBIDDEN");
    }
    let put = json!({ "device_id": "D", "device_data": { "algorithm": "x" }, "device_keys": device });
    pat.put(dehydrated, put).await.is_error(403, "M_FORBIDDEN");
    assert_eq!(pat.get(dehydrated).await.ok()["device_id"], json!(device_id));
}

#[tokio::test]
async fn a_participant_chats_with_the_inviter_and_nobody_else() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    let ada = platform.clinic().await;
    let bob = platform.host("bob", "acme", "north", "Bob").await.ok();
    let session = platform.session("s", "ada", &["pat", "paul"]).await.ok();
    let (pat_id, paul_id) = (&session["invitees"][0]["user_id"], &session["invitees"][1]["user_id"]);
    let (host, pat) = (platform.page(&ada["user_id"]).await, platform.page(pat_id).await);

    let me = pat.get("/_vestibule/client/v1/me").await.ok();
    assert_eq!((&me["role"], &me["display_name"]), (&json!("participant"), &json!("pat Patient")));
    assert_eq!(me["inviter"], json!({ "user_id": ada["user_id"], "display_name": "Ada Byron" }));
    assert!(me["session"]["ends_at"].is_u64());
    assert_eq!(host.get("/_vestibule/client/v1/me").await.ok()["role"], "host");

    let create = "/_matrix/client/v3/createRoom";
    for invite in [json!([]), json!([bob["user_id"]]), json!([paul_id]), json!([ada["user_id"], bob["user_id"]])] {
        pat.post(create, json!({ "invite": invite })).await.is_error(403, "M_FORBIDDEN");
    }
    let colleague = platform.page(&bob["user_id"]).await;
    colleague.post(create, json!({ "invite": [pat_id] })).await.is_error(403, "M_INVITE_BLOCKED");
    let room = pat.create_room(json!({ "invite": [ada["user_id"]], "preset": "trusted_private_chat" })).await;
    host.post(&format!("/_matrix/client/v3/join/{room}"), json!({})).await.ok();
    host.post(create, json!({ "invite": [pat_id] })).await.is_error(403, "M_FORBIDDEN");
    host.send(&room, "hello").await;
    pat.post(&format!("/_matrix/client/v3/rooms/{room}/invite"), json!({ "user_id": paul_id }))
        .await
        .is_error(403, "M_FORBIDDEN");
    host.post(&format!("/_matrix/client/v3/rooms/{room}/invite"), json!({ "user_id": bob["user_id"] }))
        .await
        .is_error(403, "M_INVITE_BLOCKED");

    for (who, found) in [(&ada["user_id"], 200), (paul_id, 404), (&bob["user_id"], 404)] {
        let profile = format!("/_matrix/client/v3/profile/{}", who.as_str().expect("an id"));
        assert_eq!(pat.get(&profile).await.status, found, "{who}");
        assert_eq!(answer(server.request(Method::GET, &profile)).await.status, 404, "nobody is shown to strangers");
    }
    let found = pat.post("/_matrix/client/v3/user_directory/search", json!({ "search_term": "b" })).await.ok();
    assert_eq!(found["results"].as_array().map(Vec::len), Some(1), "Ada Byron, not Bob: {found}");
    let found = host.post("/_matrix/client/v3/user_directory/search", json!({ "search_term": "bo" })).await.ok();
    assert_eq!(found["results"][0]["user_id"], bob["user_id"]);

    platform.put("/organizations/acme/accounts/north", json!({ "name": "North Clinic", "chat_enabled": false })).await.ok();
    let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/off");
    let refused = pat.put(&path, json!({ "msgtype": "m.text", "body": "x" })).await;
    refused.is_error(403, "M_FORBIDDEN");
    assert!(refused.body["error"].as_str().expect("a sentence").contains("switched off"));
    assert_eq!(pat.get("/_vestibule/client/v1/me").await.ok()["chat_enabled"], false);
}

#[tokio::test]
async fn the_second_account_puts_accounts_into_names() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    let ada = platform.clinic().await;
    let bob = platform.host("bob", "acme", "north", "Bob").await.ok();
    let (host, colleague) = (platform.page(&ada["user_id"]).await, platform.page(&bob["user_id"]).await);
    let room = host.create_room(json!({ "invite": [bob["user_id"]] })).await;
    colleague.post(&format!("/_matrix/client/v3/join/{room}"), json!({})).await.ok();
    platform.put("/organizations/acme/accounts/south", json!({ "name": "South Clinic" })).await.ok();
    let members = colleague.get(&format!("/_matrix/client/v3/rooms/{room}/joined_members")).await.ok();
    let shown = &members["joined"][ada["user_id"].as_str().expect("an id")]["display_name"];
    assert_eq!(shown, "Ada Byron (North Clinic)");
}

#[tokio::test]
async fn a_session_that_is_over_logs_its_participants_out_for_good() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    platform.clinic().await;
    let session = platform.session("s", "ada", &["pat"]).await.ok();
    let pat_id = &session["invitees"][0]["user_id"];
    let pat = platform.page(pat_id).await;
    let since = pat.get("/_matrix/client/v3/sync").await.ok()["next_batch"].as_str().expect("a token").to_owned();
    let path = format!("/_matrix/client/v3/sync?since={since}&timeout=60000");
    let (waited, ()) = tokio::join!(pat.get(&path), async {
        server.clock.advance(Duration::from_hours(1));
        sessions::end_due(&server.app).await.expect("ended");
    });
    waited.is_error(401, "M_UNKNOWN_TOKEN");
    assert_ne!(waited.body["soft_logout"], true);
    is_problem(&platform.call(Method::POST, "/login_tokens", json!({ "user_id": pat_id })).await, 403);
}

/// `{"presence":{"not_types":["*"]}}`: that the other one is there would be news.
pub const NO_PRESENCE: &str = "%7B%22presence%22%3A%7B%22not_types%22%3A%5B%22*%22%5D%7D%7D";

#[tokio::test]
async fn switching_chat_off_reaches_open_pages_at_once() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    let ada = platform.clinic().await;
    let session = platform.session("s", "ada", &["pat"]).await.ok();
    let (host, pat) = (platform.page(&ada["user_id"]).await, platform.page(&session["invitees"][0]["user_id"]).await);
    let room = pat.create_room(json!({ "invite": [ada["user_id"]], "preset": "trusted_private_chat" })).await;
    host.post(&format!("/_matrix/client/v3/join/{room}"), json!({})).await.ok();
    host.send(&room, "before").await;
    let chat = |sync: &Value| {
        let events = sync["account_data"]["events"].as_array().cloned().unwrap_or_default();
        events
            .into_iter()
            .find(|event| event["type"] == "org.vestibule.chat")
            .map(|event| event["content"]["enabled"].clone())
    };
    let mut since = Vec::new();
    for user in [&host, &pat] {
        let sync = user.get("/_matrix/client/v3/sync").await.ok();
        assert_eq!(chat(&sync), Some(json!(true)), "told at the start: {sync}");
        since.push(sync["next_batch"].as_str().expect("a token").to_owned());
    }
    for enabled in [false, true] {
        let body = json!({ "name": "North Clinic", "chat_enabled": enabled });
        let paths = since
            .iter()
            .map(|since| format!("/_matrix/client/v3/sync?since={since}&timeout=60000&filter={NO_PRESENCE}"))
            .collect::<Vec<_>>();
        let stopwatch = homeserver::clock::Clock::system().stopwatch();
        let (of_host, of_pat, _) = tokio::join!(host.get(&paths[0]), pat.get(&paths[1]), async {
            // Both wait: only the change can wake them before their minute is over.
            for user in [&host, &pat] {
                let topic = server
                    .app
                    .read(|cx| Ok(journal::Topic(cx.user(&user.user_id.parse::<ruma::OwnedUserId>().expect("an id")))))
                    .expect("reads");
                eventually("a page waits", async || server.app.hub.is_waited_for(topic)).await;
            }
            platform.put("/organizations/acme/accounts/north", body).await.ok()
        });
        assert!(stopwatch.elapsed() < Duration::from_secs(30), "woken, not timed out");
        for (index, sync) in [of_host.ok(), of_pat.ok()].into_iter().enumerate() {
            assert_eq!(chat(&sync), Some(json!(enabled)), "{sync}");
            since[index] = sync["next_batch"].as_str().expect("a token").to_owned();
        }
        for user in [&host, &pat] {
            let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/chat-{enabled}");
            let sent = user.put(&path, json!({ "msgtype": "m.text", "body": "x" })).await;
            assert_eq!(sent.status, if enabled { 200 } else { 403 }, "{}", sent.body);
            let read = user.get(&format!("/_matrix/client/v3/rooms/{room}/messages?dir=b")).await.ok();
            assert!(read["chunk"].to_string().contains("before"), "open rooms stay readable");
            let data = format!("/_matrix/client/v3/user/{}/account_data/org.vestibule.chat", user.user_id);
            assert_eq!(user.get(&data).await.ok(), json!({ "enabled": enabled }));
            user.put(&data, json!({ "enabled": true })).await.is_error(405, "M_BAD_JSON");
        }
        for user in [&host, &pat] {
            let sync = user.get("/_matrix/client/v3/sync").await.ok();
            since[usize::from(user.user_id == pat.user_id)] = sync["next_batch"].as_str().expect("a token").to_owned();
        }
    }
}
