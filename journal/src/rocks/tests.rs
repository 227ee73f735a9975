use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Condvar, Mutex, MutexGuard},
};

use super::*;
use crate::{
    Keyring, RootKey, SealedOp, Stamp, View,
    conformance::{
        COUNTERS, DAY, EVENTS, Engine, HOUR, MINUTE, NOTES, NOW, Open, TWO_HOURS, classes, contents, rows, suite, topic,
        write_at,
    },
};

mod checkpoint;
mod disk;
mod merge;
mod queue;
mod reopen;

impl Engine for RocksJournal {
    fn digest_now(&self) -> Digest {
        self.digest().unwrap()
    }

    fn sweep(&self, now: Timestamp) -> usize {
        let report = self.expire(now).unwrap();
        assert_eq!(report.files_left, Vec::<String>::new());
        report.epochs_destroyed
    }
}

fn small() -> Options {
    Options { cache_bytes: 1024 * 1024, ..Options::default() }
}

fn in_rocks() -> Open<RocksJournal> {
    let folder = tempfile::tempdir().unwrap();
    let sealer = Sealer::new(Keyring::for_tests(), classes());
    let journal = RocksJournal::open(folder.path(), sealer, small()).unwrap();
    Open { journal, _folder: Some(folder) }
}

suite!(rocks, in_rocks());

/// A data folder with a keyring file beside the store, as the server has it.
struct Data {
    folder: tempfile::TempDir,
    root: RootKey,
}

impl Data {
    fn new() -> Self {
        let data = Self { folder: tempfile::tempdir().unwrap(), root: RootKey::generate().unwrap() };
        Keyring::create(&data.keyring(), &data.root).unwrap();
        data
    }

    fn keyring(&self) -> PathBuf {
        self.folder.path().join("keyring")
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn open(&self) -> RocksJournal {
        self.open_with(small())
    }

    fn open_with(&self, options: Options) -> RocksJournal {
        let keyring = Keyring::open(&self.keyring(), &self.root).unwrap();
        RocksJournal::open(&self.store(), Sealer::new(keyring, classes()), options).unwrap()
    }

    /// The files under the folder in which `needle` stands.
    fn files_with(&self, needle: &[u8]) -> BTreeSet<String> {
        files_with(self.folder.path(), needle)
    }
}

fn files_with(folder: &Path, needle: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, needle));
        // RocksDB may delete a file between the listing and the reading: then it is gone from the disk, as it should be.
        } else if contains(&std::fs::read(&path).unwrap_or_default(), needle) {
            found.insert(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    found
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

fn extensions(names: &BTreeSet<String>) -> BTreeSet<&str> {
    names.iter().map(|name| name.rsplit('.').next().unwrap()).collect()
}
