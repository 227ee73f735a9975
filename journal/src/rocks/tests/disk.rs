//! What is to be found in the folder: nothing plain, and of what has expired nothing at all.

use std::{sync::mpsc, time::Duration};

use super::*;

/// The ciphertext of the only row of `batch`: what must not be found once the row is erased.
fn ciphertext(batch: &SealedBatch) -> Vec<u8> {
    let [SealedOp::Put { sealed, .. }] = batch.ops.as_slice() else { panic!("one row") };
    sealed[5..].to_vec()
}

fn write_note(journal: &RocksJournal, now: Timestamp, key: u32, value: &str) -> Vec<u8> {
    let mut batch = Batch::new(now);
    NOTES.put(&mut batch, &(0, key), &value.to_owned(), DAY, Timestamp::NEVER);
    let sealed = journal.seal(batch).unwrap();
    let ciphertext = ciphertext(&sealed);
    assert!(matches!(journal.commit_blocking(sealed).unwrap(), Outcome::Committed(_)));
    ciphertext
}

/// Random bytes do not compress, so that a row is found in a table file as it was written.
const VALUE: &str = "canary-canary-canary-canary";

#[test]
fn no_plaintext_and_no_name_in_any_file() {
    let data = Data::new();
    let journal = data.open();
    let name = journal.view(NOW).name("@canary-name:example.org");
    let sealed = write_note(&journal, NOW, 0, VALUE);
    write_at(&journal, NOW, |batch| {
        crate::conformance::ROOMS.put(batch, &(name,), &VALUE.to_owned());
        EVENTS.put(batch, &(0, Stamp::of_commit(0)), &VALUE.to_owned(), TWO_HOURS, Timestamp::NEVER);
    });
    // The search finds what is there: the ciphertext, first in the log and later in a table file.
    assert_eq!(extensions(&data.files_with(&sealed)), BTreeSet::from(["log"]));
    assert_eq!(data.files_with(b"canary"), BTreeSet::new());
    journal.close().unwrap();
    assert_eq!(extensions(&data.files_with(&sealed)), BTreeSet::from(["sst"]));
    assert_eq!(data.files_with(b"canary"), BTreeSet::new());
    assert_eq!(rows(NOTES.scan(&journal.view(NOW), &())), [((0, 0), VALUE.to_owned())]);
    drop(journal);
    let journal = data.open();
    assert_eq!(rows(NOTES.scan(&journal.view(NOW), &())), [((0, 0), VALUE.to_owned())]);
    assert_eq!(data.files_with(b"canary"), BTreeSet::new());
}

#[test]
fn an_ended_bucket_leaves_nothing_behind() {
    let data = Data::new();
    let journal = data.open();
    let old = write_note(&journal, NOW, 0, VALUE);
    let kept = write_note(&journal, NOW.plus_ms(2 * HOUR), 1, VALUE);
    assert!(!data.files_with(&old).is_empty());
    let end = NOW.plus_ms(25 * HOUR);
    let report = journal.expire(end).unwrap();
    let expected = ExpiryReport { epochs_destroyed: 1, buckets_dropped: 1, ..ExpiryReport::default() };
    assert_eq!(report, expected);
    assert_eq!(data.files_with(&old), BTreeSet::new());
    assert_eq!(extensions(&data.files_with(&kept)), BTreeSet::from(["sst"]));
    assert_eq!(rows(NOTES.scan(&journal.view(end), &())), [((0, 1), VALUE.to_owned())]);
    assert!(journal.expire(end).unwrap().is_idle());
}

#[test]
fn an_ended_epoch_goes_from_a_bucket_that_lives_on() {
    let data = Data::new();
    let journal = data.open();
    // Two slots of one bucket, and a table file that holds rows of both.
    let old = write_note(&journal, NOW, 0, VALUE);
    let kept = write_note(&journal, NOW.plus_ms(10 * MINUTE), 1, VALUE);
    journal.0.store.flush_all().unwrap();
    assert_eq!(data.files_with(&old), data.files_with(&kept));
    let end = NOW.plus_ms(24 * HOUR + 10 * MINUTE);
    let report = journal.expire(end).unwrap();
    let expected = ExpiryReport { epochs_destroyed: 1, buckets_rewritten: 1, ..ExpiryReport::default() };
    assert_eq!(report, expected);
    assert_eq!(data.files_with(&old), BTreeSet::new());
    assert_eq!(data.files_with(&kept).len(), 1);
    assert_eq!(rows(NOTES.scan(&journal.view(NOW), &())), [((0, 1), VALUE.to_owned())]);
}

/// A scrub that goes on and on, over the edge of an epoch.
fn destroy_keys_during_a_scrub(journal: &RocksJournal, now: Timestamp) -> usize {
    let (done, told) = mpsc::channel();
    thread::scope(|scope| {
        let _scrubbing = journal.0.tending.lock().unwrap();
        scope.spawn(move || done.send(journal.destroy_keys(now).unwrap()));
        told.recv_timeout(Duration::from_secs(20)).expect("waits for no scrub")
    })
}

