use super::*;
use crate::{Op, ReadError, SealedOp};

pub(crate) fn a_row_is_gone_at_its_exact_millisecond(journal: &impl Engine) {
    let expires = NOW.plus_ms(12_345);
    write_at(journal, NOW, |batch| {
        NOTES.put(batch, &(0, 0), &"short".to_owned(), DAY, expires);
        EVENTS.put(batch, &(0, Stamp::of_commit(0)), &"event".to_owned(), DAY, expires);
    });
    let seen = |now| {
        let view = journal.view(now);
        let note = NOTES.get(&view, &(0, 0)).unwrap().is_some();
        let all = [
            NOTES.exists(&view, &(0, 0)).unwrap(),
            rows(NOTES.scan(&view, &(0,))).len() == 1,
            rows(NOTES.scan_back(&view, &(0,))).len() == 1,
            rows(EVENTS.scan(&view, &(0,))).len() == 1,
            EVENTS.get(&view, &(0, Stamp::new(Seq::from_u64(1), 0))).unwrap().is_some(),
            NOTES.count(&view, &(0,)).unwrap() == 1,
            EVENTS.count(&view, &()).unwrap() == 1,
        ];
        assert_eq!(all, [note; 7], "every way of reading agrees");
        note
    };
    assert!(seen(NOW) && seen(expires.minus_ms(1)));
    assert!(!seen(expires) && !seen(expires.plus_ms(1)) && !seen(Timestamp::NEVER));
}

pub(crate) fn no_row_outlives_its_class(journal: &impl Engine) {
    let now = NOW.plus_ms(4 * MINUTE + 7);
    for (number, class, lifetime_ms) in [(0, DAY, 24 * HOUR), (1, TWO_HOURS, 2 * HOUR)] {
        write_at(journal, now, |batch| NOTES.put(batch, &(0, number), &"x".to_owned(), class, Timestamp::NEVER));
        let end = now.plus_ms(lifetime_ms);
        let row = NOTES.get(&journal.view(end.minus_ms(1)), &(0, number)).unwrap();
        assert_eq!(row.unwrap().expires, end);
        assert!(NOTES.get(&journal.view(end), &(0, number)).unwrap().is_none());
    }
}

pub(crate) fn an_expired_row_is_absent_to_preconditions(journal: &impl Engine) {
    let expires = NOW.plus_ms(MINUTE);
    let put = |now: Timestamp, version| {
        commit_at(journal, now, |batch| {
            NOTES.require(batch, &(0, 0), version);
            NOTES.put(batch, &(0, 0), &"x".to_owned(), DAY, expires);
        })
        .unwrap()
    };
    let Outcome::Committed(first) = put(NOW, None) else { panic!() };
    // It is the batch's moment that counts, on both sides of the millisecond.
    assert_eq!(put(expires, Some(first)), Outcome::Conflict { precondition: 0 });
    assert_eq!(put(expires.minus_ms(1), None), Outcome::Conflict { precondition: 0 });
    assert!(matches!(put(expires.minus_ms(1), Some(first)), Outcome::Committed(_)));
    assert!(matches!(put(expires, None), Outcome::Committed(_)));
}

pub(crate) fn an_old_value_never_comes_back(journal: &impl Engine) {
    let later = NOW.plus_ms(3 * HOUR);
    let soon = later.plus_ms(MINUTE);
    write_at(journal, NOW, |batch| {
        for number in 0..3 {
            NOTES.put(batch, &(0, number), &"old".to_owned(), DAY, Timestamp::NEVER);
        }
    });
    // Into a later bucket of the class, into one of another class, and deleted from there again.
    write_at(journal, later, |batch| {
        NOTES.put(batch, &(0, 0), &"new".to_owned(), DAY, soon);
        NOTES.put(batch, &(0, 1), &"new".to_owned(), TWO_HOURS, soon);
        NOTES.put(batch, &(0, 2), &"new".to_owned(), TWO_HOURS, soon);
    });
    let new = |number| ((0, number), "new".to_owned());
    let view = journal.view(later);
    assert_eq!(rows(NOTES.scan(&view, &())), [new(0), new(1), new(2)]);
    assert_eq!(rows(NOTES.scan_back(&view, &())), [new(2), new(1), new(0)]);
    assert_eq!(NOTES.count(&view, &()).unwrap(), 3);
    drop(view);
    write_at(journal, later, |batch| NOTES.delete(batch, &(0, 2)));
    assert_eq!(rows(NOTES.scan(&journal.view(later), &())), [new(0), new(1)]);
    for now in [soon, soon.plus_ms(HOUR)] {
        assert_eq!(contents(&journal.view(now)), BTreeMap::new());
        assert!(NOTES.get(&journal.view(now), &(0, 0)).unwrap().is_none());
        journal.sweep(now);
    }
}

