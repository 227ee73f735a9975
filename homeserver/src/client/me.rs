//! What the widget has to know of the user it is for.

use engine::platform::{self, Role};
use http::Method;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::http::{Access, Answer, RawRequest, Routes, json_response};

/// What becomes of a support chat's text: the widget says so before the first message.
const SUPPORT_CONTENT: &str = "transcript-until-purge";

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes.raw(Method::GET, "/_vestibule/client/v1/me", Access::Required, me)
}

/// `GET /_vestibule/client/v1/me`
async fn me(app: App, request: RawRequest) -> Answer {
    let user_id = &request.requester()?.user_id;
    let me = app.read(|cx| Ok(platform::me(cx, user_id)?))?;
    let role = match me.role {
        Role::Host => "host",
        Role::Participant => "participant",
        Role::Plain => "plain",
    };
    let mut answer = Map::from_iter([
        ("user_id".to_owned(), Value::from(user_id.as_str())),
        ("display_name".to_owned(), me.display_name.unwrap_or_else(|| user_id.localpart().to_owned()).into()),
        ("role".to_owned(), role.into()),
        ("chat_enabled".to_owned(), me.chat_enabled.into()),
        ("retention_ms".to_owned(), app.server.retention_ms.into()),
        ("text_retention_ms".to_owned(), me.text_retention_ms.into()),
    ]);
    if let Some(inviter) = me.inviter {
        let display_name = inviter.display_name.unwrap_or_else(|| inviter.user_id.localpart().to_owned());
        answer.insert("inviter".to_owned(), json!({ "user_id": inviter.user_id, "display_name": display_name }));
    }
    if let Some(ends_at) = me.session_ends_at {
        answer.insert("session".to_owned(), json!({ "ends_at": ends_at.as_ms() }));
    }
    if let Some(support) = me.support {
        answer.insert("support".to_owned(), json!({ "user_id": support, "content": SUPPORT_CONTENT }));
    }
    Ok(json_response(&Value::Object(answer)))
}
