//! Ends sessions when they are over.
//!
//! A participant's tokens are worthless from the moment the session ends, with or without this worker: it wakes the requests that
//! still wait, and frees devices, tokens, pushers and keys.

use std::time::Duration;

use engine::platform;
use journal::{Journal as _, Topic, View as _};

use crate::app::App;
use crate::http::ApiError;

/// Sessions looked at together; each is a batch of its own.
const TOGETHER: usize = 100;

/// The longest sleep: the clock may be set.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// How long to leave a store alone that could not be used.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs until the server ends.
pub async fn run(app: App) {
    let topic = Topic(app.journal.view(app.clock.now()).name(platform::SESSIONS_TOPIC));
    while !app.tasks.is_ended() {
        let waiter = app.hub.register(topic);
        let sleep = match end_due(&app).await {
            Ok(sleep) => sleep,
            Err(error) => {
                tracing::error!(cause = error.cause(), "sessions could not be ended; trying again");
                PAUSE
            }
        };
        waiter.wait(app.clock.deadline(sleep)).await;
    }
}

/// Ends what is over now. Answers how long nothing will be due.
///
/// # Errors
/// When the journal cannot be used.
pub async fn end_due(app: &App) -> Result<Duration, ApiError> {
    loop {
        let due = app.read(|cx| Ok(platform::due_sessions(cx, TOGETHER)?))?;
        if due.is_empty() {
            let next = app.read(|cx| Ok(platform::next_due(cx)?))?;
            let now = app.clock.now().as_ms();
            let sleep = next.map_or(SLEEP_MAX, |next| Duration::from_millis(next.as_ms().saturating_sub(now)));
            return Ok(sleep.min(SLEEP_MAX));
        }
        for session in due {
            app.run(|cx| platform::end_session(cx, &session)).await?;
        }
    }
}
