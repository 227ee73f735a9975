//! A word in every kind of record, looked for in every call and every file, on both sides of the moment.

use std::collections::BTreeMap;
use std::time::Duration;

use homeserver::prove::What;
use reqwest::Method;
use ruma::CanonicalJsonObject;
use ruma::serde::{Base64, base64::Standard};
use ruma::signatures::{Ed25519KeyPair, sign_json};
use serde_json::{Value, json};

use crate::support::{Server, User, answer};
use crate::{L, ROTATION, SLOT, look, short_lived, sweep};

const V3: &str = "/_matrix/client/v3";
const DEHYDRATED: &str = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device";
const ONE_MS: Duration = Duration::from_millis(1);

/// A registration whose service cannot be reached: its queue stays full.
const REGISTRATION: &str = "id: desk\nurl: http://127.0.0.1:9\nas_token: as-secret\nhs_token: hs-secret\nsender_localpart: desk\n\
                            rate_limited: false\nreceive_ephemeral: true\nnamespaces:\n  users:\n    - {exclusive: true, regex: '@desk.*'}\n";

/// When a word is to be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// L after it came.
    L,
    /// L and the Megolm rotation period.
    Keys,
    /// From calls at once (it was redacted, replaced or deleted); from files with everything else.
    Once,
}

/// The words, and when each is to be gone.
type Words = BTreeMap<&'static str, Until>;

struct Scene<'a> {
    ada: User<'a>,
    bob: User<'a>,
    room: String,
    events: BTreeMap<&'static str, String>,
    media: Vec<String>,
    dehydrated: String,
    backup: String,
    words: Words,
}

async fn start() -> Server {
    Server::start_with(|config| {
        short_lived(config);
        std::fs::create_dir_all(&config.server.data).expect("a folder");
        // Beside the data folder: the registration is no secret of anybody's content.
        let file = config.server.root_key.with_file_name("desk.yaml");
        std::fs::write(&file, REGISTRATION).expect("writes");
        config.appservices.registrations = vec![file];
    })
    .await
}

