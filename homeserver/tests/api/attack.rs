//! A participant's token against everything of another session: every call that the router has, asked about what is there and about
//! what never was, has to answer alike.
//!
//! The list of calls is the router's own, so that a new one is tried as well. Two attackers in like positions go through it side by
//! side, one with the victim's names, one with made-up names of the same form; every answer is compared.

use homeserver::{client, widget};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::platform::Platform;
use crate::support::{Server, User};

/// Names of somebody's things, or made-up ones.
struct Names {
    user: String,
    device: String,
    room: String,
    event: String,
    media: String,
    alias: String,
}

impl Names {
    fn made_up() -> Self {
        Self {
            user: "@p_qqqqqqqqqqqqqqqq:localhost".to_owned(),
            device: "QQQQQQQQQQ".to_owned(),
            room: "!qqqqqqqqqqqqqqqqqq:localhost".to_owned(),
            event: "$qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq".to_owned(),
            media: "q".repeat(24),
            alias: "#qqqq:localhost".to_owned(),
        }
    }

    /// A path of the router's with these names in it.
    fn path(&self, template: &str, own: &User<'_>) -> String {
        let mut path = String::new();
        for part in template.split('/').skip(1) {
            path.push('/');
            match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                None => path += part,
                Some(name) => path += &percent(self.parameter(name.trim_start_matches('*'), template, own)),
            }
        }
        path
    }

    fn parameter(&self, name: &str, template: &str, own: &User<'_>) -> String {
        match name {
            "user_id" | "host_user_id" => self.user.clone(),
            "room_id" | "room_id_or_alias" => self.room.clone(),
            "room_alias" => self.alias.clone(),
            "event_id" | "thread_root" => self.event.clone(),
            "device_id" => self.device.clone(),
            "media_id" => self.media.clone(),
            "id" if template.contains("/media/") => self.media.clone(),
            "server_name" | "server" => "localhost".to_owned(),
            "state_key" => self.user.clone(),
            "event_type" => "m.room.member".to_owned(),
            "field" | "field_name" | "key_name" => "displayname".to_owned(),
            "receipt_type" => "m.read".to_owned(),
            "txn_id" => "t1".to_owned(),
            "session_id" => "session".to_owned(),
            "rel_type" => "m.annotation".to_owned(),
            "recurse" | "kind" => "override".to_owned(),
            "rule_id" | "tag" | "type" | "file_name" | "filename" | "filter_id" | "delay_id" | "protocol" | "version"
            | "scope" | "path" | "appservice_id" | "auth_type" | "action" | "idp_id" | "network_id" | "organization"
            | "account" | "host" | "session" => own.device_id.clone(),
            other => panic!("{template} has {{{other}}}: say what an attacker puts there"),
        }
    }

    /// A body for any call: whoever knows a member takes it, the others pass it over.
    fn body(&self, template: &str) -> Value {
        let Self { user, device, room, event, media, alias } = self;
        if template.ends_with("/login") {
            return json!({ "type": "m.login.password", "identifier": { "type": "m.id.user", "user": user }, "password": "guess" });
        }
        if template.ends_with("/keys/signatures/upload") {
            return json!({ user.as_str(): { device.as_str(): {
                "user_id": user, "device_id": device, "algorithms": [], "keys": {}, "signatures": { user.as_str(): { "ed25519:x": "eA" } },
            } } });
        }
        let enabled = json!({ "enabled": true });
        json!({
            "user_id": user, "invite": [user], "is_direct": true, "room_id": room, "event_id": event, "reason": "none",
            "device_keys": { user.as_str(): [] }, "one_time_keys": { user.as_str(): { device.as_str(): "signed_curve25519" } },
            "messages": { user.as_str(): { device.as_str(): { "a": 1 }, "*": { "a": 1 } } }, "devices": [device],
            "search_term": user, "search_categories": { "room_events": { "search_term": "hello" } },
            "presence": "online", "typing": true, "timeout": 1_000, "membership": "invite", "msgtype": "m.text", "body": "hello",
            "m.read": event, "m.fully_read": event, "url": format!("mxc://localhost/{media}"), "displayname": "somebody",
            "avatar_url": format!("mxc://localhost/{media}"), "alias": alias, "visibility": "public", "new_version": "11",
            "room_subscriptions": { room.as_str(): { "timeline_limit": 5, "required_state": [["*", "*"]] } },
            "extensions": { "e2ee": enabled, "to_device": enabled, "account_data": enabled, "receipts": enabled, "typing": enabled },
            "lists": { "all": { "ranges": [[0, 10]], "timeline_limit": 5, "required_state": [["*", "*"]] } },
            "conn_id": "attack", "initial_device_id": device, "username": user.trim_start_matches('@').replace(":localhost", ""),
        })
    }

    /// The answer without these names.
    fn without(&self, text: &str) -> String {
        let Self { user, device, room, event, media, alias } = self;
        let localpart = user.trim_start_matches('@').replace(":localhost", "");
        [
            (user, "<user>"),
            (&localpart, "<user>"),
            (device, "<device>"),
            (room, "<room>"),
            (event, "<event>"),
            (media, "<media>"),
            (alias, "<alias>"),
        ]
        .into_iter()
        .fold(text.to_owned(), |text, (name, place)| text.replace(name.as_str(), place))
    }
}

