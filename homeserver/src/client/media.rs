//! Files
//! ([spec v1.19, Client-Server API § Content repository](https://spec.matrix.org/v1.19/client-server-api/#content-repository)).

use std::num::NonZeroU32;
use std::ops::Range;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use engine::media::{self, CompleteUpload, Media, StoredFile};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use journal::Timestamp;
use ruma::http_headers::{ContentDisposition, ContentDispositionType};
use ruma::{OwnedServerName, ServerName, UserId};
use serde::Deserialize;
use serde_json::json;

use super::body::invalid;
use crate::app::App;
use crate::http::error::{LIMITS_PAGE, until_ms};
use crate::http::{Access, Answer, ApiError, RawRequest, Routes, StreamRequest, json_response};
use crate::hub::Woken;
use crate::media::thumbnail::{self, Fit};
use crate::media::{StoreError, store};

/// How long the next bytes of an upload may take.
const UPLOAD_PAUSE_MAX: Duration = Duration::from_secs(30);

/// How long a download waits for bytes that have not come yet, unless it says so itself (spec), and at most.
const AWAIT_DEFAULT: Duration = Duration::from_secs(20);
const AWAIT_MAX: Duration = Duration::from_mins(1);

/// Characters of a file's name and type that are kept.
const FILE_NAME_BYTES_MAX: usize = 255;

/// Letters and digits of a media id: 120 bits, so that nobody finds one by trying.
pub const MEDIA_ID_LENGTH: usize = 24;

/// What a browser may do with a file that it opens by itself (spec § Serving inline content, § Content repository).
const CONTENT_SECURITY_POLICY: &str = "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; \
                                       style-src 'unsafe-inline'; object-src 'self';";

/// Types that a browser may show in place: none can hold a script.
const INLINE_TYPES: [&str; 26] = [
    "text/css",
    "text/plain",
    "text/csv",
    "application/json",
    "application/ld+json",
    "image/jpeg",
    "image/gif",
    "image/png",
    "image/apng",
    "image/webp",
    "image/avif",
    "video/mp4",
    "video/webm",
    "video/ogg",
    "video/quicktime",
    "audio/mp4",
    "audio/webm",
    "audio/aac",
    "audio/mpeg",
    "audio/ogg",
    "audio/wave",
    "audio/wav",
    "audio/x-wav",
    "audio/x-pn-wav",
    "audio/flac",
    "audio/x-flac",
];

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    let mut routes = routes.raw(Method::GET, LIMITS_PAGE, Access::None, limits);
    for root in ["/_matrix/media/v3", "/_matrix/media/r0"] {
        routes = routes
            .stream(Method::POST, &format!("{root}/upload"), Access::Required, upload)
            .raw(Method::GET, &format!("{root}/config"), Access::Required, config)
            .raw(Method::GET, &format!("{root}/download/{{server}}/{{id}}"), Access::None, old_download)
            .raw(Method::GET, &format!("{root}/download/{{server}}/{{id}}/{{file_name}}"), Access::None, old_download)
            .raw(Method::GET, &format!("{root}/thumbnail/{{server}}/{{id}}"), Access::None, old_thumbnail);
    }
    for root in ["/_matrix/media/v3", "/_matrix/media/unstable/fi.mau.msc2246"] {
        routes = routes.stream(Method::PUT, &format!("{root}/upload/{{server}}/{{id}}"), Access::Required, upload_reserved);
    }
    for root in ["/_matrix/media/v1", "/_matrix/media/unstable/fi.mau.msc2246"] {
        routes = routes.raw(Method::POST, &format!("{root}/create"), Access::Required, create);
    }
    for root in ["/_matrix/client/v1/media", "/_matrix/client/unstable/org.matrix.msc3916/media"] {
        routes = routes
            .raw(Method::GET, &format!("{root}/config"), Access::Required, config)
            .raw(Method::GET, &format!("{root}/download/{{server}}/{{id}}"), Access::Required, download)
            .raw(Method::GET, &format!("{root}/download/{{server}}/{{id}}/{{file_name}}"), Access::Required, download)
            .raw(Method::GET, &format!("{root}/thumbnail/{{server}}/{{id}}"), Access::Required, thumbnail);
    }
    routes
}

