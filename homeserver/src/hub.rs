//! Wake-ups: who waits for what, in memory.
//!
//! A waiter registers first, then looks at what there is, then waits. Whatever is committed after the registration wakes it, so
//! nothing falls between looking and waiting. What has no place in the journal (typing, presence) wakes the same topics.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use journal::Topic;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The waiters of one server. Cheap to clone; all clones are one hub.
#[derive(Clone, Default)]
pub struct Hub(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Growth: one entry per topic and waiting request, removed when the waiter is dropped.
    waiting: Mutex<HashMap<Topic, HashMap<u64, Arc<Notify>>>>,
    next_id: AtomicU64,
    end: CancellationToken,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("topics", &self.waiting().len()).finish()
    }
}

/// Why a wait came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// One of the topics was woken since the registration, or since the last wait.
    Changed,
    /// The deadline came first.
    TimedOut,
    /// The server is shutting down: answer with what there is.
    Ending,
}

impl Hub {
    /// Starts to listen to `topic`. Look at the journal after this, not before.
    #[must_use]
    pub fn register(&self, topic: Topic) -> Waiter {
        self.register_all(&[topic])
    }

    /// Starts to listen to all `topics`.
    #[must_use]
    pub fn register_all(&self, topics: &[Topic]) -> Waiter {
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let notify = Arc::new(Notify::new());
        let mut waiting = self.waiting();
        for topic in topics {
            waiting.entry(*topic).or_default().insert(id, Arc::clone(&notify));
        }
        drop(waiting);
        Waiter { hub: self.clone(), id, topics: topics.to_vec(), notify }
    }

    /// Wakes whoever listens to one of `topics`. For commits, after the fsync.
    pub fn wake(&self, topics: &[Topic]) {
        let waiting = self.waiting();
        for notify in topics.iter().filter_map(|topic| waiting.get(topic)).flat_map(HashMap::values) {
            // Leaves a permit if nobody is waiting at this moment: the next wait returns at once.
            notify.notify_one();
        }
    }

    /// Whether somebody listens to `topic` now.
    #[must_use]
    pub fn is_waited_for(&self, topic: Topic) -> bool {
        self.waiting().contains_key(&topic)
    }

    /// Ends all waits, now and later: the server is shutting down.
    pub fn end(&self) {
        self.0.end.cancel();
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Topic, HashMap<u64, Arc<Notify>>>> {
        // The map is whole after each statement that changes it, so a poisoned lock holds nothing broken.
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that listens; stops when dropped.
#[derive(Debug)]
pub struct Waiter {
    hub: Hub,
    id: u64,
    topics: Vec<Topic>,
    notify: Arc<Notify>,
}

impl Waiter {
    /// Waits until a topic is woken (at once, if that has happened since the registration or the last wait) or `until`.
    pub async fn wait(&self, until: Instant) -> Woken {
        tokio::select! {
            biased;
            () = self.hub.0.end.cancelled() => Woken::Ending,
            () = self.notify.notified() => Woken::Changed,
            () = tokio::time::sleep_until(until) => Woken::TimedOut,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut waiting = self.hub.waiting();
        for topic in &self.topics {
            if let Some(waiters) = waiting.get_mut(topic) {
                waiters.remove(&self.id);
                if waiters.is_empty() {
                    waiting.remove(topic);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use journal::Name;

    use super::*;
    use crate::clock::Clock;

    fn topic(number: u8) -> Topic {
        Topic(Name::from_bytes([number; 16]))
    }

    #[tokio::test]
    async fn a_wake_between_registering_and_waiting_is_not_lost() {
        let hub = Hub::default();
        let waiter = hub.register_all(&[topic(1), topic(2)]);
        hub.wake(&[topic(2)]);
        let far = Clock::system().deadline(Duration::from_hours(1));
        assert_eq!(waiter.wait(far).await, Woken::Changed);
        let now = Clock::system().deadline(Duration::ZERO);
        assert_eq!(waiter.wait(now).await, Woken::TimedOut, "one wake is one wake");
    }

    #[tokio::test]
    async fn every_waiter_of_a_topic_is_woken_and_no_other() {
        let hub = Hub::default();
        let (first, second, other) = (hub.register(topic(1)), hub.register(topic(1)), hub.register(topic(3)));
        hub.wake(&[topic(1)]);
        let (far, now) = (Clock::system().deadline(Duration::from_hours(1)), Clock::system().deadline(Duration::ZERO));
        assert_eq!(first.wait(far).await, Woken::Changed);
        assert_eq!(second.wait(far).await, Woken::Changed);
        assert_eq!(other.wait(now).await, Woken::TimedOut);
    }

    #[tokio::test]
    async fn nothing_is_kept_of_a_waiter_that_is_gone() {
        let hub = Hub::default();
        let (first, second) = (hub.register(topic(1)), hub.register(topic(1)));
        drop(first);
        assert!(hub.is_waited_for(topic(1)));
        drop(second);
        assert!(!hub.is_waited_for(topic(1)));
        assert!(hub.waiting().is_empty());
    }

    #[tokio::test]
    async fn the_end_of_the_server_ends_every_wait() {
        let hub = Hub::default();
        let waiter = hub.register(topic(1));
        hub.end();
        let far = Clock::system().deadline(Duration::from_hours(1));
        assert_eq!(waiter.wait(far).await, Woken::Ending);
    }
}
