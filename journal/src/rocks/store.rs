//! The open database: its families, and what it says of itself.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use rocksdb::{
    BottommostLevelCompaction, BoundColumnFamily, ColumnFamilyDescriptor, CompactOptions, DBPinnableSlice, DBWithThreadMode,
    MultiThreaded, WriteBatch, WriteOptions, properties::TOTAL_SST_FILES_SIZE,
};

use serde::{Deserialize, Serialize};

use super::{
    Options, StoreError, Usage,
    families::{Bucket, BucketId, Buckets, LASTING, META, newest_first},
    options::FamilyOptions,
};
use crate::{Class, ClassTable, Digest, Earlier, Epoch, Residence, Sealer, Seq, TableInfo, Timestamp};

pub(super) type Db = DBWithThreadMode<MultiThreaded>;

const HEAD: &[u8] = b"head";
const FORM: &[u8] = b"form";
const FORMAT: u8 = 1;
/// The latest moment of any batch or sweep.
const LATEST: &[u8] = b"latest";
const LIFETIMES: &[u8] = b"lifetimes";

/// The classes' lifetimes, now and before.
#[derive(Serialize, Deserialize)]
struct Lifetimes {
    now_ms: Vec<u64>,
    earlier: Vec<Earlier>,
}

/// The last batch, and the digest of all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) seq: Seq,
    pub(super) digest: Digest,
}

impl Head {
    const EMPTY: Self = Self { seq: Seq::ZERO, digest: Digest::ZERO };

    pub(super) fn decode(bytes: Option<&[u8]>) -> Result<Self, StoreError> {
        let Some(bytes) = bytes else { return Ok(Self::EMPTY) };
        let damaged = || StoreError::Store("its position is damaged".to_owned());
        let (seq, digest) = bytes.split_first_chunk::<8>().ok_or_else(damaged)?;
        let digest = Digest::from_bytes(digest.try_into().map_err(|_| damaged())?);
        Ok(Self { seq: Seq::from_u64(u64::from_be_bytes(*seq)), digest })
    }

    fn encode(self) -> [u8; 40] {
        let mut bytes = [0; 40];
        bytes[..8].copy_from_slice(&self.seq.as_u64().to_be_bytes());
        bytes[8..].copy_from_slice(self.digest.as_bytes());
        bytes
    }
}

pub(super) struct Store {
    db: Db,
    path: PathBuf,
    families: FamilyOptions,
    buckets: RwLock<Buckets>,
    sealer: Sealer,
    /// When lasting rows were rewritten last, and what was the last batch then.
    scrubbed: Mutex<Option<(Timestamp, Seq)>>,
    /// Epochs whose key is destroyed and whose rows may still be in files.
    destroyed: Mutex<BTreeSet<Epoch>>,
    latest_ms: AtomicU64,
}

impl Store {
    pub(super) fn open(path: &Path, sealer: Sealer, options: &Options) -> Result<(Self, Head), StoreError> {
        std::fs::create_dir_all(path)?;
        let families = FamilyOptions::new(options, sealer.keyring().clone());
        let database = families.database();
        let found = if path.join("CURRENT").exists() { Db::list_cf(&database, path)? } else { Vec::new() };
        let mut ids = Vec::new();
        for name in found.iter().filter(|name| ![META, LASTING].contains(&name.as_str())) {
            let unknown = || StoreError::Store(format!("there is a family {name} that is not ours"));
            ids.push(BucketId::from_family(name).ok_or_else(unknown)?);
        }
        let lasting = [META, LASTING].map(|name| ColumnFamilyDescriptor::new(name, families.lasting()));
        let buckets = ids.iter().map(|id| ColumnFamilyDescriptor::new(id.family(), families.bucket()));
        let db = Db::open_cf_descriptors(&database, path, lasting.into_iter().chain(buckets))?;
        let (scrubbed, destroyed) = (Mutex::new(None), Mutex::default());
        let buckets = RwLock::new(Buckets::default());
        let latest_ms = AtomicU64::new(0);
        let mut store = Self { db, path: path.to_owned(), families, buckets, sealer, scrubbed, destroyed, latest_ms };
        store.check_form()?;
        store.latest_ms = AtomicU64::new(store.read_latest()?);
        store.adopt_lifetimes(options.now)?;
        let buckets = ids.into_iter().map(|id| store.read_bucket(id)).collect::<Result<_, _>>()?;
        store.set_buckets(newest_first(buckets));
        store.note_destroyed(options.now);
        let head = store.head()?;
        Ok((store, head))
    }

