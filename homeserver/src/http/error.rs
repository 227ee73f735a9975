//! From errors to responses: the only place that knows status codes
//! ([spec v1.19, Client-Server API § Standard error response](https://spec.matrix.org/v1.19/client-server-api/#standard-error-response)).

use std::borrow::Cow;

use axum::body::Body;
use axum::response::Response;
use engine::{Reject, Stop};
use http::{HeaderValue, StatusCode, header};
use journal::{ReadError, Timestamp, Unavailable};
use ruma::api::error::{DeserializationError, FromHttpRequestError};
use serde_json::{Map, Value, json};

/// How long a client should wait when the server cannot write at the moment.
const UNAVAILABLE_RETRY_SECONDS: u64 = 1;

/// An error on its way out.
#[derive(Debug)]
pub struct ApiError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    errcode: &'static str,
    message: Cow<'static, str>,
    /// Further members of the body.
    members: Map<String, Value>,
    retry_after_seconds: Option<u64>,
    /// What went wrong on our side: for the log, never for the caller.
    cause: Option<String>,
}

impl ApiError {
    /// A Matrix error: status, code, and a sentence for a person.
    pub fn new(status: StatusCode, errcode: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            status,
            errcode,
            message: message.into(),
            members: Map::new(),
            retry_after_seconds: None,
            cause: None,
        }))
    }

    /// A 401 whose body is not an error but the stages of user-interactive authentication (spec § User-interactive API).
    #[must_use]
    pub fn interactive_auth(stages: Map<String, Value>) -> Self {
        let mut error = Self::new(StatusCode::UNAUTHORIZED, "", "");
        error.0.members = stages;
        error
    }

    /// With another member in the body.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    /// With a `Retry-After` header.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after_seconds = Some(seconds);
        self
    }

    /// For a command's answer: what is wrong, in a sentence for the operator.
    #[must_use]
    pub fn operator(sentence: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_UNKNOWN", sentence)
    }

    /// Our own fault: logged with its cause, told without.
    pub fn internal(cause: impl ToString) -> Self {
        let mut error = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "M_UNKNOWN", "something went wrong on the server");
        error.0.cause = Some(cause.to_string());
        error
    }

    /// The server cannot do it now; the same request may succeed later.
    pub fn unavailable(cause: impl ToString) -> Self {
        let message = "the server cannot do this at the moment; try again in a second";
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "M_UNKNOWN", message);
        error.0.retry_after_seconds = Some(UNAVAILABLE_RETRY_SECONDS);
        error.0.cause = Some(cause.to_string());
        error
    }

    /// No access token (401).
    #[must_use]
    pub fn missing_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN", "this call needs an access token; log in first")
    }

    /// No such path (404).
    #[must_use]
    pub fn unrecognized_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "M_UNRECOGNIZED", "this server has no such call")
    }

    /// The path exists, the method doesn't (405).
    #[must_use]
    pub fn unrecognized_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "M_UNRECOGNIZED", "this call has no such method")
    }

    /// The body is not JSON (400).
    #[must_use]
    pub fn not_json() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "M_NOT_JSON", "the request body is not JSON")
    }

    /// The body is too large (413).
    #[must_use]
    pub fn too_large(bytes_max: u64) -> Self {
        let message = format!("the request body is larger than the {bytes_max} bytes that this call takes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "M_TOO_LARGE", message)
    }

    /// The body came too slowly (408).
    #[must_use]
    pub fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "M_UNKNOWN", "the request body did not arrive in time; try again")
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The error code; empty for the stages of user-interactive authentication.
    #[must_use]
    pub fn errcode(&self) -> &'static str {
        self.0.errcode
    }

    /// The sentence for a person; on our own fault with its cause, for the operator at a terminal.
    #[must_use]
    pub fn sentence(&self) -> String {
        match &self.0.cause {
            Some(cause) => format!("{}: {cause}", self.0.message),
            None => self.0.message.clone().into_owned(),
        }
    }

    /// What went wrong on our side, for the log.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// As Matrix has it: `errcode`, `error`, and what belongs to the code.
    #[must_use]
    pub fn into_response(self) -> Response {
        let Inner { status, errcode, message, mut members, retry_after_seconds, .. } = *self.0;
        if !errcode.is_empty() {
            members.insert("errcode".to_owned(), errcode.into());
            members.insert("error".to_owned(), message.into());
        }
        respond(status, "application/json", &Value::Object(members), retry_after_seconds)
    }

    /// As RFC 9457 has it, for the platform API.
    #[must_use]
    pub fn into_problem(self) -> Response {
        let Inner { status, errcode, message, mut members, retry_after_seconds, .. } = *self.0;
        members.insert("type".to_owned(), "about:blank".into());
        members.insert("title".to_owned(), status.canonical_reason().unwrap_or("Error").into());
        members.insert("status".to_owned(), status.as_u16().into());
        members.insert("detail".to_owned(), message.into());
        members.insert("code".to_owned(), errcode.into());
        respond(status, "application/problem+json", &Value::Object(members), retry_after_seconds)
    }
}

