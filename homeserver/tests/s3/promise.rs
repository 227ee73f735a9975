//! Proofs, erasures and backups know where files are.

use homeserver::control::{self, Order, PromiseOrder, Target};
use homeserver::prove::What;
use homeserver::workers::expiry;
use homeserver::{backup, root_key};
use serde_json::{Value, json};

use crate::service::Bucket;
use crate::support::{Server, User, silent};
use crate::{L, SLOT, content, server, uploaded};

async fn ordered(server: &Server, order: PromiseOrder) -> Value {
    control::execute(&server.app, Order::Promise(order), &silent()).await.map_err(|error| error.sentence()).expect("done")
}

async fn prove(server: &Server, what: What) -> Value {
    ordered(server, PromiseOrder::Prove { what, backups: Vec::new() }).await
}

#[tokio::test]
async fn a_proof_looks_through_the_bucket_and_an_erasure_empties_it() {
    let bucket = Bucket::new().await;
    let server = server(&bucket, |_| ()).await;
    let ada = server.register("ada").await;
    // Across the border of two chunks, so that no half of it is enough.
    let mut bytes = content(6_000_000);
    bytes[5 * 65_536 - 7..][..14].copy_from_slice(b"a word of ada\n");
    let mxc = uploaded(&ada, bytes).await;
    let word = || What::Text("a word of ada".to_owned());
    let report = prove(&server, word()).await;
    assert_eq!((&report["gone"], &report["times"]), (&json!(false), &json!(1)), "{report}");
    let found = &report["found"][0];
    assert_eq!(found["how"], "media", "{report}");
    assert!(found["file"].as_str().is_some_and(|file| file.starts_with(&bucket.uri())), "{report}");
    assert!(found["until"].as_u64().is_some_and(|until| until > server.clock.now().as_ms()), "{report}");
    assert!(report["bytes"].as_u64().is_some_and(|bytes| bytes > 6_000_000), "{report}");

    bucket.put("00000000/stray", "in the open: a stray word").await;
    let report = prove(&server, What::Text("a stray word".to_owned())).await;
    assert_eq!((&report["times"], &report["found"][0]["how"]), (&json!(1), &json!("open")), "{report}");
    bucket.delete("00000000/stray").await;

    ordered(&server, PromiseOrder::Erase(Target::User(ada.user_id.clone()))).await;
    assert_eq!(bucket.files().len(), 0);
    for what in [word(), What::Media(mxc)] {
        let report = prove(&server, what).await;
        assert_eq!(report["gone"], json!(true), "{report}");
    }
}

#[tokio::test]
async fn what_has_expired_is_noise_in_the_bucket_before_it_is_removed() {
    let bucket = Bucket::new().await;
    let server = server(&bucket, |_| ()).await;
    let ada = server.register("ada").await;
    let mut bytes = content(100_000);
    bytes.extend_from_slice(b"a word of ada");
    uploaded(&ada, bytes).await;
    server.clock.advance(L + SLOT);
    bucket.shut();
    expiry::sweep(&server.app).await.expect_err("the service is away");
    bucket.open();
    let report = prove(&server, What::Text("a word of ada".to_owned())).await;
    assert_eq!((&report["gone"], &report["media_noise"]), (&json!(true), &json!(1)), "its key is gone already: {report}");
}

#[tokio::test]
async fn a_backup_says_that_files_stay_in_the_bucket_and_a_restore_finds_them_there() {
    let bucket = Bucket::new().await;
    let server = server(&bucket, |_| ()).await;
    let ada = server.register("ada").await;
    let file = uploaded(&ada, content(100_000)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let made = ordered(&server, PromiseOrder::Backup { folder: folder.path().to_owned() }).await;
    assert_eq!(made["bucket"], json!(bucket.uri()));
    assert!(!folder.path().join("current/media").exists());
    let (user_id, device_id, token) = (ada.user_id.clone(), ada.device_id.clone(), ada.token.clone());
    let stopped = server.stop().await;
    let journal = stopped.config().server.data.join("journal");
    std::fs::rename(&journal, journal.with_extension("lost")).expect("moves");
    let key = root_key::read(&stopped.config().server.root_key).expect("a root key");
    let told = std::cell::RefCell::new(Vec::new());
    backup::restore(stopped.config(), &key, folder.path(), &|line| told.borrow_mut().push(line)).expect("restores");
    assert!(told.borrow().iter().any(|line| line.contains(&bucket.uri())), "{told:?}");
    let server = stopped.start().await;
    let ada = User { server: &server, user_id, device_id, token };
    assert!(ada.download(&file).await.bytes().await.expect("all") == content(100_000));
}
