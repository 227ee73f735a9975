//! Identities that the platform makes itself: the server stores what it is given, checks it, and never has what opens it.

#[path = "../../../identity/src/tests/reader.rs"]
mod reader;

use std::path::Path;
use std::process::{Output, Stdio};

use ::identity::{Identity, Role, new_user_id};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;
use vodozemac::Curve25519PublicKey;
use vodozemac::olm::{Account, OlmMessage, SessionConfig};

use crate::platform::Platform;
use crate::support::{Answer, Server, User, answer};

const DEHYDRATED: &str = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device";

/// An identity as it goes into a call, and the key that the platform keeps.
fn made(role: Role) -> (Value, String) {
    let (identity, recovery_key) = Identity::make(&new_user_id(role, "localhost")).expect("an identity");
    (json!(identity), recovery_key.expose().to_owned())
}

fn host_with(identity: &Value) -> Value {
    json!({ "organization": "acme", "account": "north", "display_name": "Hal", "identity": identity })
}

async fn put_session(platform: &Platform<'_>, invitees: Value) -> Answer {
    let ends_at = platform.server.clock.now().plus_ms(3_600_000).as_ms();
    platform.put("/sessions/s", json!({ "host": "ada", "invitees": invitees, "ends_at": ends_at })).await
}

#[track_caller]
fn is_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.body["code"].as_str()), (status, Some(code)), "{}", answer.body);
    assert!(answer.body["detail"].as_str().is_some_and(|sentence| !sentence.is_empty()), "a sentence");
}

/// A host's device, which has never met the user, encrypts to what the server hands out, and sends it.
async fn send_key(host: &User<'_>, name: &str, device_id: &str) -> Account {
    let claim = json!({ "one_time_keys": { (name): { (device_id): "signed_curve25519" } } });
    let claimed = host.post("/_matrix/client/v3/keys/claim", claim).await.ok();
    let keys = claimed["one_time_keys"][name][device_id].as_object().expect("keys").clone();
    let key = keys.values().next().and_then(|key| key["key"].as_str()).expect("a fallback key");
    let [identity_key, one_time_key] =
        [device_id, key].map(|key| Curve25519PublicKey::from_base64(key).expect("a Curve25519 key"));
    let account = Account::new();
    let session = account.create_outbound_session(SessionConfig::version_1(), identity_key, one_time_key);
    let OlmMessage::PreKey(message) = session.expect("a session").encrypt("the room key").expect("encrypts") else {
        panic!("a first message")
    };
    let content = json!({ "algorithm": "m.olm.v1.curve25519-aes-sha2", "body": message.to_base64() });
    let messages = json!({ "messages": { (name): { (device_id): content } } });
    host.put("/_matrix/client/v3/sendToDevice/m.room.encrypted/1", messages).await.ok();
    account
}

