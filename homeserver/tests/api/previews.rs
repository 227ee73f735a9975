//! Previews of web pages: what a page says of itself, and what the server does not fetch.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Server, User, answer};

const PAGE: &str = r#"<html prefix="og: http://ogp.me/ns#"><head><title>The Rock (1996)</title>
    <meta property="og:title" content="The Rock"><meta property="og:type" content="video.movie">
    <meta property="og:image" content="test.png"></head><body></body></html>"#;

/// A web site on a port of its own.
struct Site {
    base: String,
    /// Requests for the page.
    asked: Arc<AtomicUsize>,
}

fn png() -> Vec<u8> {
    let mut png = Vec::new();
    image::RgbImage::new(30, 20).write_to(&mut Cursor::new(&mut png), image::ImageFormat::Png).expect("encodes");
    png
}

/// What the server fetches it fetches in nobody's name.
async fn page(State(asked): State<Arc<AtomicUsize>>, headers: HeaderMap) -> impl IntoResponse {
    assert!(!headers.contains_key(header::AUTHORIZATION) && !headers.contains_key(header::COOKIE));
    asked.fetch_add(1, Ordering::SeqCst);
    ([(header::CONTENT_TYPE, "text/html")], PAGE)
}

impl Site {
    async fn start() -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let html = |text: String| get(move || async move { ([(header::CONTENT_TYPE, "text/html")], text) });
        let picture = |bytes: Vec<u8>| get(move || async move { ([(header::CONTENT_TYPE, "image/png")], bytes) });
        let to = |place: &'static str| get(move || async move { Redirect::temporary(place) });
        let latin = ([(header::CONTENT_TYPE, "text/html; charset=iso-8859-1")], b"<title>caf\xe9</title>".as_slice());
        let huge = format!("{}<title>{}</title>", "<meta property='og:title' content='first'>", " ".repeat(3_000_000));
        let router = Router::new()
            .route("/page", get(page))
            .route("/test.png", picture(png()))
            .route("/large.png", picture(vec![0; 6_000_000]))
            .route("/latin", get(move || async move { latin }))
            .route("/huge", html(huge))
            .route("/text", get(|| async { "<title>not a page</title>" }))
            .route("/gone", get(|| async { StatusCode::NOT_FOUND }))
            .route("/moved", to("/page"))
            .route("/around", to("/around"))
            .route("/to-file", to("file:///etc/passwd"))
            .route("/to-private", to("http://192.168.0.1/"))
            .route("/slow", get(std::future::pending::<()>))
            .with_state(Arc::clone(&asked));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { base, asked }
    }

    async fn of(&self, user: &User<'_>, path: &str) -> Answer {
        preview(user, &format!("{}{path}", self.base)).await
    }
}

async fn preview(user: &User<'_>, url: &str) -> Answer {
    answer(user.request(Method::GET, "/_matrix/client/v1/media/preview_url").query(&[("url", url)])).await
}

