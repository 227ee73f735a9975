//! Typing notifications
//! ([spec v1.19](https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidtypinguserid)).

use std::time::Duration;

use engine::{outbox, policy, room};
use http::{Method, StatusCode};
use journal::Topic;
use ruma::{RoomId, UserId, events::room::member::MembershipState};
use serde::Deserialize;

use super::body::{room_id, user_id};
use crate::app::App;
use crate::ephemeral::TYPING_MAX;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes, empty_response};

/// How long a user types who does not say how long.
const TYPING_DEFAULT: Duration = Duration::from_secs(30);

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes.raw(Method::PUT, "/_matrix/client/v3/rooms/{room_id}/typing/{user_id}", Access::Required, set_typing).raw(
        Method::PUT,
        "/_matrix/client/r0/rooms/{room_id}/typing/{user_id}",
        Access::Required,
        set_typing,
    )
}

async fn set_typing(app: App, request: RawRequest) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        typing: bool,
        #[serde(default)]
        timeout: Option<u64>,
    }
    let (requester, room_id, user_id) = (request.requester()?, room_id(&request)?, user_id(&request)?);
    let forbidden = |message: &'static str| ApiError::new(StatusCode::FORBIDDEN, "M_FORBIDDEN", message);
    if requester.user_id != user_id {
        return Err(forbidden("you can say only of yourself that you type"));
    }
    let membership = app.read(|cx| Ok(room::membership_of(cx, &room_id, &user_id)?))?;
    if membership != Some(MembershipState::Join) {
        return Err(forbidden("you are not in this room"));
    }
    app.read(|cx| policy::may_send(cx, &user_id, &room_id))?;
    let body: Body = request.json()?;
    let length = body.timeout.map_or(TYPING_DEFAULT, Duration::from_millis).min(TYPING_MAX);
    let until = app.clock.now().plus_ms(u64::try_from(length.as_millis()).unwrap_or(u64::MAX));
    if app.ephemeral.set_typing(&room_id, &user_id, body.typing.then_some(until)) {
        tell(&app, &room_id)?;
    }
    if body.typing {
        expire_after(&app, &room_id, &user_id, length);
    }
    Ok(empty_response())
}

/// Takes the user for stopped after `length`, unless they say again that they type.
fn expire_after(app: &App, room_id: &RoomId, user_id: &UserId, length: Duration) {
    let (task_app, room_id, user_id) = (app.clone(), room_id.to_owned(), user_id.to_owned());
    let until = app.clock.deadline(length);
    app.tasks.spawn(async move {
        let app = task_app;
        tokio::select! {
            () = app.tasks.ended() => return,
            () = tokio::time::sleep_until(until) => {}
        }
        if app.ephemeral.expire_typing(&room_id, &user_id, app.clock.now()) {
            // Whoever syncs next is told anyway.
            let _told: Result<(), ApiError> = tell(&app, &room_id);
        }
    });
}

fn tell(app: &App, room_id: &RoomId) -> Result<(), ApiError> {
    let topics: Vec<Topic> = app.read(|cx| {
        let members = room::joined_members(cx, room_id)?;
        let mut topics = outbox::typing_topics(cx, room_id, &members);
        topics.extend(members.iter().map(|member| Topic(cx.user(&member.user_id))));
        Ok(topics)
    })?;
    app.hub.wake(&topics);
    Ok(())
}
