//! The widget's pages, embedded when the program is built: `loader.js` for the platform's pages, `frame.html` and what it loads.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::app::App;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes};

#[derive(RustEmbed)]
#[folder = "../widget/dist"]
#[allow_missing = true]
struct Assets;

/// Files below this folder have a hash of their content in their name.
const HASHED: &str = "assets/";

/// What the framed page may load: its own files, and this server. Any page may frame it: it does nothing without a login token,
/// which it takes only from the page that loaded it.
const FRAME_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob:; \
                            connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors *";

/// The widget's files.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes.raw(Method::GET, "/_vestibule/widget/{*path}", Access::None, asset)
}

async fn asset(_: App, request: RawRequest) -> Answer {
    let path = request.param("path");
    if Assets::iter().next().is_none() {
        let message =
            "this program was built without the widget: run `npm ci && npm run build` in widget/, then build it again";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "M_NOT_FOUND", message));
    }
    let file = Assets::get(path)
        .ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "M_NOT_FOUND", "the widget has no such file"))?;
    Ok(answer(path, file, &request.parts.headers))
}

fn answer(path: &str, file: EmbeddedFile, asked: &HeaderMap) -> Response {
    let etag = etag(&file);
    let known = asked.get(header::IF_NONE_MATCH).is_some_and(|known| *known == etag);
    let mut response = if known { Response::new(Body::empty()) } else { Response::new(Body::from(file.data)) };
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    if let Ok(content_type) = HeaderValue::from_str(&content_type(path, file.metadata.mimetype())) {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    let forever = path.starts_with(HASHED);
    let cache = if forever { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::ETAG, etag);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // The loader is a script of the platform's pages, which may ask for this.
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    if is_page(path) {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(FRAME_POLICY));
    }
    response
}

fn is_page(path: &str) -> bool {
    path.rsplit('.').next() == Some("html")
}

fn content_type(path: &str, guessed: &str) -> String {
    let text = guessed.starts_with("text/") || path.rsplit('.').next() == Some("js");
    if text { format!("{guessed}; charset=utf-8") } else { guessed.to_owned() }
}

fn etag(file: &EmbeddedFile) -> HeaderValue {
    let hash: String = file.metadata.sha256_hash()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("\"{hash}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}
