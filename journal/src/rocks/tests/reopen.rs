use super::*;
use crate::{ClassTable, Retention};

fn fill(journal: &RocksJournal) -> Timestamp {
    for number in 0..30_u32 {
        let now = NOW.plus_ms(u64::from(number) * 7 * MINUTE);
        write_at(journal, now, |batch| {
            COUNTERS.put(batch, &(0, number), &u64::from(number));
            NOTES.put(batch, &(0, number % 10), &number.to_string(), DAY, Timestamp::NEVER);
            EVENTS.put(batch, &(0, Stamp::of_commit(0)), &number.to_string(), TWO_HOURS, Timestamp::NEVER);
        });
    }
    NOW.plus_ms(30 * 7 * MINUTE)
}

#[test]
fn everything_is_there_again() {
    let data = Data::new();
    let journal = data.open();
    let now = fill(&journal);
    let (before, digest) = (contents(&journal.view(now)), journal.digest().unwrap());
    assert_eq!(before.len(), 30 + 10 + 17);
    // Once from the write-ahead log alone, once from files after a clean end.
    drop(journal);
    let journal = data.open();
    assert_eq!((contents(&journal.view(now)), journal.digest().unwrap()), (before.clone(), digest));
    journal.close().unwrap();
    drop(journal);
    let journal = data.open();
    assert_eq!((contents(&journal.view(now)), journal.digest().unwrap()), (before, digest));
    assert_eq!(*journal.watch().borrow(), Seq::from_u64(30));
    let seq = write_at(&journal, now, |batch| NOTES.delete(batch, &(0, 3)));
    assert_eq!(seq, Seq::from_u64(31));
    // The row is in a bucket of before: it was found and removed there.
    assert_eq!(NOTES.count(&journal.view(now), &()).unwrap(), 9);
}

#[test]
fn a_crash_between_keys_and_files_is_made_good() {
    let data = Data::new();
    let journal = data.open();
    write_at(&journal, NOW, |batch| NOTES.put(batch, &(0, 0), &"x".to_owned(), DAY, Timestamp::NEVER));
    let end = NOW.plus_ms(25 * HOUR);
    // What a sweep does first, and then the power fails.
    let keyring = journal.sealer().keyring().clone();
    keyring.destroy_all(&keyring.expired(end, &classes())).unwrap();
    drop((journal, keyring));
    let journal = data.open();
    assert_eq!(contents(&journal.view(NOW)).len(), 0);
    let report = journal.expire(end).unwrap();
    assert_eq!((report.epochs_destroyed, report.buckets_dropped), (0, 1));
    assert_eq!(journal.0.store.buckets().len(), 0);
}

#[test]
fn a_store_knows_its_keyring_and_its_slots() {
    let data = Data::new();
    drop(data.open());
    let open = |keyring, classes| RocksJournal::open(&data.store(), Sealer::new(keyring, classes), small());
    let other = open(Keyring::in_memory().unwrap(), classes());
    assert!(matches!(other, Err(StoreError::OtherKeyring)));
    let keyring = || Keyring::open(&data.keyring(), &data.root).unwrap();
    let slots = ClassTable::new(MINUTE, vec![Retention { lifetime_ms: HOUR }]);
    let other = open(keyring(), slots);
    assert!(matches!(other, Err(StoreError::SlotLength { stored_ms: 600_000, given_ms: 60_000 })));
    // Lifetimes may change: buckets say themselves what they hold.
    let journal = data.open();
    write_at(&journal, NOW, |batch| NOTES.put(batch, &(0, 0), &"x".to_owned(), DAY, Timestamp::NEVER));
    drop(journal);
    let longer = ClassTable::new(10 * MINUTE, vec![Retention { lifetime_ms: 240 * HOUR }]);
    let journal = open(keyring(), longer).unwrap();
    write_at(&journal, NOW, |batch| NOTES.put(batch, &(0, 1), &"y".to_owned(), DAY, Timestamp::NEVER));
    assert_eq!(NOTES.count(&journal.view(NOW), &()).unwrap(), 2);
    assert_eq!(NOTES.count(&journal.view(NOW.plus_ms(24 * HOUR)), &()).unwrap(), 1);
    write_at(&journal, NOW, |batch| NOTES.put(batch, &(0, 0), &"z".to_owned(), DAY, Timestamp::NEVER));
    assert_eq!(NOTES.count(&journal.view(NOW.plus_ms(24 * HOUR)), &()).unwrap(), 2);
}

/// A store opened at `now` with one class of that lifetime.
fn open_at(data: &Data, now: Timestamp, lifetime_ms: u64) -> RocksJournal {
    open_with(data, now, &[lifetime_ms])
}

