//! Simplified sliding sync
//! ([MSC4186](https://github.com/matrix-org/matrix-spec-proposals/pull/4186)), at the address and in the form
//! that was accepted and at those that clients have used before. Both wait and answer the same way.

use std::sync::Arc;
use std::time::Duration;

use engine::sync::sliding::{self, Answer as Told, Connection, Form, Request, unstable, v4};
use engine::{Requester, account};
use http::Method;
use ruma::presence::PresenceState;
use serde::Deserialize;

use super::body::json_bytes;
use super::presence::{self, Present};
use crate::app::App;
use crate::connections::ConnectionId;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes};
use crate::hub::Woken;

/// The longest a request waits.
const TIMEOUT_MAX: Duration = Duration::from_mins(2);

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    let unstable = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
    routes.raw(Method::POST, unstable, Access::Required, unstable_sync).raw(
        Method::POST,
        "/_matrix/client/v4/sync",
        Access::Required,
        v4_sync,
    )
}

#[derive(Deserialize)]
struct Query {
    pos: Option<String>,
    timeout: Option<u64>,
    set_presence: Option<String>,
}

/// What a waiting request keeps.
struct Sync {
    requester: Requester,
    request: Box<Request>,
    form: Form,
    txn_id: Option<String>,
    id: ConnectionId,
    pos: Option<String>,
    connection: Arc<Connection>,
}

async fn unstable_sync(app: App, request: RawRequest) -> Answer {
    let query: Query = request.query()?;
    let state = presence::asked_state(query.set_presence.as_deref())?;
    let requester = request.requester()?.clone();
    let mut body: Box<unstable::Body> = request.json()?;
    drop(request);
    let id = ConnectionId::new(&requester, Form::Unstable, body.conn_id.as_deref())?;
    let connection = app.connections.at(&id, query.pos.as_deref())?;
    let txn_id = body.txn_id.take();
    let asked = Box::new(body.into_request(&requester.user_id)?);
    let sync = Sync { requester, request: asked, form: Form::Unstable, txn_id, id, pos: query.pos, connection };
    sync.answer(&app, state, query.timeout).await
}

async fn v4_sync(app: App, request: RawRequest) -> Answer {
    let requester = request.requester()?.clone();
    let mut body: Box<v4::Body> = request.json()?;
    drop(request);
    let state = presence::asked_state(body.set_presence.as_deref())?;
    let id = ConnectionId::new(&requester, Form::V4, body.conn_id.as_deref())?;
    let (pos, timeout) = (body.pos.take(), body.timeout);
    let asked = Box::new(body.into_request()?);
    let connection = app.connections.at(&id, pos.as_deref())?;
    let sync = Sync { requester, request: asked, form: Form::V4, txn_id: None, id, pos, connection };
    sync.answer(&app, state, timeout).await
}

impl Sync {
    async fn answer(self, app: &App, state: PresenceState, timeout_ms: Option<u64>) -> Answer {
        let timeout = Duration::from_millis(timeout_ms.unwrap_or(0)).min(TIMEOUT_MAX);
        let present = Present::begin(app, &self.requester, state)?;
        self.acknowledge(app).await?;
        let answer = self.wait(app, timeout).await;
        present.end();
        answer.map(json_bytes)
    }

    /// The to-device extension's token shows what the device has: those messages are deleted (D8).
    async fn acknowledge(&self, app: &App) -> Result<(), ApiError> {
        let since = self.request.extensions.to_device.as_ref().and_then(|to_device| to_device.since);
        let (Some(since), Some(device_id)) = (since, &self.requester.device_id) else { return Ok(()) };
        let (user_id, through) = (&self.requester.user_id, since.known());
        app.delivered.acknowledge(app, user_id, device_id, through).await
    }

    /// Listens first, then looks, then waits: nothing that is committed in between is missed.
    async fn wait(&self, app: &App, timeout: Duration) -> Result<Vec<u8>, ApiError> {
        let waiter = app.hub.register_all(&presence::topics(app, &self.requester.user_id)?);
        let until = app.clock.deadline(timeout);
        let mut at_once = self.pos.is_none() || timeout.is_zero();
        loop {
            if let Some(body) = self.look(app, at_once)? {
                return Ok(body);
            }
            at_once = waiter.wait(until).await != Woken::Changed;
        }
    }

    fn look(&self, app: &App, at_once: bool) -> Result<Option<Vec<u8>>, ApiError> {
        let ask = sliding::Ask {
            user_id: &self.requester.user_id,
            device_id: self.requester.device_id.as_deref(),
            request: &self.request,
            connection: &self.connection,
        };
        let ephemeral = app.ephemeral.at(app.clock.now());
        let (told, connection) = app.read(|cx| {
            account::check_requester(cx, &self.requester)?;
            sliding::collect(cx, &ask, &ephemeral)
        })?;
        if !at_once && told.is_empty() {
            return Ok(None);
        }
        let pos = app.connections.advance(&self.id, self.pos.as_deref(), connection, app.clock.now());
        Ok(Some(self.write(&told, &pos)))
    }

    fn write(&self, told: &Told, pos: &str) -> Vec<u8> {
        match self.form {
            Form::Unstable => unstable::write(told, pos, self.txn_id.as_deref()),
            Form::V4 => v4::write(told, pos),
        }
    }
}
