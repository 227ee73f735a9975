//! The journal in memory: the same rules without a disk, for the engine's tests.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Bound,
    sync::{Arc, PoisonError, RwLock},
};

use tokio::sync::watch;

use crate::{
    Batch, ClassTable, Digest, Direction, Journal, Keyring, KeyringError, Name, Outcome, RawRow, RawScan, ReadError,
    Residence, ScanRange, SealedBatch, Sealer, Seq, TableInfo, Timestamp, Unavailable, View,
    apply::{Applied, Rows, apply},
    stored::{StoredRow, after_prefix, full_key},
};

/// A journal in memory. Cheap to clone; all clones are one journal.
///
/// A view shares the rows as they are; the first commit while a view is held copies the map (not the values). That is
/// right for tests and small states, and simple.
#[derive(Clone)]
pub struct MemoryJournal(Arc<Inner>);

struct Inner {
    sealer: Sealer,
    state: RwLock<Arc<State>>,
    seq: watch::Sender<Seq>,
}

/// Stored keys and rows.
type StoredRows<'a> = Box<dyn Iterator<Item = (&'a Vec<u8>, &'a Arc<[u8]>)> + 'a>;

#[derive(Clone)]
struct State {
    seq: Seq,
    digest: Digest,
    rows: BTreeMap<Vec<u8>, Arc<[u8]>>,
}

impl fmt::Debug for MemoryJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryJournal at {}", self.state().seq)
    }
}

impl MemoryJournal {
    /// An empty journal that seals with `sealer`.
    #[must_use]
    pub fn new(sealer: Sealer) -> Self {
        let state = State { seq: Seq::ZERO, digest: Digest::ZERO, rows: BTreeMap::new() };
        Self(Arc::new(Inner { sealer, state: RwLock::new(Arc::new(state)), seq: watch::Sender::new(Seq::ZERO) }))
    }

    /// An empty journal for tests: its names are the same in every run, so that a snapshot may show them.
    #[must_use]
    pub fn for_tests(classes: ClassTable) -> Self {
        Self::new(Sealer::new(Keyring::for_tests(), classes))
    }

    /// What it seals with.
    #[must_use]
    pub fn sealer(&self) -> &Sealer {
        &self.0.sealer
    }

    /// The digest of all batches so far.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.state().digest
    }

    /// All live values, opened, each with its table's id: for tests that look for something everywhere.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] when a seal does not hold.
    pub fn values(&self, now: Timestamp) -> Result<Vec<(u16, Vec<u8>)>, ReadError> {
        let state = self.state();
        let mut values = Vec::new();
        for (full, row) in &state.rows {
            let Some((id, key)) = full.split_first_chunk::<2>() else { continue };
            let id = u16::from_be_bytes(*id);
            let table = TableInfo { id, name: "any", residence: Residence::Lasting, version: 0, append_only: false };
            values.extend(self.0.sealer.open(&table, key, row, now)?.map(|opened| (id, opened.bytes)));
        }
        Ok(values)
    }

    /// Seals and commits `batch` without waiting for anything.
    ///
    /// # Errors
    /// As [`Journal::seal`] and [`Journal::commit`].
    pub fn commit_now(&self, batch: Batch) -> Result<Outcome, Unavailable> {
        self.commit_sealed(&self.0.sealer.seal(batch)?)
    }

    /// Commits a sealed batch without waiting for anything.
    ///
    /// # Errors
    /// As [`Journal::commit`].
    pub fn commit_sealed(&self, batch: &SealedBatch) -> Result<Outcome, Unavailable> {
        batch.check_limits()?;
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        let seq = state.seq.next();
        let rows = Present { sealer: &self.0.sealer, rows: &state.rows };
        let changes = match apply(&rows, seq, batch).map_err(|error| Unavailable::Store(error.to_string()))? {
            Applied::Conflict { precondition } => return Ok(Outcome::Conflict { precondition }),
            Applied::Changes(changes) => changes,
        };
        let next = Arc::make_mut(&mut state);
        next.digest = next.digest.next(seq, batch);
        next.seq = seq;
        for change in changes {
            match change.row {
                Some(row) => next.rows.insert(change.key, row.bytes.into()),
                None => next.rows.remove(&change.key),
            };
        }
        self.0.seq.send_replace(seq);
        Ok(Outcome::Committed(seq))
    }

    /// Destroys the keys of all epochs that have ended at `now` and drops their rows. Answers how many epochs those were.
    ///
    /// # Errors
    /// [`KeyringError`] when a key cannot be destroyed.
    pub fn expire(&self, now: Timestamp) -> Result<usize, KeyringError> {
        let sealer = &self.0.sealer;
        let ended = sealer.keyring().expired(now, sealer.classes());
        let destroyed = sealer.keyring().destroy_all(&ended)?;
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut state).rows.retain(|_, bytes| {
            StoredRow::decode(bytes)
                .and_then(|row| row.lifetime)
                .is_none_or(|(epoch, _)| sealer.classes().ends_at(epoch) > now)
        });
        Ok(destroyed)
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.0.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Journal for MemoryJournal {
    type View<'a> = MemoryView<'a>;

    fn view(&self, now: Timestamp) -> MemoryView<'_> {
        MemoryView { sealer: &self.0.sealer, state: self.state(), now }
    }

    fn seal(&self, batch: Batch) -> Result<SealedBatch, Unavailable> {
        self.0.sealer.seal(batch)
    }

    async fn commit(&self, batch: SealedBatch) -> Result<Outcome, Unavailable> {
        self.commit_sealed(&batch)
    }

    fn watch(&self) -> watch::Receiver<Seq> {
        self.0.seq.subscribe()
    }
}

