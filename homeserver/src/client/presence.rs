//! Presence
//! ([spec v1.19, Client-Server API § Presence](https://spec.matrix.org/v1.19/client-server-api/#presence)).

use std::collections::BTreeSet;
use std::time::Duration;

use engine::{Reject, Requester, account, outbox, policy, room};
use http::{Method, StatusCode};
use journal::Topic;
use ruma::{OwnedUserId, UserId, presence::PresenceState};
use serde::Deserialize;

use super::body::{json, user_id};
use crate::app::App;
use crate::ephemeral::{CLOSED_AFTER, Presence, Watch};
use crate::http::{Access, Answer, ApiError, RawRequest, Routes, empty_response};
use crate::workers::webhooks;

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes
        .raw(Method::GET, "/_matrix/client/v3/presence/{user_id}/status", Access::Required, get_presence)
        .raw(Method::GET, "/_matrix/client/r0/presence/{user_id}/status", Access::Required, get_presence)
        .raw(Method::PUT, "/_matrix/client/v3/presence/{user_id}/status", Access::Required, set_presence)
        .raw(Method::PUT, "/_matrix/client/r0/presence/{user_id}/status", Access::Required, set_presence)
}

/// A status text is a sentence, not a document.
const STATUS_BYTES_MAX: usize = 1_024;

async fn get_presence(app: App, request: RawRequest) -> Answer {
    let (requester, user_id) = (request.requester()?, user_id(&request)?);
    let visible = app.read(|cx| {
        account::user(cx, &user_id)?;
        Ok(policy::may_see(cx, &requester.user_id, &user_id)?)
    })?;
    if !visible {
        return Err(Reject::not_found("there is no such user").into());
    }
    let offline = || Presence { state: PresenceState::Offline, status_msg: None, last_active: None };
    let presence = app.ephemeral.presence(&user_id).unwrap_or_else(offline);
    json(&presence.content(app.clock.now()))
}

async fn set_presence(app: App, request: RawRequest) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        presence: PresenceState,
        #[serde(default)]
        status_msg: Option<String>,
    }
    let (requester, user_id) = (request.requester()?, user_id(&request)?);
    if requester.user_id != user_id {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "M_FORBIDDEN", "you can set your own presence only"));
    }
    let body: Body = request.json()?;
    let known = matches!(body.presence, PresenceState::Online | PresenceState::Unavailable | PresenceState::Offline);
    if !known || body.status_msg.as_ref().is_some_and(|status| status.len() > STATUS_BYTES_MAX) {
        return Err(super::body::invalid(
            "presence is online, unavailable or offline, and a status text is 1,024 bytes at most",
        ));
    }
    if app.ephemeral.set_presence(&user_id, body.presence, body.status_msg, app.clock.now()) {
        tell(&app, &user_id)?;
    }
    Ok(empty_response())
}

/// What a `/sync` says that its user is.
///
/// # Errors
/// `M_INVALID_PARAM` for a word that is none of the three.
pub(super) fn asked_state(text: Option<&str>) -> Result<PresenceState, Reject> {
    match text {
        None | Some("online") => Ok(PresenceState::Online),
        Some("unavailable") => Ok(PresenceState::Unavailable),
        Some("offline") => Ok(PresenceState::Offline),
        Some(_) => Err(Reject::invalid_param("set_presence is online, unavailable or offline")),
    }
}

/// A user's `/sync` while it runs: they are there, and for some time after.
pub(super) struct Present {
    app: App,
    user_id: OwnedUserId,
    /// Else it is dropped because the connection was closed.
    answered: bool,
}

impl Present {
    /// The `/sync` begins.
    pub(super) fn begin(app: &App, requester: &Requester, state: PresenceState) -> Result<Self, ApiError> {
        let present = Self { app: app.clone(), user_id: requester.user_id.clone(), answered: false };
        if app.ephemeral.sync_began(&present.user_id, &state, app.clock.now()) {
            webhooks::note_presence(app, &present.user_id);
            tell(app, &present.user_id)?;
        }
        Ok(present)
    }

    /// There is an answer, and somebody who waits for it.
    pub(super) fn end(mut self) {
        self.answered = true;
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let app = &self.app;
        if app.ephemeral.sync_ended(&self.user_id, self.answered, app.clock.now()) && !app.tasks.is_ended() {
            app.tasks.spawn(watch(app.clone(), self.user_id.clone()));
        }
    }
}

/// Waits until a user who has stopped to sync is gone, and tells others.
async fn watch(app: App, user_id: OwnedUserId) {
    let mut after = CLOSED_AFTER;
    loop {
        tokio::select! {
            () = app.tasks.ended() => return,
            () = tokio::time::sleep_until(app.clock.deadline(after)) => {}
        }
        match app.ephemeral.watch_presence(&user_id, app.clock.now()) {
            Watch::Wait(ms) => after = Duration::from_millis(ms),
            Watch::Gone { news: true } => {
                webhooks::note_presence(&app, &user_id);
                // Whoever syncs next is told anyway: a failure to wake is no reason to do anything else.
                let _told: Result<(), ApiError> = tell(&app, &user_id);
                return;
            }
            Watch::Gone { news: false } | Watch::Back => return,
        }
    }
}

/// What wakes a user's requests: their own news, and their account's.
pub(super) fn topics(app: &App, user_id: &UserId) -> Result<Vec<Topic>, ApiError> {
    app.read(|cx| {
        let account = policy::chat_state(cx, user_id)?.map(|state| state.topic);
        Ok([Topic(cx.user(user_id))].into_iter().chain(account).collect())
    })
}

/// Wakes everybody who shares a room with the user, the user, and their application services.
fn tell(app: &App, user_id: &UserId) -> Result<(), ApiError> {
    let topics = app.read(|cx| {
        let mut told = BTreeSet::from([user_id.to_owned()]);
        for room_id in room::joined_rooms(cx, user_id)? {
            told.extend(room::joined_members(cx, &room_id)?.into_iter().map(|member| member.user_id));
        }
        let mut topics = outbox::presence_topics(cx, &told);
        topics.extend(told.iter().map(|user_id| Topic(cx.user(user_id))));
        Ok(topics)
    })?;
    app.hub.wake(&topics);
    Ok(())
}
