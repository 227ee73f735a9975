//! What has to happen at a moment that the journal holds: sleep until the next one, or until a commit brings another.

use std::time::Duration;

use engine::Cx;
use futures_util::future::BoxFuture;
use journal::{Journal as _, ReadError, Timestamp, Topic, View as _};

use crate::app::App;
use crate::http::ApiError;

/// The longest sleep: the clock may be set.
const SLEEP_MAX: Duration = Duration::from_mins(1);

/// How long to leave a store alone that could not be used.
const PAUSE: Duration = Duration::from_secs(1);

/// Does what is due now, and answers how long nothing will be.
pub type Work = fn(&App) -> BoxFuture<'_, Result<Duration, ApiError>>;

/// Does what is due, whenever something is, until the server ends. `topic` names what wakes it; `what` is for the log.
pub async fn keep_up(app: App, topic: &str, what: &'static str, work: Work) {
    let topic = Topic(app.journal.view(app.clock.now()).name(topic));
    while !app.tasks.is_ended() {
        let waiter = app.hub.register(topic);
        let sleep = match work(&app).await {
            Ok(sleep) => sleep,
            Err(error) => {
                tracing::error!(what, cause = error.cause(), "what is due could not be done; trying again");
                PAUSE
            }
        };
        waiter.wait(app.clock.deadline(sleep)).await;
    }
}

/// How long nothing will be due.
///
/// # Errors
/// When the journal cannot be read.
pub fn sleep_until(app: &App, next: impl Fn(&Cx<'_>) -> Result<Option<Timestamp>, ReadError>) -> Result<Duration, ApiError> {
    let next = app.read(|cx| Ok(next(cx)?))?;
    let now = app.clock.now().as_ms();
    let sleep = next.map_or(SLEEP_MAX, |next| Duration::from_millis(next.as_ms().saturating_sub(now)));
    Ok(sleep.min(SLEEP_MAX))
}