impl Scene<'_> {
    async fn send(&mut self, word: &'static str, kind: &str, content: Value) -> String {
        self.words.insert(word, Until::L);
        // The transaction id is echoed to the device that sent it.
        let path = format!("{V3}/rooms/{}/send/{kind}/canary-txn-{}", self.room, self.events.len());
        let sent = self.ada.put(&path, content).await.ok()["event_id"].as_str().expect("an id").to_owned();
        self.events.insert(word, sent.clone());
        sent
    }

    async fn state(&mut self, kind: &str, content: Value) -> String {
        let path = format!("{V3}/rooms/{}/state/{kind}/", self.room);
        self.ada.put(&path, content).await.ok()["event_id"].as_str().expect("an id").to_owned()
    }

    async fn redact(&self, event: &str, transaction: &str, reason: &str) {
        let path = format!("{V3}/rooms/{}/redact/{event}/{transaction}", self.room);
        self.ada.put(&path, json!({ "reason": reason })).await.ok();
    }

    /// Messages of all kinds, what relates to them, and what hangs on them.
    async fn plant_events(&mut self) {
        let root = self.send("canary-message", "m.room.message", text("canary-message")).await;
        let relation = |kind: &str, more: Value| {
            let mut relation = json!({ "rel_type": kind, "event_id": root });
            relation.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
            relation
        };
        let edit = json!({ "msgtype": "m.text", "body": "* canary-edit", "m.new_content": text("canary-edit"),
            "m.relates_to": relation("m.replace", json!({})) });
        self.send("canary-edit", "m.room.message", edit).await;
        let reaction = json!({ "m.relates_to": relation("m.annotation", json!({ "key": "canary-reaction" })) });
        self.send("canary-reaction", "m.reaction", reaction).await;
        let reply = json!({ "msgtype": "m.text", "body": "canary-thread", "m.relates_to": relation("m.thread", json!({})) });
        self.send("canary-thread", "m.room.message", reply).await;
        let secret =
            json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "canary-ciphertext", "session_id": "canarysession" });
        self.send("canary-ciphertext", "m.room.encrypted", secret).await;
        self.send("canary-custom", "org.example.canary", json!({ "deep": { "down": ["canary-custom"] } })).await;
        let redacted = self.send("canary-redacted", "m.room.message", text("canary-redacted")).await;
        self.redact(&redacted, "redaction", "canary-reason").await;
        self.words.extend([("canary-redacted", Until::Once), ("canary-reason", Until::L), ("canary-txn", Until::L)]);
        // A word that may not be searched for after its time either, nor counted.
        self.bob.put(&format!("{V3}/rooms/{}/typing/{}", self.room, self.bob.user_id), json!({ "typing": true })).await.ok();
        let receipt = format!("{V3}/rooms/{}/receipt/m.read/{root}", self.room);
        self.bob.post(&receipt, json!({})).await.ok();
        self.bob.post(&format!("{V3}/rooms/{}/read_markers", self.room), json!({ "m.fully_read": root })).await.ok();
    }

    /// State that is replaced, redacted after it was replaced, and left as it is.
    async fn plant_state(&mut self) {
        self.state("m.room.topic", json!({ "topic": "canary-old-topic" })).await;
        self.state("m.room.topic", json!({ "topic": "the topic now" })).await;
        let first = self.state("org.example.state", json!({ "word": "canary-redacted-state" })).await;
        self.state("org.example.state", json!({ "word": "the state now" })).await;
        self.redact(&first, "txn-state", "none").await;
        let named = format!("{V3}/profile/{}/displayname", self.ada.user_id);
        self.ada.put(&named, json!({ "displayname": "canary-old-name" })).await.ok();
        self.ada.put(&named, json!({ "displayname": "Ada now" })).await.ok();
        self.words.extend([
            ("canary-old-topic", Until::L),
            ("canary-old-name", Until::L),
            ("canary-redacted-state", Until::Once),
        ]);
    }

    /// What is not an event.
    async fn plant_beside(&mut self) {
        let data = format!("{V3}/user/{}/account_data/org.example.note", self.ada.user_id);
        self.ada.put(&data, json!({ "word": "canary-old-data" })).await.ok();
        self.ada.put(&data, json!({ "word": "the data now" })).await.ok();
        let data = format!("{V3}/user/{}/rooms/{}/account_data/org.example.note", self.ada.user_id, self.room);
        self.ada.put(&data, json!({ "word": "canary-old-room-data" })).await.ok();
        self.ada.put(&data, json!({ "word": "the data now" })).await.ok();
        let messages = json!({ "messages": {
            self.bob.user_id.clone(): { "*": { "word": "canary-to-device" }, self.dehydrated.clone(): { "word": "canary-dehydrated" } },
            "@desk:localhost": { "*": { "word": "canary-to-service" } },
        } });
        self.ada.put(&format!("{V3}/sendToDevice/org.example.canary/txn-to-device"), messages).await.ok();
        let info = json!({ "algorithm": "m.megolm_backup.v1", "auth_data": {} });
        let version = self.ada.post(&format!("{V3}/room_keys/version"), info).await.ok();
        self.backup = version["version"].as_str().expect("a version").to_owned();
        let key = json!({ "is_verified": true, "first_message_index": 0, "forwarded_count": 0,
            "session_data": { "word": "canary-backup" } });
        self.ada.put(&self.backup_path("canarysession"), key).await.ok();
        let now = [("canary-to-device", Until::Keys), ("canary-dehydrated", Until::Keys), ("canary-backup", Until::Keys)];
        self.words.extend(now);
        self.words.extend(["canary-old-data", "canary-old-room-data"].map(|word| (word, Until::Once)));
    }

    fn backup_path(&self, session: &str) -> String {
        format!("{V3}/room_keys/keys/{}/{session}?version={}", self.room, self.backup)
    }

    /// Files: content, name, a picture with its thumbnail, and one whose id came first.
    async fn plant_media(&mut self) {
        let bytes = [vec![7; 100_000], b"canary-in-a-file".to_vec(), vec![8; 100_000]].concat();
        let uploaded = self.ada.upload("canary-file-name.txt", "text/plain", bytes).await.ok();
        self.media.push(uploaded["content_uri"].as_str().expect("a URI").to_owned());
        let mut png = std::io::Cursor::new(Vec::new());
        image::RgbImage::new(300, 150).write_to(&mut png, image::ImageFormat::Png).expect("encodes");
        let picture = self.ada.upload("canary-picture.png", "image/png", png.into_inner()).await.ok();
        self.media.push(picture["content_uri"].as_str().expect("a URI").to_owned());
        let created = self.ada.post("/_matrix/media/v1/create", json!({})).await.ok();
        let uri = created["content_uri"].as_str().expect("a URI").to_owned();
        let path = format!("/_matrix/media/v3/upload/{}?filename=canary-reserved", &uri[6..]);
        answer(self.ada.request(Method::PUT, &path).body("canary-late-bytes")).await.ok();
        self.media.push(uri);
        let promised = self.ada.post("/_matrix/media/v1/create", json!({})).await.ok();
        self.media.push(promised["content_uri"].as_str().expect("a URI").to_owned());
        let words = ["canary-in-a-file", "canary-file-name", "canary-picture", "canary-reserved", "canary-late-bytes"];
        self.words.extend(words.map(|word| (word, Until::L)));
    }

    /// Everything that any call answers to the two of them, as one text.
    async fn everything(&self) -> String {
        let room = format!("{V3}/rooms/{}", self.room);
        let mut paths = vec![
            format!("{V3}/sync?full_state=true&filter={}", r#"{"room":{"timeline":{"limit":100}}}"#),
            format!("{room}/messages?dir=b&limit=1000"),
            format!("{room}/messages?dir=f&limit=1000"),
            format!("{room}/state"),
            format!("{room}/members"),
            format!("/_matrix/client/v1/rooms/{}/threads?include=all", self.room),
            format!("/_matrix/client/v1/rooms/{}/timestamp_to_event?ts=0&dir=f", self.room),
            format!("{V3}/notifications?limit=1000"),
            format!("{V3}/profile/{}", self.ada.user_id),
            format!("{V3}/user/{}/account_data/org.example.note", self.ada.user_id),
            format!("{V3}/user/{}/rooms/{}/account_data/org.example.note", self.ada.user_id, self.room),
            format!("{V3}/room_keys/keys?version={}", self.backup),
            format!("{DEHYDRATED}/{}/events", self.dehydrated),
        ];
        for event in self.events.values() {
            paths.push(format!("{room}/event/{event}"));
            paths.push(format!("{room}/context/{event}?limit=100"));
            paths.push(format!("/_matrix/client/v1/rooms/{}/relations/{event}", self.room));
        }
        for uri in &self.media {
            paths.push(format!("/_matrix/client/v1/media/download/{}?timeout_ms=1", &uri[6..]));
            paths.push(format!("/_matrix/client/v1/media/thumbnail/{}?width=32&height=32&timeout_ms=1", &uri[6..]));
        }
        let mut all = String::new();
        for user in [&self.ada, &self.bob] {
            for path in &paths {
                let response = user.request(Method::GET, path).send().await.expect("an answer");
                all += &format!("\n{path} {} {:?}\n", response.status(), response.headers());
                all += &String::from_utf8_lossy(&response.bytes().await.expect("a whole answer"));
            }
            let query = json!({ "search_categories": { "room_events": { "search_term": "canary" } } });
            all += &user.post(&format!("{V3}/search"), query).await.body.to_string();
            let sliding = json!({ "lists": { "all": { "ranges": [[0, 9]], "timeline_limit": 100, "required_state": [["*", "*"]] } },
                "extensions": { "to_device": { "enabled": true }, "account_data": { "enabled": true }, "receipts": { "enabled": true } } });
            let path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
            all += &user.post(path, sliding).await.body.to_string();
            let sliding = json!({ "lists": { "all": { "timeline_limit": 100, "required_state": { "include": [{}] } } },
                "extensions": { "org.matrix.msc4538.to_device": { "enabled": true }, "org.matrix.msc4548.account_data": { "enabled": true },
                    "org.matrix.msc4551.receipts": { "enabled": true } } });
            all += &user.post("/_matrix/client/v4/sync", sliding).await.body.to_string();
        }
        all
    }

    /// That of all words, exactly those that may be are in `everything`.
    async fn check(&self, when: &str, there: impl Fn(Until) -> bool) {
        let all = self.everything().await;
        for (word, until) in &self.words {
            assert_eq!(all.contains(word), there(*until), "{when}: {word} ({until:?})");
        }
    }
}

