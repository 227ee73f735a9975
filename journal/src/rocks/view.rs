//! A consistent state of the store.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use rocksdb::{BoundColumnFamily, ReadOptions, SnapshotWithThreadMode};

use super::{
    StoreError,
    families::{Bucket, Buckets, LASTING, META},
    merge::{Cursor, Merge},
    store::{Db, Head, Store},
};
use crate::{
    Direction, Name, RawRow, RawScan, ReadError, Residence, ScanRange, Seq, TableInfo, Timestamp, View,
    stored::{StoredRow, after_prefix, full_key},
};

type Family<'a> = Arc<BoundColumnFamily<'a>>;

/// A `RocksDB` snapshot at one moment.
pub struct RocksView<'a> {
    store: &'a Store,
    /// For reading from `snapshot`; before it, so that it is dropped first.
    read: ReadOptions,
    snapshot: SnapshotWithThreadMode<'a, Db>,
    /// An error is told by the first read.
    opened: Result<Opened<'a>, String>,
    /// The buckets at the snapshot or a moment later: a younger bucket holds nothing the snapshot shows.
    buckets: Buckets,
    /// Those of them that are still there, looked up at the first use.
    families: OnceLock<Vec<(Arc<Bucket>, Family<'a>)>>,
    now: Timestamp,
}

struct Opened<'a> {
    /// Read from the snapshot itself.
    seq: Seq,
    lasting: Family<'a>,
}

impl fmt::Debug for RocksView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RocksView at {}", self.seq())
    }
}

impl<'a> RocksView<'a> {
    pub(super) fn new(store: &'a Store, now: Timestamp) -> Self {
        let snapshot = store.db().snapshot();
        let buckets = store.buckets();
        let mut read = ReadOptions::default();
        read.set_snapshot(&snapshot);
        let opened = Opened::new(store, &read).map_err(|error| error.to_string());
        Self { store, read, snapshot, opened, buckets, families: OnceLock::new(), now }
    }

    fn opened(&self) -> Result<&Opened<'a>, ReadError> {
        self.opened.as_ref().map_err(|error| ReadError::Store(error.clone()))
    }

    /// The families where rows of `table` can be, the youngest bucket first.
    fn families(&self, table: &TableInfo) -> Result<impl Iterator<Item = &Family<'a>>, ReadError> {
        let opened = self.opened()?;
        let lasting = Some(&opened.lasting).filter(|_| table.residence == Residence::Lasting);
        let buckets = if lasting.is_some() { &[][..] } else { self.families.get_or_init(|| self.find_families()) };
        let id = table.id;
        let buckets = buckets.iter().filter(move |(bucket, _)| bucket.may_hold(id)).map(|(_, family)| family);
        Ok(lasting.into_iter().chain(buckets))
    }

    fn find_families(&self) -> Vec<(Arc<Bucket>, Family<'a>)> {
        // A bucket that has been dropped since the snapshot: all of it had expired.
        let found = |bucket: &Arc<Bucket>| Some((Arc::clone(bucket), self.store.db().cf_handle(&bucket.family)?));
        self.buckets.iter().filter_map(found).collect()
    }

    fn merge(&self, table: &TableInfo, range: &ScanRange) -> Result<Merge<'_>, ReadError> {
        let bounds = Bounds::new(table, range);
        let mut cursors = Vec::new();
        if !bounds.is_empty() {
            for family in self.families(table)? {
                let rows = self.snapshot.raw_iterator_cf_opt(family, bounds.read_options());
                cursors.extend(Cursor::new(rows, range.direction).map_err(|error| ReadError::Store(error.into_string()))?);
            }
        }
        Ok(Merge::new(cursors))
    }
}

impl<'a> Opened<'a> {
    fn new(store: &'a Store, read: &ReadOptions) -> Result<Self, StoreError> {
        let head = store.db().get_pinned_cf_opt(&store.family(META)?, Store::head_key(), read)?;
        Ok(Self { seq: Head::decode(head.as_deref())?.seq, lasting: store.family(LASTING)? })
    }
}

/// The stored keys of a range: from `lower` up to and without `upper`.
struct Bounds {
    lower: Vec<u8>,
    upper: Option<Vec<u8>>,
}

impl Bounds {
    fn new(table: &TableInfo, range: &ScanRange) -> Self {
        let mut lower = full_key(table, &range.prefix);
        let mut upper = after_prefix(&lower);
        let from = range.from.as_ref().map(|from| full_key(table, from));
        match (range.direction, from) {
            (_, None) => {}
            (Direction::Forward, Some(from)) => lower = lower.max(from),
            (Direction::Backward, Some(mut from)) => {
                // The smallest key after `from`.
                from.push(0);
                upper = Some(upper.map_or_else(|| from.clone(), |upper| upper.min(from.clone())));
            }
        }
        Self { lower, upper }
    }

    fn is_empty(&self) -> bool {
        self.upper.as_ref().is_some_and(|upper| *upper <= self.lower)
    }

    fn read_options(&self) -> ReadOptions {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(self.lower.as_slice());
        if let Some(upper) = &self.upper {
            options.set_iterate_upper_bound(upper.as_slice());
        }
        options
    }
}

impl View for RocksView<'_> {
    fn seq(&self) -> Seq {
        self.opened.as_ref().map_or(Seq::ZERO, |opened| opened.seq)
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    fn name(&self, natural: &str) -> Name {
        self.store.sealer().name(natural)
    }

    fn get_raw(&self, table: &TableInfo, key: &[u8]) -> Result<Option<RawRow>, ReadError> {
        let full_key = full_key(table, key);
        // Of a key there is at most one copy.
        for family in self.families(table)? {
            let found = self.store.db().get_pinned_cf_opt(family, &full_key, &self.read);
            if let Some(bytes) = found.map_err(|error| ReadError::Store(error.into_string()))? {
                return self.store.sealer().open(table, key, &bytes, self.now);
            }
        }
        Ok(None)
    }

    fn scan_raw<'v>(&'v self, table: &'v TableInfo, range: ScanRange) -> RawScan<'v> {
        let mut rows = match self.merge(table, &range) {
            Ok(rows) => rows,
            Err(error) => return Box::new(std::iter::once(Err(error))),
        };
        let mut failed = false;
        Box::new(std::iter::from_fn(move || {
            while !failed {
                let next = rows.next_with(|full_key, bytes| {
                    let key = full_key.get(2..).unwrap_or_default();
                    let row = self.store.sealer().open(table, key, bytes, self.now)?;
                    Ok(row.map(|row| (key.to_vec(), row)))
                });
                match next {
                    None => return None,
                    Some(Ok(None)) => {}
                    Some(Ok(Some(row))) => return Some(Ok(row)),
                    Some(Err(error)) => {
                        // A damaged row is passed over by whoever goes on; a store that fails stays failed.
                        failed = matches!(error, ReadError::Store(_));
                        return Some(Err(error));
                    }
                }
            }
            None
        }))
    }

    fn count_raw(&self, table: &TableInfo, prefix: &[u8]) -> Result<u64, ReadError> {
        let mut rows = self.merge(table, &ScanRange::prefix(prefix.to_vec()))?;
        let mut count = 0;
        while let Some(alive) = rows.next_with(|_, bytes| {
            let row = StoredRow::decode(bytes).ok_or(ReadError::Damaged { table: table.name })?;
            Ok(self.store.sealer().is_alive(&row, self.now))
        }) {
            count += u64::from(alive?);
        }
        Ok(count)
    }
}
