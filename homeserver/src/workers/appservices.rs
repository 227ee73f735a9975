//! Sends application services what is queued for them: one task per service, one transaction after the other, each at least
//! once and under one id however often it is tried, before or after a restart (invariant 6,
//! [spec v1.19, Application Service API § Pushing events](https://spec.matrix.org/v1.19/application-service-api/#pushing-events)).

use std::collections::BTreeMap;
use std::time::Duration;

use engine::tables::{AppserviceReceiptRow, AppserviceToDeviceRow};
use engine::{Cx, outbox};
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ruma::{OwnedRoomId, UserId};
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::http::ApiError;
use crate::hub::Woken;

#[cfg(test)]
mod tests;

/// The pause after the first failure; it doubles with each further one.
const PAUSE_MIN: Duration = Duration::from_millis(500);

/// The longest pause: a service that comes back waits this long at most.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// How long a worker sleeps when nothing wakes it: what has expired in the queue is looked through then.
const IDLE: Duration = Duration::from_secs(600);

/// Bytes of a service's answer that are read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What is escaped of a name in a path: all but what RFC 3986 calls unreserved.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Starts a sender for every service with a URL.
pub fn start(app: &App) {
    for (id, service) in &app.server.appservices {
        if service.registration.url.is_some() {
            app.tasks.spawn(run(app.clone(), id.clone()));
        }
    }
}

async fn run(app: App, service: String) {
    let Ok(topic) = app.read(|cx: &Cx<'_>| Ok(outbox::topic(cx, &service))) else { return };
    let waiter = app.hub.register(topic);
    let mut pause = PAUSE_MIN;
    loop {
        match send_next(&app, &service).await {
            Ok(true) => pause = PAUSE_MIN,
            Ok(false) => {
                if waiter.wait(app.clock.deadline(IDLE)).await == Woken::Ending {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(service, %error, retry_ms = pause.as_millis(), "an application service did not take a transaction");
                tokio::select! {
                    () = app.tasks.ended() => return,
                    () = tokio::time::sleep_until(app.clock.deadline(pause)) => {}
                }
                pause = pause.saturating_mul(2).min(PAUSE_MAX);
            }
        }
        if app.tasks.is_ended() {
            return;
        }
    }
}

/// Why a transaction is still open.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("{0}")]
    Call(#[from] CallError),
    #[error("the journal could not be used: {0:?}")]
    Journal(ApiError),
}

/// Sends the transaction that is due; `false` when nothing is.
async fn send_next(app: &App, service: &str) -> Result<bool, SendError> {
    let Some(number) = app.run(|cx| outbox::open_transaction(cx, service)).await.map_err(SendError::Journal)? else {
        return Ok(false);
    };
    let transaction = app.read(|cx| outbox::read_transaction(cx, service, number)).map_err(SendError::Journal)?;
    // What was queued may have expired whole: then there is nothing to tell.
    if let (Some(body), Some(call)) = (transaction.and_then(body), Call::to(app, service)) {
        let path = format!("transactions/{number}");
        tokio::select! {
            biased;
            () = app.tasks.ended() => return Ok(false),
            sent = call.put(&path, &body) => sent?,
        }
    }
    app.run(|cx| outbox::close_transaction(cx, service, number)).await.map_err(SendError::Journal)?;
    Ok(true)
}

/// A transaction's body; `None` when it holds nothing.
///
/// What the specification has not taken over yet goes under the names that services know; where there are two, under both.
fn body(transaction: outbox::Transaction) -> Option<Value> {
    let mut body = Map::from_iter([("events".to_owned(), json!(transaction.events))]);
    let mut empty = transaction.events.is_empty();
    let ephemeral = receipts(transaction.receipts);
    if !ephemeral.is_empty() {
        empty = false;
        body.insert("ephemeral".to_owned(), json!(ephemeral));
        body.insert("de.sorunome.msc2409.ephemeral".to_owned(), json!(ephemeral));
    }
    if !transaction.to_device.is_empty() {
        empty = false;
        let messages: Vec<Value> = transaction.to_device.into_iter().map(to_device).collect();
        body.insert("de.sorunome.msc2409.to_device".to_owned(), json!(messages));
    }
    if !transaction.device_lists.is_empty() {
        empty = false;
        body.insert(
            "org.matrix.msc3202.device_lists".to_owned(),
            json!({ "changed": transaction.device_lists, "left": [] }),
        );
    }
    if !transaction.one_time_key_counts.is_empty() {
        let counts = json!(transaction.one_time_key_counts);
        body.insert("org.matrix.msc3202.device_one_time_keys_count".to_owned(), counts.clone());
        body.insert("org.matrix.msc3202.device_one_time_key_counts".to_owned(), counts);
        let unused = json!(transaction.unused_fallback_key_types);
        body.insert("org.matrix.msc3202.device_unused_fallback_key_types".to_owned(), unused);
    }
    (!empty).then_some(Value::Object(body))
}

fn to_device(row: AppserviceToDeviceRow) -> Value {
    json!({
        "type": row.message.event_type,
        "sender": row.message.sender,
        "content": row.message.content,
        "to_user_id": row.user_id,
        "to_device_id": row.device_id,
    })
}

/// Receipts as `m.receipt` events, one per room.
fn receipts(rows: Vec<AppserviceReceiptRow>) -> Vec<Value> {
    let mut rooms: BTreeMap<OwnedRoomId, Value> = BTreeMap::new();
    for AppserviceReceiptRow { room_id, receipt } in rows {
        let content = rooms.entry(room_id).or_insert_with(|| json!({}));
        let mut data = json!({ "ts": receipt.received.as_ms() });
        if let Some(thread_id) = receipt.thread_id {
            data["thread_id"] = thread_id.into();
        }
        content[receipt.event_id.as_str()][receipt.receipt_type.as_str()][receipt.user_id.as_str()] = data;
    }
    rooms
        .into_iter()
        .map(|(room_id, content)| json!({ "type": "m.receipt", "room_id": room_id, "content": content }))
        .collect()
}

/// Before `user_id` is invited: the service whose exclusive namespace holds a user who isn't there yet is asked, and registers
/// the user before it answers. Its answer changes nothing else: an invitation to nobody is nobody's.
pub async fn make_user_known(app: &App, user_id: &UserId) {
    let owner = app.server.appservices.iter().find(|(_, service)| service.interest.user_exclusive(user_id));
    let Some((id, call)) = owner.and_then(|(id, _)| Some((id, Call::to(app, id)?))) else { return };
    if matches!(app.read(|cx| Ok(engine::tables::USERS.exists(cx.view, &(cx.user(user_id),))?)), Ok(false)) {
        call.ask(id, &format!("users/{}", utf8_percent_encode(user_id.as_str(), NAME))).await;
    }
}

/// Before `alias` is looked up: the service whose namespace holds an alias of no room is asked, and makes the room before it
/// answers. A room id is nobody's to ask for.
pub async fn make_alias_known(app: &App, alias: &str) {
    let owner = app.server.appservices.iter().find(|(_, service)| alias.starts_with('#') && service.interest.alias(alias));
    let Some((id, call)) = owner.and_then(|(id, _)| Some((id, Call::to(app, id)?))) else { return };
    if matches!(app.read(|cx| Ok(engine::tables::ALIASES.exists(cx.view, &(cx.name(alias),))?)), Ok(false)) {
        call.ask(id, &format!("rooms/{}", utf8_percent_encode(alias, NAME))).await;
    }
}

/// Why a call to a service came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// No connection.
    #[error("no connection")]
    Unreachable,
    /// Another answer than 2xx.
    #[error("answered {status}")]
    Status {
        /// The status.
        status: u16,
        /// The beginning of the body.
        body: String,
    },
}

/// Calls to one service.
pub struct Call<'a> {
    app: &'a App,
    base: &'a str,
    token: &'a str,
}

