//! What application services ask of the server beside the ordinary calls
//! ([spec v1.19, Application Service API § Pinging](https://spec.matrix.org/v1.19/application-service-api/#post_matrixclientv1appserviceappserviceidping)).

use http::StatusCode;
use ruma::api::client::appservice::request_ping;
use serde_json::json;

use crate::app::App;
use crate::http::{ApiError, Routes, Ruma};
use crate::workers::appservices::{Call, CallError};

/// How much of a service's unwelcome answer is passed on.
const BODY_CHARS_MAX: usize = 1_000;

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes.ruma(ping)
}

/// `POST /appservice/{appserviceId}/ping`: calls the service back and says how long it took.
async fn ping(app: App, request: Ruma<request_ping::v1::Request>) -> Result<request_ping::v1::Response, ApiError> {
    let asking = request.requester()?.appservice.as_deref();
    let id = request.body.appservice_id.as_str();
    if asking != Some(id) {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "M_FORBIDDEN", "an application service can ping itself only"));
    }
    let call = Call::to(&app, id).ok_or_else(|| {
        ApiError::new(StatusCode::BAD_REQUEST, "M_URL_NOT_SET", "the registration has no `url`: there is nothing to ping")
    })?;
    let body = request.body.transaction_id.as_ref().map_or_else(|| json!({}), |id| json!({ "transaction_id": id }));
    let stopwatch = app.clock.stopwatch();
    call.post("ping", &body).await.map_err(refusal)?;
    Ok(request_ping::v1::Response::new(stopwatch.elapsed()))
}

fn refusal(error: CallError) -> ApiError {
    match error {
        CallError::TimedOut => ApiError::new(
            StatusCode::GATEWAY_TIMEOUT,
            "M_CONNECTION_TIMEOUT",
            "the application service did not answer in time",
        ),
        CallError::Unreachable => ApiError::new(
            StatusCode::BAD_GATEWAY,
            "M_CONNECTION_FAILED",
            "the application service could not be reached at its `url`",
        ),
        CallError::Status { status, body } => {
            let body: String = body.chars().take(BODY_CHARS_MAX).collect();
            ApiError::new(StatusCode::BAD_GATEWAY, "M_BAD_STATUS", "the application service did not answer 200")
                .with("status", status)
                .with("body", body)
        }
    }
}