fn text(body: &str) -> Value {
    json!({ "msgtype": "m.text", "body": body })
}

/// A dehydrated device of `user`, as a client makes it; its id.
async fn dehydrate(user: &User<'_>) -> String {
    let device_id = "DEHYDRATED";
    let pair = Ed25519KeyPair::from_der(&Ed25519KeyPair::generate(), device_id.to_owned()).expect("a key");
    let public = Base64::<Standard>::new(pair.public_key().to_vec()).encode();
    let keys = json!({
        "user_id": user.user_id, "device_id": device_id, "dehydrated": true,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
        "keys": { "ed25519:DEHYDRATED": public, "curve25519:DEHYDRATED": public },
    });
    let mut keys: CanonicalJsonObject = serde_json::from_value(keys).expect("canonical JSON");
    sign_json(&user.user_id, &pair, &mut keys).expect("a signature");
    let data = json!({ "algorithm": "org.matrix.msc3814.v2" });
    user.put(DEHYDRATED, json!({ "device_id": device_id, "device_data": data, "device_keys": keys })).await.ok();
    device_id.to_owned()
}

async fn scene(server: &Server) -> Scene<'_> {
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let room = ada.create_room(json!({ "invite": [bob.user_id, "@desk:localhost"] })).await;
    bob.post(&format!("{V3}/join/{room}"), json!({})).await.ok();
    let dehydrated = dehydrate(&bob).await;
    let backup = String::new();
    Scene { ada, bob, room, events: BTreeMap::new(), media: Vec::new(), dehydrated, backup, words: Words::new() }
}

