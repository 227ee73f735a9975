//! The eraser: first the keys, then the files.
//!
//! Keys wait for nobody who tends the files: to rewrite a large table may take longer than a slot. That is safe, as files depend on no key:
//! a compaction under way drops rows whose key has gone, or leaves noise, and the next call rewrites what it left.
//!
//! Readers never depend on it (a row counts as gone from the exact moment it says), it only makes sure that nothing can be
//! recovered later. The order matters: once an epoch's key is destroyed, every copy of its rows is noise, in the store's
//! files, its write-ahead log, and any checkpoint. Lasting rows are rewritten now and then, without what was deleted or
//! replaced. What it leaves for `RocksDB`'s manifest are the first and last key of
//! some files until the next start: hashes and numbers, see [`crate::Name`].

use std::collections::BTreeSet;

use rocksdb::WaitForCompactOptions;

use super::{StoreError, families::BucketId, store::Store};
use crate::Timestamp;

/// How long a sweep waits for compactions that are under way (one minute): they end by themselves, the next sweep looks again.
const COMPACTION_WAIT_MAX_US: u64 = 60_000_000;

/// What a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpiryReport {
    /// Epochs whose key was destroyed, since the last sweep or by this one.
    pub epochs_destroyed: usize,
    /// Buckets whose files were dropped whole.
    pub buckets_dropped: usize,
    /// Buckets that are still in use and were rewritten without the rows of destroyed epochs.
    pub buckets_rewritten: usize,
    /// Table files that belong to nothing and could not be removed: empty unless a reader held one, or something is wrong.
    pub files_left: Vec<String>,
}

impl ExpiryReport {
    /// Whether it changed anything.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.epochs_destroyed == 0 && self.buckets_dropped == 0 && self.files_left.is_empty()
    }
}

/// Destroys the keys of all epochs that have ended, and answers how many. What they sealed is noted for [`expire`].
pub(super) fn destroy_keys(store: &Store, now: Timestamp) -> Result<usize, StoreError> {
    store.note_latest(now)?;
    let (keyring, classes) = (store.sealer().keyring(), store.sealer().classes());
    let ended = keyring.expired(now, classes);
    let destroyed = keyring.destroy_all(&ended)?;
    store.destroyed().extend(ended);
    keyring.prepare(now, classes)?;
    Ok(destroyed)
}

/// Removes the rows of epochs that have ended. `drop_buckets` has the writer drop families.
pub(super) fn expire(
    store: &Store,
    now: Timestamp,
    drop_buckets: impl FnOnce(Vec<BucketId>) -> Result<(), StoreError>,
) -> Result<ExpiryReport, StoreError> {
    let classes = store.sealer().classes();
    let ended = store.destroyed().clone();
    let over: Vec<_> = store.buckets().iter().map(|bucket| bucket.id).filter(|id| id.ends_at(classes) <= now).collect();
    let buckets_dropped = over.len();
    if !over.is_empty() {
        drop_buckets(over)?;
    }
    let mut report = ExpiryReport { epochs_destroyed: ended.len(), buckets_dropped, ..ExpiryReport::default() };
    if !report.is_idle() {
        // The write-ahead log still has what was dropped: it goes when nothing in it is needed any more.
        store.flush_all()?;
    }
    for bucket in store.buckets().iter() {
        if ended.iter().any(|epoch| bucket.id.holds(*epoch)) {
            store.compact_bucket(bucket);
            report.buckets_rewritten += 1;
        }
    }
    store.scrub_if_due(now)?;
    // Looked for every time: a reader may have held files that an earlier sweep dropped.
    report.files_left = remove_strays(store)?;
    // Only now: what failed on the way is done by the next call.
    store.destroyed().retain(|epoch| !ended.contains(epoch));
    Ok(report)
}

/// Has `RocksDB` look for files that belong to nothing, and answers those that are still there after it.
pub(super) fn remove_strays(store: &Store) -> Result<Vec<String>, StoreError> {
    if strays(store)?.is_empty() {
        return Ok(Vec::new());
    }
    // Either a compaction is just writing them, or a reader held them when they were dropped. Enabling deletions makes
    // RocksDB go through the folder.
    let mut wait = WaitForCompactOptions::default();
    wait.set_timeout(COMPACTION_WAIT_MAX_US);
    store.db().wait_for_compact(&wait)?;
    store.db().disable_file_deletions()?;
    store.db().enable_file_deletions()?;
    let left = strays(store)?;
    if !left.is_empty() {
        tracing::warn!(files = ?left, "table files that belong to no family are still on disk");
    }
    Ok(left)
}

fn strays(store: &Store) -> Result<Vec<String>, StoreError> {
    // The folder first: a file made in between is then not in question.
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(store.path())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sst" || extension == "blob") {
            found.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    for live in store.db().live_files()? {
        found.remove(live.name.trim_start_matches('/'));
    }
    Ok(found.into_iter().collect())
}
