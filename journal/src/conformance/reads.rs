use super::*;

pub(crate) fn a_view_knows_its_position(journal: &impl Engine) {
    let mut watch = journal.watch();
    let view = journal.view(NOW);
    assert_eq!((view.seq(), view.now()), (Seq::ZERO, NOW));
    drop(view);
    for expected in 1..4 {
        let seq = write_at(journal, NOW, |batch| COUNTERS.put(batch, &(0, 0), &expected));
        assert_eq!(seq, Seq::from_u64(expected));
        assert_eq!(journal.view(NOW).seq(), seq);
        assert_eq!(*watch.borrow_and_update(), seq);
    }
    let view = journal.view(NOW);
    assert_eq!(view.name("@a:example.org"), view.name("@a:example.org"));
    assert_ne!(view.name("@a:example.org"), view.name("@b:example.org"));
}

pub(crate) fn rows_come_back_as_written(journal: &impl Engine) {
    let room = journal.view(NOW).name("!room");
    let expires = NOW.plus_ms(HOUR);
    let seq = write_at(journal, NOW, |batch| {
        ROOMS.put(batch, &(room,), &"ä room".to_owned());
        NOTES.put(batch, &(1, 2), &String::new(), DAY, expires);
    });
    let view = journal.view(NOW);
    let row = ROOMS.get(&view, &(room,)).unwrap().unwrap();
    assert_eq!((row.value.as_str(), row.version, row.expires), ("ä room", seq, Timestamp::NEVER));
    let row = NOTES.get(&view, &(1, 2)).unwrap().unwrap();
    assert_eq!((row.value.as_str(), row.version, row.expires), ("", seq, expires));
    assert!(NOTES.exists(&view, &(1, 2)).unwrap());
    assert!(!NOTES.exists(&view, &(1, 3)).unwrap());
    assert!(ROOMS.get(&view, &(Name::from_bytes([9; 16]),)).unwrap().is_none());
}

/// Keys at both ends of their ranges, so that the end of a prefix has to be found with care.
const KEYS: [(u8, u32); 9] =
    [(0, 0), (0, 1), (0, u32::MAX), (1, 0), (1, 7), (1, 8), (254, u32::MAX), (255, 0), (255, u32::MAX)];

pub(crate) fn scans_go_both_ways_between_bounds(journal: &impl Engine) {
    write_at(journal, NOW, |batch| {
        for (number, key) in (0..).zip(KEYS.iter().rev()) {
            COUNTERS.put(batch, key, &number);
            NOTES.put(batch, key, &"note".to_owned(), DAY, Timestamp::NEVER);
        }
    });
    let view = journal.view(NOW);
    let keys = |scan: crate::Scan<'_, (u8, u32), u64>| rows(scan).into_iter().map(|row| row.0).collect::<Vec<_>>();
    let notes = |scan: crate::Scan<'_, (u8, u32), String>| rows(scan).into_iter().map(|row| row.0).collect::<Vec<_>>();
    let expect = |keep: &dyn Fn(&(u8, u32)) -> bool, back: bool| {
        let mut keys: Vec<_> = KEYS.into_iter().filter(keep).collect();
        if back {
            keys.reverse();
        }
        keys
    };
    assert_eq!(keys(COUNTERS.scan(&view, &())), expect(&|_| true, false));
    assert_eq!(keys(COUNTERS.scan_back(&view, &())), expect(&|_| true, true));
    assert_eq!(notes(NOTES.scan(&view, &())), expect(&|_| true, false));
    assert_eq!(notes(NOTES.scan_back(&view, &())), expect(&|_| true, true));
    for prefix in [0, 1, 2, 254, 255] {
        let under = |key: &(u8, u32)| key.0 == prefix;
        assert_eq!(keys(COUNTERS.scan(&view, &(prefix,))), expect(&under, false), "under {prefix}");
        assert_eq!(keys(COUNTERS.scan_back(&view, &(prefix,))), expect(&under, true), "under {prefix}, back");
        for from in KEYS.into_iter().chain([(0, 5), (1, 9), (2, 2)]) {
            let (up, down) =
                (|key: &(u8, u32)| key.0 == prefix && *key >= from, |key: &(u8, u32)| key.0 == prefix && *key <= from);
            assert_eq!(keys(COUNTERS.scan_from(&view, &(prefix,), &from)), expect(&up, false), "{prefix} from {from:?}");
            assert_eq!(keys(COUNTERS.scan_back_from(&view, &(prefix,), &from)), expect(&down, true));
            assert_eq!(notes(NOTES.scan_from(&view, &(prefix,), &from)), expect(&up, false));
            assert_eq!(notes(NOTES.scan_back_from(&view, &(prefix,), &from)), expect(&down, true));
        }
    }
    assert_eq!(keys(COUNTERS.scan_from(&view, &(), &(1, 1))), expect(&|key| *key >= (1, 1), false));
    assert_eq!(keys(COUNTERS.scan_back_from(&view, &(), &(1, 1))), expect(&|key| *key <= (1, 1), true));
}

