//! Stands between the homeserver and the bridge: passes transactions on, and can lose the bridge's answers, so that the
//! homeserver sends the same transaction again.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};

#[derive(Clone)]
pub struct Relay {
    pub url: String,
    shared: Arc<Shared>,
}

struct Shared {
    bridge: String,
    http: reqwest::Client,
    losing: AtomicBool,
    lost: AtomicUsize,
}

impl Relay {
    pub async fn start(bridge_port: u16) -> Self {
        let shared = Arc::new(Shared {
            bridge: format!("http://127.0.0.1:{bridge_port}"),
            http: reqwest::Client::new(),
            losing: AtomicBool::new(false),
            lost: AtomicUsize::new(0),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(pass).with_state(Arc::clone(&shared));
        tokio::task::spawn(async move { axum::serve(listener, app).await });
        Self { url, shared }
    }

    /// From now on the homeserver doesn't hear that the bridge took a transaction, or does again.
    pub fn lose_answers(&self, lose: bool) {
        self.shared.losing.store(lose, Ordering::SeqCst);
    }

    /// How many answers were lost.
    pub fn lost(&self) -> usize {
        self.shared.lost.load(Ordering::SeqCst)
    }
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 64 << 20).await.unwrap();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut onward = shared.http.request(parts.method, format!("{}{path}", shared.bridge)).body(body);
    for name in ["authorization", "content-type"] {
        if let Some(value) = parts.headers.get(name) {
            onward = onward.header(name, value);
        }
    }
    let Ok(answer) = onward.send().await else { return StatusCode::BAD_GATEWAY.into_response() };
    if shared.losing.load(Ordering::SeqCst) {
        shared.lost.fetch_add(1, Ordering::SeqCst);
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let status = answer.status();
    (status, answer.bytes().await.unwrap_or_default()).into_response()
}
