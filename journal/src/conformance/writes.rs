use std::{collections::BTreeSet, thread};

use super::*;
use crate::{BatchTooLarge, LIMITS};

pub(crate) fn a_conflict_changes_nothing(journal: &impl Engine) {
    let seq = write_at(journal, NOW, |batch| COUNTERS.put(batch, &(0, 0), &1));
    let (before, digest) = (contents(&journal.view(NOW)), journal.digest_now());
    let outcome = commit_at(journal, NOW, |batch| {
        COUNTERS.require(batch, &(0, 0), Some(seq));
        COUNTERS.require(batch, &(0, 1), Some(seq));
        COUNTERS.require(batch, &(0, 2), Some(seq));
        COUNTERS.put(batch, &(0, 0), &2);
        NOTES.put(batch, &(0, 0), &"no".to_owned(), DAY, Timestamp::NEVER);
    });
    assert_eq!(outcome.unwrap(), Outcome::Conflict { precondition: 1 });
    assert_eq!(journal.view(NOW).seq(), seq);
    assert_eq!((contents(&journal.view(NOW)), journal.digest_now()), (before, digest));
}

pub(crate) fn preconditions_see_versions_and_absence(journal: &impl Engine) {
    let require = |table: u8, version| {
        let outcome = commit_at(journal, NOW, |batch| match table {
            0 => COUNTERS.require(batch, &(0, 0), version),
            _ => NOTES.require(batch, &(0, 0), version),
        });
        matches!(outcome.unwrap(), Outcome::Committed(_))
    };
    for table in [0, 1] {
        let put = |value: u64| {
            write_at(journal, NOW, |batch| match table {
                0 => COUNTERS.put(batch, &(0, 0), &value),
                _ => NOTES.put(batch, &(0, 0), &value.to_string(), DAY, Timestamp::NEVER),
            })
        };
        assert!(require(table, None) && !require(table, Some(Seq::ZERO)));
        let first = put(1);
        assert!(!require(table, None) && require(table, Some(first)));
        let second = put(2);
        assert!(!require(table, Some(first)) && require(table, Some(second)));
        write_at(journal, NOW, |batch| match table {
            0 => COUNTERS.delete(batch, &(0, 0)),
            _ => NOTES.delete(batch, &(0, 0)),
        });
        assert!(require(table, None) && !require(table, Some(second)));
    }
}

pub(crate) fn stamps_are_the_commits_own(journal: &impl Engine) {
    let mut expected = Vec::new();
    for _ in 0..3 {
        let seq = write_at(journal, NOW, |batch| {
            for index in [1, 0, 700] {
                EVENTS.put(batch, &(4, Stamp::of_commit(index)), &index.to_string(), DAY, Timestamp::NEVER);
            }
        });
        expected.extend([0, 1, 700].map(|index| ((4, Stamp::new(seq, index)), index.to_string())));
    }
    let view = journal.view(NOW);
    assert_eq!(rows(EVENTS.scan(&view, &(4,))), expected);
    // The place is bound by the seal with the stamp left out; the version is the stamp's.
    let row = EVENTS.get(&view, &(4, Stamp::new(Seq::from_u64(2), 700))).unwrap().unwrap();
    assert_eq!((row.value.as_str(), row.version), ("700", Seq::from_u64(2)));
    let from = (4, Stamp::end_of(Seq::from_u64(1)));
    assert_eq!(rows(EVENTS.scan_from(&view, &(4,), &from)), expected[3..]);
}

pub(crate) fn the_later_operation_on_a_key_counts(journal: &impl Engine) {
    write_at(journal, NOW, |batch| {
        COUNTERS.put(batch, &(0, 0), &1);
        COUNTERS.put(batch, &(0, 0), &2);
        COUNTERS.put(batch, &(0, 1), &3);
        COUNTERS.delete(batch, &(0, 1));
        COUNTERS.delete(batch, &(0, 2));
        COUNTERS.put(batch, &(0, 2), &4);
        NOTES.put(batch, &(0, 0), &"day".to_owned(), DAY, Timestamp::NEVER);
        NOTES.put(batch, &(0, 0), &"two hours".to_owned(), TWO_HOURS, Timestamp::NEVER);
        NOTES.put(batch, &(0, 1), &"gone".to_owned(), DAY, Timestamp::NEVER);
        NOTES.delete(batch, &(0, 1));
    });
    let view = journal.view(NOW);
    assert_eq!(rows(COUNTERS.scan(&view, &())), [((0, 0), 2), ((0, 2), 4)]);
    assert_eq!(rows(NOTES.scan(&view, &())), [((0, 0), "two hours".to_owned())]);
    // The first value was of the longer class: it must not show when the second one has expired.
    assert_eq!(NOTES.count(&journal.view(NOW.plus_ms(2 * HOUR)), &()).unwrap(), 0);
}

