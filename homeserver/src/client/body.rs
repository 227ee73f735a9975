//! Bodies of calls that ruma's types do not cover, and what their arguments have in common.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::Serialize;

use engine::sync::{EventFilter, Token};

use crate::http::{ApiError, RawRequest};

/// A JSON response written straight from its data: events are copied as text, never parsed again.
///
/// # Errors
/// 500 when the data cannot be written, which is our bug.
pub(super) fn json(value: &impl Serialize) -> Result<Response, ApiError> {
    serde_json::to_vec(value).map(json_bytes).map_err(ApiError::internal)
}

/// A response of JSON text.
pub(super) fn json_bytes(bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The room of the path.
pub(super) fn room_id(request: &RawRequest) -> Result<OwnedRoomId, ApiError> {
    OwnedRoomId::try_from(request.param("room_id")).map_err(|_| invalid("the room id in the address is not one"))
}

/// The event of the path.
pub(super) fn event_id(request: &RawRequest) -> Result<OwnedEventId, ApiError> {
    OwnedEventId::try_from(request.param("event_id")).map_err(|_| invalid("the event id in the address is not one"))
}

/// The user of the path.
pub(super) fn user_id(request: &RawRequest) -> Result<OwnedUserId, ApiError> {
    OwnedUserId::try_from(request.param("user_id")).map_err(|_| invalid("the user id in the address is not one"))
}

/// A token of the query; an empty one counts as none.
pub(super) fn token(text: Option<&str>) -> Result<Option<Token>, ApiError> {
    text.filter(|text| !text.is_empty()).map(Token::decode).transpose().map_err(ApiError::from)
}

/// A filter of the query, as JSON text.
pub(super) fn event_filter(text: Option<&str>) -> Result<EventFilter, ApiError> {
    let Some(text) = text else { return Ok(EventFilter::default()) };
    serde_json::from_str(text).map_err(|_| invalid("the filter is not of the form of a RoomEventFilter"))
}

/// How many are asked for, within what one answer holds.
pub(super) fn limit(asked: Option<u64>, default: usize, max: usize) -> usize {
    asked.map_or(default, |asked| usize::try_from(asked).unwrap_or(max)).min(max)
}

/// 400 `M_INVALID_PARAM`
pub(super) fn invalid(message: &'static str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "M_INVALID_PARAM", message)
}
