//! Stored filters ([spec v1.19, § Filtering](https://spec.matrix.org/v1.19/client-server-api/#filtering)).

use engine::account;
use engine::sync::Filter;
use http::{Method, StatusCode};
use ruma::UserId;
use ruma::api::client::filter::FilterDefinition;
use serde_json::{Value, json, value::RawValue};

use crate::app::App;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes, json_response};

/// This family's calls. Filters are kept as they were sent, with what ruma's type doesn't know.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    let mut routes = routes;
    for root in ["/_matrix/client/r0", "/_matrix/client/v3"] {
        routes = routes.raw(Method::POST, &format!("{root}/user/{{user_id}}/filter"), Access::Required, create).raw(
            Method::GET,
            &format!("{root}/user/{{user_id}}/filter/{{filter_id}}"),
            Access::Required,
            get,
        );
    }
    routes
}

fn check_own(request: &RawRequest) -> Result<&UserId, ApiError> {
    let user_id = &*request.requester()?.user_id;
    if user_id.as_str() == request.param("user_id") {
        return Ok(user_id);
    }
    Err(ApiError::new(StatusCode::FORBIDDEN, "M_FORBIDDEN", "filters belong to whoever made them"))
}

/// `POST /user/{userId}/filter`
async fn create(app: App, request: RawRequest) -> Answer {
    let user_id = check_own(&request)?;
    request.json::<FilterDefinition>()?;
    // What ruma takes for words to come would be refused by every sync.
    request.json::<Filter>()?;
    let filter: Box<RawValue> = request.json()?;
    let filter_id = app.run(|cx| account::put_filter(cx, user_id, &filter)).await?;
    Ok(json_response(&json!({ "filter_id": filter_id })))
}

/// `GET /user/{userId}/filter/{filterId}`
async fn get(app: App, request: RawRequest) -> Answer {
    let user_id = check_own(&request)?;
    let filter = app.read(|cx| account::filter(cx, user_id, request.param("filter_id")))?;
    let filter: Value = serde_json::from_str(filter.get()).map_err(ApiError::internal)?;
    Ok(json_response(&filter))
}