pub(crate) fn deletes_reach_every_bucket(journal: &impl Engine) {
    let times = [0, 5, 10].map(|hours| NOW.plus_ms(hours * HOUR));
    for (number, now) in (0..).zip(times) {
        write_at(journal, now, |batch| {
            NOTES.put(batch, &(0, number), &"note".to_owned(), DAY, Timestamp::NEVER);
            EVENTS.put(batch, &(0, Stamp::of_commit(0)), &"event".to_owned(), DAY, Timestamp::NEVER);
            COUNTERS.put(batch, &(0, number), &1);
        });
    }
    let now = times[2];
    let events: Vec<_> = rows(EVENTS.scan(&journal.view(now), &())).into_iter().map(|row| row.0).collect();
    assert_eq!(events.len(), 3);
    write_at(journal, now, |batch| {
        (0..4).for_each(|number| NOTES.delete(batch, &(0, number)));
        (0..4).for_each(|number| COUNTERS.delete(batch, &(0, number)));
        for key in &events {
            EVENTS.delete(batch, key);
        }
    });
    assert_eq!(contents(&journal.view(now)), BTreeMap::new());
    // And earlier moments, at which none had expired, do not bring them back.
    assert_eq!(contents(&journal.view(NOW)), BTreeMap::new());
}

pub(crate) fn many_writers_lose_nothing(journal: &impl Engine) {
    const WRITERS: u32 = 16;
    const EACH: u32 = 25;
    let seqs: Vec<BTreeSet<Seq>> = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| scope.spawn(move || (0..EACH).map(|number| add_one(journal, writer, number)).collect()))
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let total = u64::from(WRITERS * EACH);
    let all: BTreeSet<_> = seqs.iter().flatten().copied().collect();
    assert_eq!(all, (1..=total).map(Seq::from_u64).collect());
    let view = journal.view(NOW);
    assert_eq!(COUNTERS.get(&view, &(0, 0)).unwrap().unwrap().value, total);
    assert_eq!(COUNTERS.count(&view, &(1,)).unwrap(), total);
    assert_eq!((view.seq(), *journal.watch().borrow()), (Seq::from_u64(total), Seq::from_u64(total)));
}

/// Adds one to a counter that all writers share, trying again for as long as somebody was faster.
fn add_one(journal: &impl Engine, writer: u32, number: u32) -> Seq {
    loop {
        let mut batch = Batch::new(NOW);
        {
            let view = journal.view(NOW);
            let row = COUNTERS.get(&view, &(0, 0)).unwrap();
            COUNTERS.require(&mut batch, &(0, 0), row.as_ref().map(|row| row.version));
            COUNTERS.put(&mut batch, &(0, 0), &(row.map_or(0, |row| row.value) + 1));
            COUNTERS.put(&mut batch, &(1, writer * 1000 + number), &1);
        }
        match block_on(journal.commit(journal.seal(batch).unwrap())).unwrap() {
            Outcome::Committed(seq) => return seq,
            Outcome::Conflict { precondition } => assert_eq!(precondition, 0),
        }
    }
}

pub(crate) fn batches_over_a_limit_are_refused(journal: &impl Engine) {
    let refused = |build: &dyn Fn(&mut Batch)| {
        let outcome = commit_at(journal, NOW, build);
        let Err(Unavailable::TooLarge(BatchTooLarge { ops, .. })) = outcome else { panic!("{outcome:?}") };
        ops
    };
    let many = u32::try_from(LIMITS.ops_max).unwrap();
    assert_eq!(refused(&|batch| (0..=many).for_each(|n| COUNTERS.delete(batch, &(0, n)))), LIMITS.ops_max + 1);
    let required = u32::try_from(LIMITS.preconditions_max).unwrap();
    assert_eq!(refused(&|batch| (0..=required).for_each(|n| COUNTERS.require(batch, &(0, n), None))), 0);
    let large = "x".repeat(LIMITS.bytes_max);
    assert_eq!(refused(&|batch| NOTES.put(batch, &(0, 0), &large, DAY, Timestamp::NEVER)), 1);
    assert_eq!(journal.view(NOW).seq(), Seq::ZERO);

    // What is just within the limits is committed: the seal's own bytes do not count.
    let room = journal.view(NOW).name("!room");
    let fits = "x".repeat(LIMITS.bytes_max - 16 - 3);
    write_at(journal, NOW, |batch| ROOMS.put(batch, &(room,), &fits));
    write_at(journal, NOW, |batch| (0..many).for_each(|n| COUNTERS.put(batch, &(0, n), &0)));
    assert_eq!(COUNTERS.count(&journal.view(NOW), &()).unwrap(), u64::from(many));
    assert_eq!(ROOMS.get(&journal.view(NOW), &(room,)).unwrap().unwrap().value.len(), fits.len());
}

pub(crate) fn the_digest_follows_every_batch(journal: &impl Engine) {
    assert_eq!(journal.digest_now(), Digest::ZERO);
    let mut expected = Digest::ZERO;
    for number in 0..3 {
        let mut batch = Batch::new(NOW);
        COUNTERS.put(&mut batch, &(0, 0), &number);
        batch.wake(topic(1));
        let sealed = journal.seal(batch).unwrap();
        let Outcome::Committed(seq) = block_on(journal.commit(sealed.clone())).unwrap() else { panic!() };
        expected = expected.next(seq, &sealed);
        assert_eq!(journal.digest_now(), expected);
    }
}
