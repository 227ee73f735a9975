use proptest::prelude::*;

use super::*;
use crate::{
    MemoryJournal,
    conformance::random::{build, steps},
};

/// A copy of the store opened beside it; the process has one keyring.
fn open_copy(path: &Path, journal: &RocksJournal) -> RocksJournal {
    RocksJournal::open(path, journal.sealer().clone(), small()).unwrap()
}

#[test]
fn a_checkpoint_and_the_batches_that_followed_are_the_live_store() {
    let (data, copies) = (Data::new(), tempfile::tempdir().unwrap());
    let journal = data.open();
    let mut log = Vec::new();
    let commit = |number: u32, log: &mut Vec<SealedBatch>| {
        let now = NOW.plus_ms(u64::from(number) * 9 * MINUTE);
        let mut batch = Batch::new(now);
        if number.is_multiple_of(4) {
            // Some of these do not hold.
            NOTES.require(&mut batch, &(0, number % 6), None);
        }
        NOTES.put(&mut batch, &(0, number % 7), &number.to_string(), DAY, Timestamp::NEVER);
        EVENTS.put(&mut batch, &(0, Stamp::of_commit(0)), &number.to_string(), TWO_HOURS, Timestamp::NEVER);
        COUNTERS.put(&mut batch, &(0, number % 5), &u64::from(number));
        NOTES.delete(&mut batch, &(0, (number + 3) % 7));
        batch.wake(topic(1));
        let sealed = journal.seal(batch).unwrap();
        // The log carries bytes.
        log.push(SealedBatch::decode(&sealed.encode(), &[]).unwrap());
        journal.commit_blocking(sealed).unwrap()
    };
    for number in 0..20 {
        commit(number, &mut log);
    }
    let before = journal.digest().unwrap();
    let copy = copies.path().join("copy");
    journal.checkpoint(&copy).unwrap();
    log.clear();
    for number in 20..50 {
        commit(number, &mut log);
    }
    let restored = open_copy(&copy, &journal);
    assert_eq!(restored.digest().unwrap(), before);
    let outcomes: Vec<_> = log.into_iter().map(|batch| restored.commit_blocking(batch).unwrap()).collect();
    assert!(outcomes.iter().any(|outcome| matches!(outcome, Outcome::Conflict { precondition: 0 })));
    assert_eq!(restored.digest().unwrap(), journal.digest().unwrap());
    let now = NOW.plus_ms(50 * 9 * MINUTE);
    let live = contents(&journal.view(now));
    assert!(live.len() > 10, "{}", live.len());
    assert_eq!(contents(&restored.view(now)), live);
    assert_eq!(restored.view(now).seq(), journal.view(now).seq());
}

#[test]
fn restoring_does_not_bring_back_what_has_expired() {
    let (data, copies) = (Data::new(), tempfile::tempdir().unwrap());
    let journal = data.open();
    write_at(&journal, NOW, |batch| {
        NOTES.put(batch, &(0, 0), &"expired".to_owned(), TWO_HOURS, Timestamp::NEVER);
        NOTES.put(batch, &(0, 1), &"alive".to_owned(), DAY, Timestamp::NEVER);
        COUNTERS.put(batch, &(0, 0), &1);
    });
    let copy = copies.path().join("copy");
    journal.checkpoint(&copy).unwrap();
    assert_eq!(files_with(&copy, b"VESTKEYS"), BTreeSet::new());
    journal.expire(NOW.plus_ms(3 * HOUR)).unwrap();
    let restored = open_copy(&copy, &journal);
    // Even with the clock set back.
    let view = restored.view(NOW);
    assert_eq!(rows(NOTES.scan(&view, &())), [((0, 1), "alive".to_owned())]);
    assert_eq!(rows(COUNTERS.scan(&view, &())), [((0, 0), 1)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Both engines and a reopened one agree on every outcome, every row, and the digest.
    #[test]
    fn engines_agree(steps in steps()) {
        let data = Data::new();
        let mut journal = data.open();
        let memory = MemoryJournal::new(journal.sealer().clone());
        let mut now = NOW;
        for (minutes, steps) in &steps {
            now = now.plus_ms(minutes * MINUTE);
            let batch = build(&journal, now, steps);
            let outcome = journal.commit_blocking(batch.clone()).unwrap();
            prop_assert_eq!(memory.commit_sealed(&batch).unwrap(), outcome);
            if minutes % 8 == 0 {
                memory.expire(now).unwrap();
                journal.expire(now).unwrap();
            }
        }
        for now in [now, now.plus_ms(HOUR), now.plus_ms(30 * HOUR)] {
            let contents = contents(&journal.view(now));
            prop_assert_eq!(&self::contents(&memory.view(now)), &contents);
            for key in 0..6 {
                let note = NOTES.get(&journal.view(now), &(key, 0)).unwrap();
                prop_assert_eq!(NOTES.get(&memory.view(now), &(key, 0)).unwrap(), note);
            }
        }
        prop_assert_eq!(memory.digest(), journal.digest().unwrap());
        let before = contents(&journal.view(now));
        drop((journal, memory));
        journal = data.open();
        prop_assert_eq!(contents(&journal.view(now)), before);
    }
}