fn percent(text: String) -> String {
    text.replace('%', "%25").replace('#', "%23").replace('/', "%2F").replace('?', "%3F").replace('$', "%24")
}

/// What an answer tells: status, the sentences and codes of an error, and the form of everything else.
fn form(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(name, value)| match name.as_str() {
                    "errcode" | "error" | "detail" | "type" | "enabled" | "soft_logout" => (name.clone(), value.clone()),
                    _ => (name.clone(), form(value)),
                })
                .collect::<Map<_, _>>(),
        ),
        Value::Array(all) => {
            let mut all: Vec<_> = all.iter().map(form).collect();
            // Account data comes in an order of its own.
            all.sort_by_key(ToString::to_string);
            all.into()
        }
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        other => other.clone(),
    }
}

/// One who asks, with the name of the key that opens their own secret storage: their answers hold it.
struct Asker<'a> {
    user: User<'a>,
    key: String,
}

impl<'a> Asker<'a> {
    async fn new(platform: &Platform<'a>, user_id: &Value) -> Self {
        let user = platform.page(user_id).await;
        let path = format!("/_matrix/client/v3/user/{}/account_data/m.secret_storage.default_key", user.user_id);
        let key = user.get(&path).await.ok()["key"].as_str().expect("a key").to_owned();
        Self { user, key }
    }

    /// Without the asker's own names, so that two askers get the same answers.
    fn without_own(&self, text: &str) -> String {
        text.replace(&self.user.user_id, "<me>").replace(&self.user.device_id, "<my device>").replace(&self.key, "<my key>")
    }
}

/// Asks, and answers what can be told apart.
async fn ask(asker: &Asker<'_>, method: &Method, template: &str, names: &Names) -> (u16, Value) {
    let localpart = names.user.trim_start_matches('@').replace(":localhost", "");
    let query =
        format!("?dir=b&limit=5&ts=1&width=32&height=32&timeout=0&timeout_ms=0&membership=join&username={localpart}");
    let mut request = asker.user.request(method.clone(), &format!("{}{query}", names.path(template, &asker.user)));
    if *method != Method::GET {
        request = request.json(&names.body(template));
    }
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let bytes = response.bytes().await.expect("a whole answer");
    let text = asker.without_own(&names.without(&String::from_utf8_lossy(&bytes)));
    // What is no JSON is told apart by its length.
    let value = serde_json::from_str(&text).map_or_else(|_| json!({ "bytes": bytes.len() }), |value: Value| form(&value));
    (status, value)
}

