//! The eraser. Nobody can read what has expired, from the exact moment on, whether or not this runs; it destroys the keys and
//! frees the disk (D3).

use std::time::Duration;

use journal::{ClassTable, Epoch, Timestamp};
use tokio::sync::Notify;

use crate::app::App;
use crate::http::ApiError;
use crate::http::error::until_ms;

/// Between two looks at least: many epochs that end close together are ended together.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// After one that failed.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(5);

/// What one sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Epochs whose key was destroyed, since the last sweep or by this one.
    pub epochs: usize,
    /// Buckets of rows whose files were dropped.
    pub buckets: usize,
    /// Files of users that were removed.
    pub files: usize,
}

/// Until the server ends: destroys keys whenever an epoch ends, and sweeps after that, and at least as often as `retention.sweep` says.
/// No key waits for a sweep, which may take as long as rewriting a large table does.
pub async fn run(app: App) {
    let destroyed = Notify::new();
    tokio::join!(destroy_keys(&app, &destroyed), keep_swept(&app, &destroyed));
}

async fn destroy_keys(app: &App, destroyed: &Notify) {
    loop {
        let (journal, now) = (app.journal.clone(), app.clock.now());
        let keys = tokio::task::spawn_blocking(move || journal.destroy_keys(now)).await;
        let keys = keys.map_err(ApiError::internal).and_then(|keys| keys.map_err(ApiError::internal));
        let pause = match keys {
            Ok(keys) => {
                if keys > 0 {
                    destroyed.notify_one();
                }
                until_next_end(app)
            }
            Err(error) => {
                tracing::error!(cause = error.cause(), "cannot destroy the keys of what has expired; trying again");
                PAUSE_AFTER_ERROR
            }
        };
        tokio::select! {
            () = app.tasks.ended() => return,
            () = tokio::time::sleep_until(app.clock.deadline(pause)) => {}
        }
    }
}

async fn keep_swept(app: &App, destroyed: &Notify) {
    loop {
        let pause = match sweep(app).await {
            Ok(swept) => {
                if swept != Sweep::default() {
                    tracing::info!(
                        epochs = swept.epochs,
                        buckets = swept.buckets,
                        files = swept.files,
                        "erased what has expired"
                    );
                }
                app.config.retention.sweep.as_duration().max(PAUSE_MIN)
            }
            Err(error) => {
                tracing::error!(cause = error.cause(), "cannot erase what has expired; trying again");
                PAUSE_AFTER_ERROR
            }
        };
        tokio::select! {
            () = app.tasks.ended() => return,
            () = destroyed.notified() => {}
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
    // A file that cannot be asked about stays until it can.
    let is_kept = |object: &str| app.read(|cx| Ok(engine::media::is_kept(cx, object)?)).unwrap_or(true);
    let files = app.media.sweep(now, is_kept).await?;
    if let Some(rates) = &app.rates {
        rates.forget();
    }
    Ok(Sweep { epochs: report.epochs_destroyed, buckets: report.buckets_dropped, files })
}

/// Until the next epoch ends, or the configured time: the clock may be set.
fn until_next_end(app: &App) -> Duration {
    let sealer = app.journal.sealer();
    let next = next_end(app.clock.now(), sealer.classes(), sealer.keyring().epochs());
    app.config.retention.sweep.as_duration().min(next).max(PAUSE_MIN)
}

/// How long nothing can end: neither one of these epochs, nor one that begins while we wait.
fn next_end(now: Timestamp, classes: &ClassTable, epochs: impl IntoIterator<Item = Epoch>) -> Duration {
    let known = epochs.into_iter().map(|epoch| until_ms(now, classes.ends_at(epoch)));
    let unborn = classes.iter().map(|(_, retention)| retention.lifetime_ms);
    Duration::from_millis(known.chain(unborn).min().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use journal::{Class, Retention};

    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_000_002_000);

    fn classes() -> ClassTable {
        ClassTable::new(5_000, [20_000, 3_600_000].map(|lifetime_ms| Retention { lifetime_ms }).to_vec())
    }

    #[test]
    fn waits_no_longer_than_an_epoch_that_begins_meanwhile_lives() {
        assert_eq!(next_end(NOW, &classes(), []), Duration::from_secs(20));
    }

    #[test]
    fn waits_until_the_first_known_epoch_ends() {
        let classes = classes();
        let early = classes.epoch(Class(0), Timestamp::from_ms(NOW.as_ms() - 20_000));
        let late = classes.epoch(Class(1), NOW);
        assert_eq!(next_end(NOW, &classes, [late, early]), Duration::from_secs(3));
    }
}
