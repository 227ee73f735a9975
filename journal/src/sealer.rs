//! From a decided batch to one without plaintext, and from a stored row back to its value.

use std::sync::Arc;

use crate::{
    Batch, ClassTable, Keyring, Name, NameKey, Op, RawRow, ReadError, SealedBatch, SealedOp, TableInfo, Timestamp,
    Unavailable,
    seal::{self, Place},
    stored::StoredRow,
};

/// All that sealing needs: the keyring, the retention classes, and the key of names. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sealer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keyring: Keyring,
    classes: ClassTable,
    names: NameKey,
}

impl Sealer {
    /// Over a keyring, for these classes.
    #[must_use]
    pub fn new(keyring: Keyring, classes: ClassTable) -> Self {
        let names = keyring.name_key();
        Self(Arc::new(Inner { keyring, classes, names }))
    }

    /// The keyring it seals with.
    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        &self.0.keyring
    }

    /// The retention classes.
    #[must_use]
    pub fn classes(&self) -> &ClassTable {
        &self.0.classes
    }

    /// The same keys for other classes.
    #[must_use]
    pub fn with_classes(&self, classes: ClassTable) -> Self {
        Self::new(self.0.keyring.clone(), classes)
    }

    /// When a row ends: at the moment it says, or with its epoch, if that has been shortened since.
    pub(crate) fn ends_at(&self, row: &StoredRow<'_>) -> Timestamp {
        match row.lifetime {
            None => Timestamp::NEVER,
            Some((_, expires)) if self.0.classes.earlier().is_empty() => expires,
            Some((epoch, expires)) => expires.min(self.0.classes.ends_at(epoch)),
        }
    }

    /// The name of `natural` in keys.
    #[must_use]
    pub fn name(&self, natural: &str) -> Name {
        self.0.names.name(natural)
    }

    /// Seals every value of `batch`; done by the task that commits, so that the writer only writes.
    ///
    /// The first row of an epoch makes its key and waits for the disk (once a slot, see [`Keyring::prepare`]).
    ///
    /// # Errors
    /// [`Unavailable`] when the batch is over a limit, names a class that does not exist, or an epoch's key cannot be
    /// made durable.
    pub fn seal(&self, batch: Batch) -> Result<SealedBatch, Unavailable> {
        batch.check_limits()?;
        let (now, preconditions, ops, wake) = batch.into_parts();
        let ops = ops.into_iter().map(|op| self.seal_op(now, op)).collect::<Result<_, _>>()?;
        let sealed = SealedBatch { now, preconditions, ops, wake };
        sealed.check_limits()?;
        Ok(sealed)
    }

    fn seal_op(&self, now: Timestamp, op: Op) -> Result<SealedOp, Unavailable> {
        let Inner { keyring, classes, .. } = &*self.0;
        match op {
            Op::Delete { table, key } => Ok(SealedOp::Delete { table, key }),
            Op::Put { table, key, stamp_at, value, lifetime } => {
                let lifetime = match lifetime {
                    None => None,
                    Some((class, _)) if classes.lifetime_ms(class) == 0 => {
                        return Err(Unavailable::Store(format!("there is no retention class {}", class.0)));
                    }
                    Some((class, expires)) => {
                        let epoch = classes.epoch(class, now);
                        Some((epoch, expires.min(now.plus_ms(classes.lifetime_of(epoch)))))
                    }
                };
                let place = Place { table: table.id, key: &key, stamp_at, lifetime };
                let sealed = match lifetime {
                    None => seal::seal(keyring.data_key(), &place, &value),
                    Some((epoch, _)) => {
                        let epoch_key = keyring.key(epoch).map_err(|error| Unavailable::Store(error.to_string()))?;
                        seal::seal(epoch_key.data(), &place, &value)
                    }
                };
                let sealed = sealed.map_err(|_| Unavailable::Store("a value could not be sealed".to_owned()))?;
                Ok(SealedOp::Put { table, key, stamp_at, sealed, lifetime })
            }
        }
    }

    /// Whether a stored row is there for a reader at `now`: it has not expired, and its epoch's key still exists.
    pub(crate) fn is_alive(&self, row: &StoredRow<'_>, now: Timestamp) -> bool {
        match row.lifetime {
            None => true,
            Some(_) if self.ends_at(row) <= now => false,
            Some((epoch, _)) => {
                let key = self.0.keyring.existing(epoch);
                key.is_some_and(|key| Some(key.data().id()) == seal::key_id(row.sealed))
            }
        }
    }

    /// Opens the stored `bytes` of the row at `key` (without the table id). `None`: expired, or its epoch's key is gone.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] when its seal does not hold.
    pub fn open(&self, table: &TableInfo, key: &[u8], bytes: &[u8], now: Timestamp) -> Result<Option<RawRow>, ReadError> {
        let damaged = ReadError::Damaged { table: table.name };
        let Some(row) = StoredRow::decode(bytes) else { return Err(damaged) };
        let expires = self.ends_at(&row);
        if expires <= now {
            return Ok(None);
        }
        let place = Place { table: table.id, key, stamp_at: row.stamp_at, lifetime: row.lifetime };
        let opened = match row.lifetime {
            None => seal::open(self.0.keyring.data_key(), &place, row.sealed),
            Some((epoch, _)) => {
                let key = self.0.keyring.existing(epoch);
                // A key of another id: this row's own key was destroyed and the epoch begun anew (a restored backup).
                let Some(key) = key.filter(|key| Some(key.data().id()) == seal::key_id(row.sealed)) else {
                    return Ok(None);
                };
                seal::open(key.data(), &place, row.sealed)
            }
        };
        opened.map(|bytes| Some(RawRow { bytes, version: row.seq, expires })).map_err(|_| damaged)
    }
}
