//! Reports to the operator, who reads them with `vestibule reports list`
//! ([spec v1.19, § Reporting content](https://spec.matrix.org/v1.19/client-server-api/#reporting-content)).

use engine::Requester;
use engine::reports::{self, Report, Reported};
use ruma::api::client::reporting::report_user;
use ruma::api::client::room::{report_content, report_room};

use crate::app::App;
use crate::http::{ApiError, Routes, Ruma};

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes.ruma(event).ruma(room).ruma(user)
}

/// `POST /rooms/{roomId}/report/{eventId}`
async fn event(app: App, request: Ruma<report_content::v3::Request>) -> Result<report_content::v3::Response, ApiError> {
    let reporter = request.requester()?.clone();
    let report_content::v3::Request { room_id, event_id, reason, .. } = request.body;
    keep(&app, reporter, Reported::Event { room_id, event_id }, reason.unwrap_or_default()).await?;
    Ok(report_content::v3::Response::new())
}

/// `POST /rooms/{roomId}/report`
async fn room(app: App, request: Ruma<report_room::v3::Request>) -> Result<report_room::v3::Response, ApiError> {
    let reporter = request.requester()?.clone();
    keep(&app, reporter, Reported::Room { room_id: request.body.room_id }, request.body.reason).await?;
    Ok(report_room::v3::Response::new())
}

/// `POST /users/{userId}/report`
async fn user(app: App, request: Ruma<report_user::v3::Request>) -> Result<report_user::v3::Response, ApiError> {
    let reporter = request.requester()?.clone();
    keep(&app, reporter, Reported::User { user_id: request.body.user_id }, request.body.reason).await?;
    Ok(report_user::v3::Response::new())
}

async fn keep(app: &App, reporter: Requester, reported: Reported, reason: String) -> Result<(), ApiError> {
    let command = Report { reporter, reported, reason };
    app.run(|cx| reports::report(cx, &command)).await
}
