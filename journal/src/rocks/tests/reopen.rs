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

#[test]
fn only_one_process_has_the_store() {
    let data = Data::new();
    let journal = data.open();
    let again = RocksJournal::open(&data.store(), journal.sealer().clone(), small());
    assert!(matches!(again, Err(StoreError::Store(_))));
    let keyring = Keyring::open(&data.keyring(), &data.root);
    assert!(matches!(keyring, Err(crate::KeyringError::InUse(_))));
}
