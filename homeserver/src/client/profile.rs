//! Profiles ([spec v1.19, § Profiles](https://spec.matrix.org/v1.19/client-server-api/#profiles), fields of MSC4133).

use engine::account::profile::{self, SetField};
use http::{Method, StatusCode};
use ruma::{OwnedUserId, UserId};
use serde_json::{Map, Value};

use crate::app::App;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes, empty_response, json_response};
use crate::workers::{appservices, names};

/// This family's calls. Not by ruma's types: they have no requester for reading, and provisioned users are not shown to all.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    let mut routes = routes;
    for root in ["/_matrix/client/r0", "/_matrix/client/v3", "/_matrix/client/unstable/uk.tcpip.msc4133"] {
        let field = format!("{root}/profile/{{user_id}}/{{field}}");
        routes = routes
            .raw(Method::GET, &format!("{root}/profile/{{user_id}}"), Access::Optional, get)
            .raw(Method::GET, &field, Access::Optional, get_field)
            .raw(Method::PUT, &field, Access::Required, put_field)
            .raw(Method::DELETE, &field, Access::Required, delete_field);
    }
    routes
}

fn user_id(request: &RawRequest) -> Result<OwnedUserId, ApiError> {
    let invalid = |_| ApiError::new(StatusCode::BAD_REQUEST, "M_INVALID_PARAM", "this is not a user id");
    UserId::parse(request.param("user_id")).map_err(invalid)
}

async fn read(app: &App, request: &RawRequest) -> Result<engine::tables::ProfileRow, ApiError> {
    let user_id = user_id(request)?;
    appservices::make_user_known(app, &user_id).await;
    let viewer = request.requester.as_ref().map(|requester| &*requester.user_id);
    app.read(|cx| profile::profile(cx, viewer, &user_id))
}

/// `GET /profile/{userId}`
async fn get(app: App, request: RawRequest) -> Answer {
    let fields: Map<String, Value> = profile::fields(&read(&app, &request).await?).into_iter().collect();
    Ok(json_response(&Value::Object(fields)))
}

/// `GET /profile/{userId}/{keyName}`
async fn get_field(app: App, request: RawRequest) -> Answer {
    let name = request.param("field");
    let value = profile::field(&read(&app, &request).await?, name);
    let value =
        value.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "M_NOT_FOUND", "this profile has no such field"))?;
    Ok(json_response(&Value::Object(Map::from_iter([(name.to_owned(), value)]))))
}

/// `PUT /profile/{userId}/{keyName}`
async fn put_field(app: App, request: RawRequest) -> Answer {
    let body: Map<String, Value> = request.json()?;
    let name = request.param("field").to_owned();
    let missing = || ApiError::new(StatusCode::BAD_REQUEST, "M_MISSING_PARAM", format!("`{name}` is missing"));
    let value = body.get(&name).cloned().ok_or_else(missing)?;
    set(&app, &request, name, Some(value)).await
}

/// `DELETE /profile/{userId}/{keyName}`
async fn delete_field(app: App, request: RawRequest) -> Answer {
    let name = request.param("field").to_owned();
    set(&app, &request, name, None).await
}

async fn set(app: &App, request: &RawRequest, field: String, value: Option<Value>) -> Answer {
    let user_id = user_id(request)?;
    if user_id != request.requester()?.user_id {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "M_FORBIDDEN", "you can change your own profile only"));
    }
    let command = SetField { user_id, field, value };
    app.run(|cx| profile::set_field(cx, &command)).await?;
    names::tell_rooms(app, &command.user_id).await?;
    Ok(empty_response())
}
