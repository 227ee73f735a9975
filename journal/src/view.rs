//! Reading: one consistent state at one moment.

use std::future::Future;

use tokio::sync::watch;

use crate::{Name, Outcome, RawRow, SealedBatch, Seq, TableInfo, Timestamp, Unavailable};

/// Why a read failed. Never the caller's fault.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The storage engine could not answer.
    #[error("the store cannot be read: {0}")]
    Store(String),
    /// A row is not of its table's form, or its seal does not hold.
    #[error("a row of table {table} is damaged")]
    Damaged {
        /// The table's name.
        table: &'static str,
    },
    /// A row was written by another version of the program.
    #[error("table {table} holds rows of version {found}, this program knows {known}: run `vestibule doctor`")]
    Version {
        /// The table's name.
        table: &'static str,
        /// The version in the row.
        found: u8,
        /// The version in the program.
        known: u8,
    },
}

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// In key order.
    Forward,
    /// From the last key down.
    Backward,
}

/// What a scan covers: keys that start with `prefix`, from `from` on in `direction` (with `from` itself).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRange {
    /// Key bytes after the table id.
    pub prefix: Vec<u8>,
    /// A whole key to start at; `None`: at the prefix's end that comes first.
    pub from: Option<Vec<u8>>,
    /// Which way.
    pub direction: Direction,
}

impl ScanRange {
    /// All keys under `prefix`, forward.
    #[must_use]
    pub const fn prefix(prefix: Vec<u8>) -> Self {
        Self { prefix, from: None, direction: Direction::Forward }
    }
}

/// Keys (without the table id) and opened rows.
pub type RawScan<'v> = Box<dyn Iterator<Item = Result<(Vec<u8>, RawRow), ReadError>> + 'v>;

/// Everything committed with `seq <= self.seq()` that is alive at `self.now()`, and nothing else.
///
/// Synchronous on purpose: a decision is a plain function of a view. A view holds a snapshot: drop it soon, and never
/// keep one across an `.await`.
pub trait View {
    /// The last batch this view contains.
    fn seq(&self) -> Seq;
    /// The moment at which expiry is judged.
    fn now(&self) -> Timestamp;
    /// The name under which `natural` stands in keys.
    fn name(&self, natural: &str) -> Name;
    /// The live row at `key`.
    ///
    /// # Errors
    /// [`ReadError`] when the store fails or the row is damaged.
    fn get_raw(&self, table: &TableInfo, key: &[u8]) -> Result<Option<RawRow>, ReadError>;
    /// Live rows of a range.
    fn scan_raw<'v>(&'v self, table: &'v TableInfo, range: ScanRange) -> RawScan<'v>;
    /// How many live rows start with `prefix`, without opening their values.
    ///
    /// # Errors
    /// As [`View::get_raw`].
    fn count_raw(&self, table: &TableInfo, prefix: &[u8]) -> Result<u64, ReadError>;
}

/// A store of batches: the embedded engine, the one in memory, or (later) a replicated log.
pub trait Journal: Clone + Send + Sync + 'static {
    /// Its views.
    type View<'a>: View;
    /// The present state, with expiry judged at `now`.
    fn view(&self, now: Timestamp) -> Self::View<'_>;
    /// Seals what a command decided, ready to be committed.
    ///
    /// # Errors
    /// [`Unavailable`] when an epoch's key cannot be made durable.
    fn seal(&self, batch: crate::Batch) -> Result<SealedBatch, Unavailable>;
    /// Applies the batch whole and makes it durable, or finds that it rests on something that has changed.
    fn commit(&self, batch: SealedBatch) -> impl Future<Output = Result<Outcome, Unavailable>> + Send;
    /// The last committed `seq`, as it grows.
    fn watch(&self) -> watch::Receiver<Seq>;
}