fn respond(status: StatusCode, content_type: &'static str, body: &Value, retry_after_seconds: Option<u64>) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(seconds) = retry_after_seconds {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The one table from rejects to statuses and codes.
impl From<Reject> for ApiError {
    fn from(reject: Reject) -> Self {
        use StatusCode as S;
        let (status, errcode) = match &reject {
            Reject::Forbidden(_) => (S::FORBIDDEN, "M_FORBIDDEN"),
            Reject::NotFound(_) => (S::NOT_FOUND, "M_NOT_FOUND"),
            Reject::BadJson(_) => (S::BAD_REQUEST, "M_BAD_JSON"),
            Reject::InvalidParam(_) => (S::BAD_REQUEST, "M_INVALID_PARAM"),
            Reject::MissingParam(_) => (S::BAD_REQUEST, "M_MISSING_PARAM"),
            Reject::Unknown(_) | Reject::MaxDelayExceeded { .. } | Reject::MaxDelayedEventsExceeded => {
                (S::BAD_REQUEST, "M_UNKNOWN")
            }
            Reject::InvalidSignature(_) => (S::BAD_REQUEST, "M_INVALID_SIGNATURE"),
            Reject::UnknownDevice => (S::BAD_REQUEST, "M_UNKNOWN_DEVICE"),
            Reject::UnknownToken { .. } => (S::UNAUTHORIZED, "M_UNKNOWN_TOKEN"),
            Reject::UserInUse => (S::BAD_REQUEST, "M_USER_IN_USE"),
            Reject::InvalidUsername(_) => (S::BAD_REQUEST, "M_INVALID_USERNAME"),
            Reject::Exclusive(_) => (S::BAD_REQUEST, "M_EXCLUSIVE"),
            Reject::UserDeactivated => (S::FORBIDDEN, "M_USER_DEACTIVATED"),
            Reject::UserLocked => (S::UNAUTHORIZED, "M_USER_LOCKED"),
            Reject::UserSuspended => (S::FORBIDDEN, "M_USER_SUSPENDED"),
            Reject::RoomInUse(_) => (S::BAD_REQUEST, "M_ROOM_IN_USE"),
            Reject::InvalidRoomState(_) => (S::BAD_REQUEST, "M_INVALID_ROOM_STATE"),
            Reject::BadState(_) => (S::FORBIDDEN, "M_BAD_STATE"),
            Reject::BadAlias(_) => (S::BAD_REQUEST, "M_BAD_ALIAS"),
            Reject::UnsupportedRoomVersion(_) => (S::BAD_REQUEST, "M_UNSUPPORTED_ROOM_VERSION"),
            Reject::IncompatibleRoomVersion { .. } => (S::BAD_REQUEST, "M_INCOMPATIBLE_ROOM_VERSION"),
            Reject::DuplicateAnnotation => (S::BAD_REQUEST, "M_DUPLICATE_ANNOTATION"),
            Reject::TooLarge(_) => (S::PAYLOAD_TOO_LARGE, "M_TOO_LARGE"),
            Reject::UserLimitExceeded { .. } => (S::FORBIDDEN, "M_USER_LIMIT_EXCEEDED"),
            Reject::LimitExceeded { .. } => (S::TOO_MANY_REQUESTS, "M_LIMIT_EXCEEDED"),
            Reject::InviteBlocked(_) => (S::FORBIDDEN, "M_INVITE_BLOCKED"),
            Reject::WrongRoomKeysVersion { .. } => (S::FORBIDDEN, "M_WRONG_ROOM_KEYS_VERSION"),
            Reject::Conflict(_) => (S::CONFLICT, "ORG.VESTIBULE.CONFLICT"),
            Reject::Unrecognized(_) => (S::NOT_FOUND, "M_UNRECOGNIZED"),
            Reject::AliasTaken => (S::CONFLICT, "M_UNKNOWN"),
            Reject::CannotOverwriteMedia => (S::CONFLICT, "M_CANNOT_OVERWRITE_MEDIA"),
            Reject::NotYetUploaded => (S::GATEWAY_TIMEOUT, "M_NOT_YET_UPLOADED"),
            Reject::CannotLeaveServerNoticeRoom(_) => (S::FORBIDDEN, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM"),
            Reject::ThreepidDenied(_) => (S::FORBIDDEN, "M_THREEPID_DENIED"),
            Reject::UnknownPos => (S::BAD_REQUEST, "M_UNKNOWN_POS"),
        };
        let error = Self::new(status, errcode, reject.to_string());
        match reject {
            Reject::UnknownToken { soft_logout } => error.with("soft_logout", soft_logout),
            // The client keeps its keys for the day that the account is unlocked.
            Reject::UserLocked => error.with("soft_logout", true),
            Reject::IncompatibleRoomVersion { room_version } => error.with("room_version", room_version),
            Reject::UserLimitExceeded { resets_at, .. } => error
                .with("info_uri", LIMITS_PAGE)
                .with("can_upgrade", false)
                .with("org.vestibule.resets_at", resets_at.as_ms()),
            Reject::LimitExceeded { retry_after_ms } => {
                error.with("retry_after_ms", retry_after_ms).retry_after(retry_after_ms.div_ceil(1_000))
            }
            Reject::WrongRoomKeysVersion { current_version } => error.with("current_version", current_version),
            // Clients know these codes by the proposal's own members.
            Reject::MaxDelayExceeded { max_delay_ms } => error
                .with("org.matrix.msc4140.errcode", "M_MAX_DELAY_EXCEEDED")
                .with("org.matrix.msc4140.max_delay", max_delay_ms),
            Reject::MaxDelayedEventsExceeded => error.with("org.matrix.msc4140.errcode", "M_MAX_DELAYED_EVENTS_EXCEEDED"),
            _ => error,
        }
    }
}

/// The page behind `info_uri`; [`ApiError::absolute`] puts the server's address before it.
pub const LIMITS_PAGE: &str = "/_vestibule/limits";

impl ApiError {
    /// Makes `info_uri` absolute.
    #[must_use]
    pub fn absolute(mut self, base_url: &str) -> Self {
        if let Some(Value::String(uri)) = self.0.members.get_mut("info_uri")
            && uri.starts_with('/')
        {
            uri.insert_str(0, base_url.trim_end_matches('/'));
        }
        self
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        Self::internal(error)
    }
}

impl From<Stop> for ApiError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Reject(reject) => reject.into(),
            Stop::Read(error) => error.into(),
        }
    }
}

