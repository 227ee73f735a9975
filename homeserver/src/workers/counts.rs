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

/// How often it looks behind, well within that: what was told is deleted, and where very much expires the way over it is long.
const BEHIND_EVERY_MS: u64 = 30_000;

/// How long what expires next waits for more, after something has: each batch is a write.
const GATHER: Duration = Duration::from_millis(100);

/// How long to leave a store alone that could not be used.
const PAUSE: Duration = Duration::from_secs(1);

/// How far it has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    told: Timestamp,
    looked_behind: Timestamp,
}

impl Default for Progress {
    fn default() -> Self {
        Self { told: Timestamp::from_ms(0), looked_behind: Timestamp::from_ms(0) }
    }
}

/// Runs until the server ends.
pub async fn run(app: App) {
    let mut progress = Progress::default();
    loop {
        let sleep = match tell_due(&app, &mut progress).await {
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

/// Tells of what has expired by now and was not told of. Answers how long to sleep.
///
/// # Errors
/// When the journal cannot be used.
pub async fn tell_due(app: &App, progress: &mut Progress) -> Result<Duration, ApiError> {
    let now = app.clock.now();
    let behind = now.as_ms().abs_diff(progress.looked_behind.as_ms()) >= BEHIND_EVERY_MS;
    let mut last = if behind { progress.told.minus_ms(BEHIND_MS) } else { progress.told };
    let mut sleep_min = Duration::ZERO;
    loop {
        let (ended, at) = app.run(|cx| receipts::tell_ends(cx, last, TOGETHER)).await?;
        last = at;
        if ended > 0 {
            sleep_min = GATHER;
        }
        if ended < TOGETHER {
            break;
        }
    }
    progress.told = last.max(progress.told);
    if behind {
        progress.looked_behind = now;
    }
    let next = app.read(|cx| Ok(receipts::next_end(cx, progress.told)?))?;
    let sleep_max = SLEEP_MAX.min(app.config.retention.lifetime.as_duration());
    let sleep = next.map_or(sleep_max, |next| Duration::from_millis(until_ms(app.clock.now(), next)));
    Ok(sleep.max(sleep_min).min(sleep_max))
}
