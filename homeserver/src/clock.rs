//! The only place that reads the time.
#![expect(clippy::disallowed_methods, reason = "this is the one place")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use journal::Timestamp;
use tokio::time::Instant;

/// The server's clock. It never goes back while the process runs: what has expired stays expired.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// How far ahead of the system's clock it is: zero outside tests.
    ahead_ms: AtomicU64,
    latest_ms: AtomicU64,
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let system_ms = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        let now_ms = system_ms.saturating_add(self.0.ahead_ms.load(Ordering::SeqCst));
        Timestamp::from_ms(self.0.latest_ms.fetch_max(now_ms, Ordering::SeqCst).max(now_ms))
    }

    /// Moves the clock ahead of the system's, for tests. Waiting tasks don't notice.
    pub fn advance(&self, by: Duration) {
        self.0.ahead_ms.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// The instant `after` from now, for waiting.
    #[must_use]
    pub fn deadline(&self, after: Duration) -> Instant {
        Instant::now() + after
    }

    /// Starts measuring.
    #[must_use]
    pub fn stopwatch(&self) -> Stopwatch {
        Stopwatch(Instant::now())
    }
}

/// Measures how long something took.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Since it was started.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Rates are measured by the same clock, so that tests can wait for a limit to lift without waiting.
impl governor::clock::Clock for Clock {
    type Instant = governor::nanos::Nanos;

    fn now(&self) -> Self::Instant {
        governor::nanos::Nanos::from(Duration::from_millis(Self::now(self).as_ms()))
    }
}
