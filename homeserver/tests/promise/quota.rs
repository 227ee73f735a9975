//! A gigabyte a day, to the byte (a megabyte in these tests; the numbers are configuration).

use std::time::Duration;

use config::{Bytes, Config};
use futures_util::future::join_all;
use serde_json::json;

use crate::short_lived;
use crate::support::{Server, User, answer, files_below};

const DAY_BYTES: u64 = 1_000_000;
const AT_ONCE: usize = 20;

fn small(config: &mut Config) {
    config.media.size_max = Bytes::new(200_000);
    config.media.upload_per_day = Bytes::new(DAY_BYTES);
}

async fn left(user: &User<'_>) -> u64 {
    user.get("/_matrix/client/v1/media/config").await.ok()["m.upload.size"].as_u64().expect("a number")
}

#[tokio::test]
async fn twenty_uploads_at_once_take_the_days_bytes_and_not_one_more() {
    let server = Server::start_with(small).await;
    let ada = server.register("ada").await;
    // Twenty of a tenth: ten fit, whichever are first.
    let uploads = (0..AT_ONCE).map(|_| ada.upload("f", "text/plain", vec![7; 100_000]));
    let answers = join_all(uploads).await;
    let taken = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(taken, 10, "{answers:?}");
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        refused.is_error(403, "M_USER_LIMIT_EXCEEDED");
        assert!(refused.body["info_uri"].as_str().is_some_and(|uri| uri.starts_with(&server.base)));
    }
    assert_eq!(left(&ada).await, 0);
    ada.upload("one", "text/plain", vec![7]).await.is_error(403, "M_USER_LIMIT_EXCEEDED");
    ada.upload("none", "text/plain", Vec::new()).await.ok();
    let files = || files_below(&server.data().join("media")).len();
    crate::support::eventually("what was refused is not on disk", async || files() == 11).await;
}

#[tokio::test]
async fn the_day_is_counted_to_the_byte_and_over_restarts() {
    let server = Server::start_with(small).await;
    let ada = server.register("ada").await;
    for _ in 0..4 {
        ada.upload("f", "text/plain", vec![7; 200_000]).await.ok();
    }
    ada.upload("f", "text/plain", vec![7; 199_999]).await.ok();
    assert_eq!(left(&ada).await, 1);
    let user = (ada.user_id.clone(), ada.device_id.clone(), ada.token.clone());
    let server = server.stop().await.start().await;
    let ada = User { server: &server, user_id: user.0, device_id: user.1, token: user.2 };
    assert_eq!(left(&ada).await, 1, "after a restart");
    let refused = ada.upload("two", "text/plain", vec![7; 2]).await;
    refused.is_error(403, "M_USER_LIMIT_EXCEEDED");
    ada.upload("one", "text/plain", vec![7]).await.ok();
    ada.upload("two", "text/plain", vec![7]).await.is_error(403, "M_USER_LIMIT_EXCEEDED");
    ada.upload("big", "text/plain", vec![7; 200_001]).await.is_error(413, "M_TOO_LARGE");
    // From the moment that the answer names, it goes on.
    let resets_at = refused.body["org.vestibule.resets_at"].as_u64().expect("a moment");
    let wait = resets_at - server.clock.now().as_ms();
    server.clock.stop();
    server.clock.advance(Duration::from_millis(wait));
    assert!(server.clock.now().as_ms() >= resets_at);
    ada.upload("two", "text/plain", vec![7; 2]).await.ok();
}

#[tokio::test]
async fn the_day_is_a_day_however_short_files_live() {
    let server = Server::start_with(|config| {
        small(config);
        short_lived(config);
    })
    .await;
    let ada = server.register("ada").await;
    for _ in 0..5 {
        ada.upload("f", "text/plain", vec![7; 200_000]).await.ok();
    }
    server.clock.advance(crate::L + crate::SLOT);
    crate::sweep(&server).await;
    assert_eq!(files_below(&server.data().join("media")).len(), 0, "the files are gone");
    ada.upload("f", "text/plain", vec![7]).await.is_error(403, "M_USER_LIMIT_EXCEEDED");
    server.clock.advance(Duration::from_hours(24));
    ada.upload("f", "text/plain", vec![7; 200_000]).await.ok();
}

#[tokio::test]
async fn a_reserved_id_takes_the_same_bytes() {
    let server = Server::start_with(small).await;
    let ada = server.register("ada").await;
    for _ in 0..5 {
        ada.upload("f", "text/plain", vec![7; 200_000]).await.ok();
    }
    let created = ada.post("/_matrix/media/v1/create", json!({})).await.ok();
    let path = format!("/_matrix/media/v3/upload/{}", &created["content_uri"].as_str().expect("a URI")[6..]);
    let put = || answer(ada.request(reqwest::Method::PUT, &path).body("late"));
    put().await.is_error(403, "M_USER_LIMIT_EXCEEDED");
    server.clock.advance(Duration::from_mins(1439));
    put().await.is_error(403, "M_USER_LIMIT_EXCEEDED");
}