/// A store opened at `now` with classes of these lifetimes.
fn open_with(data: &Data, now: Timestamp, lifetimes_ms: &[u64]) -> RocksJournal {
    let keyring = Keyring::open(&data.keyring(), &data.root).unwrap();
    let retentions = lifetimes_ms.iter().map(|lifetime_ms| Retention { lifetime_ms: *lifetime_ms });
    let classes = ClassTable::new(10 * MINUTE, retentions.collect());
    RocksJournal::open(&data.store(), Sealer::new(keyring, classes), Options { now, ..small() }).unwrap()
}

#[test]
fn a_longer_lifetime_lengthens_nothing_that_is_there() {
    let data = Data::new();
    let put = |journal: &RocksJournal, now, number| {
        write_at(journal, now, |batch| NOTES.put(batch, &(0, number), &"x".to_owned(), DAY, Timestamp::NEVER));
    };
    let count = |journal: &RocksJournal, now| NOTES.count(&journal.view(now), &()).unwrap();
    let journal = open_at(&data, NOW, HOUR);
    put(&journal, NOW, 0);
    drop(journal);
    let journal = open_at(&data, NOW.plus_ms(1), 4 * HOUR);
    // The slot of the change still goes by the shorter one; the next does not.
    put(&journal, NOW.plus_ms(1), 1);
    let next_slot = NOW.plus_ms(10 * MINUTE);
    put(&journal, next_slot, 2);
    assert_eq!(count(&journal, NOW.plus_ms(HOUR - 1)), 3);
    assert_eq!(count(&journal, NOW.plus_ms(HOUR + 1)), 1);
    let report = journal.expire(NOW.plus_ms(HOUR + 10 * MINUTE)).unwrap();
    assert_eq!(report.epochs_destroyed, 1, "the key goes when it was to go");
    drop(journal);
    let journal = open_at(&data, NOW.plus_ms(2 * HOUR), 4 * HOUR);
    assert_eq!(count(&journal, next_slot.plus_ms(4 * HOUR - 1)), 1, "kept over a restart");
    assert_eq!(count(&journal, next_slot.plus_ms(4 * HOUR)), 0);
}

#[test]
fn a_shorter_lifetime_holds_for_everything() {
    let data = Data::new();
    let journal = open_at(&data, NOW, 4 * HOUR);
    write_at(&journal, NOW, |batch| NOTES.put(batch, &(0, 0), &"x".to_owned(), DAY, Timestamp::NEVER));
    drop(journal);
    let journal = open_at(&data, NOW.plus_ms(1), HOUR);
    let end = journal.sealer().classes().ends_at(classes().epoch(DAY, NOW));
    assert!(end <= NOW.plus_ms(HOUR + 10 * MINUTE));
    let count = |now| NOTES.count(&journal.view(now), &()).unwrap();
    assert_eq!((count(Timestamp::from_ms(end.as_ms() - 1)), count(end)), (1, 0));
    let row = NOTES.get(&journal.view(NOW.plus_ms(1)), &(0, 0)).unwrap().unwrap();
    assert_eq!(row.expires, end);
    assert_eq!(journal.expire(end).unwrap().epochs_destroyed, 1);
}

#[test]
fn a_store_of_fewer_classes_opens_with_more() {
    let data = Data::new();
    let put = |journal: &RocksJournal, now, number, class| {
        write_at(journal, now, |batch| NOTES.put(batch, &(0, number), &"x".to_owned(), class, Timestamp::NEVER));
    };
    let count = |journal: &RocksJournal, now| NOTES.count(&journal.view(now), &()).unwrap();
    let journal = open_with(&data, NOW, &[HOUR]);
    put(&journal, NOW, 0, Class(0));
    drop(journal);
    let later = NOW.plus_ms(MINUTE);
    let journal = open_with(&data, later, &[HOUR, 7 * HOUR]);
    assert_eq!(count(&journal, later), 1, "what was there is there");
    put(&journal, later, 1, Class(1));
    drop(journal);
    let journal = open_with(&data, later, &[HOUR, 7 * HOUR]);
    for (after_ms, expected) in [(0, 2), (HOUR - MINUTE - 1, 2), (HOUR - MINUTE, 1), (7 * HOUR - 1, 1), (7 * HOUR, 0)] {
        assert_eq!(count(&journal, later.plus_ms(after_ms)), expected, "after {after_ms} ms");
    }
    assert_eq!(journal.expire(NOW.plus_ms(8 * HOUR)).unwrap().epochs_destroyed, 2);
}

#[test]
fn only_one_process_has_the_store() {
    let data = Data::new();
    let journal = data.open();
    let again = RocksJournal::open(&data.store(), journal.sealer().clone(), small());
    assert!(matches!(again, Err(StoreError::Store(_))));
    let keyring = Keyring::open(&data.keyring(), &data.root);
    assert!(matches!(keyring, Err(crate::KeyringError::InUse(_))));
}
