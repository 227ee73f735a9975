//! Backups: consistent, incremental, and no way back for what has expired.

use std::path::{Path, PathBuf};

use homeserver::backup::{self, About};
use homeserver::prove::What;
use homeserver::root_key;
use serde_json::json;

use crate::support::{Server, Stopped, User, files_below};
use crate::{L, SLOT, look, short_lived, sweep};

const V3: &str = "/_matrix/client/v3";

fn make(server: &Server, folder: &Path) -> About {
    backup::backup(&server.app, folder, &|_| ()).expect("backs up")
}

fn restore(stopped: &Stopped, folder: &Path) -> Result<About, String> {
    let key = root_key::read(&stopped.config().server.root_key).expect("a root key");
    backup::restore(stopped.config(), &key, folder, &|_| ()).map_err(|error| error.to_string())
}

/// Moves the journal and the files away, as an operator does.
fn lose_data(stopped: &Stopped) {
    for folder in ["journal", "media"] {
        let path = stopped.config().server.data.join(folder);
        std::fs::rename(&path, path.with_extension("lost")).expect("moves");
    }
}

async fn texts(user: &User<'_>, room: &str) -> Vec<String> {
    let page = user.get(&format!("{V3}/rooms/{room}/messages?dir=b&limit=100")).await.ok();
    let bodies = page["chunk"].as_array().expect("a list").iter().filter_map(|event| event["content"]["body"].as_str());
    bodies.map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn yesterdays_backup_brings_back_what_lasts_and_nothing_that_has_expired() {
    let server = Server::start_with(short_lived).await;
    let folder = tempfile::tempdir().expect("a folder");
    let ada = server.register("ada").await;
    let room = ada.create_room(json!({ "name": "the room that lasts" })).await;
    ada.send(&room, "expires before the restore").await;
    let old = ada.upload("a", "text/plain", b"the old file".to_vec()).await.ok()["content_uri"]
        .as_str()
        .expect("a URI")
        .to_owned();
    server.clock.advance(L / 2);
    ada.send(&room, "does not").await;
    let young = ada.upload("b", "text/plain", b"the young file".to_vec()).await.ok()["content_uri"]
        .as_str()
        .expect("a URI")
        .to_owned();
    make(&server, folder.path());
    ada.send(&room, "after the backup").await;
    let user = (ada.user_id.clone(), ada.device_id.clone(), ada.token.clone());
    let sync = ada.get(&format!("{V3}/sync")).await.ok();
    let since = sync["next_batch"].as_str().expect("a token").to_owned();
    server.clock.advance(L / 2 + SLOT);
    sweep(&server).await;
    let stopped = server.stop().await;
    let refused = restore(&stopped, folder.path()).expect_err("there is a journal");
    assert!(refused.contains("move it away"), "{refused}");
    lose_data(&stopped);
    restore(&stopped, folder.path()).expect("restores");
    let server = stopped.start().await;
    let ada = User { server: &server, user_id: user.0, device_id: user.1, token: user.2 };
    assert_eq!(texts(&ada, &room).await, ["does not"]);
    assert_eq!(ada.download(&old).await.status(), 404);
    assert_eq!(ada.download(&young).await.text().await.expect("text"), "the young file");
    // A token from after the backup is from a future that never was: the client starts over.
    let sync = ada.get(&format!("{V3}/sync?since={since}")).await.ok();
    assert!(sync["rooms"]["join"][&room]["state"].to_string().contains("the room that lasts"), "{sync}");
    ada.send(&room, "and on").await;
    for word in ["expires before the restore", "the old file"] {
        let report = look(&server, What::Text(word.to_owned()), &[folder.path().to_owned()]);
        assert!(report.gone && report.values > 0, "{word}: {report:?}");
    }
}

#[tokio::test]
async fn with_the_keyring_lost_what_lasts_comes_back() {
    let server = Server::start_with(short_lived).await;
    let folder = tempfile::tempdir().expect("a folder");
    let ada = server.register("ada").await;
    let room = ada.create_room(json!({ "name": "the room that lasts" })).await;
    ada.send(&room, "said").await;
    make(&server, folder.path());
    let user = (ada.user_id.clone(), ada.device_id.clone(), ada.token.clone());
    let stopped = server.stop().await;
    lose_data(&stopped);
    let keyring = stopped.config().server.data.join("keyring");
    std::fs::rename(&keyring, keyring.with_extension("lost")).expect("moves");
    restore(&stopped, folder.path()).expect("restores");
    let server = stopped.start().await;
    let ada = User { server: &server, user_id: user.0, device_id: user.1, token: user.2 };
    assert_eq!(texts(&ada, &room).await, Vec::<String>::new());
    let name = ada.get(&format!("{V3}/rooms/{room}/state/m.room.name/")).await.ok();
    assert_eq!(name["name"], "the room that lasts");
    ada.send(&room, "and on").await;
    assert_eq!(texts(&ada, &room).await, ["and on"]);
}

#[tokio::test]
async fn a_second_backup_copies_what_is_new_and_drops_what_is_gone() {
    let server = Server::start_with(short_lived).await;
    let folder = tempfile::tempdir().expect("a folder");
    let ada = server.register("ada").await;
    let room = ada.create_room(json!({})).await;
    ada.upload("a", "text/plain", vec![7; 2_000_000]).await.ok();
    let first = make(&server, folder.path());
    assert!(first.copied == first.bytes && first.bytes > 2_000_000, "{first:?}");
    ada.send(&room, "new").await;
    let second = make(&server, folder.path());
    assert!(second.copied < 1_000_000 && second.bytes > 2_000_000, "{second:?}");
    // Whatever a kill left lying about is settled by the next one.
    std::fs::rename(folder.path().join("current"), folder.path().join("old")).expect("moves");
    std::fs::create_dir(folder.path().join("incoming")).expect("makes");
    let third = make(&server, folder.path());
    assert!(third.copied < 1_000_000, "{third:?}");
    server.clock.advance(L + SLOT);
    sweep(&server).await;
    let fourth = make(&server, folder.path());
    assert!(fourth.bytes < 1_000_000, "{fourth:?}");
    assert!(!files_below(folder.path()).iter().any(|path| path.ends_with("LOCK")));
    let inside = backup::backup(&server.app, &server.data().join("backup"), &|_| ()).expect_err("not there");
    assert!(inside.to_string().contains("outside the data folder"), "{inside}");
}

#[tokio::test]
async fn a_backup_is_of_one_server_and_opened_by_its_root_key() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    make(&server, folder.path());
    let stopped = server.stop().await;
    lose_data(&stopped);
    let other = stopped.with(|config| config.server.name = "other.example".to_owned());
    assert!(restore(&other, folder.path()).expect_err("another server's").contains("this is a backup of localhost"));
    let stopped = other.with(|config| config.server.name = "localhost".to_owned());
    let wrong = journal::RootKey::generate().expect("a key");
    let refused = backup::restore(stopped.config(), &wrong, folder.path(), &|_| ()).expect_err("another key");
    assert!(refused.to_string().contains("root key"), "{refused}");
    let data: PathBuf = stopped.config().server.data.clone();
    assert!(!data.join("journal").exists() && !data.join("journal.restoring").exists(), "nothing was written");
    let nothing = restore(&stopped, &folder.path().join("nothing")).expect_err("no backup");
    assert!(nothing.contains("about.json"), "{nothing}");
}