#[test]
fn keys_are_destroyed_during_a_scrub_and_files_go_after_it() {
    let data = Data::new();
    let journal = data.open();
    let old = write_note(&journal, NOW, 0, VALUE);
    let end = NOW.plus_ms(25 * HOUR);
    assert_eq!(destroy_keys_during_a_scrub(&journal, end), 1);
    assert!(journal.sealer().keyring().existing(classes().epoch(DAY, NOW)).is_none());
    assert!(rows(NOTES.scan(&journal.view(NOW), &())).is_empty());
    assert!(!data.files_with(&old).is_empty());
    assert_eq!(journal.destroy_keys(end).unwrap(), 0);
    let expected = ExpiryReport { epochs_destroyed: 1, buckets_dropped: 1, ..ExpiryReport::default() };
    assert_eq!(journal.expire(end).unwrap(), expected);
    assert_eq!(data.files_with(&old), BTreeSet::new());
    assert!(journal.expire(end).unwrap().is_idle());
}

#[test]
fn a_bucket_that_lives_on_is_rewritten_after_the_scrub_too() {
    let data = Data::new();
    let journal = data.open();
    let old = write_note(&journal, NOW, 0, VALUE);
    let kept = write_note(&journal, NOW.plus_ms(10 * MINUTE), 1, VALUE);
    journal.0.store.flush_all().unwrap();
    let end = NOW.plus_ms(24 * HOUR + 10 * MINUTE);
    assert_eq!(destroy_keys_during_a_scrub(&journal, end), 1);
    let expected = ExpiryReport { epochs_destroyed: 1, buckets_rewritten: 1, ..ExpiryReport::default() };
    assert_eq!(journal.expire(end).unwrap(), expected);
    assert_eq!(data.files_with(&old), BTreeSet::new());
    assert_eq!(data.files_with(&kept).len(), 1);
}

#[test]
fn files_of_keys_that_an_earlier_process_destroyed_are_rewritten() {
    let data = Data::new();
    let journal = data.open();
    let old = write_note(&journal, NOW, 0, VALUE);
    let kept = write_note(&journal, NOW.plus_ms(10 * MINUTE), 1, VALUE);
    let end = NOW.plus_ms(24 * HOUR + 10 * MINUTE);
    assert_eq!(journal.destroy_keys(end).unwrap(), 1);
    journal.close().unwrap();
    drop(journal);
    assert_eq!(data.files_with(&old).len(), 1);

    let journal = data.open_with(Options { now: end, ..small() });
    let expected = ExpiryReport { epochs_destroyed: 1, buckets_rewritten: 1, ..ExpiryReport::default() };
    assert_eq!(journal.expire(end).unwrap(), expected);
    assert_eq!(data.files_with(&old), BTreeSet::new());
    assert_eq!(data.files_with(&kept).len(), 1);
    assert!(journal.expire(end).unwrap().is_idle());
}

#[test]
fn a_reader_in_the_way_only_delays() {
    let data = Data::new();
    let journal = data.open();
    let old = write_note(&journal, NOW, 0, VALUE);
    journal.0.store.flush_all().unwrap();
    let end = NOW.plus_ms(25 * HOUR);
    {
        let view = journal.view(NOW);
        let mut scan = NOTES.scan(&view, &());
        let report = journal.expire(end).unwrap();
        assert_eq!((report.buckets_dropped, report.files_left.len()), (1, 1));
        // Its key is gone: the reader sees nothing of it although it has the file open.
        assert!(scan.next().is_none());
        assert!(!data.files_with(&old).is_empty());
    }
    assert_eq!(journal.expire(end).unwrap().files_left, Vec::<String>::new());
    assert_eq!(data.files_with(&old), BTreeSet::new());
}

#[test]
fn scrubbing_leaves_nothing_of_deleted_rows() {
    let data = Data::new();
    let journal = data.open();
    let mut batch = Batch::new(NOW);
    COUNTERS.put(&mut batch, &(0, 0), &7);
    let sealed = journal.seal(batch).unwrap();
    let old = ciphertext(&sealed);
    journal.commit_blocking(sealed).unwrap();
    write_at(&journal, NOW, |batch| COUNTERS.put(batch, &(0, 1), &8));
    journal.0.store.flush_all().unwrap();
    write_at(&journal, NOW, |batch| COUNTERS.delete(batch, &(0, 0)));
    journal.0.store.flush_all().unwrap();
    assert_eq!(extensions(&data.files_with(&old)), BTreeSet::from(["sst"]));
    journal.scrub(NOW).unwrap();
    assert_eq!(data.files_with(&old), BTreeSet::new());
    assert_eq!(rows(COUNTERS.scan(&journal.view(NOW), &())), [((0, 1), 8)]);
}

#[test]
fn the_next_slots_key_is_made_ahead() {
    let data = Data::new();
    let journal = data.open();
    write_note(&journal, NOW, 0, VALUE);
    assert!(journal.expire(NOW).unwrap().is_idle());
    let epochs = journal.sealer().keyring().epochs();
    let expected = [NOW, NOW.plus_ms(10 * MINUTE)].map(|now| classes().epoch(DAY, now));
    assert_eq!(epochs, expected);
}