struct Present<'a> {
    sealer: &'a Sealer,
    rows: &'a BTreeMap<Vec<u8>, Arc<[u8]>>,
}

impl Rows for Present<'_> {
    fn version(&self, table: &TableInfo, full_key: &[u8], now: Timestamp) -> Result<Option<Seq>, ReadError> {
        let Some(bytes) = self.rows.get(full_key) else { return Ok(None) };
        let row = StoredRow::decode(bytes).ok_or(ReadError::Damaged { table: table.name })?;
        Ok(self.sealer.is_alive(&row, now).then_some(row.seq))
    }
}

/// A state of the journal in memory.
pub struct MemoryView<'a> {
    sealer: &'a Sealer,
    state: Arc<State>,
    now: Timestamp,
}

impl fmt::Debug for MemoryView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryView at {}", self.state.seq)
    }
}

impl MemoryView<'_> {
    /// Stored rows of a range, in the range's order.
    fn stored(&self, table: &TableInfo, range: &ScanRange) -> StoredRows<'_> {
        let prefix = full_key(table, &range.prefix);
        let from = range.from.as_ref().map(|from| full_key(table, from));
        let end = after_prefix(&prefix).map_or(Bound::Unbounded, Bound::Excluded);
        match range.direction {
            Direction::Forward => {
                let start = from.filter(|from| *from > prefix).unwrap_or(prefix);
                if matches!(&end, Bound::Excluded(end) if *end <= start) {
                    return Box::new(std::iter::empty());
                }
                Box::new(self.state.rows.range((Bound::Included(start), end)))
            }
            Direction::Backward => {
                let end = match (from, end) {
                    (Some(from), Bound::Excluded(end)) if from >= end => Bound::Excluded(end),
                    (Some(from), _) => Bound::Included(from),
                    (None, end) => end,
                };
                if matches!(&end, Bound::Included(end) if *end < prefix) {
                    return Box::new(std::iter::empty());
                }
                Box::new(self.state.rows.range((Bound::Included(prefix), end)).rev())
            }
        }
    }
}

impl View for MemoryView<'_> {
    fn seq(&self) -> Seq {
        self.state.seq
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    fn name(&self, natural: &str) -> Name {
        self.sealer.name(natural)
    }

    fn get_raw(&self, table: &TableInfo, key: &[u8]) -> Result<Option<RawRow>, ReadError> {
        let Some(bytes) = self.state.rows.get(&full_key(table, key)) else { return Ok(None) };
        self.sealer.open(table, key, bytes, self.now)
    }

    fn scan_raw<'v>(&'v self, table: &'v TableInfo, range: ScanRange) -> RawScan<'v> {
        Box::new(self.stored(table, &range).filter_map(move |(key, bytes)| {
            let key = key.get(2..).unwrap_or_default();
            match self.sealer.open(table, key, bytes, self.now) {
                Ok(row) => row.map(|row| Ok((key.to_vec(), row))),
                Err(error) => Some(Err(error)),
            }
        }))
    }

    fn count_raw(&self, table: &TableInfo, prefix: &[u8]) -> Result<u64, ReadError> {
        let mut count = 0;
        for (_, bytes) in self.stored(table, &ScanRange::prefix(prefix.to_vec())) {
            let row = StoredRow::decode(bytes).ok_or(ReadError::Damaged { table: table.name })?;
            count += u64::from(self.sealer.is_alive(&row, self.now));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
