//! A whole server in the test's process: real sockets, a real journal in a temporary folder, a clock that the test moves.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod binary;
pub mod record;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use config::{Config, Listen, Span};
use homeserver::app::App;
use homeserver::clock::Clock;
use homeserver::{client, http, start, widget};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A running server. Dropped, it ends; [`Server::stop`] waits for that.
pub struct Server {
    pub app: App,
    pub clock: Clock,
    pub base: String,
    pub address: SocketAddr,
    pub tls: Option<http::tls::Tls>,
    config: Config,
    folder: std::sync::Arc<TempDir>,
    http: reqwest::Client,
}

/// An answer: its status and its JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    /// Its body, if it is a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }

    /// That it is this error.
    #[track_caller]
    pub fn is_error(&self, status: u16, errcode: &str) {
        assert_eq!((self.status, self.body["errcode"].as_str()), (status, Some(errcode)), "{}", self.body);
        assert!(self.body["error"].as_str().is_some_and(|sentence| !sentence.is_empty()), "a sentence for a person");
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With another configuration than the tests' usual one (no limits, open registration).
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = std::sync::Arc::new(tempfile::tempdir().expect("a folder"));
        let mut config = Config::default();
        config.server.data = folder.path().join("data");
        config.server.root_key = folder.path().join("root.key");
        config.server.listen = Listen::One(SocketAddr::from(([127, 0, 0, 1], 0)));
        config.registration.open = true;
        config.limits.enabled = false;
        config.passwords.memory_kib = 64;
        config.retention.slot = Span::from_secs(600);
        change(&mut config);
        Self::run(config, folder, Clock::system()).await
    }

    async fn run(mut config: Config, folder: std::sync::Arc<TempDir>, clock: Clock) -> Self {
        let listener = http::listen::bind(config.server.listen.addresses()[0]).await.expect("listens");
        let address = listener.local_addr().expect("an address");
        let base = format!("http://{address}");
        let kept = config.clone();
        config.server.public_url = Some(base.clone());
        let tls = http::tls::Tls::open(&config).expect("a certificate");
        let app = start::open(config, clock.clone(), None).await.expect("starts");
        let router = record::answers(widget::routes(client::routes()).into_router(&app));
        let serving = app.clone();
        let taken = tls.clone();
        app.tasks.spawn(async move { http::listen::serve(&serving, vec![listener], taken, router).await });
        Self { app, clock, base, address, tls, config: kept, folder, http: reqwest::Client::new() }
    }

    /// Ends the server cleanly; its folder stays.
    pub async fn stop(self) -> Stopped {
        let (app, clock, config) = (self.app.clone(), self.clock.clone(), self.config.clone());
        let folder = std::sync::Arc::clone(&self.folder);
        drop(self);
        app.end();
        app.tasks.wait().await;
        app.journal.close().expect("closes");
        drop(app);
        Stopped { clock, config, folder }
    }

    /// The server as a kill at this moment would leave it: a copy of its folder, at a time when nothing is written. The store may
    /// still be deleting files that it needs no more: a copy during which one went is not of one moment, and is made again.
    pub fn image(&self) -> Stopped {
        let folder = loop {
            let folder = std::sync::Arc::new(tempfile::tempdir().expect("a folder"));
            match copy(self.folder.path(), folder.path()) {
                Ok(()) => break folder,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => panic!("copies: {error}"),
            }
        };
        let mut config = self.config.clone();
        config.server.data = folder.path().join("data");
        config.server.root_key = folder.path().join("root.key");
        Stopped { clock: self.clock.clone(), config, folder }
    }

    pub fn data(&self) -> PathBuf {
        self.config.server.data.clone()
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// A new plain account with one device.
    pub async fn register(&self, name: &str) -> User<'_> {
        let body =
            json!({ "username": name, "password": "correct horse battery staple", "auth": { "type": "m.login.dummy" } });
        let answer = answer(self.request(Method::POST, "/_matrix/client/v3/register").json(&body)).await.ok();
        let text = |key: &str| answer[key].as_str().expect("text").to_owned();
        User { server: self, user_id: text("user_id"), device_id: text("device_id"), token: text("access_token") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.app.end();
    }
}