impl From<Unavailable> for ApiError {
    fn from(error: Unavailable) -> Self {
        match error {
            Unavailable::TooLarge(error) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "M_TOO_LARGE", error.to_string()),
            Unavailable::Busy | Unavailable::Store(_) => Self::unavailable(error),
        }
    }
}

/// A request that ruma's type for it could not be made from.
impl From<FromHttpRequestError> for ApiError {
    fn from(error: FromHttpRequestError) -> Self {
        let FromHttpRequestError::Deserialization(error) = error else { return Self::unrecognized_method() };
        let (errcode, what) = match error {
            DeserializationError::Json(error) => {
                use serde_json::error::Category;
                match error.classify() {
                    Category::Syntax | Category::Eof | Category::Io => return Self::not_json(),
                    Category::Data => {
                        ("M_BAD_JSON", format!("the request body is not of this call's form: {}", form_of(&error)))
                    }
                }
            }
            DeserializationError::Utf8(_) => return Self::not_json(),
            DeserializationError::Query(_) => {
                ("M_INVALID_PARAM", "a parameter in the address is missing or not of its form".to_owned())
            }
            DeserializationError::Header(_) => {
                ("M_MISSING_PARAM", "a header that this call needs is missing or not of its form".to_owned())
            }
            _ => ("M_INVALID_PARAM", "an identifier is not of its form".to_owned()),
        };
        Self::new(StatusCode::BAD_REQUEST, errcode, what)
    }
}

/// What serde says of a body, without the values in it: they may be content or secrets.
fn form_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let named = ["missing field `", "unknown variant `", "duplicate field `"].iter().any(|start| text.starts_with(start));
    if named && text.len() < 200 && !text.starts_with("unknown variant") {
        text
    } else {
        format!("line {} column {}", error.line(), error.column())
    }
}

/// Milliseconds from `now` to `moment`, for `Retry-After` and the like.
#[must_use]
pub fn until_ms(now: Timestamp, moment: Timestamp) -> u64 {
    moment.as_ms().saturating_sub(now.as_ms())
}

/// A JSON response.
#[must_use]
pub fn json_response(value: &Value) -> Response {
    respond(StatusCode::OK, "application/json", value, None)
}

/// `{}`.
#[must_use]
pub fn empty_response() -> Response {
    json_response(&json!({}))
}
