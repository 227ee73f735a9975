//! Simplified sliding sync, at the address and in the form that clients use
//! ([MSC4186](https://github.com/matrix-org/matrix-spec-proposals/pull/4186)).

use std::sync::Arc;
use std::time::Duration;

use engine::sync::Token;
use engine::sync::sliding::{self, Connection, Request};
use engine::{Requester, account, to_device};
use http::Method;
use ruma::presence::PresenceState;
use serde::Deserialize;

use super::body::{json_bytes, token};
use super::presence::{self, Present};
use crate::app::App;
use crate::connections::ConnectionId;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes};
use crate::hub::Woken;

/// The longest a request waits.
const TIMEOUT_MAX: Duration = Duration::from_secs(120);

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    let path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
    routes.raw(Method::POST, path, Access::Required, sliding_sync)
}

#[derive(Deserialize)]
struct Query {
    pos: Option<String>,
    timeout: Option<u64>,
    set_presence: Option<PresenceState>,
}

/// What a waiting request keeps.
struct Sync {
    requester: Requester,
    request: Box<Request>,
    id: ConnectionId,
    pos: Option<String>,
    connection: Arc<Connection>,
}

async fn sliding_sync(app: App, request: RawRequest) -> Answer {
    let query: Query = request.query()?;
    let requester = request.requester()?.clone();
    let body: Box<Request> = request.json()?;
    drop(request);
    let id = ConnectionId::new(&requester, body.conn_id.as_deref())?;
    let connection = app.connections.at(&id, query.pos.as_deref())?;
    let timeout = Duration::from_millis(query.timeout.unwrap_or(0)).min(TIMEOUT_MAX);
    let state = query.set_presence.unwrap_or(PresenceState::Online);
    let sync = Sync { requester, request: body, id, pos: query.pos, connection };
    let _present = Present::begin(&app, &sync.requester, state)?;
    sync.acknowledge(&app).await?;
    sync.wait(&app, timeout).await.map(json_bytes)
}

impl Sync {
    /// The to-device extension's token shows what the device has: those messages are deleted (D8).
    async fn acknowledge(&self, app: &App) -> Result<(), ApiError> {
        let since: Option<Token> = token(self.request.extensions.to_device.since.as_deref())?;
        let (Some(since), Some(device_id)) = (since, &self.requester.device_id) else { return Ok(()) };
        let (user_id, through) = (&self.requester.user_id, since.known());
        if app.read(|cx| to_device::has_acknowledged(cx, user_id, device_id, through))? {
            app.run(|cx| to_device::acknowledge(cx, user_id, device_id, through)).await?;
        }
        Ok(())
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
        let (body, connection) = app.read(|cx| {
            account::check_requester(cx, &self.requester)?;
            sliding::collect(cx, &ask, &ephemeral)
        })?;
        if !at_once && body.is_empty() {
            return Ok(None);
        }
        let pos = app.connections.advance(&self.id, self.pos.as_deref(), connection, app.clock.now());
        Ok(Some(body.write(&pos, self.request.txn_id.as_deref())))
    }
}
