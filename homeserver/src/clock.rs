//! The only place that reads the time.
#![expect(clippy::disallowed_methods, reason = "this is the one place")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use journal::Timestamp;
use tokio::time::Instant;

/// How far the system's clock may go back without being noticed: corrections of a running clock are smaller.
const BACK_MS_MAX: u64 = 1_000;

/// The server's clock. It never goes back, not over restarts either ([`Clock::not_before`]): what has expired stays expired. If the
/// system's clock is set back, this one goes on from where it was, so that what comes from then on still lives L.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// How far ahead of the system's clock it is: zero unless that was set back.
    ahead_ms: AtomicU64,
    latest_ms: AtomicU64,
    /// What tests pretend: how much the system's clock was set forward or back, and what it said when it was stopped.
    moved_ms: AtomicI64,
    stopped_ms: AtomicU64,
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
        let ahead_ms = self.0.ahead_ms.load(Ordering::SeqCst);
        self.settle(self.system_ms(), ahead_ms)
    }

    /// The moment at which the system's clock said `system_ms`, or the latest that was told if that is later.
    fn settle(&self, system_ms: u64, ahead_ms: u64) -> Timestamp {
        let now_ms = system_ms.saturating_add(ahead_ms);
        let latest_ms = self.0.latest_ms.fetch_max(now_ms, Ordering::SeqCst).max(now_ms);
        if latest_ms - now_ms > BACK_MS_MAX {
            // This thread may have stood still since it read the clock, while others told later moments: that is no clock set back.
            let behind_ms = latest_ms.saturating_sub(self.system_ms().saturating_add(ahead_ms));
            // Of several who notice, one sets it right.
            let set_right_ms = ahead_ms.saturating_add(behind_ms);
            let ahead = &self.0.ahead_ms;
            if behind_ms > BACK_MS_MAX
                && ahead.compare_exchange(ahead_ms, set_right_ms, Ordering::SeqCst, Ordering::SeqCst).is_ok()
            {
                tracing::warn!(behind_ms, "the system's clock was set back; the server's goes on from where it was");
            }
        }
        Timestamp::from_ms(latest_ms)
    }

    /// From here on it says nothing before `moment`: the latest that the data folder knows of.
    pub fn not_before(&self, moment: Timestamp) {
        self.0.latest_ms.fetch_max(moment.as_ms(), Ordering::SeqCst);
    }

    fn system_ms(&self) -> u64 {
        let system_ms = match self.0.stopped_ms.load(Ordering::SeqCst) {
            0 => system_ms(),
            stopped_ms => stopped_ms,
        };
        system_ms.saturating_add_signed(self.0.moved_ms.load(Ordering::SeqCst))
    }

    /// Sets the system's clock forward, as far as this one sees it: for tests. Waiting tasks don't notice.
    pub fn advance(&self, by: Duration) {
        self.0.moved_ms.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Sets it back, for tests.
    pub fn set_back(&self, by: Duration) {
        self.0.moved_ms.fetch_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Stops it, for tests that look at both sides of a moment: from here on only they move it.
    pub fn stop(&self) {
        self.0.stopped_ms.store(system_ms(), Ordering::SeqCst);
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

fn system_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
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

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_SECONDS: Duration = Duration::from_secs(10);

    #[test]
    fn a_thread_that_stood_still_does_not_move_the_clock() {
        let clock = Clock::system();
        clock.stop();
        let (read, start) = (clock.system_ms(), clock.now());
        clock.advance(TEN_SECONDS);
        assert_eq!(clock.now(), start.plus_ms(10_000));
        // What the thread read before it was stopped counts only now.
        assert_eq!(clock.settle(read, 0), start.plus_ms(10_000));
        assert_eq!(clock.now(), start.plus_ms(10_000));
        clock.advance(TEN_SECONDS);
        assert_eq!(clock.now(), start.plus_ms(20_000));
    }

    #[test]
    fn a_clock_set_back_goes_on_from_where_it_was() {
        let clock = Clock::system();
        clock.stop();
        let start = clock.now();
        clock.set_back(TEN_SECONDS);
        assert_eq!(clock.now(), start);
        clock.advance(TEN_SECONDS);
        assert_eq!(clock.now(), start.plus_ms(10_000));
    }
}