/// Somebody's whole `/sync`, without what changes by itself.
async fn all_of(user: &User<'_>) -> Value {
    let mut sync = user.get("/_matrix/client/v3/sync").await.ok();
    for member in ["next_batch", "presence", "device_one_time_keys_count", "device_unused_fallback_key_types"] {
        sync.as_object_mut().expect("an object").remove(member);
    }
    let rooms = sync["rooms"]["join"].as_object_mut().expect("rooms");
    for room in rooms.values_mut() {
        room["timeline"].as_object_mut().expect("a timeline").remove("prev_batch");
        for event in room["timeline"]["events"].as_array_mut().expect("events") {
            event.as_object_mut().expect("an event").remove("unsigned");
        }
    }
    sync
}

#[tokio::test]
async fn every_call_answers_an_attacker_as_if_there_were_nothing() {
    let server = Server::start_with(|config| config.media.unauthenticated_downloads = true).await;
    let platform = Platform::new(&server).await;
    platform.clinic().await;
    let bob = platform.host("bob", "acme", "north", "Bob").await.ok();
    let session = platform.session("s1", "ada", &["one", "two"]).await.ok();
    let other = platform.session("s2", "bob", &["vic"]).await.ok();
    let vic = platform.page(&other["invitees"][0]["user_id"]).await;
    let bob = platform.page(&bob["user_id"]).await;
    let room = vic.create_room(json!({ "invite": [bob.user_id], "preset": "trusted_private_chat" })).await;
    bob.post(&format!("/_matrix/client/v3/join/{room}"), json!({})).await.ok();
    let event = bob.send(&room, "hello").await;
    let uploaded = vic.upload("secret.txt", "text/plain", b"a secret".to_vec()).await.ok();
    let media = uploaded["content_uri"].as_str().expect("a URI").trim_start_matches("mxc://localhost/").to_owned();
    let victim = Names {
        user: vic.user_id.clone(),
        device: vic.device_id.clone(),
        room,
        event,
        media,
        alias: "#none:localhost".to_owned(),
    };
    let made_up = Names::made_up();
    let before = (all_of(&vic).await, all_of(&bob).await);

    let routes = widget::routes(client::routes());
    let mut calls: Vec<(Method, String)> = routes.paths().map(|(method, path)| (method.clone(), path.to_owned())).collect();
    // Reading first: what comes later may end a device.
    calls.sort_by_key(|(method, path)| (*method != Method::GET, path.clone()));
    let (one_id, two_id) = (&session["invitees"][0]["user_id"], &session["invitees"][1]["user_id"]);
    let (mut one, mut two) = (Asker::new(&platform, one_id).await, Asker::new(&platform, two_id).await);
    let owner = Asker::new(&platform, &json!(vic.user_id)).await;
    let (mut told, mut different) = (Vec::new(), Vec::new());
    for (method, template) in &calls {
        let of_nothing = ask(&one, method, template, &made_up).await;
        let of_victim = ask(&two, method, template, &victim).await;
        if *method == Method::GET && template.contains('{') {
            let of_own = ask(&owner, method, template, &victim).await;
            if of_own.0 == 200 && of_own != of_victim {
                told.push(template.clone());
            }
        }
        if of_nothing != of_victim {
            different.push(format!("{method} {template}\n  nothing: {of_nothing:?}\n  victim:  {of_victim:?}"));
        }
        for (attacker, id) in [(&mut one, one_id), (&mut two, two_id)] {
            if attacker.user.get("/_matrix/client/v3/account/whoami").await.status != 200 {
                *attacker = Asker::new(&platform, id).await;
            }
        }
    }
    assert!(different.is_empty(), "{} of {} calls tell:\n{}", different.len(), calls.len(), different.join("\n"));
    assert!(calls.len() > 200, "{} calls", calls.len());
    // The names are right: the victim gets answers with them where the attacker gets none.
    for end in ["/messages", "/context/{event_id}", "/event/{event_id}", "/state", "/joined_members", "/profile/{user_id}"] {
        assert!(told.iter().any(|path| path.ends_with(end)), "{end} tells its owner nothing either: {told:#?}");
    }
    assert!(told.iter().any(|path| path.contains("/media/download/")), "the file is there for its owner: {told:#?}");
    assert_eq!((all_of(&vic).await, all_of(&bob).await), before, "and nothing has happened to them");
}