impl std::fmt::Debug for Call<'_> {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("base", &self.base).finish_non_exhaustive()
    }
}

impl<'a> Call<'a> {
    /// To a service with a URL.
    #[must_use]
    pub fn to(app: &'a App, service: &str) -> Option<Self> {
        let registration = &app.server.appservices.get(service)?.registration;
        let base = registration.url.as_deref()?.trim_end_matches('/');
        Some(Self { app, base, token: &registration.hs_token })
    }

    /// `POST {url}/_matrix/app/v1/{path}`
    ///
    /// # Errors
    /// [`CallError`] unless the answer is 2xx.
    pub async fn post(&self, path: &str, body: &Value) -> Result<(), CallError> {
        self.call(Method::POST, path, Some(body)).await
    }

    async fn put(&self, path: &str, body: &Value) -> Result<(), CallError> {
        self.call(Method::PUT, path, Some(body)).await
    }

    /// `GET {url}/_matrix/app/v1/{path}`: a chance for the service to make what it is asked for.
    async fn ask(&self, service: &str, path: &str) {
        match self.call(Method::GET, path, None).await {
            Ok(()) | Err(CallError::Status { status: 404, .. }) => {}
            Err(error) => tracing::warn!(service, %error, "an application service could not say whether something exists"),
        }
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(), CallError> {
        let url = format!("{}/_matrix/app/v1/{path}", self.base);
        let mut request = self.app.http.request(method, url).bearer_auth(self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        // The library's errors quote the URL, which may hold ids: only the kind is passed on.
        let kind = |error: reqwest::Error| if error.is_timeout() { CallError::TimedOut } else { CallError::Unreachable };
        let mut response = request.send().await.map_err(kind)?;
        let status = response.status();
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(kind)? {
            if answer.len() + chunk.len() > ANSWER_BYTES_MAX {
                break;
            }
            answer.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(());
        }
        Err(CallError::Status { status: status.as_u16(), body: String::from_utf8_lossy(&answer).into_owned() })
    }
}