    pub(super) const fn db(&self) -> &Db {
        &self.db
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    pub(super) fn destroyed(&self) -> MutexGuard<'_, BTreeSet<Epoch>> {
        self.destroyed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the epochs of the buckets found whose key is destroyed already: the process that did so may have ended before it rewrote
    /// the files.
    fn note_destroyed(&self, now: Timestamp) {
        let (keyring, classes) = (self.sealer.keyring(), self.sealer.classes());
        let buckets: Vec<_> = self.buckets().iter().map(|bucket| bucket.id).collect();
        let slots = buckets.iter().flat_map(|id| (0..id.slots).map(|slot| (id.class, id.first_slot.saturating_add(slot))));
        let epochs = slots.map(|(class, slot)| Epoch { class, slot });
        let destroyed = epochs.filter(|epoch| classes.ends_at(*epoch) <= now && keyring.existing(*epoch).is_none());
        self.destroyed().extend(destroyed);
    }

    pub(super) fn family(&self, name: &str) -> Result<Arc<BoundColumnFamily<'_>>, StoreError> {
        self.db.cf_handle(name).ok_or_else(|| StoreError::Store(format!("the family {name} is gone")))
    }

    /// The stored bytes at `key`: of a key there is at most one copy, most likely in a young bucket.
    pub(super) fn find(&self, table: &TableInfo, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>, StoreError> {
        if table.residence == Residence::Lasting {
            return Ok(self.db.get_pinned_cf(&self.family(LASTING)?, key)?);
        }
        for bucket in self.buckets().iter().filter(|bucket| bucket.may_hold(table.id)) {
            if let Some(found) = self.db.get_pinned_cf(&self.family(&bucket.family)?, key)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    pub(super) fn head(&self) -> Result<Head, StoreError> {
        Head::decode(self.db.get_pinned_cf(&self.family(META)?, HEAD)?.as_deref())
    }

    pub(super) const fn head_key() -> &'static [u8] {
        HEAD
    }

    /// Adds the new head to the writes that reach it.
    pub(super) fn put_head(&self, batch: &mut WriteBatch, head: Head, now: Timestamp) -> Result<(), StoreError> {
        batch.put_cf(&self.family(META)?, HEAD, head.encode());
        self.put_latest(batch, now)
    }

    /// Notes the moment of what is written, if none was later.
    fn put_latest(&self, batch: &mut WriteBatch, now: Timestamp) -> Result<(), StoreError> {
        if self.latest_ms.fetch_max(now.as_ms(), Ordering::Relaxed) < now.as_ms() {
            batch.put_cf(&self.family(META)?, LATEST, now.as_ms().to_be_bytes());
        }
        Ok(())
    }

    /// The same without a batch.
    pub(super) fn note_latest(&self, now: Timestamp) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        self.put_latest(&mut batch, now)?;
        if batch.is_empty() { Ok(()) } else { self.write(batch) }
    }

    /// The latest moment of any batch or sweep.
    pub(super) fn latest(&self) -> Timestamp {
        Timestamp::from_ms(self.latest_ms.load(Ordering::Relaxed))
    }

    fn read_latest(&self) -> Result<u64, StoreError> {
        let stored = self.db.get_cf(&self.family(META)?, LATEST)?;
        Ok(stored.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes))
    }