/// What `info_uri` of `M_USER_LIMIT_EXCEEDED` points to: the limits, for a person.
async fn limits(app: App, _: RawRequest) -> Answer {
    let media = &app.config.media;
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Limits</title><h1>Limits</h1>\
         <p>One file can have {}; all files of one person in any 24 hours can have {}.</p>\
         <p>Files can be sent again when earlier ones are older than 24 hours.</p></html>",
        media.size_max, media.upload_per_day
    );
    let mut response = Response::new(Body::from(page));
    insert(response.headers_mut(), header::CONTENT_TYPE, "text/html; charset=utf-8");
    insert(response.headers_mut(), header::CONTENT_SECURITY_POLICY, "default-src 'none'");
    Ok(response)
}

/// `GET /media/config`: what this user can upload now.
async fn config(app: App, request: RawRequest) -> Answer {
    let user_id = &request.requester()?.user_id;
    let size = app.read(|cx| media::room_left(cx, user_id))?;
    Ok(json_response(&json!({ "m.upload.size": size })))
}

/// `POST /media/create`
async fn create(app: App, request: RawRequest) -> Answer {
    let (user_id, media_id) = (&request.requester()?.user_id, app.entropy.id(MEDIA_ID_LENGTH));
    let lapses = app.run(|cx| media::reserve(cx, user_id, &media_id)).await?;
    Ok(json_response(&json!({ "content_uri": mxc(&app, &media_id), "unused_expires_at": lapses.as_ms() })))
}

/// `POST /media/upload`
async fn upload(app: App, request: StreamRequest) -> Answer {
    let media_id = app.entropy.id(MEDIA_ID_LENGTH);
    receive(&app, request, media_id.clone(), false).await?;
    Ok(json_response(&json!({ "content_uri": mxc(&app, &media_id) })))
}

/// `PUT /media/upload/{serverName}/{mediaId}`
async fn upload_reserved(app: App, request: StreamRequest) -> Answer {
    let (user_id, media_id) = (&request.requester()?.user_id, request.param("id").to_owned());
    let server = server_name(request.param("server"))?;
    app.read(|cx| media::check_reserved(cx, user_id, &server, &media_id))?;
    receive(&app, request, media_id, true).await?;
    Ok(crate::http::empty_response())
}

fn mxc(app: &App, media_id: &str) -> String {
    format!("mxc://{}/{media_id}", app.server.name)
}

fn server_name(text: &str) -> Result<OwnedServerName, ApiError> {
    ServerName::parse(text)
        .map_err(|_| ApiError::new(StatusCode::BAD_REQUEST, "M_INVALID_PARAM", "this is not a server name"))
}

#[derive(Deserialize)]
struct UploadQuery {
    filename: Option<String>,
}

/// Streams a body into the store, then makes it known.
async fn receive(app: &App, request: StreamRequest, media_id: String, reserved: bool) -> Result<(), ApiError> {
    let user_id = request.requester()?.user_id.clone();
    let UploadQuery { filename } = request.query()?;
    let content_type = request.parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(short);
    let told = request.parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    app.read(|cx| media::check_upload(cx, &user_id, told.unwrap_or(0)))?;

    let mut upload = app.media.begin(&user_id).await?;
    let mut body = request.body;
    loop {
        let frame = tokio::time::timeout(UPLOAD_PAUSE_MAX, body.frame()).await.map_err(|_| ApiError::too_slow())?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|_| ApiError::new(StatusCode::BAD_REQUEST, "M_UNKNOWN", "the upload was interrupted"))?;
        let Some(bytes) = frame.data_ref() else { continue };
        check_growth(app, &user_id, told, upload.size() + bytes.len() as u64)?;
        upload.write(bytes).await?;
    }
    let finished = upload.finish().await?;
    StreamRequest::authenticate_again(app, &request.parts).await?;
    let file = finished.file(content_type, filename.as_deref().map(short));
    let command = CompleteUpload { user_id, media_id, reserved, file, completed: finished.completed };
    app.run(|cx| media::complete_upload(cx, &command)).await?;
    finished.keep();
    Ok(())
}

