//! Tells push gateways what is queued for them: each gateway in a lane of its own, so that one that does not answer holds up no
//! other; each thing at least once, and under the event's id, by which gateways know repetitions (invariant 6,
//! [spec v1.19, Push Gateway API](https://spec.matrix.org/v1.19/push-gateway-api/)).
//!
//! What cannot be delivered is tried again, with growing pauses, until the event expires and its row with it.

use std::collections::BTreeSet;
use std::time::Duration;

use engine::push::{self, Call, Push, RowId};
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use journal::{Name, Stamp};
use reqwest::{StatusCode, Url};
use serde::Deserialize;

use crate::app::App;
use crate::egress::{self, LazyClient};
use crate::http::ApiError;
use crate::hub::Woken;

/// The one path there is ([spec v1.19](https://spec.matrix.org/v1.19/push-gateway-api/#post_matrixpushv1notify)).
const PATH: &str = "/_matrix/push/v1/notify";

/// Calls to one gateway at the same time.
const TOGETHER: usize = 8;

/// The pause after the first failure; it doubles with each further one.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause: a gateway that comes back waits this long at most.
const PAUSE_MAX: Duration = Duration::from_mins(5);

/// The longest pause that a gateway may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// How long the dispatcher sleeps when nothing wakes it.
const IDLE: Duration = Duration::from_mins(10);

/// The dispatcher looks for gateways with something to send this often at most: each look steps over what has been sent.
const GATHER: Duration = Duration::from_millis(50);

/// Bytes of a gateway's answer that are read: a list of rejected keys.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A push gateway that may be called.
#[derive(Debug)]
pub struct Gateway<'a> {
    url: Url,
    client: &'a LazyClient,
}

/// An address that is no push gateway's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// Another form than a push gateway's address has.
    #[error("`url` is the address of a push gateway: HTTPS, with the path /_matrix/push/v1/notify")]
    Form,
    /// Only this machine's or its network's own.
    #[error("`url` leads to a private address: ask the operator to name this push gateway in `push.trusted_gateways`")]
    Private,
}

impl<'a> Gateway<'a> {
    /// The gateway at `url`, if it may be called: the operator's own ones, and public ones by HTTPS.
    ///
    /// # Errors
    /// [`GatewayError`], a sentence for whoever set the pusher.
    pub fn new(app: &'a App, url: &str) -> Result<Self, GatewayError> {
        let url = Url::parse(url).map_err(|_| GatewayError::Form)?;
        let plain =
            url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
        if url.path() != PATH || !plain {
            return Err(GatewayError::Form);
        }
        let is_own = |origin: &String| Url::parse(origin).is_ok_and(|own| own.origin() == url.origin());
        if app.config.push.trusted_gateways.iter().any(is_own) {
            return Ok(Self { url, client: &app.http });
        }
        match (url.scheme(), egress::names_public(&url)) {
            ("https", true) => Ok(Self { url, client: &app.public_http }),
            ("https", false) => Err(GatewayError::Private),
            _ => Err(GatewayError::Form),
        }
    }

    /// Makes the call; the keys that the gateway rejects.
    async fn notify(&self, call: &Call) -> Result<Vec<String>, Failure> {
        #[derive(Default, Deserialize)]
        struct Answer {
            #[serde(default)]
            rejected: Vec<String>,
        }
        // That no client can be made is this machine's fault, and no reason to give up what is queued.
        let client = self.client.get().map_err(|_| Failure::Later { wait: None })?;
        let request = client.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        let response = request.body(call.body.get().to_owned()).send().await.map_err(|error| Failure::of(&error))?;
        let status = response.status();
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = egress::read_body(response, ANSWER_BYTES_MAX).await.map_err(|error| Failure::of(&error))?;
        match status {
            status if status.is_success() => Ok(serde_json::from_slice::<Answer>(&body).unwrap_or_default().rejected),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Err(Failure::Later { wait: wait.map(Duration::from_secs) })
            }
            status if status.is_client_error() => Err(Failure::Never),
            _ => Err(Failure::Later { wait: wait.map(Duration::from_secs) }),
        }
    }
}

/// Why a call came to nothing.
#[derive(Debug)]
enum Failure {
    /// It may come to something later: not before `wait`, if the gateway says so.
    Later { wait: Option<Duration> },
    /// The same call will never come to anything.
    Never,
}