    /// Writes and waits for the disk.
    pub(super) fn write(&self, batch: WriteBatch) -> Result<(), StoreError> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        Ok(self.db.write_opt(batch, &options)?)
    }

    pub(super) fn buckets(&self) -> Buckets {
        Arc::clone(&self.buckets.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_buckets(&self, buckets: Buckets) {
        *self.buckets.write().unwrap_or_else(PoisonError::into_inner) = buckets;
    }

    /// The bucket `id`, with a new family if it has none. Called by the writer only, as is [`Store::drop_bucket`].
    pub(super) fn make_bucket(&self, id: BucketId) -> Result<Arc<Bucket>, StoreError> {
        let buckets = self.buckets();
        if let Some(bucket) = buckets.iter().find(|bucket| bucket.id == id) {
            return Ok(Arc::clone(bucket));
        }
        let bucket = Arc::new(Bucket::new(id, BTreeSet::new()));
        self.db.create_cf(&bucket.family, &self.families.bucket())?;
        self.set_buckets(newest_first(buckets.iter().chain([&bucket]).cloned().collect()));
        Ok(bucket)
    }

    /// New views no longer see the bucket; then its files go.
    pub(super) fn drop_bucket(&self, id: BucketId) -> Result<(), StoreError> {
        let buckets = self.buckets();
        self.set_buckets(Arc::new(buckets.iter().filter(|bucket| bucket.id != id).cloned().collect()));
        let dropped = self.db.drop_cf(&id.family());
        if dropped.is_err() {
            // Still there: the next sweep has to find it.
            self.set_buckets(buckets);
        }
        Ok(dropped?)
    }

    /// Moves what is in memory and in the write-ahead log into files; the log's old files go.
    pub(super) fn flush_all(&self) -> Result<(), StoreError> {
        for name in [META, LASTING] {
            self.db.flush_cf(&self.family(name)?)?;
        }
        for bucket in self.buckets().iter() {
            // A bucket may be dropped meanwhile.
            if let Some(family) = self.db.cf_handle(&bucket.family) {
                self.db.flush_cf(&family)?;
            }
        }
        Ok(())
    }

    /// Rewrites the lasting rows without what is deleted or replaced.
    pub(super) fn scrub(&self, now: Timestamp) -> Result<(), StoreError> {
        let seq = self.head()?.seq;
        // All families: the write-ahead log goes when nothing in it is needed any more.
        self.flush_all()?;
        let lasting = self.family(LASTING)?;
        self.db.compact_range_cf_opt(&lasting, None::<&[u8]>, None::<&[u8]>, &rewrite_everything());
        *self.scrubbed.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, seq));
        Ok(())
    }

    /// The same if it is a bucket's length ago and something has been written since: state that was replaced, an account that was
    /// changed must be gone from the files before L is over.
    pub(super) fn scrub_if_due(&self, now: Timestamp) -> Result<(), StoreError> {
        let classes = self.sealer.classes();
        let every_ms = u64::from(classes.slots_per_bucket(Class(0))).saturating_mul(classes.slot_ms());
        let scrubbed = *self.scrubbed.lock().unwrap_or_else(PoisonError::into_inner);
        match scrubbed {
            Some((at, seq)) if now < at.plus_ms(every_ms) || seq == self.head()?.seq => Ok(()),
            _ => self.scrub(now),
        }
    }

    pub(super) fn usage(&self) -> Result<Usage, StoreError> {
        let size = |family: &str| -> Result<u64, StoreError> {
            let bytes = self.db.property_int_value_cf(&self.family(family)?, TOTAL_SST_FILES_SIZE)?;
            Ok(bytes.unwrap_or(0))
        };
        let classes = self.sealer.classes();
        let mut usage = Usage { lasting_bytes: size(LASTING)?, buckets: Vec::new() };
        for bucket in self.buckets().iter() {
            usage.buckets.push((bucket.id.class, bucket.id.ends_at(classes), size(&bucket.family)?));
        }
        Ok(usage)
    }

    /// Rewrites a bucket's files without the rows whose key is destroyed.
    pub(super) fn compact_bucket(&self, bucket: &Bucket) {
        if let Some(family) = self.db.cf_handle(&bucket.family) {
            self.db.compact_range_cf_opt(&family, None::<&[u8]>, None::<&[u8]>, &rewrite_everything());
        }
    }

    /// Which tables have rows in a bucket found on disk: one seek for each.
    fn read_bucket(&self, id: BucketId) -> Result<Arc<Bucket>, StoreError> {
        let mut tables = BTreeSet::new();
        let family = self.family(&id.family())?;
        let mut rows = self.db.raw_iterator_cf(&family);
        rows.seek_to_first();
        while let Some(table) = rows.key().and_then(|key| key.first_chunk::<2>()) {
            let table = u16::from_be_bytes(*table);
            tables.insert(table);
            let Some(next) = table.checked_add(1) else { break };
            rows.seek(next.to_be_bytes());
        }
        rows.status()?;
        Ok(Arc::new(Bucket::new(id, tables)))
    }

    /// Notes the lifetimes in force, and keeps those that were before for what was written under them.
    fn adopt_lifetimes(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let damaged = |_| StoreError::Store("its lifetimes are damaged".to_owned());
        let classes = self.sealer.classes().clone();
        let now_ms: Vec<_> = classes.iter().map(|(_, retention)| retention.lifetime_ms).collect();
        let known = self.db.get_cf(&self.family(META)?, LIFETIMES)?;
        let known: Option<Lifetimes> = known.map(|bytes| serde_json::from_slice(&bytes)).transpose().map_err(damaged)?;
        let changed = known.as_ref().is_none_or(|known| known.now_ms != now_ms);
        let mut earlier = Vec::new();
        if let Some(known) = known {
            earlier = known.earlier;
            if changed {
                let until_slot = classes.epoch(Class(0), now).slot.saturating_add(1);
                earlier.push(Earlier { until_slot, lifetimes_ms: known.now_ms });
                earlier.retain(|earlier| !is_over(&classes, earlier, now));
            }
        }
        if changed {
            let lifetimes = Lifetimes { now_ms, earlier: earlier.clone() };
            let mut batch = WriteBatch::default();
            batch.put_cf(&self.family(META)?, LIFETIMES, serde_json::to_vec(&lifetimes).map_err(damaged)?);
            self.write(batch)?;
        }
        if !earlier.is_empty() {
            self.sealer = self.sealer.with_classes(classes.after(earlier));
        }
        Ok(())
    }

    /// That the store is of this program's form, slot length and keyring; a new store is told them.
    fn check_form(&self) -> Result<(), StoreError> {
        let slot_ms = self.sealer.classes().slot_ms();
        let keyring = self.sealer.keyring().data_key().id();
        let meta = self.family(META)?;
        let Some(form) = self.db.get_cf(&meta, FORM)? else {
            let mut batch = WriteBatch::default();
            batch.put_cf(&meta, FORM, [&[FORMAT][..], &slot_ms.to_be_bytes(), &keyring].concat());
            return self.write(batch);
        };
        let damaged = || StoreError::Store("its form is damaged".to_owned());
        let (format, rest) = form.split_first().ok_or_else(damaged)?;
        if *format != FORMAT {
            return Err(StoreError::Format { found: *format, known: FORMAT });
        }
        let (stored_ms, stored_keyring) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        let stored_ms = u64::from_be_bytes(*stored_ms);
        if stored_ms != slot_ms {
            return Err(StoreError::SlotLength { stored_ms, given_ms: slot_ms });
        }
        if stored_keyring == keyring { Ok(()) } else { Err(StoreError::OtherKeyring) }
    }
}

/// Whether nothing that was written under these lifetimes can still be there.
fn is_over(classes: &ClassTable, earlier: &Earlier, now: Timestamp) -> bool {
    let longest_ms = earlier.lifetimes_ms.iter().copied().max().unwrap_or(0);
    Timestamp::from_ms(u64::from(earlier.until_slot).saturating_mul(classes.slot_ms())).plus_ms(longest_ms) <= now
}

/// Without `Force`, `RocksDB` moves files to the last level as they are, with what should be gone still in them.
fn rewrite_everything() -> CompactOptions {
    let mut options = CompactOptions::default();
    options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
    options
}