#[tokio::test]
async fn a_session_with_a_given_identity_works_and_only_the_platforms_key_opens_it() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    let ada = platform.clinic().await;
    let (identity, recovery_key) = made(Role::Participant);
    let name = identity["user_id"].as_str().expect("an id").to_owned();
    let invitees = json!([
        { "id": "pat", "display_name": "Pat", "identity": identity },
        { "id": "paul", "display_name": "Paul" },
    ]);
    let session = put_session(&platform, invitees.clone()).await.ok();
    assert_eq!(session["invitees"][0], json!({ "id": "pat", "user_id": name, "display_name": "Pat" }), "without a key");
    assert!(session["invitees"][1]["recovery_key"].is_string(), "made here as ever: {session}");

    // The host's client is told the keys as they were made.
    let host = platform.page(&ada["user_id"]).await;
    let query = json!({ "device_keys": { (&name): [] } });
    let found = host.post("/_matrix/client/v3/keys/query", query).await.ok();
    assert_eq!(found["master_keys"][&name], identity["master_key"]);
    assert_eq!(found["self_signing_keys"][&name], identity["self_signing_key"]);
    let device = &identity["dehydrated_device"];
    let device_id = device["device_id"].as_str().expect("an id");
    let mut keys = found["device_keys"][&name][device_id].clone();
    keys.as_object_mut().expect("its keys").remove("unsigned");
    assert_eq!(keys, device["device_keys"]);
    let sender = send_key(&host, &name, device_id).await;

    // The page has what it is served, and the key that its platform has kept.
    let page = platform.page(&json!(name)).await;
    let mut account_data = std::collections::BTreeMap::new();
    for (event_type, content) in identity["account_data"].as_object().expect("account data") {
        let path = format!("/_matrix/client/v3/user/{name}/account_data/{event_type}");
        let served = page.get(&path).await.ok();
        assert_eq!(&served, content, "{event_type}");
        account_data.insert(event_type.clone(), served.as_object().expect("an object").clone());
    }
    let secrets = reader::open(&recovery_key, &account_data).expect("it opens");
    let waiting = page.get(DEHYDRATED).await.ok();
    let mut rehydrated = reader::rehydrate(&waiting["device_data"], &secrets);
    let events = format!("{DEHYDRATED}/{}/events", utf8_percent_encode(device_id, NON_ALPHANUMERIC));
    let events = page.get(&events).await.ok();
    let body = events["events"][0]["content"]["body"].as_str().expect("a message");
    let message = vodozemac::olm::PreKeyMessage::from_base64(body).expect("a message");
    let opened = rehydrated.create_inbound_session(SessionConfig::version_1(), sender.curve25519_key(), &message);
    assert_eq!(opened.expect("it opens").plaintext, b"the room key");
    let of_another = session["invitees"][1]["recovery_key"].as_str().expect("paul's");
    assert_eq!(reader::open(of_another, &account_data), None);
    let mut pinned = waiting.clone();
    pinned["device_keys"] = device["device_keys"].clone();
    page.put(DEHYDRATED, pinned).await.is_error(403, "M_FORBIDDEN");

    // Repeated, with it or without, it changes nothing; somebody else it cannot become.
    let again = put_session(&platform, invitees).await.ok();
    assert_eq!(again["invitees"][0], session["invitees"][0]);
    let without = json!([{ "id": "pat", "display_name": "Pat" }, { "id": "paul", "display_name": "Paul" }]);
    assert_eq!(put_session(&platform, without).await.ok()["invitees"][0]["user_id"], name);
    let (other, _) = made(Role::Participant);
    let other = json!([{ "id": "pat", "display_name": "Pat", "identity": other }]);
    is_refused(&put_session(&platform, other).await, 409, "ORG.VESTIBULE.CONFLICT");
    let twice = json!([
        { "id": "p1", "display_name": "P", "identity": identity }, { "id": "p2", "display_name": "P", "identity": identity },
    ]);
    is_refused(&put_session(&platform, twice).await, 400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn an_identity_that_is_not_whole_is_refused_and_leaves_nothing() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    platform.clinic().await;
    let (identity, _) = made(Role::Host);
    let user_id = identity["user_id"].as_str().expect("an id");
    let (other, _) = Identity::make(user_id).expect("an identity");
    let (other, of_participant) = (json!(other), made(Role::Participant).0);
    let signer = identity["self_signing_key"]["keys"].as_object().expect("keys").keys().next().expect("a key").clone();
    let without = |pointer: &str, member: &str| {
        let mut changed = identity.clone();
        let object = changed.pointer_mut(pointer).and_then(Value::as_object_mut).expect("an object");
        object.remove(member).expect("a member");
        changed
    };
    let with = |pointer: &str, member: &str, value: Value| {
        let mut changed = identity.clone();
        changed.pointer_mut(pointer).expect("an object")[member] = value;
        changed
    };
    let device = "/dehydrated_device";
    let device_keys = "/dehydrated_device/device_keys";
    let fallback_keys = identity["dehydrated_device"]["fallback_keys"].as_object().expect("keys").clone();
    let (key_id, fallback_key) = fallback_keys.into_iter().next().expect("a key");
    let mut forged = fallback_key.clone();
    forged["key"] = of_participant["dehydrated_device"]["device_id"].clone();
    let signatures = format!("{device_keys}/signatures/{user_id}");
    for (wrong, status, code) in [
        (of_participant.clone(), 400, "M_INVALID_PARAM"),
        (with("", "user_id", json!("nobody")), 400, "M_INVALID_PARAM"),
        (with("", "user_id", json!("@hal:localhost")), 400, "M_INVALID_PARAM"),
        (with("", "user_id", json!(user_id.replace("localhost", "elsewhere.org"))), 400, "M_INVALID_PARAM"),
        (with("", "user_id", json!(new_user_id(Role::Host, "localhost"))), 400, "M_INVALID_SIGNATURE"),
        (with("", "recovery_key", json!("Es…")), 400, "M_BAD_JSON"),
        (without("", "master_key"), 400, "M_BAD_JSON"),
        (with("", "master_key", json!("key")), 400, "M_BAD_JSON"),
        (with("", "master_key", identity["user_signing_key"].clone()), 400, "M_INVALID_PARAM"),
        (with("", "self_signing_key", other["self_signing_key"].clone()), 400, "M_INVALID_SIGNATURE"),
        (with("", "user_signing_key", other["user_signing_key"].clone()), 400, "M_INVALID_SIGNATURE"),
        (without("/user_signing_key", "signatures"), 400, "M_INVALID_SIGNATURE"),
        (without(device_keys, "dehydrated"), 400, "M_INVALID_PARAM"),
        (with(device_keys, "algorithms", json!([])), 400, "M_INVALID_SIGNATURE"),
        (with(device_keys, "half", json!(0.5)), 400, "M_BAD_JSON"),
        (without(&signatures, &signer), 400, "M_INVALID_SIGNATURE"),
        (with(device, "device_id", json!("D")), 400, "M_INVALID_PARAM"),
        (with(device, "fallback_keys", json!({})), 400, "M_INVALID_PARAM"),
        (with(device, "fallback_keys", json!({ "AAAA": fallback_key })), 400, "M_INVALID_PARAM"),
        (with(device, "fallback_keys", json!({ (&key_id): forged })), 400, "M_INVALID_SIGNATURE"),
        (with(device, "one_time_keys", json!({})), 400, "M_BAD_JSON"),
        (with(device, "device_data", json!({ "device_pickle": "p".repeat(9_000) })), 413, "M_TOO_LARGE"),
        (with("/account_data", "m.direct", json!({})), 400, "M_INVALID_PARAM"),
        (without("/account_data", "org.matrix.msc3814"), 400, "M_INVALID_PARAM"),
        (without("/account_data", "m.secret_storage.default_key"), 400, "M_INVALID_PARAM"),
    ] {
        is_refused(&platform.put("/hosts/hal", host_with(&wrong)).await, status, code);
        assert_eq!(platform.get("/hosts/hal").await.status, 404, "nothing of it is there: {wrong}");
    }
    // What was refused took nothing away from the right one.
    let made_now = platform.put("/hosts/hal", host_with(&identity)).await.ok();
    assert_eq!((made_now["user_id"].as_str(), made_now.get("recovery_key")), (Some(user_id), None));
    assert_eq!(platform.put("/hosts/hal", host_with(&identity)).await.ok(), made_now);
    is_refused(&platform.put("/hosts/hal", host_with(&made(Role::Host).0)).await, 409, "ORG.VESTIBULE.CONFLICT");
    is_refused(&platform.put("/hosts/hugh", host_with(&identity)).await, 409, "ORG.VESTIBULE.CONFLICT");
    platform.call(Method::POST, &format!("/users/{user_id}/erase"), Value::Null).await.ok();
    is_refused(&platform.put("/hosts/hugh", host_with(&identity)).await, 409, "ORG.VESTIBULE.CONFLICT");
    platform.put("/hosts/hugh", host_with(&made(Role::Host).0)).await.ok();
}