impl Failure {
    fn of(error: &reqwest::Error) -> Self {
        if egress::is_not_public(error) || error.is_builder() { Self::Never } else { Self::Later { wait: None } }
    }
}

/// Runs until the server ends.
pub async fn run(app: App) {
    let Ok(topic) = app.read(|cx| Ok(push::topic(cx))) else { return };
    let waiter = app.hub.register(topic);
    let mut busy: BTreeSet<Name> = BTreeSet::new();
    let mut lanes = FuturesUnordered::new();
    loop {
        match app.read(|cx| Ok(push::waiting(cx)?)) {
            Ok(waiting) => {
                for gateway in waiting {
                    if busy.insert(gateway) {
                        lanes.push(lane(&app, gateway));
                    }
                }
            }
            Err(error) => {
                tracing::error!(cause = error.cause(), "the queue for push gateways cannot be read; trying again later");
            }
        }
        let (not_before, idle) = (app.clock.deadline(GATHER), app.clock.deadline(IDLE));
        let next_look = async {
            tokio::time::sleep_until(not_before).await;
            waiter.wait(idle).await
        };
        tokio::select! {
            woken = next_look => {
                if woken == Woken::Ending {
                    return;
                }
            }
            Some(gateway) = lanes.next() => {
                busy.remove(&gateway);
            }
        }
    }
}

/// Sends what is queued for one gateway until nothing is left.
async fn lane(app: &App, gateway: Name) -> Name {
    let (mut pause, mut from) = (Duration::ZERO, Stamp::ZERO);
    loop {
        let wait = match send_due(app, gateway, &mut from).await {
            Ok(Sent::Nothing) => return gateway,
            Ok(Sent::All) => {
                pause = Duration::ZERO;
                continue;
            }
            Ok(Sent::Later { wait, some }) => {
                // One that takes something is there: what it does not take has a reason of its own.
                pause = if some { Duration::ZERO } else { pause };
                wait
            }
            Err(error) => {
                tracing::error!(cause = error.cause(), "the queue for a push gateway cannot be used; trying again");
                None
            }
        };
        pause = pause.saturating_mul(2).clamp(PAUSE_MIN, PAUSE_MAX).max(wait.unwrap_or_default().min(RETRY_AFTER_MAX));
        tracing::warn!(retry_ms = pause.as_millis(), "a push gateway did not take a notification");
        tokio::time::sleep_until(app.clock.deadline(pause)).await;
    }
}

/// What came of a round.
enum Sent {
    /// There was nothing to send.
    Nothing,
    /// All of it is done.
    All,
    /// Something has to be tried again, not before `wait`; `some` of it is done.
    Later { wait: Option<Duration>, some: bool },
}

/// Sends what comes first after `from`, behind which nothing is left.
async fn send_due(app: &App, gateway: Name, from: &mut Stamp) -> Result<Sent, ApiError> {
    let due = app.read(|cx| Ok(push::due(cx, gateway, *from, TOGETHER)?))?;
    if let Some(first) = due.first().and_then(Push::stamp) {
        *from = first;
    }
    if due.is_empty() {
        return Ok(Sent::Nothing);
    }
    let sent = join_all(due.iter().map(|push| send(app, push))).await;
    let (mut done, mut later) = (Vec::<RowId>::new(), None);
    for (push, outcome) in due.iter().zip(sent) {
        match outcome {
            Ok(()) => done.push(push.row),
            Err(wait) => later = later.max(Some(wait)),
        }
    }
    app.run(|cx| push::done(cx, gateway, &done)).await?;
    Ok(later.map_or(Sent::All, |wait| Sent::Later { wait, some: !done.is_empty() }))
}

/// Makes the calls of one thing to tell. `Err` says that it has to be tried again, and how long the gateway wants to be left alone.
async fn send(app: &App, push: &Push) -> Result<(), Option<Duration>> {
    for call in &push.calls {
        let Ok(gateway) = Gateway::new(app, &call.url) else { continue };
        match gateway.notify(call).await {
            Ok(rejected) if rejected.is_empty() => {}
            // A pusher that stays is rejected again with the next notification.
            Ok(rejected) => app.run(|cx| push::reject(cx, call, &rejected)).await.map_err(|_| None)?,
            Err(Failure::Later { wait }) => return Err(wait),
            Err(Failure::Never) => tracing::warn!("a push gateway refuses a notification; it is given up"),
        }
    }
    Ok(())
}
