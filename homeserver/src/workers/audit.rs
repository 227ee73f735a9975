//! Deletes entries of the audit trail that are older than `audit.lifetime`.

use std::time::Duration;

use engine::audit;

use crate::app::App;
use crate::http::ApiError;

/// How often at most, and at least: an entry stays a hundredth of its lifetime too long, or an hour.
const EVERY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(1));

/// Runs until the server ends.
pub async fn run(app: App) {
    let every = (app.config.audit.lifetime.as_duration() / 100).clamp(EVERY.0, EVERY.1);
    loop {
        if let Err(error) = prune(&app).await {
            tracing::error!(cause = error.cause(), "the audit trail could not be cut; trying again");
        }
        tokio::select! {
            () = app.tasks.ended() => return,
            () = tokio::time::sleep_until(app.clock.deadline(every)) => {}
        }
    }
}

/// Deletes all that is too old.
///
/// # Errors
/// When the journal cannot be used.
pub async fn prune(app: &App) -> Result<(), ApiError> {
    let lifetime_ms = app.config.audit.lifetime.as_ms();
    while app.run(|cx| audit::prune(cx, cx.now().minus_ms(lifetime_ms))).await? {
        if app.tasks.is_ended() {
            break;
        }
    }
    Ok(())
}
