//! How `RocksDB` is set up: small, bounded, and silent about what it holds.

use std::{
    ffi::{CStr, CString},
    fmt,
    sync::Arc,
};

use rocksdb::{
    BlockBasedOptions, Cache, CompactionDecision, DBCompressionType, LogLevel,
    compaction_filter::CompactionFilter,
    compaction_filter_factory::{CompactionFilterContext, CompactionFilterFactory},
};

use crate::{Keyring, Seq, Timestamp, Topic, stored::StoredRow};

/// Called by the writer for each committed batch, in order, once it is on disk and before the committing task hears of it.
/// It must not block.
pub type OnCommit = Arc<dyn Fn(Seq, &[Topic]) + Send + Sync>;

/// How the store is run.
#[derive(Clone)]
pub struct Options {
    /// Batches that may wait for the writer; one more is answered with [`crate::Unavailable::Busy`].
    pub queue_max: usize,
    /// Blocks read from files that are kept in memory, indexes and filters included.
    pub cache_bytes: usize,
    /// Rows not yet in files, over all families.
    pub write_buffer_bytes: usize,
    /// The moment of opening: from the next slot on, a lifetime that was made longer counts.
    pub now: Timestamp,
    /// Whom the writer tells of a commit.
    pub on_commit: Option<OnCommit>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queue_max: 1024,
            cache_bytes: 32 * 1024 * 1024,
            write_buffer_bytes: 16 * 1024 * 1024,
            now: Timestamp::from_ms(0),
            on_commit: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("queue_max", &self.queue_max)
            .field("cache_bytes", &self.cache_bytes)
            .field("write_buffer_bytes", &self.write_buffer_bytes)
            .finish_non_exhaustive()
    }
}

/// The families' options; they share one cache.
pub(super) struct FamilyOptions {
    cache: Cache,
    write_buffer_bytes: usize,
    keyring: Keyring,
}

impl FamilyOptions {
    pub(super) fn new(options: &Options, keyring: Keyring) -> Self {
        let cache = Cache::new_lru_cache(options.cache_bytes);
        Self { cache, write_buffer_bytes: options.write_buffer_bytes, keyring }
    }

    /// Of the store as a whole.
    pub(super) fn database(&self) -> rocksdb::Options {
        let mut options = self.lasting();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_db_write_buffer_size(self.write_buffer_bytes);
        options.set_max_total_wal_size(64 * 1024 * 1024);
        options.set_max_open_files(256);
        options.set_max_background_jobs(2);
        options.set_max_manifest_file_size(1024 * 1024);
        // Its log and statistics would name families and sizes: only what an operator needs to identify the store.
        options.set_log_level(LogLevel::Header);
        options.set_keep_log_file_num(2);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options
    }

    /// Of a family of rows that last.
    pub(super) fn lasting(&self) -> rocksdb::Options {
        let mut table = BlockBasedOptions::default();
        table.set_bloom_filter(10.0, false);
        table.set_block_cache(&self.cache);
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        table.set_block_size(8 * 1024);
        let mut options = rocksdb::Options::default();
        options.set_block_based_table_factory(&table);
        // What is sealed cannot be compressed; and uncompressed, it can be looked for byte by byte (see `trace.rs`).
        options.set_compression_type(DBCompressionType::None);
        options.set_write_buffer_size((self.write_buffer_bytes / 4).max(64 * 1024));
        // A family with a handful of rows should cost a handful of kilobytes.
        options.set_arena_block_size(64 * 1024);
        options.set_target_file_size_base(16 * 1024 * 1024);
        options
    }

    /// Of a bucket of expiring rows: whatever compaction touches it drops rows whose key is destroyed.
    pub(super) fn bucket(&self) -> rocksdb::Options {
        let mut options = self.lasting();
        options.set_compaction_filter_factory(DeadRows { sealing: self.keyring.clone(), name: c"dead-rows".to_owned() });
        options
    }
}

/// Drops rows that nobody can read any more because the key of their epoch is destroyed. Keys never come back, so no view
/// can miss what it drops.
#[derive(Clone)]
struct DeadRows {
    sealing: Keyring,
    name: CString,
}

impl CompactionFilterFactory for DeadRows {
    type Filter = Self;

    fn create(&mut self, _: CompactionFilterContext) -> Self {
        self.clone()
    }

    fn name(&self) -> &CStr {
        &self.name
    }
}

impl CompactionFilter for DeadRows {
    fn filter(&mut self, _: u32, _: &[u8], value: &[u8]) -> CompactionDecision {
        let dead = StoredRow::decode(value)
            .and_then(|row| row.lifetime)
            .is_some_and(|(epoch, _)| self.sealing.existing(epoch).is_none());
        if dead { CompactionDecision::Remove } else { CompactionDecision::Keep }
    }

    fn name(&self) -> &CStr {
        &self.name
    }
}
