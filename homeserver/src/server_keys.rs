//! What other servers may ask before federation comes: the server's version, and the keys that its events are signed with
//! ([spec v1.19, Server-Server API § Publishing keys](https://spec.matrix.org/v1.19/server-server-api/#publishing-keys)).
//!
//! It knows no other server's keys: as a notary it answers for itself alone.

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::Method;
use ruma::CanonicalJsonObject;
use ruma::signatures::sign_json;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes, json_response};

/// How long a copy of the keys holds.
const VALID_MS: u64 = 24 * 3_600_000;

/// These calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes
        .raw(Method::GET, "/_matrix/federation/v1/version", Access::None, version)
        .raw(Method::GET, "/_matrix/key/v2/server", Access::None, own)
        .raw(Method::POST, "/_matrix/key/v2/query", Access::None, query)
        .raw(Method::GET, "/_matrix/key/v2/query/{server_name}", Access::None, query_one)
}

/// `GET /_matrix/federation/v1/version`
async fn version(_: App, _: RawRequest) -> Answer {
    Ok(json_response(&json!({ "server": { "name": "Vestibule", "version": env!("CARGO_PKG_VERSION") } })))
}

/// `GET /_matrix/key/v2/server`: byte for byte the JSON that is signed.
async fn own(app: App, _: RawRequest) -> Answer {
    Ok(json_response(&keys(&app)?))
}

/// `POST /_matrix/key/v2/query`
async fn query(app: App, request: RawRequest) -> Answer {
    #[derive(Deserialize)]
    struct Asked {
        server_keys: serde_json::Map<String, Value>,
    }
    let asked: Asked = request.json()?;
    known(&app, asked.server_keys.contains_key(app.server.name.as_str()))
}

/// `GET /_matrix/key/v2/query/{serverName}`
async fn query_one(app: App, request: RawRequest) -> Answer {
    known(&app, request.param("server_name") == app.server.name.as_str())
}

fn known(app: &App, asked_for_own: bool) -> Result<Response, ApiError> {
    let found: Vec<Value> = asked_for_own.then(|| keys(app)).transpose()?.into_iter().collect();
    Ok(json_response(&json!({ "server_keys": found })))
}

fn keys(app: &App) -> Result<Value, ApiError> {
    let key = &app.server.signing_key;
    let object = json!({
        "old_verify_keys": {},
        "server_name": app.server.name,
        "valid_until_ts": app.clock.now().plus_ms(VALID_MS).as_ms(),
        "verify_keys": { format!("ed25519:{}", key.version()): { "key": STANDARD_NO_PAD.encode(key.public_key()) } },
    });
    let mut object: CanonicalJsonObject = serde_json::from_value(object).map_err(ApiError::internal)?;
    sign_json(app.server.name.as_str(), key, &mut object).map_err(ApiError::internal)?;
    serde_json::to_value(object).map_err(ApiError::internal)
}
