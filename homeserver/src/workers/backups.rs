//! Removes backed-up room keys whose last message has expired (D9).

use engine::keys::backup;

use crate::app::App;
use crate::http::ApiError;

/// Sweeps as often as the rest of what has expired is swept.
pub fn start(app: &App) {
    app.tasks.spawn(run(app.clone()));
}

async fn run(app: App) {
    let every = std::time::Duration::from_millis(app.config.retention.sweep.as_ms());
    loop {
        tokio::select! {
            () = app.tasks.ended() => return,
            () = tokio::time::sleep_until(app.clock.deadline(every)) => {}
        }
        if let Err(error) = sweep(&app).await {
            tracing::error!(cause = error.cause(), "key backups could not be swept; trying again later");
        }
    }
}

/// One sweep over all backups.
///
/// # Errors
/// 503 when the journal cannot be read or written.
pub async fn sweep(app: &App) -> Result<(), ApiError> {
    for user in app.read(|cx| Ok(backup::users_with_backups(cx)?))? {
        // A backup has an end, and each step takes thousands of keys.
        while app.run(|cx| backup::expire_keys(cx, user)).await? {
            if app.tasks.is_ended() {
                return Ok(());
            }
        }
    }
    Ok(())
}
