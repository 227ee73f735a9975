//! `GET /sync`, with real long polling
//! ([spec v1.19, Client-Server API § Syncing](https://spec.matrix.org/v1.19/client-server-api/#syncing)).

use std::time::Duration;

use engine::sync::{self, Filter, SyncRequest, Token, v3};
use engine::{Requester, account};
use http::Method;
use serde::Deserialize;

use super::body::{invalid, json_bytes, token};
use super::presence::{self, Present};
use crate::app::App;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes};
use crate::hub::Woken;

/// The longest a request waits, whatever it asks for: proxies in between give up sooner or later.
const TIMEOUT_MAX: Duration = Duration::from_mins(2);

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes.raw(Method::GET, "/_matrix/client/v3/sync", Access::Required, get_sync).raw(
        Method::GET,
        "/_matrix/client/r0/sync",
        Access::Required,
        get_sync,
    )
}

#[derive(Deserialize)]
struct Query {
    filter: Option<String>,
    since: Option<String>,
    #[serde(default)]
    full_state: bool,
    set_presence: Option<String>,
    timeout: Option<u64>,
    #[serde(default)]
    use_state_after: bool,
    #[serde(default, rename = "org.matrix.msc4222.use_state_after")]
    unstable_use_state_after: bool,
}

/// What a waiting request keeps.
struct Sync {
    requester: Requester,
    since: Option<Token>,
    filter: Option<Box<Filter>>,
    full_state: bool,
    form: v3::Form,
}

async fn get_sync(app: App, request: RawRequest) -> Answer {
    let query: Query = request.query()?;
    let requester = request.requester()?.clone();
    // Nothing of the request is needed while it waits.
    drop(request);
    let state = presence::asked_state(query.set_presence.as_deref())?;
    let sync = Sync::new(&app, requester, &query)?;
    let timeout = Duration::from_millis(query.timeout.unwrap_or(0)).min(TIMEOUT_MAX);
    drop(query);
    let present = Present::begin(&app, &sync.requester, state)?;
    sync.acknowledge(&app).await?;
    let answer = sync.wait(&app, timeout).await;
    present.end();
    answer.map(json_bytes)
}

impl Sync {
    fn new(app: &App, requester: Requester, query: &Query) -> Result<Self, ApiError> {
        let filter = filter(app, &requester, query.filter.as_deref())?;
        let state = match (query.use_state_after, query.unstable_use_state_after) {
            (true, _) => v3::StateKey::After,
            (false, true) => v3::StateKey::UnstableAfter,
            (false, false) => v3::StateKey::Before,
        };
        let threads = filter.as_ref().is_some_and(|filter| filter.room.timeline.unread_thread_notifications);
        let since = token(query.since.as_deref())?;
        Ok(Self { requester, since, filter, full_state: query.full_state, form: v3::Form { state, threads } })
    }

    /// The token shows what the device has: messages to it that came before are deleted (D8).
    async fn acknowledge(&self, app: &App) -> Result<(), ApiError> {
        let (Some(token), Some(device_id)) = (self.since, &self.requester.device_id) else { return Ok(()) };
        let user_id = &self.requester.user_id;
        let through = token.to_device.unwrap_or_else(|| token.known());
        app.delivered.acknowledge(app, user_id, device_id, through).await
    }

    /// Listens first, then looks, then waits: nothing that is committed in between is missed.
    async fn wait(&self, app: &App, timeout: Duration) -> Result<Vec<u8>, ApiError> {
        let waiter = app.hub.register_all(&presence::topics(app, &self.requester.user_id)?);
        let until = app.clock.deadline(timeout);
        let mut at_once = self.since.is_none() || self.full_state || timeout.is_zero();
        loop {
            if let Some(body) = self.look(app, at_once)? {
                return Ok(body);
            }
            at_once = waiter.wait(until).await != Woken::Changed;
        }
    }

    /// The answer, if there is any news or there has to be an answer now.
    fn look(&self, app: &App, at_once: bool) -> Result<Option<Vec<u8>>, ApiError> {
        let everything = Filter::default();
        let request = SyncRequest {
            user_id: &self.requester.user_id,
            device_id: self.requester.device_id.as_deref(),
            since: self.since,
            filter: self.filter.as_deref().unwrap_or(&everything),
            full_state: self.full_state,
            state_after: self.form.state != v3::StateKey::Before,
        };
        let ephemeral = app.ephemeral.at(app.clock.now());
        app.read(|cx| {
            account::check_requester(cx, &self.requester)?;
            let collected = sync::collect(cx, &request, &ephemeral)?;
            Ok((at_once || !collected.is_empty()).then(|| v3::write(&collected, self.form)))
        })
    }
}

/// A filter in the address: JSON, or the id of a stored one.
fn filter(app: &App, requester: &Requester, text: Option<&str>) -> Result<Option<Box<Filter>>, ApiError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let parse = |text: &str| serde_json::from_str(text).map_err(|_| invalid("the filter is not of the form of a Filter"));
    if text.starts_with('{') {
        return parse(text).map(Some);
    }
    let stored = app.read(|cx| account::filter(cx, &requester.user_id, text));
    parse(stored.map_err(|_| invalid("you have no filter of this id"))?.get()).map(Some)
}