pub(crate) fn scans_cross_buckets_in_key_order(journal: &impl Engine) {
    // Keys whose order has nothing to do with when they were written, in two classes and many buckets.
    let mut expected = Vec::new();
    for number in 0..40_u32 {
        let key = (7, number * 17 % 41);
        let class = if number % 3 == 0 { TWO_HOURS } else { DAY };
        let now = NOW.plus_ms(u64::from(number) * 2 * MINUTE);
        write_at(journal, now, |batch| NOTES.put(batch, &key, &number.to_string(), class, Timestamp::NEVER));
        expected.push((key, number.to_string()));
    }
    expected.sort();
    let view = journal.view(NOW.plus_ms(80 * MINUTE));
    assert_eq!(rows(NOTES.scan(&view, &(7,))), expected);
    let from = (7, 20);
    let (below, above): (Vec<_>, Vec<_>) = expected.iter().cloned().partition(|row| row.0 < from);
    assert_eq!(rows(NOTES.scan_from(&view, &(7,), &from)), above);
    let below_and_from: Vec<_> = below.into_iter().chain(above.into_iter().take(1)).rev().collect();
    assert_eq!(rows(NOTES.scan_back_from(&view, &(7,), &from)), below_and_from);
    expected.reverse();
    assert_eq!(rows(NOTES.scan_back(&view, &(7,))), expected);
    // A scan that is abandoned half way costs nothing and changes nothing.
    assert_eq!(NOTES.scan(&view, &(7,)).take(3).count(), 3);
}

pub(crate) fn a_view_stays_as_it_is(journal: &impl Engine) {
    let before = write_at(journal, NOW, |batch| {
        COUNTERS.put(batch, &(0, 1), &1);
        COUNTERS.put(batch, &(0, 2), &2);
        NOTES.put(batch, &(0, 1), &"old".to_owned(), DAY, Timestamp::NEVER);
    });
    let view = journal.view(NOW);
    let mut scan = COUNTERS.scan(&view, &(0,));
    assert_eq!(scan.next().unwrap().unwrap().0, (0, 1));
    let later = NOW.plus_ms(3 * HOUR);
    write_at(journal, later, |batch| {
        COUNTERS.put(batch, &(0, 1), &10);
        COUNTERS.delete(batch, &(0, 2));
        COUNTERS.put(batch, &(0, 3), &3);
        NOTES.put(batch, &(0, 1), &"new".to_owned(), DAY, Timestamp::NEVER);
        NOTES.put(batch, &(0, 2), &"another".to_owned(), DAY, Timestamp::NEVER);
        EVENTS.put(batch, &(0, Stamp::of_commit(0)), &"event".to_owned(), DAY, Timestamp::NEVER);
    });
    assert_eq!(scan.next().unwrap().unwrap().0, (0, 2));
    assert!(scan.next().is_none());
    drop(scan);
    assert_eq!(view.seq(), before);
    assert_eq!(COUNTERS.get(&view, &(0, 1)).unwrap().unwrap().value, 1);
    assert_eq!(rows(COUNTERS.scan_back(&view, &())), [((0, 2), 2), ((0, 1), 1)]);
    assert_eq!(rows(NOTES.scan(&view, &())), [((0, 1), "old".to_owned())]);
    assert_eq!(EVENTS.count(&view, &()).unwrap(), 0);

    let view = journal.view(later);
    assert_eq!(view.seq(), before.next());
    assert_eq!(rows(COUNTERS.scan(&view, &())), [((0, 1), 10), ((0, 3), 3)]);
    assert_eq!(NOTES.get(&view, &(0, 1)).unwrap().unwrap().value, "new");
}

pub(crate) fn tables_do_not_see_each_other(journal: &impl Engine) {
    write_at(journal, NOW, |batch| {
        COUNTERS.put(batch, &(255, u32::MAX), &1);
        NOTES.put(batch, &(0, 0), &"note".to_owned(), DAY, Timestamp::NEVER);
        EVENTS.put(batch, &(255, Stamp::MAX), &"event".to_owned(), DAY, Timestamp::NEVER);
    });
    let view = journal.view(NOW);
    assert_eq!(COUNTERS.count(&view, &()).unwrap(), 1);
    assert_eq!(EVENTS.count(&view, &()).unwrap(), 1);
    assert_eq!(NOTES.count(&view, &()).unwrap(), 1);
    assert_eq!(ROOMS.count(&view, &()).unwrap(), 0);
    assert_eq!(rows(NOTES.scan_back(&view, &())).len(), 1);
}

pub(crate) fn counts_are_of_live_rows(journal: &impl Engine) {
    for minute in 0..30_u32 {
        let expires = NOW.plus_ms(u64::from(minute + 1) * MINUTE);
        write_at(journal, NOW, |batch| NOTES.put(batch, &(1, minute), &String::new(), DAY, expires));
    }
    write_at(journal, NOW, |batch| NOTES.put(batch, &(2, 0), &String::new(), DAY, Timestamp::NEVER));
    let count = |minutes: u64, prefix| NOTES.count(&journal.view(NOW.plus_ms(minutes * MINUTE)), &(prefix,)).unwrap();
    assert_eq!((count(0, 1), count(1, 1), count(29, 1), count(30, 1)), (30, 29, 1, 0));
    assert_eq!(count(30, 2), 1);
}
