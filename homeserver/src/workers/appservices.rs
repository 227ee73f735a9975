//! Sends application services what is queued for them: one task per service, one transaction after the other, each at least
//! once and under one id however often it is tried, before or after a restart (invariant 6,
//! [spec v1.19, Application Service API § Pushing events](https://spec.matrix.org/v1.19/application-service-api/#pushing-events)).

use std::collections::BTreeMap;
use std::time::Duration;

use engine::sync::Ephemeral as _;
use engine::tables::{AppserviceReceiptRow, AppserviceToDeviceRow};
use engine::{Cx, Interest, Stop, outbox};
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ruma::{OwnedRoomId, UserId};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::egress;
use crate::http::ApiError;
use crate::hub::Woken;

#[cfg(test)]
mod tests;

/// The pause after the first failure; it doubles with each further one.
const PAUSE_MIN: Duration = Duration::from_millis(500);

/// The longest pause: a service that comes back waits this long at most.
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// How long a worker sleeps when nothing wakes it: what has expired in the queue is looked through then.
const IDLE: Duration = Duration::from_mins(10);

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
    let mut ephemeral = Told { version: app.ephemeral.at(app.clock.now()).version(), held: None };
    let mut pause = PAUSE_MIN;
    loop {
        match send_next(&app, &service, &mut ephemeral).await {
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

/// What a service has been told of typing and presence.
#[derive(Debug)]
struct Told {
    /// Up to here.
    version: u64,
    /// What goes with the open transaction, and up to where: a repeated transaction is the same one.
    held: Option<(Vec<Box<RawValue>>, u64)>,
}

/// Sends the transaction that is due; `false` when nothing is.
async fn send_next(app: &App, service: &str, told: &mut Told) -> Result<bool, SendError> {
    let (events, version) = if let Some(held) = told.held.take() {
        held
    } else {
        let ephemeral = app.ephemeral.at(app.clock.now());
        // Before anything is read: what changes meanwhile is news for the next transaction.
        let version = ephemeral.version();
        let news = app.read(|cx| outbox::ephemeral_events(cx, service, told.version, &ephemeral));
        (news.map_err(SendError::Journal)?, version)
    };
    let held = told.held.insert((events, version));
    let number =
        app.run(|cx| outbox::open_transaction(cx, service, !held.0.is_empty())).await.map_err(SendError::Journal)?;
    if let Some(number) = number {
        let transaction = app.read(|cx| outbox::read_transaction(cx, service, number)).map_err(SendError::Journal)?;
        let older = app.server.appservices.get(service).is_some_and(|service| service.older_ephemeral);
        // What was queued may have expired whole: then there is nothing to tell.
        if let (Some(body), Some(call)) =
            (transaction.and_then(|transaction| body(transaction, &held.0, older)), Call::to(app, service))
        {
            let path = format!("transactions/{number}");
            tokio::select! {
                biased;
                () = app.tasks.ended() => return Ok(false),
                sent = call.put(&path, &body) => sent?,
            }
        }
        app.run(|cx| outbox::close_transaction(cx, service, number)).await.map_err(SendError::Journal)?;
    }
    *told = Told { version, held: None };
    Ok(number.is_some())
}

/// A transaction's body; `None` when it holds nothing. `ephemeral` is typing and presence.
///
/// What the specification has not taken over yet goes under the names that services know; where there are two, under both.
fn body(transaction: outbox::Transaction, ephemeral: &[Box<RawValue>], older: bool) -> Option<Value> {
    let mut body = Map::from_iter([("events".to_owned(), json!(transaction.events))]);
    let mut empty = transaction.events.is_empty();
    let mut told = receipts(transaction.receipts);
    told.extend(ephemeral.iter().map(|event| json!(event)));
    if !told.is_empty() {
        empty = false;
        if older {
            body.insert("de.sorunome.msc2409.ephemeral".to_owned(), json!(told));
        }
        body.insert("ephemeral".to_owned(), Value::Array(told));
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

/// Before a user is invited or looked up: services whose namespaces hold a user who isn't there yet are asked one after the
/// other, until one says that it has registered the user
/// ([spec v1.19, Application Service API § Querying](https://spec.matrix.org/v1.19/application-service-api/#querying)).
/// The answer changes nothing else: an invitation to nobody is nobody's.
pub async fn make_user_known(app: &App, user_id: &UserId) {
    if !app.server.is_local(user_id) {
        return;
    }
    let exists = |cx: &Cx<'_>| Ok(engine::tables::USERS.exists(cx.view, &(cx.user(user_id),))?);
    let path = format!("users/{}", utf8_percent_encode(user_id.as_str(), NAME));
    ask_owners(app, |interest| interest.user(user_id), exists, &path).await;
}

/// Before `alias` is looked up: services whose namespaces hold an alias of no room are asked likewise, and make the room before
/// they answer. A room id is nobody's to ask for.
pub async fn make_alias_known(app: &App, alias: &str) {
    let exists = |cx: &Cx<'_>| Ok(engine::tables::ALIASES.exists(cx.view, &(cx.name(alias),))?);
    let path = format!("rooms/{}", utf8_percent_encode(alias, NAME));
    ask_owners(app, |interest| alias.starts_with('#') && interest.alias(alias), exists, &path).await;
}

async fn ask_owners(
    app: &App,
    wants: impl Fn(&dyn Interest) -> bool,
    exists: impl FnOnce(&Cx<'_>) -> Result<bool, Stop>,
    path: &str,
) {
    let owners = app.server.appservices.iter().filter(|(_, service)| wants(&*service.interest));
    let calls: Vec<_> = owners.filter_map(|(id, _)| Some((id, Call::to(app, id)?))).collect();
    if calls.is_empty() || !matches!(app.read(exists), Ok(false)) {
        return;
    }
    for (id, call) in calls {
        if call.ask(id, path).await {
            return;
        }
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

    /// `GET {url}/_matrix/app/v1/{path}`: a chance for the service to make what it is asked for. Answers whether it has.
    async fn ask(&self, service: &str, path: &str) -> bool {
        let answer = self.call(Method::GET, path, None).await;
        if let Err(error) = &answer
            && !matches!(error, CallError::Status { status: 404, .. })
        {
            tracing::warn!(service, %error, "an application service could not say whether something exists");
        }
        answer.is_ok()
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(), CallError> {
        let url = format!("{}/_matrix/app/v1/{path}", self.base);
        // The library's errors quote the URL, which may hold ids: only the kind is passed on.
        let kind = |error: reqwest::Error| if error.is_timeout() { CallError::TimedOut } else { CallError::Unreachable };
        let mut request = self.app.http.get().map_err(kind)?.request(method, url).bearer_auth(self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(kind)?;
        let status = response.status();
        let answer = egress::read_body(response, ANSWER_BYTES_MAX).await.map_err(kind)?;
        if status.is_success() {
            return Ok(());
        }
        Err(CallError::Status { status: status.as_u16(), body: String::from_utf8_lossy(&answer).into_owned() })
    }
}
