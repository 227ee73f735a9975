//! Any web page may call the server: its client has a token, or it gets nothing
//! ([spec v1.19, Client-Server API § Web browser clients](https://spec.matrix.org/v1.19/client-server-api/#web-browser-clients)).

use std::time::Duration;

use http::{HeaderName, Method, header};
use tower_http::cors::{Any, CorsLayer};

/// How long a browser may remember the answer to a preflight.
const MAX_AGE: Duration = Duration::from_hours(24);

/// On every response, errors too; answers `OPTIONS` on every path.
pub fn layer() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::HEAD])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::RANGE,
            HeaderName::from_static("x-requested-with"),
        ])
        .expose_headers([header::RETRY_AFTER, header::CONTENT_DISPOSITION, header::CONTENT_RANGE, header::ACCEPT_RANGES])
        .max_age(MAX_AGE)
}
