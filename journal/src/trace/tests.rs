use std::path::Path;

use super::*;
use crate::{
    Batch, Keyring, RootKey, Sealer, Timestamp,
    conformance::{COUNTERS, DAY, HOUR, NOTES, NOW, classes, write_at},
    rocks::{Options, RocksJournal},
};

/// How many sealed copies of `needle` the keys that exist open under `folder`.
fn copies(tracer: &Tracer, folder: &Path, needle: &str) -> usize {
    let mut found = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found += copies(tracer, &path, needle);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        let bytes = if path.extension().is_some_and(|kind| kind == "log") { log_records(&bytes) } else { bytes };
        let mut look = |trace: Trace<'_>| {
            found += usize::from(trace.value.windows(needle.len()).any(|window| window == needle.as_bytes()));
        };
        tracer.trace(&bytes, &mut look).unwrap();
    }
    found
}

#[test]
fn every_copy_is_found_until_its_key_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let keyring = Keyring::create(&folder.path().join("keyring"), &RootKey::generate().unwrap()).unwrap();
    let journal =
        RocksJournal::open(&folder.path().join("store"), Sealer::new(keyring.clone(), classes()), Options::default())
            .unwrap();
    // Longer than a block of the log, so that it is cut.
    let long = format!("a canary sings {}", "la ".repeat(20_000));
    write_at(&journal, NOW, |batch| NOTES.put(batch, &(0, 0), &long, DAY, Timestamp::NEVER));
    write_at(&journal, NOW, |batch| COUNTERS.put(batch, &(0, 0), &7_777_777));
    let count = |needle| copies(&keyring.tracer(), folder.path(), needle);
    assert_eq!((count("a canary sings"), count("7777777")), (1, 1), "in the write-ahead log");
    let copy = folder.path().join("copy");
    journal.checkpoint(&copy).unwrap();
    assert!(count("a canary sings") >= 2 && count("7777777") >= 2, "in the checkpoint too");
    // Deleted, the bytes are still there, until the files are rewritten.
    write_at(&journal, NOW, |batch| {
        NOTES.delete(batch, &(0, 0));
        COUNTERS.delete(batch, &(0, 0));
    });
    assert!(copies(&keyring.tracer(), &folder.path().join("store"), "a canary sings") > 0);
    journal.scrub(NOW).unwrap();
    let here = |needle| copies(&keyring.tracer(), &folder.path().join("store"), needle);
    assert_eq!((here("a canary sings"), here("7777777")), (0, 0));
    assert!(copies(&keyring.tracer(), &copy, "a canary sings") > 0, "the checkpoint has it");
    journal.expire(NOW.plus_ms(25 * HOUR)).unwrap();
    assert_eq!(copies(&keyring.tracer(), &copy, "a canary sings"), 0, "and no key that opens it is left");
    assert!(copies(&keyring.tracer(), &copy, "7777777") > 0, "what lasts is readable in a copy");
}

#[test]
fn what_nobody_sealed_is_no_trace() {
    let keyring = Keyring::for_tests();
    let sealer = Sealer::new(keyring.clone(), classes());
    let mut batch = Batch::new(NOW);
    NOTES.put(&mut batch, &(0, 0), &"note".to_owned(), DAY, Timestamp::NEVER);
    sealer.seal(batch).unwrap();
    let tracer = keyring.tracer();
    assert_eq!(tracer.keys(), 2);
    let mut noise = vec![2_u8; 4_096];
    // An id alone, without a row's header before it.
    noise[1_000..1_004].copy_from_slice(&keyring.data_key().id());
    let seen = tracer.trace(&noise, &mut |_| panic!("nothing is there")).unwrap();
    assert_eq!(seen, 0);
    assert_eq!(tracer.trace(&[], &mut |_| ()).unwrap(), 0);
    assert_eq!(log_records(&[1, 2, 3]), Vec::<u8>::new());
}