/// An upload that did not say its size, or goes past it, is stopped as soon as it is too large.
fn check_growth(app: &App, user_id: &UserId, told: Option<u64>, size: u64) -> Result<(), ApiError> {
    if told.is_some_and(|told| size <= told) {
        return Ok(());
    }
    app.read(|cx| media::check_upload(cx, user_id, size))
}

/// A name or type as it is kept: of bounded length, without control characters.
fn short(text: &str) -> String {
    let mut kept: String = text.chars().filter(|c| !c.is_control()).collect();
    while kept.len() > FILE_NAME_BYTES_MAX {
        kept.pop();
    }
    kept
}

#[derive(Deserialize)]
struct DownloadQuery {
    timeout_ms: Option<u64>,
}

/// `GET /media/download/{serverName}/{mediaId}` and `…/{fileName}`
async fn download(app: App, request: RawRequest) -> Answer {
    let (file, expires) = stored(&app, &request).await?;
    let size = file.size;
    let range = byte_range(&request.parts.headers, size);
    let (status, range) = match range {
        Asked::Whole => (StatusCode::OK, 0..size),
        Asked::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Asked::Nothing => return Ok(range_not_satisfiable(size)),
    };
    let content_type = file.content_type.as_deref().unwrap_or("application/octet-stream");
    let named =
        Some(request.param("file_name")).filter(|name| !name.is_empty()).map(short).or_else(|| file.file_name.clone());
    let length = range.end - range.start;
    let content_range = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
    let mut bytes = app.media.read(&file, range, expires);
    // The first bytes come before the answer: that they cannot be had is told by its status.
    let first = bytes.try_next().await?;
    let bytes = stream::iter(first.map(Ok)).chain(bytes).inspect_err(|error| {
        tracing::warn!(%error, "a download was cut off");
    });
    let mut response = Response::new(Body::from_stream(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    describe(headers, &app, content_type, named, expires);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if status == StatusCode::PARTIAL_CONTENT {
        insert(headers, header::CONTENT_RANGE, &content_range);
    }
    Ok(response)
}

/// `GET /media/thumbnail/{serverName}/{mediaId}`
async fn thumbnail(app: App, request: RawRequest) -> Answer {
    #[derive(Deserialize)]
    struct Query {
        width: NonZeroU32,
        height: NonZeroU32,
        method: Option<String>,
    }
    let Query { width, height, method } = request.query()?;
    let fit = match method.as_deref() {
        Some("crop") => Fit::Crop,
        None | Some("scale") => Fit::Scale,
        Some(_) => return Err(invalid("the method of a thumbnail is crop or scale")),
    };
    let (file, expires) = stored(&app, &request).await?;
    let none = || ApiError::new(StatusCode::BAD_REQUEST, "M_UNKNOWN", "no thumbnail can be made of this file");
    if file.size > thumbnail::SOURCE_BYTES_MAX {
        return Err(none());
    }
    // One at a time on each processor: decoding takes memory and time.
    let _turn = app.thumbnails.acquire().await.map_err(ApiError::unavailable)?;
    let source: Vec<u8> = app
        .media
        .read(&file, 0..file.size, expires)
        .try_fold(Vec::new(), |mut all, bytes| async move {
            all.extend_from_slice(&bytes);
            Ok(all)
        })
        .await?;
    let made = tokio::task::spawn_blocking(move || thumbnail::make(&source, width, height, fit)).await;
    let made = made.map_err(ApiError::internal)?.map_err(|_| none())?;
    let mut response = Response::new(Body::from(made.bytes));
    describe(response.headers_mut(), &app, made.content_type, Some("thumbnail".to_owned()), expires);
    Ok(response)
}

/// The calls without access tokens: answered only when the operator allows it (spec v1.11: new files are not served by them).
async fn old_download(app: App, request: RawRequest) -> Answer {
    check_old(&app)?;
    download(app, request).await
}

async fn old_thumbnail(app: App, request: RawRequest) -> Answer {
    check_old(&app)?;
    thumbnail(app, request).await
}

fn check_old(app: &App) -> Result<(), ApiError> {
    if app.config.media.unauthenticated_downloads {
        return Ok(());
    }
    let message = "files are served with an access token only, under /_matrix/client/v1/media";
    Err(engine::Reject::not_found(message).into())
}

/// The file that a download is about; waits for one whose bytes have not come yet.
async fn stored(app: &App, request: &RawRequest) -> Result<(StoredFile, Timestamp), ApiError> {
    let DownloadQuery { timeout_ms } = request.query()?;
    let (server, media_id) = (server_name(request.param("server"))?, request.param("id"));
    let viewer = request.requester.as_ref().map(|requester| &*requester.user_id);
    let patience = timeout_ms.map_or(AWAIT_DEFAULT, Duration::from_millis).min(AWAIT_MAX);
    let until = app.clock.deadline(patience);
    let waiter = app.hub.register(app.read(|cx| Ok(media::topic(cx, media_id)))?);
    loop {
        match app.read(|cx| media::media(cx, viewer, &server, media_id))? {
            Media::File { file, expires } => return Ok((file, expires)),
            Media::Awaited => {}
        }
        if waiter.wait(until).await != Woken::Changed {
            return Err(engine::Reject::NotYetUploaded.into());
        }
    }
}

/// What every answer with a file's bytes says of them.
fn describe(headers: &mut HeaderMap, app: &App, content_type: &str, file_name: Option<String>, expires: Timestamp) {
    insert(headers, header::CONTENT_TYPE, content_type);
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let inline = INLINE_TYPES.contains(&essence.as_str());
    let disposition = if inline { ContentDispositionType::Inline } else { ContentDispositionType::Attachment };
    insert(headers, header::CONTENT_DISPOSITION, &ContentDisposition::new(disposition).with_filename(file_name).to_string());
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // A browser's cache must not outlive the file.
    let seconds = until_ms(app.clock.now(), expires) / 1_000;
    insert(headers, header::CACHE_CONTROL, &format!("private, max-age={seconds}"));
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    // A type or name that cannot stand in a header is left out: the bytes are what was asked for.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Which bytes are asked for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    Part(Range<u64>),
    Nothing,
}

/// The `Range` header (RFC 9110 § 14): one range; several, or another unit, count as none.
fn byte_range(headers: &HeaderMap, size: u64) -> Asked {
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok()?.strip_prefix("bytes="));
    let Some((first, last)) = asked.filter(|asked| !asked.contains(',')).and_then(|asked| asked.trim().split_once('-'))
    else {
        return Asked::Whole;
    };
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Err(_), Ok(suffix)) if first.is_empty() => size.saturating_sub(suffix)..size,
        _ => return Asked::Whole,
    };
    if range.start >= size || range.is_empty() { Asked::Nothing } else { Asked::Part(range) }
}

