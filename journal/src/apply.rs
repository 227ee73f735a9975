//! What a batch does to the rows: one pure function that every engine shares (invariant 4).

use std::collections::BTreeMap;

use crate::{
    Epoch, ReadError, SealedBatch, SealedOp, Seq, TableInfo, Timestamp,
    stored::{StoredRow, full_key},
};

/// The rows a batch is applied to.
pub(crate) trait Rows {
    /// The version of the row at `full_key` if it is there and alive at `now`.
    fn version(&self, table: &TableInfo, full_key: &[u8], now: Timestamp) -> Result<Option<Seq>, ReadError>;
}

/// One change to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) table: TableInfo,
    /// Table id and key, stamped.
    pub(crate) key: Vec<u8>,
    /// `None` removes the row.
    pub(crate) row: Option<NewRow>,
}

/// A row to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewRow {
    /// Where an expiring row belongs, and until when it counts.
    pub(crate) lifetime: Option<(Epoch, Timestamp)>,
    /// What the store holds.
    pub(crate) bytes: Vec<u8>,
}

/// What applying came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// One change a key, in key order: of two operations on one key the later one counts.
    Changes(Vec<Change>),
    /// This precondition does not hold.
    Conflict { precondition: usize },
}

/// Checks the preconditions of `batch` against `rows` and works out what it changes when it is committed as `seq`.
pub(crate) fn apply(rows: &impl Rows, seq: Seq, batch: &SealedBatch) -> Result<Applied, ReadError> {
    for (precondition, required) in batch.preconditions.iter().enumerate() {
        let key = full_key(&required.table, &required.key);
        if rows.version(&required.table, &key, batch.now)? != required.version {
            return Ok(Applied::Conflict { precondition });
        }
    }
    let mut changes = BTreeMap::new();
    for op in &batch.ops {
        let change = change(seq, op);
        changes.insert(change.key.clone(), change);
    }
    Ok(Applied::Changes(changes.into_values().collect()))
}

fn change(seq: Seq, op: &SealedOp) -> Change {
    match op {
        SealedOp::Delete { table, key } => Change { table: *table, key: full_key(table, key), row: None },
        SealedOp::Put { table, key, stamp_at, sealed, lifetime } => {
            let mut key = full_key(table, key);
            if let Some(at) = stamp_at {
                let at = 2 + usize::from(*at);
                if let Some(stamp) = key.get_mut(at..at + 8) {
                    stamp.copy_from_slice(&seq.as_u64().to_be_bytes());
                }
            }
            let bytes = StoredRow { seq, stamp_at: *stamp_at, lifetime: *lifetime, sealed }.encode();
            Change { table: *table, key, row: Some(NewRow { lifetime: *lifetime, bytes }) }
        }
    }
}
