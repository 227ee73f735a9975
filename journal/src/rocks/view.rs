//! A consistent state of the store.

use std::fmt;

use rocksdb::{ReadOptions, SnapshotWithThreadMode};

use super::{
    StoreError,
    families::{Buckets, LASTING, META},
    merge::{Cursor, Merge},
    store::{Db, Head, Store},
};
use crate::{
    Direction, Name, RawRow, RawScan, ReadError, Residence, ScanRange, Seq, TableInfo, Timestamp, View,
    stored::{StoredRow, after_prefix, full_key},
};

/// A `RocksDB` snapshot at one moment.
pub struct RocksView<'a> {
    store: &'a Store,
    snapshot: SnapshotWithThreadMode<'a, Db>,
    /// The buckets at the snapshot or a moment later: a younger bucket holds nothing the snapshot shows.
    buckets: Buckets,
    /// Read from the snapshot itself; an error is told by the first read.
    seq: Result<Seq, String>,
    now: Timestamp,
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
        let seq = read_head(store, &snapshot).map(|head| head.seq).map_err(|error| error.to_string());
        Self { store, snapshot, buckets, seq, now }
    }

    fn check(&self) -> Result<(), ReadError> {
        self.seq.as_ref().map(|_| ()).map_err(|error| ReadError::Store(error.clone()))
    }

    fn merge(&self, table: &TableInfo, range: &ScanRange) -> Result<Merge<'_>, ReadError> {
        self.check()?;
        let bounds = Bounds::new(table, range);
        let mut cursors = Vec::new();
        if !bounds.is_empty() {
            match table.residence {
                Residence::Lasting => {
                    let family = self.store.family(LASTING).map_err(|error| ReadError::Store(error.to_string()))?;
                    let rows = self.snapshot.raw_iterator_cf_opt(&family, bounds.read_options());
                    cursors.push(Cursor::new(rows, range.direction));
                }
                Residence::Expiring => {
                    for bucket in self.buckets.iter().filter(|bucket| bucket.may_hold(table.id)) {
                        let Some(family) = self.store.db().cf_handle(&bucket.family) else { continue };
                        let rows = self.snapshot.raw_iterator_cf_opt(&family, bounds.read_options());
                        cursors.push(Cursor::new(rows, range.direction));
                    }
                }
            }
        }
        Merge::new(cursors, range.direction, table.name)
    }
}

fn read_head(store: &Store, snapshot: &SnapshotWithThreadMode<'_, Db>) -> Result<Head, StoreError> {
    Head::decode(snapshot.get_pinned_cf(&store.family(META)?, Store::head_key())?.as_deref())
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
        self.seq.as_ref().copied().unwrap_or_default()
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    fn name(&self, natural: &str) -> Name {
        self.store.sealer().name(natural)
    }

    fn get_raw(&self, table: &TableInfo, key: &[u8]) -> Result<Option<RawRow>, ReadError> {
        self.check()?;
        let full_key = full_key(table, key);
        match self.store.find(table, &self.buckets, |family| self.snapshot.get_pinned_cf(family, &full_key)) {
            Ok(Some(bytes)) => self.store.sealer().open(table, key, &bytes, self.now),
            Ok(None) => Ok(None),
            Err(error) => Err(ReadError::Store(error.to_string())),
        }
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
