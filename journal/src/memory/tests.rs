use super::*;
use crate::{Class, Retention, Stamp, Table, table::Expiring};

const NOW: Timestamp = Timestamp::from_ms(1_000_000_000);
const ROOMS: Table<(Name,), String> = Table::lasting(1, "rooms");
const EVENTS: Table<(Name, Stamp), String, Expiring> = Table::append_only(2, "events");

fn journal() -> MemoryJournal {
    MemoryJournal::for_tests(ClassTable::new(600_000, vec![Retention { lifetime_ms: 86_400_000 }]))
}

#[test]
fn names_do_not_change_between_runs() {
    let name = journal().view(NOW).name("!room:example.org");
    assert_eq!(name, journal().view(NOW).name("!room:example.org"));
    assert_eq!(format!("{name:?}"), format!("{:?}", Keyring::for_tests().name_key().name("!room:example.org")));
}

#[test]
fn commits_what_was_decided() {
    let journal = journal();
    let room = journal.view(NOW).name("!room");
    let mut batch = Batch::new(NOW);
    ROOMS.require(&mut batch, &(room,), None);
    ROOMS.put(&mut batch, &(room,), &"a room".to_owned());
    EVENTS.put(&mut batch, &(room, Stamp::of_commit(0)), &"hello".to_owned(), Class(0), Timestamp::NEVER);
    let again = batch.clone();
    assert_eq!(journal.commit_now(batch).unwrap(), Outcome::Committed(Seq::from_u64(1)));
    assert_eq!(journal.commit_now(again).unwrap(), Outcome::Conflict { precondition: 0 });

    let view = journal.view(NOW);
    assert_eq!(view.seq(), Seq::from_u64(1));
    assert_eq!(*journal.watch().borrow(), Seq::from_u64(1));
    assert_eq!(ROOMS.get(&view, &(room,)).unwrap().unwrap().value, "a room");
    let events: Vec<_> = EVENTS.scan(&view, &(room,)).collect::<Result<_, _>>().unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].0.1, Stamp::new(Seq::from_u64(1), 0));
    assert_eq!(events[0].1.expires, NOW.plus_ms(86_400_000));
}

#[test]
fn a_class_that_does_not_exist_is_refused() {
    let journal = journal();
    let mut batch = Batch::new(NOW);
    let key = (Name::from_bytes([1; 16]), Stamp::of_commit(0));
    EVENTS.put(&mut batch, &key, &String::new(), Class(1), Timestamp::NEVER);
    assert!(matches!(journal.commit_now(batch), Err(Unavailable::Store(_))));
}
