//! What the journal costs: commits that wait for the disk, reads, and seals.
//!
//! The store is on the disk under the target folder, since a temporary folder may be in memory and then an fsync costs
//! nothing. Compare figures of one machine in one hour only: an fsync alone varies tenfold between disks.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]
#![expect(clippy::disallowed_methods, reason = "a benchmark needs a clock")]

use std::{
    fs::File,
    hint::black_box,
    io::Write as _,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use journal::{
    Batch, Class, ClassTable, Expiring, Journal, Keyring, Lasting, Outcome, Retention, RootKey, Sealer, Stamp, Table,
    Timestamp,
    rocks::{Options, RocksJournal},
};

const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);
const DAY_MS: u64 = 86_400_000;
const DAY: Class = Class(0);
const ROWS: Table<(u32, u32), String, Lasting> = Table::lasting(1, "rows");
const EVENTS: Table<(u32, Stamp), String, Expiring> = Table::append_only(2, "events");

/// What an encrypted message of some sentences takes.
const EVENT_BYTES: usize = 700;

/// A day's worth of rows in all the buckets of a day.
const STORED: u32 = 24_000;

fn open(folder: &Path) -> RocksJournal {
    let root = RootKey::generate().unwrap();
    let keyring = Keyring::create(&folder.join("keyring"), &root).unwrap();
    let classes = ClassTable::new(600_000, vec![Retention { lifetime_ms: DAY_MS }]);
    RocksJournal::open(&folder.join("store"), Sealer::new(keyring, classes), Options::default()).unwrap()
}

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("journal-bench").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// What sending one message writes: an event of about 1 KiB and two small rows.
fn message(number: u32, now: Timestamp, text: &str) -> Batch {
    let mut batch = Batch::new(now);
    EVENTS.put(&mut batch, &(number % 100, Stamp::of_commit(0)), &text.to_owned(), DAY, Timestamp::NEVER);
    ROWS.put(&mut batch, &(number % 100, 0), &"the room's head".to_owned());
    ROWS.put(&mut batch, &(number % 100, 1 + number % 4), &"a member's position".to_owned());
    batch
}

/// Nothing but events.
fn events(rows: u16, text: &str) -> Batch {
    let mut batch = Batch::new(NOW);
    for index in 0..rows {
        EVENTS.put(&mut batch, &(0, Stamp::of_commit(index)), &text.to_owned(), DAY, Timestamp::NEVER);
    }
    batch
}

fn commits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit, fsynced");
    group.throughput(Throughput::Elements(1)).sample_size(10).measurement_time(Duration::from_secs(4));
    let folder = folder();
    let text = "x".repeat(1024);

    group.bench_function("for comparison: 1 KiB appended to a file and fdatasynced", |bench| {
        let mut file = File::create(folder.path().join("plain")).unwrap();
        bench.iter(|| {
            file.write_all(text.as_bytes()).unwrap();
            file.sync_data().unwrap();
        });
    });
    let journal = open(folder.path());
    let next = AtomicU64::new(0);
    for writers in [1, 16, 64] {
        group.bench_function(format!("{writers} writers"), |bench| {
            bench.iter_custom(|batches| {
                let left = AtomicU64::new(batches);
                let began = Instant::now();
                thread::scope(|scope| {
                    for _ in 0..writers {
                        scope.spawn(|| {
                            let take = |left: u64| left.checked_sub(1);
                            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
                                let number = u32::try_from(next.fetch_add(1, Ordering::Relaxed) % 1_000_000).unwrap();
                                let sealed = journal.seal(message(number, NOW, &text)).unwrap();
                                assert!(matches!(journal.commit_blocking(sealed).unwrap(), Outcome::Committed(_)));
                            }
                        });
                    }
                });
                began.elapsed()
            });
        });
    }
    let event = "x".repeat(EVENT_BYTES);
    for rows in [1_u16, 16] {
        group.bench_function(format!("{rows} events of 700 bytes, sealed and committed"), |bench| {
            let commit = |batch| journal.commit_blocking(journal.seal(batch).unwrap()).unwrap();
            bench.iter_batched(|| events(rows, &event), commit, BatchSize::PerIteration);
        });
        group.bench_function(format!("{rows} events of 700 bytes, without sealing: sealed before"), |bench| {
            let seal = || journal.seal(events(rows, &event)).unwrap();
            bench.iter_batched(seal, |sealed| journal.commit_blocking(sealed).unwrap(), BatchSize::PerIteration);
        });
    }
    group.finish();
}

