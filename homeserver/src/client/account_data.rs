//! Account data and tags ([spec v1.19, § Client config](https://spec.matrix.org/v1.19/client-server-api/#client-config)).

use engine::account::{self, NewAccountData};
use http::{Method, StatusCode};
use ruma::api::client::config::{
    get_global_account_data, get_room_account_data, set_global_account_data, set_room_account_data,
};
use ruma::api::client::tag::{create_tag, delete_tag};
use ruma::serde::Raw;
use ruma::{OwnedRoomId, OwnedUserId, UserId};
use serde_json::{json, value::RawValue};

use super::body::{room_id, user_id};
use crate::app::App;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes, Ruma, empty_response, json_response};

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    let mut routes = routes.ruma(get).ruma(put).ruma(get_in_room).ruma(put_in_room).ruma(put_tag).ruma(remove_tag);
    for path in
        ["/_matrix/client/r0/user/{user_id}/rooms/{room_id}/tags", "/_matrix/client/v3/user/{user_id}/rooms/{room_id}/tags"]
    {
        routes = routes.raw(Method::GET, path, Access::Required, tags);
    }
    for path in ["user/{user_id}/account_data/{type}", "user/{user_id}/rooms/{room_id}/account_data/{type}"] {
        let path = format!("/_matrix/client/unstable/org.matrix.msc3391/{path}");
        routes = routes.raw(Method::DELETE, &path, Access::Required, delete);
    }
    routes
}

/// Everybody's account data is their own.
pub fn check_own<T>(request: &Ruma<T>, user_id: &UserId) -> Result<(), ApiError> {
    check_is(&request.requester()?.user_id, user_id)
}

fn check_is(requester: &UserId, user_id: &UserId) -> Result<(), ApiError> {
    if requester == user_id {
        return Ok(());
    }
    Err(ApiError::new(StatusCode::FORBIDDEN, "M_FORBIDDEN", "this belongs to somebody else"))
}

fn check_writable(event_type: &str) -> Result<(), ApiError> {
    if account::is_server_controlled(event_type) {
        let message = "this type of account data is kept by the server: use its own calls";
        return Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "M_BAD_JSON", message));
    }
    Ok(())
}

/// `GET /user/{userId}/account_data/{type}`
async fn get(
    app: App,
    request: Ruma<get_global_account_data::v3::Request>,
) -> Result<get_global_account_data::v3::Response, ApiError> {
    check_own(&request, &request.body.user_id)?;
    let event_type = request.body.event_type.to_string();
    let content = app.read(|cx| account::account_data(cx, &request.body.user_id, &event_type))?;
    Ok(get_global_account_data::v3::Response::new(Raw::from_json(content)))
}

/// `PUT /user/{userId}/account_data/{type}`
async fn put(
    app: App,
    request: Ruma<set_global_account_data::v3::Request>,
) -> Result<set_global_account_data::v3::Response, ApiError> {
    check_own(&request, &request.body.user_id)?;
    let body = request.body;
    set(&app, body.user_id, None, body.event_type.to_string(), body.data.into_json()).await?;
    Ok(set_global_account_data::v3::Response::new())
}

/// `GET /user/{userId}/rooms/{roomId}/account_data/{type}`
async fn get_in_room(
    app: App,
    request: Ruma<get_room_account_data::v3::Request>,
) -> Result<get_room_account_data::v3::Response, ApiError> {
    check_own(&request, &request.body.user_id)?;
    let body = &request.body;
    let event_type = body.event_type.to_string();
    let content = app.read(|cx| account::room_account_data(cx, &body.user_id, &body.room_id, &event_type))?;
    Ok(get_room_account_data::v3::Response::new(Raw::from_json(content)))
}

/// `PUT /user/{userId}/rooms/{roomId}/account_data/{type}`
async fn put_in_room(
    app: App,
    request: Ruma<set_room_account_data::v3::Request>,
) -> Result<set_room_account_data::v3::Response, ApiError> {
    check_own(&request, &request.body.user_id)?;
    let body = request.body;
    set(&app, body.user_id, Some(body.room_id), body.event_type.to_string(), body.data.into_json()).await?;
    Ok(set_room_account_data::v3::Response::new())
}

async fn set(
    app: &App,
    user_id: OwnedUserId,
    room_id: Option<OwnedRoomId>,
    event_type: String,
    content: Box<RawValue>,
) -> Result<(), ApiError> {
    check_writable(&event_type)?;
    let command = NewAccountData { user_id, room_id, event_type, content };
    app.run(|cx| account::set_account_data(cx, &command)).await
}

/// `DELETE …/account_data/{type}`, for the account or for a room (MSC3391).
async fn delete(app: App, request: RawRequest) -> Answer {
    let user_id = user_id(&request)?;
    check_is(&request.requester()?.user_id, &user_id)?;
    let room_id = if request.param("room_id").is_empty() { None } else { Some(room_id(&request)?) };
    let event_type = request.param("type").to_owned();
    check_writable(&event_type)?;
    let command = account::deletion(&user_id, room_id.as_deref(), event_type);
    app.run(|cx| account::set_account_data(cx, &command)).await?;
    Ok(empty_response())
}

/// `GET /user/{userId}/rooms/{roomId}/tags`: as they were written, where ruma's type would drop what it doesn't know.
async fn tags(app: App, request: RawRequest) -> Answer {
    let (user_id, room_id) = (user_id(&request)?, room_id(&request)?);
    check_is(&request.requester()?.user_id, &user_id)?;
    let tags = app.read(|cx| account::tags(cx, &user_id, &room_id))?;
    Ok(json_response(&json!({ "tags": tags })))
}

/// `PUT /user/{userId}/rooms/{roomId}/tags/{tag}`
async fn put_tag(app: App, request: Ruma<create_tag::v3::Request>) -> Result<create_tag::v3::Response, ApiError> {
    check_own(&request, &request.body.user_id)?;
    let body = &request.body;
    let info = serde_json::to_value(&body.tag_info).map_err(ApiError::internal)?;
    app.run(|cx| account::put_tag(cx, &body.user_id, &body.room_id, &body.tag, &info)).await?;
    Ok(create_tag::v3::Response::new())
}

/// `DELETE /user/{userId}/rooms/{roomId}/tags/{tag}`
async fn remove_tag(app: App, request: Ruma<delete_tag::v3::Request>) -> Result<delete_tag::v3::Response, ApiError> {
    check_own(&request, &request.body.user_id)?;
    let body = &request.body;
    app.run(|cx| account::delete_tag(cx, &body.user_id, &body.room_id, &body.tag)).await?;
    Ok(delete_tag::v3::Response::new())
}