#[tokio::test]
async fn as_many_invitees_as_a_session_has_come_with_their_own() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    platform.clinic().await;
    let invitee =
        |number: usize| json!({ "id": number.to_string(), "display_name": "P", "identity": made(Role::Participant).0 });
    let session = put_session(&platform, (0..200).map(invitee).collect()).await.ok();
    let invitees = session["invitees"].as_array().expect("invitees");
    assert!(invitees.len() == 200 && invitees.iter().all(|invitee| invitee.get("recovery_key").is_none()));
}

/// `vestibule identity`, in an empty folder and without an environment.
async fn command(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command.arg("identity").args(arguments).current_dir(folder).env_clear().stdin(Stdio::null());
    command.output().await.expect("it runs")
}

#[tokio::test]
async fn the_command_makes_what_the_server_takes_without_a_server() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    platform.clinic().await;
    let folder = tempfile::tempdir().expect("a folder");
    let done = command(folder.path(), &["--server-name", "localhost", "--participant", "--count", "2"]).await;
    assert!(done.status.success() && done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    let printed = String::from_utf8(done.stdout).expect("text");
    let lines: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [pat, paul] = &lines[..] else { panic!("two lines: {}", lines.len()) };
    let invitee = |id: &str, made: &Value| json!({ "id": id, "display_name": id, "identity": made["identity"] });
    let session = put_session(&platform, json!([invitee("pat", pat), invitee("paul", paul)])).await.ok();
    for (made, invitee) in [pat, paul].into_iter().zip(session["invitees"].as_array().expect("invitees")) {
        assert_eq!(made["user_id"], invitee["user_id"]);
        let account_data = serde_json::from_value(made["identity"]["account_data"].clone()).expect("account data");
        assert!(reader::open(made["recovery_key"].as_str().expect("a key"), &account_data).is_some());
        let body = json!({ "user_id": invitee["user_id"] });
        platform.call(Method::POST, "/login_tokens", body).await.ok();
    }
    let host = command(folder.path(), &["--server-name", "localhost", "--host"]).await;
    let host: Value = serde_json::from_slice(&host.stdout).expect("one line");
    assert_eq!(platform.put("/hosts/hal", host_with(&host["identity"])).await.ok()["user_id"], host["user_id"]);

    for wrong in [
        &["--server-name", "localhost"][..],
        &["--server-name", "localhost", "--host", "--participant"],
        &["--host"],
        &["--server-name", "not a name", "--host"],
        &["--server-name", "localhost", "--host", "--count", "0"],
    ] {
        let refused = command(folder.path(), wrong).await;
        assert!(!refused.status.success() && refused.stdout.is_empty() && !refused.stderr.is_empty(), "{wrong:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "no file of any kind");
    let help = command(folder.path(), &["--help"]).await;
    assert!(String::from_utf8_lossy(&help.stdout).contains("--server-name chat.example.org --participant"), "an example");
}

#[tokio::test]
async fn the_document_says_what_an_identity_is() {
    let server = Server::start().await;
    let document = answer(server.request(Method::GET, "/_vestibule/v1/openapi.json")).await.ok();
    let schemas = &document["components"]["schemas"];
    for body in ["HostBody", "InviteeBody"] {
        assert_eq!(schemas[body]["properties"]["identity"]["$ref"], "#/components/schemas/Identity");
        assert!(!schemas[body]["required"].as_array().expect("a list").contains(&json!("identity")), "{body}");
    }
    // Each member of what is printed is described, and nothing else.
    let (identity, _) = made(Role::Host);
    for (schema, object) in [("Identity", &identity), ("DehydratedDevice", &identity["dehydrated_device"])] {
        let members = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
        assert_eq!(members(&schemas[schema]["properties"]), members(object), "{schema}");
    }
}