fn reads(criterion: &mut Criterion) {
    let folder = folder();
    let journal = open(folder.path());
    let text = "x".repeat(EVENT_BYTES);
    // Each bucket gets its share, in batches of a hundred messages.
    for batch_number in 0..STORED / 100 {
        let now = NOW.plus_ms(u64::from(batch_number) * DAY_MS / u64::from(STORED / 100));
        let mut batch = Batch::new(now);
        for index in 0..100_u16 {
            let key = (u32::from(index), Stamp::of_commit(index));
            EVENTS.put(&mut batch, &key, &text, DAY, Timestamp::NEVER);
            ROWS.put(&mut batch, &(u32::from(index), batch_number), &text);
        }
        journal.commit_blocking(journal.seal(batch).unwrap()).unwrap();
    }
    let now = NOW.plus_ms(DAY_MS - 1);
    journal.expire(now).unwrap();

    let mut group = criterion.benchmark_group("read");
    group.bench_function("a view", |bench| bench.iter(|| black_box(journal.view(now))));
    let view = journal.view(now);
    let mut number = 0_u32;
    let mut next = || {
        number = (number + 7919) % STORED;
        (number % 100, number / 100)
    };
    group.bench_function("a lasting row", |bench| {
        bench.iter(|| ROWS.get(&view, &next()).unwrap().unwrap());
    });
    group.bench_function("a row that is not there", |bench| {
        bench.iter(|| assert!(ROWS.get(&view, &(next().0, u32::MAX)).unwrap().is_none()));
    });
    let keys: Vec<_> = EVENTS.scan(&view, &()).map(|row| row.unwrap().0).collect();
    assert_eq!(keys.len(), STORED as usize);
    let mut at = 0;
    group.bench_function("an expiring row, in one of 24 buckets", |bench| {
        bench.iter(|| {
            at = (at + 7919) % keys.len();
            EVENTS.get(&view, &keys[at]).unwrap().unwrap()
        });
    });
    group.bench_function("an expiring row that is not there", |bench| {
        bench.iter(|| assert!(EVENTS.get(&view, &(next().0, Stamp::MAX)).unwrap().is_none()));
    });
    group.bench_function("100 lasting rows", |bench| {
        bench.iter(|| assert_eq!(ROWS.scan(&view, &(next().0,)).take(100).map(Result::unwrap).count(), 100));
    });
    group.bench_function("100 expiring rows over 24 buckets", |bench| {
        bench.iter(|| assert_eq!(EVENTS.scan(&view, &(next().0,)).take(100).map(Result::unwrap).count(), 100));
    });
    group.bench_function("the last 20 expiring rows, backward", |bench| {
        bench.iter(|| assert_eq!(EVENTS.scan_back(&view, &(next().0,)).take(20).map(Result::unwrap).count(), 20));
    });
    group.finish();
}

/// The same lasting rows as they are, in `RocksDB` with the journal's cache and filters: what they cost without seals.
fn plain_reads(criterion: &mut Criterion) {
    let folder = folder();
    let mut table = rocksdb::BlockBasedOptions::default();
    table.set_bloom_filter(10.0, false);
    table.set_block_cache(&rocksdb::Cache::new_lru_cache(Options::default().cache_bytes));
    table.set_block_size(8 * 1024);
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_compression_type(rocksdb::DBCompressionType::None);
    let db = rocksdb::DB::open(&options, folder.path().join("plain")).unwrap();
    let key = |number: u32| [(number % 100).to_be_bytes(), (number / 100).to_be_bytes()].concat();
    let value = serde_json::to_vec(&"x".repeat(EVENT_BYTES)).unwrap();
    for number in 0..STORED {
        db.put(key(number), &value).unwrap();
    }
    db.flush().unwrap();
    db.compact_range(None::<&[u8]>, None::<&[u8]>);
    let decode = |bytes: &[u8]| serde_json::from_slice::<String>(bytes).unwrap();
    let mut number = 0_u32;
    let mut next = || {
        number = (number + 7919) % STORED;
        number
    };

    let mut group = criterion.benchmark_group("read, without seals");
    group.bench_function("a lasting row", |bench| bench.iter(|| decode(&db.get_pinned(key(next())).unwrap().unwrap())));
    group.bench_function("100 lasting rows", |bench| {
        bench.iter(|| {
            let from = key(next() % 100);
            let rows = db.iterator(rocksdb::IteratorMode::From(&from, rocksdb::Direction::Forward)).take(100);
            assert_eq!(rows.map(|row| decode(&row.unwrap().1)).map(black_box).count(), 100);
        });
    });
    group.finish();
}

fn seals(criterion: &mut Criterion) {
    let classes = ClassTable::new(600_000, vec![Retention { lifetime_ms: DAY_MS }]);
    let journal = journal::MemoryJournal::for_tests(classes);
    let text = "x".repeat(1024);
    let mut batch = Batch::new(NOW);
    EVENTS.put(&mut batch, &(0, Stamp::of_commit(0)), &text, DAY, Timestamp::NEVER);
    let mut group = criterion.benchmark_group("seal");
    group.throughput(Throughput::Bytes(1024));
    group.bench_function("1 KiB", |bench| {
        bench.iter_batched(|| batch.clone(), |batch| journal.seal(batch).unwrap(), BatchSize::SmallInput);
    });
    let event = "x".repeat(EVENT_BYTES);
    for rows in [1_u16, 16] {
        group.throughput(Throughput::Elements(rows.into()));
        group.bench_function(format!("{rows} events of 700 bytes"), |bench| {
            bench.iter_batched(|| events(rows, &event), |batch| journal.seal(batch).unwrap(), BatchSize::SmallInput);
        });
    }
    group.throughput(Throughput::Bytes(1024));
    journal.commit_now(batch).unwrap();
    let view = journal.view(NOW);
    let key = EVENTS.scan(&view, &()).next().unwrap().unwrap().0;
    group.bench_function("open 1 KiB and decode it", |bench| {
        bench.iter(|| EVENTS.get(&view, &key).unwrap().unwrap());
    });
    group.finish();
}

criterion_group!(benches, seals, reads, plain_reads, commits);
criterion_main!(benches);