pub(crate) fn without_its_key_a_row_is_absent(journal: &impl Engine) {
    write_at(journal, NOW, |batch| {
        NOTES.put(batch, &(0, 0), &"day".to_owned(), DAY, Timestamp::NEVER);
        NOTES.put(batch, &(0, 1), &"two hours".to_owned(), TWO_HOURS, Timestamp::NEVER);
        COUNTERS.put(batch, &(0, 0), &1);
    });
    // Long after the end of one class, read with a clock that went back: the key decides.
    assert_eq!(journal.sweep(NOW.plus_ms(2 * HOUR + 10 * MINUTE)), 1);
    let view = journal.view(NOW);
    assert!(NOTES.get(&view, &(0, 1)).unwrap().is_none());
    assert_eq!(rows(NOTES.scan(&view, &())), [((0, 0), "day".to_owned())]);
    assert_eq!(NOTES.count(&view, &()).unwrap(), 1);
    assert_eq!(COUNTERS.count(&view, &()).unwrap(), 1);
    drop(view);
    // Whoever sees it as absent can write on that ground, in the same epoch and under its new key.
    let seq = write_at(journal, NOW, |batch| {
        NOTES.require(batch, &(0, 1), None);
        NOTES.put(batch, &(0, 1), &"again".to_owned(), TWO_HOURS, Timestamp::NEVER);
    });
    let row = NOTES.get(&journal.view(NOW), &(0, 1)).unwrap().unwrap();
    assert_eq!((row.value.as_str(), row.version), ("again", seq));
}

pub(crate) fn an_epoch_is_destroyed_when_it_has_ended(journal: &impl Engine) {
    // The last moment of a slot: the epoch ends one lifetime later.
    let last = NOW.plus_ms(10 * MINUTE - 1);
    write_at(journal, last, |batch| NOTES.put(batch, &(0, 0), &"x".to_owned(), TWO_HOURS, Timestamp::NEVER));
    let end = NOW.plus_ms(10 * MINUTE + 2 * HOUR);
    assert!(NOTES.exists(&journal.view(end.minus_ms(2)), &(0, 0)).unwrap());
    assert_eq!(journal.sweep(end.minus_ms(1)), 0);
    assert!(NOTES.exists(&journal.view(end.minus_ms(2)), &(0, 0)).unwrap());
    assert_eq!(journal.sweep(end), 1);
    assert!(!NOTES.exists(&journal.view(NOW), &(0, 0)).unwrap());
}

/// Moves a sealed value to another key, another table version, or a later end: it must not open there.
pub(crate) fn a_value_only_opens_at_its_own_place(journal: &impl Engine) {
    let mut batch = Batch::new(NOW);
    NOTES.put(&mut batch, &(0, 0), &"mine".to_owned(), DAY, NOW.plus_ms(HOUR));
    let Op::Put { key, .. } = &batch.ops()[0] else { panic!() };
    let other_key = {
        let mut key = key.clone();
        *key.last_mut().unwrap() = 9;
        key
    };
    let sealed = journal.seal(batch).unwrap();

    let mut moved = sealed.clone();
    let mut longer = sealed.clone();
    let SealedOp::Put { key, .. } = &mut moved.ops[0] else { panic!() };
    *key = other_key;
    let SealedOp::Put { lifetime: Some((_, expires)), key, .. } = &mut longer.ops[0] else { panic!() };
    *expires = NOW.plus_ms(2 * HOUR);
    *key.last_mut().unwrap() = 0;
    for batch in [moved, longer] {
        let Outcome::Committed(_) = block_on(journal.commit(batch)).unwrap() else { panic!() };
    }
    let view = journal.view(NOW);
    for key in [(0, 9), (0, 0)] {
        assert!(matches!(NOTES.get(&view, &key), Err(ReadError::Damaged { table: "notes" })), "{key:?}");
    }
    assert_eq!(NOTES.scan(&view, &()).filter(Result::is_err).count(), 2);
    drop(view);
    block_on(journal.commit(sealed)).unwrap();
    assert_eq!(NOTES.get(&journal.view(NOW), &(0, 0)).unwrap().unwrap().value, "mine");
}
