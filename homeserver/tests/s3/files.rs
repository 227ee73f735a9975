//! What goes in comes out, for as long as it should.

use std::io::{Cursor, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use config::Bytes;
use homeserver::workers::expiry;
use reqwest::Method;
use serde_json::json;

use crate::service::Bucket;
use crate::support::{answer, eventually};
use crate::{L, SLOT, content, server, uploaded};

/// Eighty sealed chunks are the first part of an upload.
const PART: usize = 80 * 65_536;

#[tokio::test]
async fn every_size_comes_out_as_it_went_in_whole_and_in_parts() {
    let bucket = Bucket::new().await;
    let server = server(&bucket, |_| ()).await;
    let ada = server.register("ada").await;
    let sizes = [0, 1, 65_535, 65_536, 65_537, PART - 1, PART, PART + 1, 2 * PART + 1, 20_000_000];
    for size in sizes {
        let bytes = content(size);
        let mxc = uploaded(&ada, bytes.clone()).await;
        let response = ada.download(&mxc).await;
        assert_eq!(response.headers()["content-length"], size.to_string());
        assert!(response.bytes().await.expect("all") == bytes, "{size}");
        let path = format!("/_matrix/client/v1/media/download/{}", &mxc[6..]);
        for range in [0..size.min(1), size / 3..size / 2, size / 2..size, size.saturating_sub(1)..size] {
            if range.is_empty() {
                continue;
            }
            let asked = format!("bytes={}-{}", range.start, range.end - 1);
            let response = ada.request(Method::GET, &path).header("range", asked).send().await.expect("an answer");
            assert_eq!(response.status(), 206);
            assert!(response.bytes().await.expect("all") == bytes[range.clone()], "{size} {range:?}");
        }
    }
    let files = bucket.files();
    assert_eq!(files.len(), sizes.len(), "one object for each, and nothing on its way: {files:?}");
    let canary = &content(1_000)[500..540];
    for file in files {
        let stored = std::fs::read(&file).expect("reads");
        assert!(!stored.windows(canary.len()).any(|window| window == canary), "in the open: {}", file.display());
    }
    assert_eq!(server.app.media.usage().await.expect("counts").0, 10);
}

#[tokio::test]
async fn what_breaks_off_or_is_refused_leaves_nothing() {
    let bucket = Bucket::new().await;
    let server = server(&bucket, |config| config.media.size_max = Bytes::new(30_000_000)).await;
    let ada = server.register("ada").await;
    let mut socket = TcpStream::connect(server.address).expect("connects");
    let head = format!(
        "POST /_matrix/media/v3/upload HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-length: 24000000\r\n\r\n",
        ada.token
    );
    let half = tokio::task::spawn_blocking(move || {
        socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(&content(12_000_000))).expect("sends");
        socket
    });
    let socket = half.await.expect("sends");
    eventually("parts arrive", async || !bucket.files().is_empty()).await;
    drop(socket);
    eventually("the broken upload is taken back", async || bucket.files().is_empty()).await;

    // It does not say its size, and is refused when parts of it are there.
    let stream = futures_util::stream::iter((0..400).map(|_| Ok::<_, std::io::Error>(content(100_000))));
    let request = ada.request(Method::POST, "/_matrix/media/v3/upload").body(reqwest::Body::wrap_stream(stream));
    answer(request).await.is_error(413, "M_TOO_LARGE");
    eventually("the refused upload is taken back", async || bucket.files().is_empty()).await;
    let config = ada.get("/_matrix/client/v1/media/config").await.ok();
    assert_eq!(config["m.upload.size"], json!(30_000_000), "neither counts");
}

#[tokio::test]
async fn a_file_leaves_the_bucket_after_its_slot_and_an_avatar_stays() {
    let bucket = Bucket::new().await;
    let server = server(&bucket, |_| ()).await;
    server.clock.stop();
    let ada = server.register("ada").await;
    let file = uploaded(&ada, content(6_000_000)).await;
    let mut png = Vec::new();
    image::RgbImage::new(300, 150).write_to(&mut Cursor::new(&mut png), image::ImageFormat::Png).expect("encodes");
    let avatar = ada.upload("a.png", "image/png", png).await.ok()["content_uri"].as_str().expect("a URI").to_owned();
    let profile = format!("/_matrix/client/v3/profile/{}/avatar_url", ada.user_id);
    ada.put(&profile, json!({ "avatar_url": avatar })).await.ok();

    server.clock.advance(L.checked_sub(Duration::from_millis(1)).unwrap());
    expiry::sweep(&server.app).await.expect("sweeps");
    assert_eq!(ada.download(&file).await.status(), 200, "not a moment before");
    server.clock.advance(Duration::from_millis(1));
    assert_eq!(ada.download(&file).await.status(), 404);
    server.clock.advance(SLOT);
    let swept = expiry::sweep(&server.app).await.expect("sweeps");
    assert_eq!((swept.files, bucket.files().len()), (1, 1));
    let path = format!("/_matrix/client/v1/media/thumbnail/{}?width=64&height=64&method=scale", &avatar[6..]);
    let thumbnail = ada.request(Method::GET, &path).send().await.expect("an answer").bytes().await.expect("all");
    assert_eq!(image::load_from_memory(&thumbnail).expect("decodes").width(), 64);
}
