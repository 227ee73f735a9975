//! The journal: typed tables over one ordered log of batches.
//!
//! A reader takes a [`View`], everything committed up to one [`Seq`] and nothing else. A writer builds a [`Batch`]
//! from what it saw and commits it: the batch is applied whole, or it answers [`Outcome::Conflict`] because one of the
//! rows it rests on has changed. There is no other way to write.
//!
//! Every value is sealed before it leaves the committing task; rows of expiring tables are sealed under the key of
//! their [`Epoch`], and [`Keyring::destroy`] makes all rows of an epoch unreadable at once, wherever they were copied. A
//! [`Tracer`] finds every copy of a row that can still be opened, in files of any kind.
//!
//! The journal knows nothing of Matrix.
// What is applied must not depend on the order of a hash table.
#![deny(clippy::iter_over_hash_type)]

mod apply;
mod batch;
mod digest;
mod epoch;
mod key;
mod keyring;
mod memory;
mod name;
mod row;
mod seal;
mod sealer;
mod seq;
mod stored;
mod table;
mod trace;
mod view;
mod wire;
pub mod xchacha;

#[cfg(test)]
mod conformance;
#[cfg(feature = "rocksdb")]
pub mod rocks;

pub use batch::{
    Batch, BatchTooLarge, LIMITS, Limits, Op, Outcome, Precondition, SealedBatch, SealedOp, Topic, Unavailable,
};
pub use digest::Digest;
pub use epoch::{Class, ClassTable, Earlier, Epoch, Retention};
pub use key::{Component, Key, KeyError, KeyReader, KeyWriter, Prefix};
pub use keyring::{Keyring, KeyringError, MediaKey, RootKey, RootKeyError, SLOTS_MAX};
pub use memory::{MemoryJournal, MemoryView};
pub use name::{Name, NameKey};
pub use row::{RawRow, Row};
pub use sealer::Sealer;
pub use seq::{Seq, Stamp, Timestamp};
pub use table::{Expiring, Lasting, Residence, Scan, Table, TableInfo};
pub use trace::{Trace, Tracer, log_records};
pub use view::{Direction, Journal, RawScan, ReadError, ScanRange, View};
pub use wire::WireError;
