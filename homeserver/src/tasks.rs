//! The only place that spawns tasks: each is counted, and a shutdown tells all and waits for all.
#![expect(clippy::disallowed_methods, reason = "this is the one place")]

use std::future::Future;

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tokio_util::task::TaskTracker;

/// All tasks of one server.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    end: CancellationToken,
}

impl Tasks {
    /// Runs `task` until it ends; it has to watch [`Tasks::ended`] if it does not end by itself.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        tokio::spawn(self.tracker.track_future(task));
    }

    /// Resolves when the server is to end.
    pub fn ended(&self) -> WaitForCancellationFuture<'_> {
        self.end.cancelled()
    }

    /// Whether the server is to end.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.end.is_cancelled()
    }

    /// Tells all tasks to end.
    pub fn end(&self) {
        self.end.cancel();
    }

    /// Waits until all have ended; [`Tasks::end`] comes first.
    pub async fn wait(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}
