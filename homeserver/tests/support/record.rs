//! What was answered, and what the server itself asked of others: a line of JSON each, if [`VARIABLE`] names a file.
//! `tools/contract.mjs` holds the lines against the published shapes. Layers write them, so no test can forget to.

use std::fs::File;
use std::io::Write;
use std::sync::OnceLock;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::{Router, http::HeaderMap};
use serde_json::{Value, json};

const VARIABLE: &str = "VESTIBULE_ANSWERS";

/// The server's own routes, recorded: what each call is answered with.
pub fn answers(router: Router) -> Router {
    if file().is_some() { router.layer(from_fn(record_answer)) } else { router }
}

/// The routes of somebody whom the server calls, recorded: what it asks.
pub fn calls(router: Router) -> Router {
    if file().is_some() { router.layer(from_fn(record_call)) } else { router }
}

async fn record_answer(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let query = parameters(request.uri().query().unwrap_or_default());
    let (parts, body) = next.run(request).await.into_parts();
    let (body, shown) = read_json(&parts.headers, body).await;
    write(&json!({
        "test": test(), "method": method, "path": path, "query": query,
        "status": parts.status.as_u16(), "type": content_type(&parts.headers), "body": shown,
    }));
    Response::from_parts(parts, body)
}

async fn record_call(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let (body, shown) = read_json(&parts.headers, body).await;
    write(&json!({
        "test": test(), "method": parts.method.as_str(), "path": parts.uri.path(),
        "type": content_type(&parts.headers), "body": shown,
    }));
    next.run(Request::from_parts(parts, body)).await
}

/// Only JSON is read whole: a file's bytes have no shape, and tests watch how they stream.
async fn read_json(headers: &HeaderMap, body: Body) -> (Body, Value) {
    if !content_type(headers).is_some_and(|kind| kind.contains("json")) {
        return (body, Value::Null);
    }
    let bytes: Bytes = to_bytes(body, usize::MAX).await.expect("a whole body");
    let shown = serde_json::from_slice(&bytes).unwrap_or_else(|_| json!({ "not JSON": bytes.len() }));
    (Body::from(bytes), shown)
}

/// Their names alone: values may be tokens.
fn parameters(query: &str) -> Vec<String> {
    query.split('&').filter_map(|pair| Some(pair.split('=').next()?.to_owned())).filter(|name| !name.is_empty()).collect()
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get("content-type")?.to_str().ok()
}

/// Server and test share a thread, and threads of the test runner are named after their tests.
fn test() -> Option<String> {
    std::thread::current().name().map(str::to_owned)
}

fn file() -> Option<&'static File> {
    static FILE: OnceLock<Option<File>> = OnceLock::new();
    let open = || {
        let path = std::env::var_os(VARIABLE)?;
        Some(File::options().create(true).append(true).open(path).expect("the file for answers opens"))
    };
    FILE.get_or_init(open).as_ref()
}

/// In one write at the file's end, so that tests running beside each other do not mix their lines.
fn write(line: &Value) {
    let mut bytes = line.to_string().into_bytes();
    bytes.push(b'\n');
    let mut file = file().expect("only layers that found a file write");
    file.write_all(&bytes).expect("the file for answers takes it");
}
