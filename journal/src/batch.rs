//! Batches: all that one request changes, as plain data. The byte form is in `wire.rs`.

use crate::{
    Class, Epoch, Name, Seq, TableInfo, Timestamp,
    wire::{KEY_BYTES_MAX, SEAL_OVERHEAD, TOPICS_MAX},
};

/// Whom to wake when the batch is on disk. What a topic stands for is the caller's affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(pub Name);

/// Limits of one batch. Larger work is staged in several and flipped by one.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of all keys and values: one batch has to fit into a memtable many times over.
    pub bytes_max: usize,
    /// Operations: bounds how long the writer is held by one batch.
    pub ops_max: usize,
    /// Preconditions: each costs the writer a read.
    pub preconditions_max: usize,
}

/// The limits in force.
pub const LIMITS: Limits = Limits { bytes_max: 8 * 1024 * 1024, ops_max: 20_000, preconditions_max: 4_096 };

/// "This row is of version `version`", or absent (or expired at the batch's moment) for `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Precondition {
    /// The table.
    pub table: TableInfo,
    /// The key, without the table id.
    pub key: Vec<u8>,
    /// What it has to be.
    pub version: Option<Seq>,
}

/// One change, as a command decided it: the value is still plain.
#[derive(Clone, PartialEq, Eq)]
pub enum Op {
    /// Write a row.
    Put {
        /// The table.
        table: TableInfo,
        /// The key, without the table id.
        key: Vec<u8>,
        /// Where in the key the commit's `seq` is filled in.
        stamp_at: Option<u16>,
        /// Version byte and value.
        value: Vec<u8>,
        /// For an expiring table: its class, and from when nobody may read the row.
        lifetime: Option<(Class, Timestamp)>,
    },
    /// Remove a row.
    Delete {
        /// The table.
        table: TableInfo,
        /// The key, without the table id.
        key: Vec<u8>,
    },
}

/// What a command decided to change; nothing of it has happened yet.
#[derive(Clone)]
pub struct Batch {
    now: Timestamp,
    preconditions: Vec<Precondition>,
    ops: Vec<Op>,
    wake: Vec<Topic>,
}

impl std::fmt::Debug for Batch {
    /// How much it changes, never what: its values are plain.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (preconditions, ops) = (self.preconditions.len(), self.ops.len());
        f.debug_struct("Batch").field("preconditions", &preconditions).field("ops", &ops).finish_non_exhaustive()
    }
}

impl Batch {
    /// An empty batch decided at `now`.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self { now, preconditions: Vec::new(), ops: Vec::new(), wake: Vec::new() }
    }

    /// The moment it was decided at: it chooses the epochs, and says which rows counted as expired.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether it changes nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// What it rests on.
    #[must_use]
    pub fn preconditions(&self) -> &[Precondition] {
        &self.preconditions
    }

    /// Its changes, in order.
    #[must_use]
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Whom to wake when it is on disk.
    #[must_use]
    pub fn topics(&self) -> &[Topic] {
        &self.wake
    }

    /// Wakes `topic` when the batch is on disk.
    pub fn wake(&mut self, topic: Topic) {
        if !self.wake.contains(&topic) {
            self.wake.push(topic);
        }
    }

    /// All its parts, for sealing.
    #[must_use]
    pub fn into_parts(self) -> (Timestamp, Vec<Precondition>, Vec<Op>, Vec<Topic>) {
        (self.now, self.preconditions, self.ops, self.wake)
    }

    /// That it is within [`LIMITS`].
    ///
    /// # Errors
    /// [`BatchTooLarge`] when it is not.
    pub fn check_limits(&self) -> Result<(), BatchTooLarge> {
        let sizes = self.ops.iter().map(|op| match op {
            Op::Put { key, value, .. } => (key.len(), value.len()),
            Op::Delete { key, .. } => (key.len(), 0),
        });
        check_limits(sizes, &self.preconditions, self.wake.len(), 0)
    }

    pub(crate) fn push_put(
        &mut self,
        table: &TableInfo,
        key: Vec<u8>,
        stamp_at: Option<u16>,
        value: Vec<u8>,
        lifetime: Option<(Class, Timestamp)>,
    ) {
        self.ops.push(Op::Put { table: *table, key, stamp_at, value, lifetime });
    }

    pub(crate) fn push_delete(&mut self, table: &TableInfo, key: Vec<u8>) {
        self.ops.push(Op::Delete { table: *table, key });
    }

    pub(crate) fn push_precondition(&mut self, table: &TableInfo, key: Vec<u8>, version: Option<Seq>) {
        self.preconditions.push(Precondition { table: *table, key, version });
    }
}

