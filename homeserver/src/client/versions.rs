//! What the server speaks
//! ([spec v1.19, Client-Server API § API standards and § Server discovery](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientversions)).

use http::{HeaderValue, Method, header};
use serde_json::json;

use crate::app::App;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes, empty_response, json_response};

/// Versions of the specification whose calls are all there, as far as they are in the product's scope.
const VERSIONS: [&str; 12] =
    ["v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10", "v1.11", "v1.12"];

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes
        .raw(Method::GET, "/_matrix/client/versions", Access::None, versions)
        .raw(Method::GET, "/.well-known/matrix/client", Access::None, well_known)
        .raw(Method::GET, "/_vestibule/health", Access::None, health)
}

/// `GET /versions`
async fn versions(_: App, _: RawRequest) -> Answer {
    let mut response = json_response(&json!({
        "versions": VERSIONS,
        "unstable_features": {
            "org.matrix.e2e_cross_signing": true,
            "org.matrix.msc2285.stable": true,
            "org.matrix.msc3916.stable": true,
            "org.matrix.msc3814": true,
            "org.matrix.msc4140": true,
            "org.matrix.simplified_msc3575": true,
            "org.matrix.msc1763": true,
            "org.matrix.msc3391": true,
            "org.matrix.msc3874": true,
            "org.matrix.msc3890": true,
            "fi.mau.msc2659.stable": true,
        },
    }));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Authorization"));
    Ok(response)
}

/// `GET /.well-known/matrix/client`
async fn well_known(app: App, _: RawRequest) -> Answer {
    Ok(json_response(&json!({
        "m.homeserver": { "base_url": app.base_url() },
        "org.matrix.msc3814": true,
    })))
}

/// For whoever watches the server: 200 while it can read its journal.
async fn health(app: App, _: RawRequest) -> Answer {
    app.read(|cx| Ok(cx.view.seq())).map_err(|error: ApiError| ApiError::unavailable(error.cause().unwrap_or_default()))?;
    Ok(empty_response())
}
