//! Calls to the homeserver, as a user and a device of the application service.

use std::{borrow::Cow, sync::Arc, time::Duration};

use http::{StatusCode, header::RETRY_AFTER};
use reqwest::Url;
use ruma::{
    OwnedDeviceId, OwnedUserId,
    api::{
        IncomingResponseExt as _, OutgoingRequest, OutgoingRequestExt as _, SupportedVersions,
        auth_scheme::{AuthScheme, SendAccessToken},
        error::{FromHttpResponseError, IntoHttpError},
        path_builder::{PathBuilder, SinglePath, VersionHistory},
    },
};

use crate::Token;

/// How often a call is tried before it is given up. With [`BACKOFF_FIRST`] doubling up to [`BACKOFF_MAX`] that is about
/// half a minute: longer than a homeserver takes to restart, short enough for the caller to go on with other work.
const ATTEMPTS_MAX: u32 = 10;
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// The longest wait a homeserver may ask for before the caller is told instead.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
/// One attempt. Generous, since key claims may wait for a busy server.
const TIMEOUT: Duration = Duration::from_secs(30);

/// As whom a call is made.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// One of the application service's users; without one, the sender of the registration.
    pub user_id: Option<OwnedUserId>,
    /// One of that user's devices (MSC4326).
    pub device_id: Option<OwnedDeviceId>,
}

/// Why a call failed for good.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The homeserver answered that it won't. Coming again with the same call brings the same answer.
    #[error("the homeserver refused: {status} {errcode}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// The Matrix error code, or empty.
        errcode: String,
    },
    /// No answer, or none but "not now", in all attempts.
    #[error("the homeserver can't be reached: {0}")]
    Unreachable(String),
    /// The request can't be written, or the answer isn't the specified one.
    #[error("the call doesn't fit the API: {0}")]
    Protocol(String),
}

impl CallError {
    /// The Matrix error code of a refusal.
    #[must_use]
    pub fn errcode(&self) -> Option<&str> {
        match self {
            Self::Refused { errcode, .. } => Some(errcode),
            Self::Unreachable(_) | Self::Protocol(_) => None,
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}

/// A path builder whose input this client can give: one fixed path, or one for each version of the specification.
pub trait KnownPath: PathBuilder {
    /// The input for [`PathBuilder::select_path`].
    fn input(versions: &SupportedVersions) -> Self::Input<'_>;
}

impl KnownPath for VersionHistory {
    fn input(versions: &SupportedVersions) -> Cow<'_, SupportedVersions> {
        Cow::Borrowed(versions)
    }
}

impl KnownPath for SinglePath {
    fn input(_: &SupportedVersions) {}
}

/// A homeserver, and the token to call it with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Homeserver {
    shared: Arc<Shared>,
    identity: Identity,
}

#[derive(Debug)]
struct Shared {
    base_url: String,
    as_token: Token,
    http: reqwest::Client,
    versions: SupportedVersions,
}