/// One change as it is stored and logged: the value is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealedOp {
    /// Write a row.
    Put {
        /// The table.
        table: TableInfo,
        /// The key, without the table id.
        key: Vec<u8>,
        /// Where in the key the commit's `seq` is filled in.
        stamp_at: Option<u16>,
        /// Nonce, ciphertext and tag.
        sealed: Vec<u8>,
        /// For an expiring table: the epoch whose key sealed it, and from when nobody may read the row.
        lifetime: Option<(Epoch, Timestamp)>,
    },
    /// Remove a row.
    Delete {
        /// The table.
        table: TableInfo,
        /// The key, without the table id.
        key: Vec<u8>,
    },
}

/// A batch ready to be applied: plain data without plaintext.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedBatch {
    /// When it was decided.
    pub now: Timestamp,
    /// What it rests on.
    pub preconditions: Vec<Precondition>,
    /// Its changes, in order.
    pub ops: Vec<SealedOp>,
    /// Whom to wake when it is on disk.
    pub wake: Vec<Topic>,
}

impl SealedBatch {
    /// Bytes of its keys and sealed values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.sizes().map(|(key, value)| key + value).sum()
    }

    /// That it is within [`LIMITS`], with what sealing adds to each value.
    ///
    /// # Errors
    /// [`BatchTooLarge`] when it is not.
    pub fn check_limits(&self) -> Result<(), BatchTooLarge> {
        check_limits(self.sizes(), &self.preconditions, self.wake.len(), SEAL_OVERHEAD)
    }

    fn sizes(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.ops.iter().map(|op| match op {
            SealedOp::Put { key, sealed, .. } => (key.len(), sealed.len()),
            SealedOp::Delete { key, .. } => (key.len(), 0),
        })
    }
}

fn check_limits(
    sizes: impl Iterator<Item = (usize, usize)>,
    preconditions: &[Precondition],
    topics: usize,
    overhead: usize,
) -> Result<(), BatchTooLarge> {
    let (mut bytes, mut ops, mut key_max) = (0_usize, 0_usize, 0);
    for (key, value) in sizes {
        bytes = bytes.saturating_add(key).saturating_add(value.saturating_sub(overhead));
        ops += 1;
        key_max = key_max.max(key);
    }
    for precondition in preconditions {
        key_max = key_max.max(precondition.key.len());
    }
    let fits = bytes <= LIMITS.bytes_max
        && ops <= LIMITS.ops_max
        && preconditions.len() <= LIMITS.preconditions_max
        && topics <= TOPICS_MAX
        && key_max <= KEY_BYTES_MAX;
    if fits { Ok(()) } else { Err(BatchTooLarge { bytes, ops }) }
}

/// How a commit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Applied whole, and on disk.
    Committed(Seq),
    /// Not applied: this precondition did not hold. Decide again from a fresh view.
    Conflict {
        /// Its number in the batch.
        precondition: usize,
    },
}

/// The batch was not applied and the caller may try again later.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// The writer's queue is full.
    #[error("too many writes are waiting; try again in a second")]
    Busy,
    /// The store refused or the journal is shutting down.
    #[error("the store cannot be written: {0}")]
    Store(String),
    /// The batch is over a limit.
    #[error(transparent)]
    TooLarge(#[from] BatchTooLarge),
}

/// A batch is over [`LIMITS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("one change of {bytes} bytes in {ops} operations is too large")]
pub struct BatchTooLarge {
    /// Bytes of its keys and values.
    pub bytes: usize,
    /// Its operations.
    pub ops: usize,
}