fn range_not_satisfiable(size: u64) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
    insert(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{size}"));
    response
}

impl From<store::StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Expired | StoreError::Store(object_store::Error::NotFound { .. }) => {
                engine::Reject::not_found("there is no such file (any more)").into()
            }
            StoreError::Seal(_) => Self::internal(error),
            error => Self::unavailable(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        let asked = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, HeaderValue::from_static(value));
            byte_range(&headers, 1_000)
        };
        assert_eq!(asked("bytes=0-99"), Asked::Part(0..100));
        assert_eq!(asked("bytes=900-"), Asked::Part(900..1_000));
        assert_eq!(asked("bytes=-100"), Asked::Part(900..1_000));
        assert_eq!(asked("bytes=-5000"), Asked::Part(0..1_000));
        assert_eq!(asked("bytes=990-2000"), Asked::Part(990..1_000));
        assert_eq!(asked("bytes=1000-"), Asked::Nothing);
        assert_eq!(asked("bytes=-0"), Asked::Nothing);
        assert_eq!(asked("bytes=0-1,5-6"), Asked::Whole);
        assert_eq!(asked("bytes=5-1"), Asked::Whole);
        assert_eq!(asked("lines=1-2"), Asked::Whole);
        assert_eq!(byte_range(&HeaderMap::new(), 1_000), Asked::Whole);
    }
}
