//! Files: what goes in comes out, for as long as it should, and no longer.

use std::io::{Cursor, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use config::Bytes;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Server, User, answer, eventually, files_below};

const DAY: Duration = Duration::from_hours(24);

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| u8::try_from(at * 7 % 251).expect("small")).collect()
}

async fn uploaded(user: &User<'_>, bytes: Vec<u8>) -> String {
    user.upload("a.bin", "application/octet-stream", bytes).await.ok()["content_uri"].as_str().expect("a URI").to_owned()
}

#[tokio::test]
async fn what_goes_in_comes_out() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let bytes = content(2_500_000);
    let mxc = ada.upload("r%C3%A9sum%C3%A9.pdf", "application/pdf", bytes.clone()).await.ok()["content_uri"]
        .as_str()
        .expect("a URI")
        .to_owned();
    let response = bob.download(&mxc).await;
    assert_eq!(response.status(), 200);
    let headers = response.headers().clone();
    assert_eq!(headers["content-type"], "application/pdf");
    assert_eq!(headers["content-length"], "2500000");
    let disposition = headers["content-disposition"].to_str().expect("text");
    assert!(disposition.starts_with("attachment") && disposition.contains("r%C3%A9sum%C3%A9.pdf"), "{disposition}");
    assert!(headers["content-security-policy"].to_str().expect("text").starts_with("sandbox"));
    assert_eq!(headers["cross-origin-resource-policy"], "cross-origin");
    let age =
        headers["cache-control"].to_str().expect("text").strip_prefix("private, max-age=").expect("private").parse::<u64>();
    assert!(age.expect("seconds") <= 86_400);
    assert!(response.bytes().await.expect("all") == bytes);

    let named = format!("/_matrix/client/v1/media/download/{}/other.txt", &mxc[6..]);
    let response = bob.request(Method::GET, &named).send().await.expect("an answer");
    assert!(response.headers()["content-disposition"].to_str().expect("text").contains("other.txt"));
}

#[tokio::test]
async fn a_part_can_be_asked_for() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let bytes = content(200_000);
    let path = format!("/_matrix/client/v1/media/download/{}", &uploaded(&ada, bytes.clone()).await[6..]);
    let response = ada.request(Method::GET, &path).header("range", "bytes=65530-131080").send().await.expect("an answer");
    assert_eq!(response.status(), 206);
    assert_eq!(response.headers()["content-range"], "bytes 65530-131080/200000");
    assert!(response.bytes().await.expect("all") == bytes[65_530..=131_080]);
    let beyond = ada.request(Method::GET, &path).header("range", "bytes=200000-").send().await.expect("an answer");
    assert_eq!(
        (beyond.status().as_u16(), beyond.headers()["content-range"].to_str().expect("text")),
        (416, "bytes */200000")
    );
}

#[tokio::test]
async fn a_file_is_gone_a_day_after_it_came_whoever_looks_at_it() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let mxc = uploaded(&ada, content(100_000)).await;
    server.clock.advance(DAY.checked_sub(Duration::from_mins(1)).unwrap());
    assert_eq!(ada.download(&mxc).await.status(), 200);
    server.clock.advance(Duration::from_secs(61));
    let ada = server.register("ada-again").await;
    let gone = ada.get(&format!("/_matrix/client/v1/media/download/{}", &mxc[6..])).await;
    gone.is_error(404, "M_NOT_FOUND");
    let never = ada.get("/_matrix/client/v1/media/download/localhost/neverwas").await;
    assert_eq!(gone, never, "as if it had never been");
    ada.get(&format!("/_matrix/client/v1/media/thumbnail/{}?width=32&height=32", &mxc[6..]))
        .await
        .is_error(404, "M_NOT_FOUND");

    assert_eq!(files_below(&server.data().join("media")).len(), 1, "not yet swept");
    server.clock.advance(Duration::from_mins(10));
    let swept = homeserver::workers::expiry::sweep(&server.app).await.expect("sweeps");
    assert!(swept.files == 1 && swept.epochs > 0, "{swept:?}");
    assert_eq!(files_below(&server.data().join("media")).len(), 0);
}

#[tokio::test]
async fn a_day_has_its_bytes() {
    let server = Server::start_with(|config| {
        config.media.size_max = Bytes::new(600_000);
        config.media.upload_per_day = Bytes::new(1_000_000);
    })
    .await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let size = |user: Value| user["m.upload.size"].as_u64().expect("a number");
    assert_eq!(size(ada.get("/_matrix/client/v1/media/config").await.ok()), 600_000);
    ada.upload("a", "text/plain", content(600_001)).await.is_error(413, "M_TOO_LARGE");
    // A client that sends everything before it reads still gets to read why not.
    let stream = futures_util::stream::iter((0..500).map(|_| Ok::<_, std::io::Error>(content(100_000))));
    let request = ada.request(Method::POST, "/_matrix/media/v3/upload").header("content-length", "50000000");
    answer(request.body(reqwest::Body::wrap_stream(stream))).await.is_error(413, "M_TOO_LARGE");
    uploaded(&ada, content(600_000)).await;
    assert_eq!(size(ada.get("/_matrix/client/v1/media/config").await.ok()), 400_000);
    server.clock.advance(Duration::from_hours(1));
    let refused = ada.upload("a", "text/plain", content(400_001)).await;
    refused.is_error(403, "M_USER_LIMIT_EXCEEDED");
    assert!(refused.body["info_uri"].as_str().expect("a URI").starts_with(&server.base));
    let resets_at = refused.body["org.vestibule.resets_at"].as_u64().expect("a moment");
    let left = resets_at - server.clock.now().as_ms();
    assert!((22 * 3_600_000..=23 * 3_600_000).contains(&left), "{left}");
    uploaded(&ada, content(400_000)).await;
    uploaded(&bob, content(600_000)).await;

    // Without a length in front, it is stopped where the day's bytes end.
    let stream = futures_util::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(content(10_000))));
    let request = ada.request(Method::POST, "/_matrix/media/v3/upload").body(reqwest::Body::wrap_stream(stream));
    answer(request).await.is_error(403, "M_USER_LIMIT_EXCEEDED");

    server.clock.advance(Duration::from_millis(left + 1_000));
    let ada = User { token: login(&server, "ada").await, ..ada };
    uploaded(&ada, content(600_000)).await;
    assert_eq!(refusals_leave(&server), 4, "what was refused is not on disk");
}

