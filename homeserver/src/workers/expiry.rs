//! The eraser. Nobody can read what has expired, from the exact moment on, whether or not this runs; it destroys the keys and
//! frees the disk (D3).

use std::time::Duration;

use crate::app::App;
use crate::http::ApiError;
use crate::http::error::until_ms;

/// Between two sweeps at least: many epochs that end close together are swept together.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// After a sweep that failed.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(5);

/// What one sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Epochs whose key was destroyed.
    pub epochs: usize,
    /// Buckets of rows whose files were dropped.
    pub buckets: usize,
    /// Files of users that were removed.
    pub files: usize,
}

/// Sweeps until the server ends: whenever an epoch ends, and as often as `retention.sweep` says.
pub async fn run(app: App) {
    loop {
        let pause = match sweep(&app).await {
            Ok(swept) => {
                if swept != Sweep::default() {
                    tracing::info!(
                        epochs = swept.epochs,
                        buckets = swept.buckets,
                        files = swept.files,
                        "erased what has expired"
                    );
                }
                pause(&app)
            }
            Err(error) => {
                tracing::error!(cause = error.cause(), "cannot erase what has expired; trying again");
                PAUSE_AFTER_ERROR
            }
        };
        tokio::select! {
            () = app.tasks.ended() => return,
            () = tokio::time::sleep_until(app.clock.deadline(pause)) => {}
        }
    }
}

/// Destroys the keys of all epochs that have ended, then removes rows and files.
///
/// # Errors
/// When the store refuses; what is left is done by the next sweep.
pub async fn sweep(app: &App) -> Result<Sweep, ApiError> {
    let now = app.clock.now();
    let journal = app.journal.clone();
    let report = tokio::task::spawn_blocking(move || journal.expire(now)).await;
    let report = report.map_err(ApiError::internal)?.map_err(ApiError::internal)?;
    if !report.files_left.is_empty() {
        tracing::warn!(
            files = report.files_left.len(),
            "files of expired rows are still on disk; the next sweep removes them"
        );
    }
    let files = app.media.sweep(now).await?;
    if let Some(rates) = &app.rates {
        rates.forget();
    }
    Ok(Sweep { epochs: report.epochs_destroyed, buckets: report.buckets_dropped, files })
}

/// Until the next epoch ends, or the configured time.
fn pause(app: &App) -> Duration {
    let (now, sealer) = (app.clock.now(), app.journal.sealer());
    let ends = sealer.keyring().epochs().into_iter().map(|epoch| sealer.classes().ends_at(epoch));
    let next = ends.min().map_or(u64::MAX, |end| until_ms(now, end));
    app.config.retention.sweep.as_duration().min(Duration::from_millis(next)).max(PAUSE_MIN)
}
