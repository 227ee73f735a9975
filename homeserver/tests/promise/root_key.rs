//! The root key: lost, wrong, changed.

use homeserver::control::{self, Order, PromiseOrder};
use serde_json::json;

use crate::support::{Server, Stopped, User, silent};

fn files(stopped: &Stopped) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = crate::support::files_below(&stopped.config().server.data);
    files.sort();
    files.into_iter().map(|file| (file.clone(), std::fs::read(file).expect("reads"))).collect()
}

#[tokio::test]
async fn a_lost_or_wrong_root_key_is_told_before_anything_is_written() {
    let server = Server::start().await;
    server.register("ada").await;
    let stopped = server.stop().await;
    let (before, key) = (files(&stopped), stopped.config().server.root_key.clone());
    let kept = std::fs::read(&key).expect("a key");

    std::fs::write(&key, "ab".repeat(32)).expect("writes");
    let told = stopped.refuses_to_start().await;
    assert!(told.contains("not the one that the keyring"), "{told}");
    std::fs::write(&key, "no key at all").expect("writes");
    assert!(stopped.refuses_to_start().await.contains("32 bytes"));
    std::fs::remove_file(&key).expect("removes");
    let told = stopped.refuses_to_start().await;
    assert!(told.contains("the root key is not here"), "{told}");
    assert!(!key.exists(), "and none is made");
    std::fs::write(&key, kept).expect("writes");

    let keyring = stopped.config().server.data.join("keyring");
    std::fs::rename(&keyring, keyring.with_extension("lost")).expect("moves");
    let told = stopped.refuses_to_start().await;
    assert!(told.contains("the keyring is not here"), "{told}");
    std::fs::rename(keyring.with_extension("lost"), &keyring).expect("moves");
    assert!(files(&stopped) == before, "nothing was written");
    stopped.start().await.register("bob").await;
}

async fn rotate(server: &Server) -> String {
    let order = Order::Promise(PromiseOrder::RotateRootKey { to: None });
    let answer = control::execute(&server.app, order, &silent()).await.expect("rotates");
    answer["root_key"].as_str().expect("a path").to_owned()
}

#[tokio::test]
async fn the_root_key_changes_while_the_server_runs() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let room = ada.create_room(json!({})).await;
    ada.send(&room, "before").await;
    let image = server.image();
    let old = std::fs::read(&image.config().server.root_key).expect("a key");
    let path = rotate(&server).await;
    let new = std::fs::read(&path).expect("a key");
    assert_ne!(old, new);
    ada.send(&room, "after").await;
    let user = (ada.user_id.clone(), ada.device_id.clone(), ada.token.clone());
    let stopped = server.stop().await;
    std::fs::write(&path, &old).expect("writes");
    assert!(stopped.refuses_to_start().await.contains("not the one that the keyring"), "the old key opens nothing");
    std::fs::write(&path, &new).expect("writes");
    let server = stopped.start().await;
    let ada = User { server: &server, user_id: user.0, device_id: user.1, token: user.2 };
    let page = ada.get(&format!("/_matrix/client/v3/rooms/{room}/messages?dir=b")).await.ok().to_string();
    assert!(page.contains("before") && page.contains("after"));
}

#[tokio::test]
async fn a_kill_in_the_middle_of_a_rotation_leaves_a_pair_that_opens() {
    let server = Server::start().await;
    server.register("ada").await;
    let before = server.image();
    rotate(&server).await;
    let after = server.image();
    let (old, new) = (before.config().server.root_key.clone(), after.config().server.root_key.clone());
    let next = |key: &std::path::Path| key.with_file_name("root.key.new");
    // The new key is written, the keyring is not wrapped by it yet.
    std::fs::copy(&new, next(&old)).expect("copies");
    let server = before.start().await;
    assert!(!next(&old).exists(), "it opens nothing, and is gone");
    server.register("bob").await;
    // The keyring is wrapped anew, the new key has not taken its name yet.
    std::fs::rename(&new, next(&new)).expect("moves");
    std::fs::write(&new, std::fs::read(&old).expect("reads")).expect("writes");
    let server = after.start().await;
    assert!(!next(&new).exists() && std::fs::read(&new).expect("reads") != std::fs::read(&old).expect("reads"));
    server.register("bob").await;
}

#[tokio::test]
async fn a_rotation_that_got_stuck_is_ended_by_the_next() {
    let server = Server::start().await;
    server.register("ada").await;
    let stale = std::fs::read(&server.app.config.server.root_key).expect("a key");
    let path = std::path::PathBuf::from(rotate(&server).await);
    // As it is when the file is a container's mount that nothing can be renamed over, and cannot be written to either.
    let next = path.with_file_name("root.key.new");
    std::fs::rename(&path, &next).expect("moves");
    std::fs::write(&path, &stale).expect("writes");
    rotate(&server).await;
    assert!(!next.exists());
    server.register("bob").await;
    server.stop().await.start().await.register("eve").await;
}
