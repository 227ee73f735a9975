//! The programs in docs/platform/, which platform developers copy, against a real server: run as they stand.

use std::path::Path;
use std::process::Stdio;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::process::Command;

use crate::platform::Platform;
use crate::support::{Server, answer};

fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/platform").join(name)
}

async fn run(mut command: Command) -> Value {
    let done = command.stdin(Stdio::null()).output().await.expect("it runs");
    assert!(done.status.success(), "{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).expect("JSON")
}

/// The credentials let a page in, and open the identity they are for.
async fn works(server: &Server, credentials: &Value) {
    let body = json!({ "type": "m.login.token", "token": credentials["login_token"], "refresh_token": true });
    let login = answer(server.request(Method::POST, "/_matrix/client/v3/login").json(&body)).await.ok();
    assert_eq!(login["user_id"], credentials["user_id"]);
    assert!(credentials["recovery_key"].as_str().is_some_and(|key| key.starts_with("Es")), "{credentials}");
}

#[tokio::test]
async fn the_shell_script_provisions_and_may_be_run_again() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut before = Value::Null;
    for _ in 0..2 {
        let mut command = Command::new("bash");
        command.arg(script("provision.sh")).current_dir(folder.path());
        command.env("VESTIBULE", &server.base).env("VESTIBULE_KEY", &platform.key);
        let credentials = run(command).await;
        for who in ["host", "invitee"] {
            works(&server, &credentials[who]).await;
            assert!(before.is_null() || credentials[who]["recovery_key"] == before[who]["recovery_key"], "the same people");
        }
        before = credentials;
    }
    // Recovery keys that got lost with the platform's disk are had again within the hour.
    std::fs::remove_file(folder.path().join("recovery-keys.json")).expect("they were kept");
    let mut command = Command::new("bash");
    command.arg(script("provision.sh")).current_dir(folder.path());
    command.env("VESTIBULE", &server.base).env("VESTIBULE_KEY", &platform.key);
    assert_eq!(run(command).await["invitee"]["recovery_key"], before["invitee"]["recovery_key"]);
    let mut command = Command::new("bash");
    command.arg(script("provision.sh")).current_dir(folder.path());
    command.env("VESTIBULE", &server.base).env("VESTIBULE_KEY", "guess");
    let refused = command.stdin(Stdio::null()).output().await.expect("it runs");
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("401"), "{refused:?}");
}

#[tokio::test]
async fn the_python_module_provisions() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    for id in ["x", "y"] {
        platform.clinic().await;
        platform.host(id, "acme", "north", id).await.ok();
    }
    platform.call(Method::DELETE, "/hosts/ada", Value::Null).await.ok();
    let mut command = Command::new("python3");
    let folder = tempfile::tempdir().expect("a folder");
    command
        .arg(script("vestibule.py"))
        .current_dir(folder.path())
        .env("VESTIBULE", &server.base)
        .env("VESTIBULE_KEY", &platform.key);
    let told = run(command).await;
    for who in ["host", "invitee"] {
        works(&server, &told[who]).await;
    }
    let mut hosts: Vec<_> = told["hosts"].as_array().expect("hosts").iter().filter_map(Value::as_str).collect();
    hosts.sort_unstable();
    assert_eq!(hosts, ["ada", "x", "y"], "page by page");
}

#[tokio::test]
async fn the_python_module_makes_identities_where_it_runs() {
    let server = Server::start().await;
    let platform = Platform::new(&server).await;
    platform.clinic().await;
    let program = "import json, sys, time, vestibule\n\
                   address, key, program = sys.argv[1:]\n\
                   kept = {}\n\
                   api = vestibule.Vestibule(address, key, kept.__setitem__)\n\
                   host = api.put_host('hal', 'acme', 'north', 'Hal', api.new_identity('localhost', 'host', program))\n\
                   pat = api.new_identity('localhost', program=program)\n\
                   made = list(kept)\n\
                   names, end = {'pat': 'Pat', 'paul': 'Paul'}, int((time.time() + 3600) * 1000)\n\
                   for _ in range(2): users = api.put_session('s', 'hal', names, end, {'pat': pat})\n\
                   told = [[host['user_id'], users['pat']], made, users['paul'] in kept and len(kept)]\n\
                   token = api.login_token(users['pat'])\n\
                   page = {'user_id': users['pat'], 'login_token': token, 'recovery_key': kept[users['pat']]}\n\
                   print(json.dumps({'told': told, 'page': page}))";
    let mut command = Command::new("python3");
    command.args(["-B", "-c", program, &server.base, &platform.key, env!("CARGO_BIN_EXE_vestibule")]);
    command.env("PYTHONPATH", script(""));
    let done = run(command).await;
    assert_eq!(done["told"][0], done["told"][1], "who they are was known before the calls");
    assert_eq!(done["told"][2], 3, "and the server made the third");
    works(&server, &done["page"]).await;
}

#[tokio::test]
async fn the_python_module_believes_what_is_signed_and_nothing_else() {
    let key = [7; 32];
    let secret = format!("whsec_{}", STANDARD.encode(key));
    let body = r#"{"type":"session.chat_ended","timestamp":1,"data":{"session":"s"}}"#;
    let sign = |key: &[u8]| {
        let mac = Hmac::<Sha256>::new_from_slice(key).expect("a key");
        format!("v1,{}", STANDARD.encode(mac.chain_update(format!("evt_1.1800000000.{body}")).finalize().into_bytes()))
    };
    let verify = async |signature: &str, now: u64| {
        let program = "import json, sys, vestibule\n\
                       secret, signature, body, now = sys.argv[1:]\n\
                       headers = {'webhook-id': 'evt_1', 'webhook-timestamp': '1800000000', 'webhook-signature': signature}\n\
                       try: print(json.dumps(vestibule.verify_webhook(secret, headers, body.encode(), int(now))))\n\
                       except ValueError: print('null')";
        let mut command = Command::new("python3");
        command.args(["-B", "-c", program, &secret, signature, body, &now.to_string()]);
        command.env("PYTHONPATH", script(""));
        run(command).await
    };
    assert_eq!(verify(&sign(&key), 1_800_000_010).await["type"], "session.chat_ended");
    assert_eq!(verify(&sign(&[8; 32]), 1_800_000_010).await, Value::Null, "another key");
    assert_eq!(verify(&sign(&key), 1_800_000_400).await, Value::Null, "an old one");
}