async fn login(server: &Server, name: &str) -> String {
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": name },
        "password": "correct horse battery staple",
    });
    let session = answer(server.request(Method::POST, "/_matrix/client/v3/login").json(&body)).await.ok();
    session["access_token"].as_str().expect("a token").to_owned()
}

fn refusals_leave(server: &Server) -> usize {
    files_below(&server.data().join("media")).len()
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let media = server.data().join("media");
    let mut socket = TcpStream::connect(server.address).expect("connects");
    let head = format!(
        "POST /_matrix/media/v3/upload HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-length: 5000000\r\n\r\n",
        ada.token
    );
    socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(&content(1_500_000))).expect("sends");
    eventually("bytes arrive", async || !files_below(&media).is_empty()).await;
    drop(socket);
    eventually("the broken upload is removed", async || files_below(&media).is_empty()).await;
    let config = ada.get("/_matrix/client/v1/media/config").await.ok();
    assert_eq!(config["m.upload.size"], json!(200_000_000), "it does not count");
}

#[tokio::test]
async fn an_id_can_come_before_its_bytes() {
    let server = Server::start().await;
    let (ada, bob) = (server.register("ada").await, server.register("bob").await);
    let created = ada.post("/_matrix/media/v1/create", json!({})).await.ok();
    let mxc = created["content_uri"].as_str().expect("a URI").to_owned();
    assert!(created["unused_expires_at"].as_u64().expect("a moment") > server.clock.now().as_ms());
    let path = format!("/_matrix/client/v1/media/download/{}", &mxc[6..]);
    bob.get(&format!("{path}?timeout_ms=1")).await.is_error(504, "M_NOT_YET_UPLOADED");

    let waiting = tokio::spawn(bob.request(Method::GET, &path).send());
    let upload = format!("/_matrix/media/v3/upload/{}", &mxc[6..]);
    answer(bob.request(Method::PUT, &upload).body("stolen")).await.is_error(403, "M_FORBIDDEN");
    answer(ada.request(Method::PUT, &upload).header("content-type", "text/plain").body("at last")).await.ok();
    let response = waiting.await.expect("ends").expect("an answer");
    assert_eq!(response.text().await.expect("text"), "at last");
    answer(ada.request(Method::PUT, &upload).body("again")).await.is_error(409, "M_CANNOT_OVERWRITE_MEDIA");
    let unknown = "/_matrix/media/v3/upload/localhost/neverwas";
    answer(ada.request(Method::PUT, unknown).body("x")).await.is_error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn pictures_have_thumbnails_and_other_files_have_none() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let mut png = Vec::new();
    image::RgbImage::new(300, 150).write_to(&mut Cursor::new(&mut png), image::ImageFormat::Png).expect("encodes");
    let mxc = ada.upload("a.png", "image/png", png).await.ok()["content_uri"].as_str().expect("a URI").to_owned();
    let path = format!("/_matrix/client/v1/media/thumbnail/{}?width=64&height=64&method=scale", &mxc[6..]);
    let response = ada.request(Method::GET, &path).send().await.expect("an answer");
    assert_eq!(response.headers()["content-type"], "image/png");
    let small = image::load_from_memory(&response.bytes().await.expect("all")).expect("decodes");
    assert_eq!((small.width(), small.height()), (64, 32));
    let text = uploaded(&ada, b"not a picture".to_vec()).await;
    let path = format!("/_matrix/client/v1/media/thumbnail/{}?width=64&height=64", &text[6..]);
    ada.get(&path).await.is_error(400, "M_UNKNOWN");
}

#[tokio::test]
async fn without_a_token_nothing_is_served_unless_configured() {
    let server = Server::start().await;
    let ada = server.register("ada").await;
    let mxc = uploaded(&ada, b"private".to_vec()).await;
    let old = format!("/_matrix/media/v3/download/{}", &mxc[6..]);
    answer(server.request(Method::GET, &old)).await.is_error(404, "M_NOT_FOUND");
    let new = format!("/_matrix/client/v1/media/download/{}", &mxc[6..]);
    answer(server.request(Method::GET, &new)).await.is_error(401, "M_MISSING_TOKEN");

    let server = Server::start_with(|config| config.media.unauthenticated_downloads = true).await;
    let ada = server.register("ada").await;
    let mxc = uploaded(&ada, b"for old clients".to_vec()).await;
    let old = format!("/_matrix/media/v3/download/{}", &mxc[6..]);
    let response = server.request(Method::GET, &old).send().await.expect("an answer");
    assert_eq!(response.text().await.expect("text"), "for old clients");
}