/// A server that may fetch from this machine.
async fn server() -> Server {
    Server::start_with(|config| {
        config.previews.enabled = true;
        config.previews.allow = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await
}

#[tokio::test]
async fn a_page_is_shown_with_its_picture_for_as_long_as_that_lives() {
    let (server, site) = (server().await, Site::start().await);
    let ada = server.register("ada").await;
    let shown = site.of(&ada, "/page#part").await.ok();
    let size = png().len();
    let mxc = shown["og:image"].as_str().expect("a URI").to_owned();
    assert_eq!(
        shown,
        json!({
            "og:title": "The Rock", "og:type": "video.movie", "og:image": mxc, "og:image:type": "image/png",
            "og:image:width": 30, "og:image:height": 20, "matrix:image:size": size,
        })
    );
    let picture = ada.download(&mxc).await;
    assert_eq!(picture.headers()["content-type"], "image/png");
    assert_eq!(picture.bytes().await.expect("all"), png());

    let old =
        answer(ada.request(Method::GET, "/_matrix/media/v3/preview_url").query(&[("url", format!("{}/page", site.base))]));
    assert_eq!(old.await.ok(), shown, "kept");
    assert_eq!(site.asked.load(Ordering::SeqCst), 1);
    server.clock.advance(Duration::from_hours(1));
    let again = site.of(&ada, "/page").await.ok();
    assert_eq!(site.asked.load(Ordering::SeqCst), 2, "an hour later it is asked for again");
    assert_ne!(again["og:image"], shown["og:image"]);
    server.clock.advance(Duration::from_hours(24));
    assert_eq!(ada.download(&mxc).await.status(), 404, "gone like any file");
}

#[tokio::test]
async fn pages_of_all_kinds() {
    let (server, site) = (server().await, Site::start().await);
    let ada = server.register("ada").await;
    assert_eq!(site.of(&ada, "/latin").await.ok(), json!({ "og:title": "café" }));
    assert_eq!(site.of(&ada, "/huge").await.ok(), json!({ "og:title": "first" }), "only the beginning is read");
    assert_eq!(site.of(&ada, "/text").await.ok(), json!({}));
    assert_eq!(site.of(&ada, "/moved").await.ok()["og:title"], "The Rock");
    let picture = site.of(&ada, "/test.png").await.ok();
    assert_eq!((&picture["og:image:width"], picture["og:title"].is_null()), (&json!(30), true));
    for path in ["/gone", "/around", "/to-file", "/to-private", "/large.png", "/nothing"] {
        site.of(&ada, path).await.is_error(502, "M_UNKNOWN");
    }
}

#[tokio::test]
async fn nothing_private_is_fetched() {
    let server = Server::start_with(|config| config.previews.enabled = true).await;
    let site = Site::start().await;
    let ada = server.register("ada").await;
    let port = site.base.rsplit(':').next().expect("a port").to_owned();
    for url in [
        format!("{}/page", site.base),
        format!("http://localhost:{port}/page"),
        format!("http://[::ffff:127.0.0.1]:{port}/page"),
        format!("http://2130706433:{port}/page"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://10.0.0.1/".to_owned(),
        "http://[fd00::1]/".to_owned(),
        "ftp://example.org/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "not an address".to_owned(),
    ] {
        let refused = preview(&ada, &url).await;
        refused.is_error(502, "M_UNKNOWN");
        assert_eq!(refused.body["error"], "no preview can be made of this address", "{url}: one answer for all");
    }
    assert_eq!(site.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_site_that_says_nothing_is_given_up() {
    let (server, site) = (server().await, Site::start().await);
    let ada = server.register("ada").await;
    site.of(&ada, "/slow").await.is_error(502, "M_UNKNOWN");
}

#[tokio::test]
async fn a_picture_counts_as_an_upload_and_is_left_out_when_that_is_used_up() {
    let server = Server::start_with(|config| {
        config.previews.enabled = true;
        config.previews.allow = vec!["127.0.0.0/8".parse().expect("a network")];
        config.media.upload_per_day = config::Bytes::new(10);
    })
    .await;
    let site = Site::start().await;
    let ada = server.register("ada").await;
    assert_eq!(site.of(&ada, "/page").await.ok(), json!({ "og:title": "The Rock", "og:type": "video.movie" }));
}

#[tokio::test]
async fn there_are_no_previews_unless_configured() {
    let (server, site) = (Server::start().await, Site::start().await);
    let ada = server.register("ada").await;
    site.of(&ada, "/page").await.is_error(404, "M_UNRECOGNIZED");
    let server = self::server().await;
    let path = format!("/_matrix/client/v1/media/preview_url?url={}/page", site.base);
    answer(server.request(Method::GET, &path)).await.is_error(401, "M_MISSING_TOKEN");
    let ada = server.register("ada").await;
    ada.get("/_matrix/client/v1/media/preview_url").await.is_error(400, "M_INVALID_PARAM");
    assert_eq!(site.asked.load(Ordering::SeqCst), 0);
    assert_ne!(site.of(&ada, "/page").await.ok(), Value::Null);
}
