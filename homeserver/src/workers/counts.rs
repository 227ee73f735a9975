//! Tells clients and push gateways that unread counts have fallen because events expired (D7).
//!
//! Whoever syncs is answered the right counts from the moment on, with or without this worker: it tells those who wait.

use std::time::Duration;

use engine::receipts;
use journal::Timestamp;

use crate::app::App;
use crate::http::ApiError;
use crate::http::error::until_ms;

/// Events looked at together, in one batch.
const TOGETHER: usize = 100;

/// The longest sleep: the clock may be set, and an edit expires before what was sent ahead of it.
const SLEEP_MAX: Duration = Duration::from_mins(1);

/// How far behind the last end it looks again: an edit that was on its way may have an earlier one.
const BEHIND_MS: u64 = 60_000;

/// How long to leave a store alone that could not be used.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs until the server ends.
pub async fn run(app: App) {
    let mut from = Timestamp::from_ms(0);
    loop {
        let sleep = match tell_due(&app, &mut from).await {
            Ok(sleep) => sleep,
            Err(error) => {
                tracing::error!(cause = error.cause(), "expired events could not be taken from counts; trying again");
                PAUSE
            }
        };
        tokio::select! {
            () = app.tasks.ended() => return,
            () = tokio::time::sleep_until(app.clock.deadline(sleep)) => {}
        }
    }
}

/// Tells of what has expired by now, and did at `from` or later. Answers how long to sleep.
///
/// # Errors
/// When the journal cannot be used.
pub async fn tell_due(app: &App, from: &mut Timestamp) -> Result<Duration, ApiError> {
    let mut last = *from;
    loop {
        let (ended, at) = app.run(|cx| receipts::tell_ends(cx, last, TOGETHER)).await?;
        last = at;
        if ended < TOGETHER {
            break;
        }
    }
    *from = last.minus_ms(BEHIND_MS).max(*from);
    let next = app.read(|cx| Ok(receipts::next_end(cx, last)?))?;
    let sleep_max = SLEEP_MAX.min(app.config.retention.lifetime.as_duration());
    Ok(next.map_or(sleep_max, |next| Duration::from_millis(until_ms(app.clock.now(), next)).min(sleep_max)))
}
