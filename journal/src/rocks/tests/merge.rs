//! What the writer never leaves behind, made by hand: two copies of one key, and a damaged row.

use super::*;
use crate::{ReadError, stored::full_key};

/// The stored bytes of a note, and the family they are in.
fn stored(journal: &RocksJournal, key: &[u8]) -> (String, Vec<u8>) {
    let store = &journal.0.store;
    let found = |family: &str| store.db().get_cf(&store.family(family).unwrap(), key).unwrap();
    let mut copies = store
        .buckets()
        .iter()
        .filter_map(|bucket| Some((bucket.family.clone(), found(&bucket.family)?)))
        .collect::<Vec<_>>();
    assert_eq!(copies.len(), 1, "one copy of a key");
    copies.remove(0)
}

#[test]
fn of_two_copies_the_newer_one_counts() {
    let data = Data::new();
    let journal = data.open();
    let write = |now, value: &str| {
        write_at(&journal, now, |batch| {
            NOTES.put(batch, &(0, 1), &value.to_owned(), DAY, Timestamp::NEVER);
        })
    };
    for number in [0, 2] {
        write_at(&journal, NOW, |batch| NOTES.put(batch, &(0, number), &"beside".to_owned(), DAY, Timestamp::NEVER));
    }
    let key = full_key(NOTES.info(), &[0, 0, 0, 0, 1]);
    write(NOW, "old");
    let (family, old) = stored(&journal, &key);
    let later = NOW.plus_ms(2 * HOUR);
    write(later, "new");
    assert_ne!(stored(&journal, &key).0, family);
    journal.0.store.db().put_cf(&journal.0.store.family(&family).unwrap(), &key, &old).unwrap();

    let view = journal.view(later);
    let expected = [(0, "beside"), (1, "new"), (2, "beside")].map(|(number, value)| ((0, number), value.to_owned()));
    assert_eq!(rows(NOTES.scan(&view, &())), expected);
    assert_eq!(rows(NOTES.scan_back(&view, &())).into_iter().rev().collect::<Vec<_>>(), expected);
    assert_eq!(NOTES.count(&view, &()).unwrap(), 3);
    assert_eq!(NOTES.get(&view, &(0, 1)).unwrap().unwrap().value, "new");
}

#[test]
fn a_damaged_row_is_told_and_does_not_hide_the_others() {
    let data = Data::new();
    let journal = data.open();
    for number in 0..3 {
        write_at(&journal, NOW, |batch| NOTES.put(batch, &(0, number), &number.to_string(), DAY, Timestamp::NEVER));
    }
    let key = full_key(NOTES.info(), &[0, 0, 0, 0, 1]);
    let (family, good) = stored(&journal, &key);
    let damage = |bytes: &[u8]| journal.0.store.db().put_cf(&journal.0.store.family(&family).unwrap(), &key, bytes).unwrap();
    // One bit of the ciphertext; later by a day; no row at all.
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut longer = good.clone();
    longer[23] ^= 1;
    for bytes in [&flipped, &longer, &vec![9; 40], &Vec::new()] {
        damage(bytes);
        let view = journal.view(NOW);
        assert!(matches!(NOTES.get(&view, &(0, 1)), Err(ReadError::Damaged { table: "notes" })), "{bytes:?}");
        let seen: Vec<_> = NOTES.scan(&view, &()).map(|row| row.ok().map(|(key, _)| key)).collect();
        assert_eq!(seen, [Some((0, 0)), None, Some((0, 2))]);
    }
    damage(&good);
    assert_eq!(NOTES.get(&journal.view(NOW), &(0, 1)).unwrap().unwrap().value, "1");
}