impl Homeserver {
    /// A client for the homeserver at `base_url` (scheme, host and port).
    ///
    /// `versions` says which paths to use; [`ruma::api::client::discovery::get_supported_versions`] finds it out, or name
    /// the oldest version the application service needs.
    ///
    /// # Errors
    /// When no HTTP client can be built (no TLS provider installed, for one).
    pub fn new(base_url: &str, as_token: Token, versions: SupportedVersions) -> Result<Self, CallError> {
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| CallError::Protocol(error.to_string()))?;
        let shared = Shared { base_url: base_url.trim_end_matches('/').to_owned(), as_token, http, versions };
        Ok(Self { shared: Arc::new(shared), identity: Identity::default() })
    }

    /// The same homeserver, called as somebody else.
    #[must_use]
    pub fn acting_as(&self, identity: Identity) -> Self {
        Self { shared: Arc::clone(&self.shared), identity }
    }

    /// Makes one call, tried again with growing pauses while the homeserver can't be reached, is overloaded (429, which
    /// may say how long to wait) or broken (5xx).
    ///
    /// Only calls that may be repeated should be made: those with a transaction id, and those that set something.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn send<R>(&self, request: R) -> Result<R::IncomingResponse, CallError>
    where
        R: OutgoingRequest,
        R::PathBuilder: KnownPath,
        for<'a> R::Authentication: AuthScheme<Input<'a> = SendAccessToken<'a>>,
    {
        let request = self.prepare(request)?;
        let mut backoff = BACKOFF_FIRST;
        let mut attempt = 1;
        loop {
            let (reason, wait) = match self.attempt(&request).await {
                Attempt::Answer(response) => return read::<R>(response),
                Attempt::Later { reason, wait } => (reason, wait),
            };
            if attempt == ATTEMPTS_MAX || wait.is_some_and(|wait| wait > RETRY_AFTER_MAX) {
                return Err(CallError::Unreachable(reason));
            }
            tracing::debug!(attempt, reason, "homeserver call is tried again");
            tokio::time::sleep(wait.unwrap_or(backoff)).await;
            backoff = BACKOFF_MAX.min(backoff * 2);
            attempt += 1;
        }
    }

    fn prepare<R>(&self, request: R) -> Result<Prepared, CallError>
    where
        R: OutgoingRequest,
        R::PathBuilder: KnownPath,
        for<'a> R::Authentication: AuthScheme<Input<'a> = SendAccessToken<'a>>,
    {
        let shared = &self.shared;
        let request = request
            .try_into_http_request::<Vec<u8>>(
                &shared.base_url,
                SendAccessToken::Always(shared.as_token.reveal()),
                <R::PathBuilder as KnownPath>::input(&shared.versions),
            )
            .map_err(|error: IntoHttpError| CallError::Protocol(error.to_string()))?;
        let (parts, body) = request.into_parts();
        let url = self.url(&parts.uri)?;
        Ok(Prepared { method: parts.method, url, headers: parts.headers, body: body.into() })
    }

    /// The URL of a call with the identity in its query: `device_id` under its stable name and the one it had before
    /// (MSC4326, MSC3202), since homeservers know the one or the other.
    fn url(&self, uri: &http::Uri) -> Result<Url, CallError> {
        let mut url = Url::parse(&uri.to_string()).map_err(|error| CallError::Protocol(error.to_string()))?;
        if let Some(user_id) = &self.identity.user_id {
            url.query_pairs_mut().append_pair("user_id", user_id.as_str());
        }
        if let Some(device_id) = &self.identity.device_id {
            url.query_pairs_mut()
                .append_pair("device_id", device_id.as_str())
                .append_pair("org.matrix.msc3202.device_id", device_id.as_str());
        }
        Ok(url)
    }

    async fn attempt(&self, request: &Prepared) -> Attempt {
        let sent = self
            .shared
            .http
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone())
            .body(request.body.clone())
            .send()
            .await;
        let response = match sent {
            Ok(response) => response,
            // Without the URL: it may name rooms and users.
            Err(error) => return Attempt::Later { reason: error.without_url().to_string(), wait: None },
        };
        let status = response.status();
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let headers = response.headers().clone();
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(error) => return Attempt::Later { reason: error.without_url().to_string(), wait: None },
        };
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            let wait = wait.map(Duration::from_secs).or_else(|| retry_after_ms(&body));
            return Attempt::Later { reason: status.to_string(), wait };
        }
        let mut answer = http::Response::new(body.to_vec());
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        Attempt::Answer(answer)
    }
}

/// A call ready to be sent any number of times.
struct Prepared {
    method: http::Method,
    url: Url,
    headers: http::HeaderMap,
    body: bytes::Bytes,
}

enum Attempt {
    Answer(http::Response<Vec<u8>>),
    Later { reason: String, wait: Option<Duration> },
}

/// The wait in the body of an `M_LIMIT_EXCEEDED`, which servers sent before there was a header.
fn retry_after_ms(body: &[u8]) -> Option<Duration> {
    #[derive(serde::Deserialize)]
    struct Limited {
        retry_after_ms: u64,
    }
    serde_json::from_slice::<Limited>(body).ok().map(|limited| Duration::from_millis(limited.retry_after_ms))
}

fn read<R: OutgoingRequest>(response: http::Response<Vec<u8>>) -> Result<R::IncomingResponse, CallError> {
    #[derive(serde::Deserialize)]
    struct Refusal {
        errcode: String,
    }
    let status = response.status();
    if !status.is_success() {
        let errcode = serde_json::from_slice::<Refusal>(response.body()).map_or_else(|_| String::new(), |r| r.errcode);
        return Err(CallError::Refused { status, errcode });
    }
    let (parts, body) = response.into_parts();
    let response = http::Response::from_parts(parts, body.as_slice());
    R::IncomingResponse::try_from_http_response(response).map_err(|error: FromHttpResponseError<_>| {
        // The parser's text may quote the answer; where it stopped is enough.
        CallError::Protocol(match error {
            FromHttpResponseError::Server(_) => "the answer is an error".to_owned(),
            _ => format!("the answer to a {status} is not the specified one"),
        })
    })
}

#[cfg(test)]
#[path = "client/tests.rs"]
mod tests;