#[tokio::test]
async fn a_word_in_every_kind_of_record_is_gone_to_the_moment_and_then_from_every_file() {
    let server = start().await;
    server.clock.stop();
    let mut scene = scene(&server).await;
    scene.plant_events().await;
    scene.plant_state().await;
    scene.plant_beside().await;
    scene.plant_media().await;
    scene.check("at first", |until| until != Until::Once).await;
    for word in scene.words.keys() {
        assert!(!look(&server, What::Text((*word).to_owned()), &[]).gone, "the search finds what is there: {word}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let backup = folder.path().join("backup");
    homeserver::backup::backup(&server.app, &backup, &|_| ()).expect("backs up");
    let copies = [backup, folder.path().join("checkpoint")];
    server.app.journal.checkpoint(&copies[1]).expect("a checkpoint");
    server.clock.advance(L.checked_sub(ONE_MS).unwrap());
    scene.check("a millisecond before L", |until| until != Until::Once).await;
    server.clock.advance(ONE_MS);
    scene.check("at L", |until| until == Until::Keys).await;
    assert_eq!(unread(&scene.bob, &scene.room).await, (0, 0), "what is gone is not counted");

    server.clock.advance(ROTATION.checked_sub(ONE_MS).unwrap());
    sweep(&server).await;
    scene.check("a millisecond before the keys go", |until| until == Until::Keys).await;
    server.clock.advance(ONE_MS);
    // A backed-up key goes with the sweep after its last message's.
    sweep(&server).await;
    scene.check("when the keys go", |_| false).await;

    server.clock.advance(SLOT);
    sweep(&server).await;
    for word in scene.words.keys() {
        // A backup holds backed-up keys: what they open is noise there (decision 17).
        let copies = if *word == "canary-backup" { &[] } else { &copies[..] };
        let report = look(&server, What::Text((*word).to_owned()), copies);
        assert!(report.gone && report.values > 50, "{word}: {report:?}");
    }
    for event in scene.events.values() {
        let report = look(&server, What::Event(event.clone()), &copies);
        assert!(report.gone, "{event}: {report:?}");
    }
    for uri in &scene.media {
        let report = look(&server, What::Media(uri.clone()), &copies);
        assert!(report.gone && report.media_opened == 0 && report.media_noise == 3, "{uri}: {report:?}");
    }
    assert_eq!(crate::support::files_below(&server.data().join("media")).len(), 0);
    // What lasts is there, as is the room.
    let now = scene.everything().await;
    for kept in ["the topic now", "the state now", "the data now", "Ada now"] {
        assert!(now.contains(kept), "{kept}");
        assert!(!look(&server, What::Text(kept.to_owned()), &[]).gone, "{kept}");
    }
}

/// Notifications and highlights of a room.
async fn unread(user: &User<'_>, room: &str) -> (u64, u64) {
    let sync = user.get(&format!("{V3}/sync")).await.ok();
    let unread = &sync["rooms"]["join"][room]["unread_notifications"];
    (unread["notification_count"].as_u64().unwrap_or(0), unread["highlight_count"].as_u64().unwrap_or(0))
}

#[tokio::test]
async fn expired_and_never_are_one_answer() {
    let server = start().await;
    let ada = server.register("ada").await;
    let room = ada.create_room(json!({})).await;
    let event = ada.send(&room, "soon gone").await;
    let sync = ada.get(&format!("{V3}/sync")).await.ok();
    let old = sync["next_batch"].as_str().expect("a token").to_owned();
    server.clock.advance(L);
    let calls = |event: &str| {
        let room = format!("{V3}/rooms/{room}");
        [format!("{room}/event/{event}"), format!("{room}/context/{event}")]
    };
    let never = "$0123456789012345678901234567890123456789012";
    for (gone, never) in calls(&event).iter().zip(&calls(never)) {
        assert_eq!(ada.get(gone).await, ada.get(never).await, "{gone}");
        ada.get(gone).await.is_error(404, "M_NOT_FOUND");
    }
    let page = ada.get(&format!("{V3}/rooms/{room}/messages?dir=b&from={old}")).await.ok();
    assert!(page["chunk"].as_array().is_some_and(Vec::is_empty) && page.get("end").is_none(), "{page}");
    let page = ada.get(&format!("{V3}/rooms/{room}/messages?dir=f&from={old}")).await.ok();
    assert!(page["chunk"].as_array().is_some_and(Vec::is_empty), "{page}");
    ada.get(&format!("{V3}/sync?since={old}")).await.ok();
    let receipt = format!("{V3}/rooms/{room}/receipt/m.read/{event}");
    ada.post(&receipt, json!({})).await.ok();
    let redaction = ada.put(&format!("{V3}/rooms/{room}/redact/{event}/again"), json!({})).await;
    redaction.is_error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn whoever_comes_back_after_l_queries_everybodys_keys() {
    let server = start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let room = ada.create_room(json!({ "invite": [bob.user_id] })).await;
    bob.post(&format!("{V3}/join/{room}"), json!({})).await.ok();
    let since = ada.get(&format!("{V3}/sync")).await.ok()["next_batch"].as_str().expect("a token").to_owned();
    server.clock.advance(L * 2);
    let sync = ada.get(&format!("{V3}/sync?since={since}")).await.ok();
    let changed = sync["device_lists"]["changed"].as_array().cloned().unwrap_or_default();
    assert!(changed.contains(&json!(bob.user_id)), "{sync}");
    let changes =
        ada.get(&format!("{V3}/keys/changes?from={since}&to={}", sync["next_batch"].as_str().expect("a token"))).await;
    assert!(changes.ok()["changed"].as_array().is_some_and(|changed| changed.contains(&json!(bob.user_id))));
}
