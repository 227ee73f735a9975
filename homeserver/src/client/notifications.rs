//! What has notified a user
//! ([spec v1.19](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3notifications)).

use engine::timeline;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{json, limit, token};
use crate::app::App;
use crate::http::{Access, Answer, RawRequest, Routes};

/// Notifications of a page, if the client doesn't say.
const PAGE_DEFAULT: usize = 20;
/// Notifications of a page at most.
const PAGE_MAX: usize = 250;

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes.raw(Method::GET, "/_matrix/client/v3/notifications", Access::Required, notifications).raw(
        Method::GET,
        "/_matrix/client/r0/notifications",
        Access::Required,
        notifications,
    )
}

async fn notifications(app: App, request: RawRequest) -> Answer {
    #[derive(Deserialize)]
    struct Query {
        from: Option<String>,
        limit: Option<u64>,
        only: Option<String>,
    }
    let query: Query = request.query()?;
    let (requester, from) = (request.requester()?, token(query.from.as_deref())?);
    let limit = limit(query.limit, PAGE_DEFAULT, PAGE_MAX).max(1);
    let only = query.only.as_deref() == Some("highlight");
    let page = app.read(|cx| timeline::notifications(cx, requester, from, limit, only))?;
    let notification = |found: timeline::Notification| {
        let highlight = found.highlight.then(|| json!({ "set_tweak": "highlight" }));
        let tweaks = found.tweaks.into_iter().map(|(tweak, value)| json!({ "set_tweak": tweak, "value": value }));
        let actions: Vec<Value> = std::iter::once(json!("notify")).chain(tweaks).chain(highlight).collect();
        json!({
            "actions": actions,
            "event": found.event,
            "read": found.read,
            "room_id": found.room_id,
            "ts": found.received,
        })
    };
    let notifications: Vec<Value> = page.notifications.into_iter().map(notification).collect();
    let mut body = json!({ "notifications": notifications });
    if let (Some(next), Some(body)) = (page.next, body.as_object_mut()) {
        body.insert("next_token".to_owned(), json!(next.encode()));
    }
    json(&body)
}
