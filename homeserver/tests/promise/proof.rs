//! What a proof looks at.

use homeserver::prove::{How, What};
use reqwest::Method;

use crate::look;
use crate::support::{Server, answer};

fn text(words: &str) -> What {
    What::Text(words.to_owned())
}

#[tokio::test]
async fn words_are_found_however_a_client_escaped_them() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let path = format!("/_matrix/client/v3/user/{}/account_data/org.example.note", ada.user_id);
    // As Python writes JSON unless it is told otherwise.
    let body = r#"{"patient": "J\u00f6rg M\u00fcller \ud83d\ude37"}"#;
    answer(ada.request(Method::PUT, &path).header("content-type", "application/json").body(body)).await.ok();
    let report = look(&server, text("Jörg Müller 😷"), &[]);
    assert!(!report.gone && report.found.iter().all(|found| found.how == How::Sealed), "{report:?}");
    assert!(look(&server, text("Jörg Möller"), &[]).gone);
}

#[tokio::test]
async fn files_that_lie_behind_a_link_are_looked_through() {
    let server = Server::start_with(|config| {
        let elsewhere = config.server.data.with_file_name("another disk");
        std::fs::create_dir_all(&elsewhere).expect("makes");
        std::fs::create_dir_all(&config.server.data).expect("makes");
        std::os::unix::fs::symlink(&elsewhere, config.server.data.join("media")).expect("links");
        // A link to where one is leads nowhere new.
        std::os::unix::fs::symlink(&config.server.data, config.server.data.join("here")).expect("links");
    })
    .await;
    let ada = server.register("ada").await;
    ada.upload("a", "text/plain", b"a word of ada".to_vec()).await.ok();
    let report = look(&server, text("a word of ada"), &[]);
    assert!(report.times == 1 && report.found[0].how == How::Media, "{report:?}");
    assert_eq!(report.places, [server.data()]);
    let backup = tempfile::tempdir().expect("a folder");
    let report = look(&server, text("nobody said this"), &[backup.path().to_owned()]);
    assert!(report.gone && report.places == [server.data(), backup.path().to_owned()], "{report:?}");
}
