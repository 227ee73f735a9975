//! What every engine has to do, as one suite that all of them pass.

use std::{collections::BTreeMap, ops::Deref};

use crate::{
    Batch, Class, ClassTable, Digest, Expiring, Journal, Lasting, MemoryJournal, Name, Outcome, Retention, Seq, Stamp,
    Table, Timestamp, Topic, Unavailable, View,
};

pub(crate) mod expiry;
#[cfg(feature = "rocksdb")]
pub(crate) mod random;
pub(crate) mod reads;
pub(crate) mod writes;

pub(crate) const MINUTE: u64 = 60_000;
pub(crate) const HOUR: u64 = 60 * MINUTE;
/// The start of a slot, so that tests can count.
pub(crate) const NOW: Timestamp = Timestamp::from_ms(3_000_000 * 10 * MINUTE);
/// Buckets of an hour.
pub(crate) const DAY: Class = Class(0);
/// Buckets of one slot.
pub(crate) const TWO_HOURS: Class = Class(1);

pub(crate) const ROOMS: Table<(Name,), String, Lasting> = Table::lasting(1, "rooms");
pub(crate) const COUNTERS: Table<(u8, u32), u64, Lasting> = Table::lasting(2, "counters");
pub(crate) const EVENTS: Table<(u8, Stamp), String, Expiring> = Table::append_only(3, "events");
pub(crate) const NOTES: Table<(u8, u32), String, Expiring> = Table::expiring(4, "notes");

pub(crate) fn classes() -> ClassTable {
    ClassTable::new(10 * MINUTE, vec![Retention { lifetime_ms: 24 * HOUR }, Retention { lifetime_ms: 2 * HOUR }])
}

/// An engine with what the suite has to do to it beside reading and writing.
pub(crate) trait Engine: Journal {
    fn digest_now(&self) -> Digest;
    /// Destroys what has ended at `now`; answers how many epochs.
    fn sweep(&self, now: Timestamp) -> usize;
}

impl Engine for MemoryJournal {
    fn digest_now(&self) -> Digest {
        self.digest()
    }

    fn sweep(&self, now: Timestamp) -> usize {
        self.expire(now).unwrap()
    }
}

/// A journal with the folder it is in.
pub(crate) struct Open<J> {
    pub(crate) journal: J,
    pub(crate) _folder: Option<tempfile::TempDir>,
}

impl<J> Deref for Open<J> {
    type Target = J;

    fn deref(&self) -> &J {
        &self.journal
    }
}

pub(crate) fn in_memory() -> Open<MemoryJournal> {
    Open { journal: MemoryJournal::for_tests(classes()), _folder: None }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Builds, seals and commits a batch at `now`.
pub(crate) fn commit_at(
    journal: &impl Journal,
    now: Timestamp,
    build: impl FnOnce(&mut Batch),
) -> Result<Outcome, Unavailable> {
    let mut batch = Batch::new(now);
    build(&mut batch);
    block_on(journal.commit(journal.seal(batch)?))
}

/// The same for a batch that has nothing to conflict with.
pub(crate) fn write_at(journal: &impl Journal, now: Timestamp, build: impl FnOnce(&mut Batch)) -> Seq {
    match commit_at(journal, now, build).unwrap() {
        Outcome::Committed(seq) => seq,
        Outcome::Conflict { precondition } => panic!("precondition {precondition} does not hold"),
    }
}

pub(crate) fn rows<K: crate::Key, V>(scan: crate::Scan<'_, K, V>) -> Vec<(K, V)>
where
    V: serde::de::DeserializeOwned,
{
    scan.map(|row| row.map(|(key, row)| (key, row.value))).collect::<Result<_, _>>().unwrap()
}

/// Everything a view shows, to compare two of them.
pub(crate) fn contents(view: &impl View) -> BTreeMap<String, (Seq, Timestamp)> {
    let mut all = BTreeMap::new();
    let mut note = |key: String, version, expires| assert!(all.insert(key, (version, expires)).is_none());
    for row in ROOMS.scan(view, &()) {
        let (key, row) = row.unwrap();
        note(format!("rooms {key:?} {}", row.value), row.version, row.expires);
    }
    for row in COUNTERS.scan(view, &()) {
        let (key, row) = row.unwrap();
        note(format!("counters {key:?} {}", row.value), row.version, row.expires);
    }
    for row in EVENTS.scan(view, &()) {
        let (key, row) = row.unwrap();
        note(format!("events {key:?} {}", row.value), row.version, row.expires);
    }
    for row in NOTES.scan(view, &()) {
        let (key, row) = row.unwrap();
        note(format!("notes {key:?} {}", row.value), row.version, row.expires);
    }
    all
}

pub(crate) fn topic(number: u8) -> Topic {
    Topic(Name::from_bytes([number; 16]))
}

/// One test of each name below for one engine.
macro_rules! suite {
    ($engine:ident, $open:expr) => {
        mod $engine {
            #[allow(unused_imports)]
            use super::*;
            suite!(@cases $open, reads: [
                a_view_knows_its_position,
                rows_come_back_as_written,
                scans_go_both_ways_between_bounds,
                scans_cross_buckets_in_key_order,
                a_view_stays_as_it_is,
                tables_do_not_see_each_other,
                counts_are_of_live_rows,
            ]);
            suite!(@cases $open, writes: [
                a_conflict_changes_nothing,
                preconditions_see_versions_and_absence,
                stamps_are_the_commits_own,
                the_later_operation_on_a_key_counts,
                deletes_reach_every_bucket,
                many_writers_lose_nothing,
                batches_over_a_limit_are_refused,
                the_digest_follows_every_batch,
            ]);
            suite!(@cases $open, expiry: [
                a_row_is_gone_at_its_exact_millisecond,
                no_row_outlives_its_class,
                an_expired_row_is_absent_to_preconditions,
                an_old_value_never_comes_back,
                without_its_key_a_row_is_absent,
                an_epoch_is_destroyed_when_it_has_ended,
                a_value_only_opens_at_its_own_place,
            ]);
        }
    };
    (@cases $open:expr, $file:ident: [$($case:ident),* $(,)?]) => {
        $(#[test]
        fn $case() {
            $crate::conformance::$file::$case(&*$open);
        })*
    };
}
#[cfg(feature = "rocksdb")]
pub(crate) use suite;

suite!(memory, crate::conformance::in_memory());