/// A server that is not running.
pub struct Stopped {
    clock: Clock,
    config: Config,
    folder: std::sync::Arc<TempDir>,
}

impl Stopped {
    /// With another configuration.
    pub fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// With the system's clock, however far the test had moved it.
    pub fn with_system_clock(self) -> Self {
        Self { clock: Clock::system(), ..self }
    }

    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// What `start` says when it cannot.
    pub async fn refuses_to_start(&self) -> String {
        let opened = start::open(self.config.clone(), self.clock.clone(), None).await;
        opened.map(drop).expect_err("it must not start").to_string()
    }

    pub async fn start(self) -> Server {
        Server::run(self.config, self.folder, self.clock).await
    }
}

/// For orders whose progress nobody follows.
pub fn silent() -> homeserver::control::Progress {
    std::sync::Arc::new(drop)
}

/// Sends a request and reads its JSON.
pub async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let bytes = response.bytes().await.expect("a whole answer");
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| json!({ "not JSON": String::from_utf8_lossy(&bytes) }));
    Answer { status, body }
}

/// A user with a device.
pub struct User<'a> {
    pub server: &'a Server,
    pub user_id: String,
    pub device_id: String,
    pub token: String,
}

/// Transaction ids of all tests of the process.
static TRANSACTIONS: AtomicU64 = AtomicU64::new(0);

impl User<'_> {
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.server.request(method, path).bearer_auth(&self.token)
    }

    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        answer(self.request(Method::POST, path).json(&body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        answer(self.request(Method::PUT, path).json(&body)).await
    }

    pub async fn create_room(&self, body: Value) -> String {
        self.post("/_matrix/client/v3/createRoom", body).await.ok()["room_id"].as_str().expect("a room id").to_owned()
    }

    /// Sends a text message; answers the event's id.
    pub async fn send(&self, room_id: &str, text: &str) -> String {
        let transaction = TRANSACTIONS.fetch_add(1, Ordering::Relaxed);
        let path = format!("/_matrix/client/v3/rooms/{room_id}/send/m.room.message/{transaction}");
        let sent = self.put(&path, json!({ "msgtype": "m.text", "body": text })).await.ok();
        sent["event_id"].as_str().expect("an event id").to_owned()
    }

    /// Uploads a file.
    pub async fn upload(&self, name: &str, content_type: &str, bytes: Vec<u8>) -> Answer {
        let path = format!("/_matrix/media/v3/upload?filename={name}");
        answer(self.request(Method::POST, &path).header("content-type", content_type).body(bytes)).await
    }

    /// Downloads what `mxc` names.
    pub async fn download(&self, mxc: &str) -> Response {
        let path = format!("/_matrix/client/v1/media/download/{}", mxc.strip_prefix("mxc://").expect("an mxc URI"));
        self.request(Method::GET, &path).send().await.expect("an answer")
    }
}

/// Waits until `condition` holds; fails after a minute. For what happens beside the test: no event tells of it.
pub async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = Clock::system().deadline(Duration::from_mins(1));
    let stopwatch = Clock::system().stopwatch();
    while !condition().await {
        assert!(stopwatch.elapsed() < Duration::from_mins(1), "{what}");
        tokio::time::sleep_until(deadline.min(Clock::system().deadline(Duration::from_millis(20)))).await;
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        match entry.file_type()? {
            kind if kind.is_dir() => copy(&entry.path(), &to)?,
            kind if kind.is_file() => drop(std::fs::copy(entry.path(), to)?),
            _ => {}
        }
    }
    Ok(())
}

/// All files below `folder`.
pub fn files_below(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}
