//! Random batches, to compare two engines, or one engine with itself after a restart.

use proptest::prelude::*;

use super::*;
use crate::SealedBatch;

/// One change of a small world, so that keys meet often.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Counter(u8, u64),
    NoCounter(u8),
    Note { key: u8, class: Class, expires_ms: u64 },
    NoNote(u8),
    Event { expires_ms: u64 },
    Require { key: u8, present: bool },
}

/// Batches with the minutes that pass before each.
pub(crate) fn steps() -> impl Strategy<Value = Vec<(u64, Vec<Step>)>> {
    let key = 0..6_u8;
    let class = prop_oneof![Just(DAY), Just(TWO_HOURS)];
    let step = prop_oneof![
        (key.clone(), any::<u64>()).prop_map(|(key, value)| Step::Counter(key, value)),
        key.clone().prop_map(Step::NoCounter),
        (key.clone(), class, 0..3 * HOUR).prop_map(|(key, class, expires_ms)| Step::Note { key, class, expires_ms }),
        key.clone().prop_map(Step::NoNote),
        (0..3 * HOUR).prop_map(|expires_ms| Step::Event { expires_ms }),
        (key, any::<bool>()).prop_map(|(key, present)| Step::Require { key, present }),
    ];
    prop::collection::vec((0..40_u64, prop::collection::vec(step, 1..6)), 1..24)
}

/// Builds a batch from what `journal` shows.
pub(crate) fn build(journal: &impl Journal, now: Timestamp, steps: &[Step]) -> SealedBatch {
    let view = journal.view(now);
    let mut batch = Batch::new(now);
    for (index, step) in (0..).zip(steps) {
        let text = || format!("{index} at {}", now.as_ms());
        match *step {
            Step::Counter(key, value) => COUNTERS.put(&mut batch, &(key, 0), &value),
            Step::NoCounter(key) => COUNTERS.delete(&mut batch, &(key, 0)),
            Step::Note { key, class, expires_ms } => {
                NOTES.put(&mut batch, &(key, 0), &text(), class, now.plus_ms(expires_ms));
            }
            Step::NoNote(key) => NOTES.delete(&mut batch, &(key, 0)),
            Step::Event { expires_ms } => {
                EVENTS.put(&mut batch, &(0, Stamp::of_commit(index)), &text(), DAY, now.plus_ms(expires_ms));
            }
            Step::Require { key, present } => {
                let version = NOTES.get(&view, &(key, 0)).unwrap().map(|row| row.version);
                // Sometimes wrong on purpose: both engines have to find the same conflict.
                NOTES.require(&mut batch, &(key, 0), if present { version } else { None });
            }
        }
    }
    drop(view);
    journal.seal(batch).unwrap()
}