#[tokio::test]
async fn two_backups_at_once_are_one() {
    let server = Server::start().await;
    let (folder, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let second = std::cell::RefCell::new(Vec::new());
    let ask =
        |_| second.borrow_mut().push(backup::backup(&server.app, other.path(), &|_| ()).map_err(|error| error.to_string()));
    backup::backup(&server.app, folder.path(), &ask).expect("backs up");
    let told = second.take();
    assert!(
        !told.is_empty() && told.iter().all(|told| told.as_ref().is_err_and(|told| told.contains("already"))),
        "{told:?}"
    );
    assert_eq!(files_below(other.path()), Vec::<PathBuf>::new());
    make(&server, other.path());
}

#[tokio::test]
async fn what_a_kill_left_of_a_backup_is_gone_at_the_next_start() {
    let server = Server::start().await;
    server.register("ada").await;
    let checkpoint = server.data().join("checkpoint.tmp");
    server.app.journal.checkpoint(&checkpoint).expect("links");
    assert!(!files_below(&checkpoint).is_empty());
    let stopped = server.stop().await;
    let restoring = stopped.config().server.data.join("journal.restoring");
    std::fs::create_dir(&restoring).expect("makes");
    let server = stopped.start().await;
    assert!(!checkpoint.exists() && !restoring.exists());
    server.register("bob").await;
}

#[tokio::test]
async fn a_backup_that_lacks_a_file_is_not_restored() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let ada = server.register("ada").await;
    ada.upload("a", "text/plain", b"a file".to_vec()).await.ok();
    make(&server, folder.path());
    let stopped = server.stop().await;
    lose_data(&stopped);
    let (media, kept) = (folder.path().join("current/media"), folder.path().join("kept"));
    std::fs::rename(&media, &kept).expect("moves");
    let told = restore(&stopped, folder.path()).expect_err("a file is missing");
    assert!(told.contains("1 of its") && !stopped.config().server.data.join("journal").exists(), "{told}");
    std::fs::rename(&kept, &media).expect("moves");
    restore(&stopped, folder.path()).expect("restores");
    stopped.start().await.register("bob").await;
}
