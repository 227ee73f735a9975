//! The wire form of a [`SealedBatch`]: what a replicated log would carry, and what the digest chain hashes.
//!
//! All integers are big-endian. Version 1:
//!
//! ```text
//! batch         = "VB" version:u8=1 now:u64
//!                 count:u32 precondition*count  count:u32 op*count  count:u32 topic*count
//! precondition  = table key present:u8(0|1) [seq:u64 if present]
//! op            = 1 table key stamp length:u32 sealed                        put, lasting table
//!               | 2 table key stamp length:u32 sealed class:u8 slot:u32 expires:u64   put, expiring table
//!               | 3 table key                                                delete
//! table         = id:u16 value_version:u8 flags:u8       bit 0: expiring, bit 1: append only
//! key           = length:u16 bytes
//! stamp         = at:u16                                 0xffff: the key holds no stamp
//! topic         = 16 bytes
//! ```

use crate::{Class, Epoch, LIMITS, Name, Precondition, Residence, SealedBatch, SealedOp, Seq, TableInfo, Timestamp, Topic};

const MAGIC: [u8; 2] = *b"VB";
const VERSION: u8 = 1;
const NO_STAMP: u16 = u16::MAX;
const PUT_LASTING: u8 = 1;
const PUT_EXPIRING: u8 = 2;
const DELETE: u8 = 3;
const EXPIRING: u8 = 1;
const APPEND_ONLY: u8 = 2;

/// Bytes of a key without its table id: five components of at most 16 bytes fit many times.
pub(crate) const KEY_BYTES_MAX: usize = 1024;
/// Topics of one batch: a batch that wakes more people than this has to be cut.
pub(crate) const TOPICS_MAX: usize = 65_536;
/// Bytes that sealing adds to a value: key id, nonce, tag.
pub(crate) const SEAL_OVERHEAD: usize = 44;

/// Bytes are not a batch of this format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Not a batch, or cut short.
    #[error("these bytes are not a batch")]
    Malformed,
    /// A batch of another version of the format.
    #[error("a batch of format version {0}; this program knows {VERSION}")]
    Version(u8),
    /// Over [`LIMITS`].
    #[error("the batch is over a limit")]
    TooLarge,
}

impl SealedBatch {
    /// The wire form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.bytes());
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        out.extend_from_slice(&self.now.as_ms().to_be_bytes());
        put_count(&mut out, self.preconditions.len());
        for precondition in &self.preconditions {
            put_table(&mut out, &precondition.table);
            put_key(&mut out, &precondition.key);
            match precondition.version {
                None => out.push(0),
                Some(seq) => {
                    out.push(1);
                    out.extend_from_slice(&seq.as_u64().to_be_bytes());
                }
            }
        }
        put_count(&mut out, self.ops.len());
        for op in &self.ops {
            put_op(&mut out, op);
        }
        put_count(&mut out, self.wake.len());
        for topic in &self.wake {
            out.extend_from_slice(topic.0.as_bytes());
        }
        out
    }

    /// Reads the wire form. `tables` gives a table its name for messages; a batch of a table that is not among them is
    /// read too, since applying it needs nothing but what the batch itself says.
    ///
    /// # Errors
    /// [`WireError`] when the bytes are not a batch of this version or it is over a limit.
    pub fn decode(bytes: &[u8], tables: &[TableInfo]) -> Result<Self, WireError> {
        let mut reader = Reader { bytes, tables };
        if reader.take::<2>()? != MAGIC {
            return Err(WireError::Malformed);
        }
        match reader.u8()? {
            VERSION => {}
            other => return Err(WireError::Version(other)),
        }
        let now = Timestamp::from_ms(reader.u64()?);
        let preconditions = reader.list(LIMITS.preconditions_max, Reader::precondition)?;
        let ops = reader.list(LIMITS.ops_max, Reader::op)?;
        let wake = reader.list(TOPICS_MAX, |reader| Ok(Topic(Name::from_bytes(reader.take()?))))?;
        if !reader.bytes.is_empty() {
            return Err(WireError::Malformed);
        }
        let batch = Self { now, preconditions, ops, wake };
        batch.check_limits().map_err(|_| WireError::TooLarge)?;
        Ok(batch)
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    // Limits are far below u32; what is over them is refused before it is encoded.
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}

fn put_table(out: &mut Vec<u8>, table: &TableInfo) {
    let expiring = if table.residence == Residence::Expiring { EXPIRING } else { 0 };
    let append_only = if table.append_only { APPEND_ONLY } else { 0 };
    out.extend_from_slice(&table.id.to_be_bytes());
    out.extend_from_slice(&[table.version, expiring | append_only]);
}

fn put_key(out: &mut Vec<u8>, key: &[u8]) {
    out.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(key);
}

fn put_op(out: &mut Vec<u8>, op: &SealedOp) {
    match op {
        SealedOp::Put { table, key, stamp_at, sealed, lifetime } => {
            out.push(if lifetime.is_some() { PUT_EXPIRING } else { PUT_LASTING });
            put_table(out, table);
            put_key(out, key);
            out.extend_from_slice(&stamp_at.unwrap_or(NO_STAMP).to_be_bytes());
            put_count(out, sealed.len());
            out.extend_from_slice(sealed);
            if let Some((epoch, expires)) = lifetime {
                out.push(epoch.class.0);
                out.extend_from_slice(&epoch.slot.to_be_bytes());
                out.extend_from_slice(&expires.as_ms().to_be_bytes());
            }
        }
        SealedOp::Delete { table, key } => {
            out.push(DELETE);
            put_table(out, table);
            put_key(out, key);
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    tables: &'a [TableInfo],
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, tail) = self.bytes.split_first_chunk::<N>().ok_or(WireError::Malformed)?;
        self.bytes = tail;
        Ok(*head)
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (head, tail) = self.bytes.split_at_checked(length).ok_or(WireError::Malformed)?;
        self.bytes = tail;
        Ok(head)
    }

    fn u8(&mut self) -> Result<u8, WireError> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, WireError> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, WireError> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, WireError> {
        self.take().map(u64::from_be_bytes)
    }

    fn list<T>(&mut self, max: usize, item: impl Fn(&mut Self) -> Result<T, WireError>) -> Result<Vec<T>, WireError> {
        let count = usize::try_from(self.u32()?).map_err(|_| WireError::TooLarge)?;
        if count > max {
            return Err(WireError::TooLarge);
        }
        // Not reserved up front: the count is a claim until the bytes are there.
        (0..count).map(|_| item(self)).collect()
    }

    fn table(&mut self) -> Result<TableInfo, WireError> {
        let id = self.u16()?;
        let version = self.u8()?;
        let flags = self.u8()?;
        if flags & !(EXPIRING | APPEND_ONLY) != 0 {
            return Err(WireError::Malformed);
        }
        let residence = if flags & EXPIRING == 0 { Residence::Lasting } else { Residence::Expiring };
        let name = self.tables.iter().find(|table| table.id == id).map_or("unknown", |table| table.name);
        Ok(TableInfo { id, name, residence, version, append_only: flags & APPEND_ONLY != 0 })
    }

    fn key(&mut self) -> Result<Vec<u8>, WireError> {
        let length = usize::from(self.u16()?);
        if length > KEY_BYTES_MAX {
            return Err(WireError::TooLarge);
        }
        self.slice(length).map(<[u8]>::to_vec)
    }

    fn precondition(&mut self) -> Result<Precondition, WireError> {
        let table = self.table()?;
        let key = self.key()?;
        let version = match self.u8()? {
            0 => None,
            1 => Some(Seq::from_u64(self.u64()?)),
            _ => return Err(WireError::Malformed),
        };
        Ok(Precondition { table, key, version })
    }

    fn op(&mut self) -> Result<SealedOp, WireError> {
        let kind = self.u8()?;
        let table = self.table()?;
        let key = self.key()?;
        match (kind, table.residence) {
            (DELETE, _) => Ok(SealedOp::Delete { table, key }),
            (PUT_LASTING, Residence::Lasting) | (PUT_EXPIRING, Residence::Expiring) => {
                let stamp_at = Some(self.u16()?).filter(|at| *at != NO_STAMP);
                if stamp_at.is_some_and(|at| usize::from(at) + 8 > key.len()) {
                    return Err(WireError::Malformed);
                }
                let length = usize::try_from(self.u32()?).map_err(|_| WireError::TooLarge)?;
                let sealed = self.slice(length)?.to_vec();
                let lifetime = if kind == PUT_EXPIRING { Some(self.lifetime()?) } else { None };
                Ok(SealedOp::Put { table, key, stamp_at, sealed, lifetime })
            }
            _ => Err(WireError::Malformed),
        }
    }

    fn lifetime(&mut self) -> Result<(Epoch, Timestamp), WireError> {
        let class = Class(self.u8()?);
        let slot = self.u32()?;
        Ok((Epoch { class, slot }, Timestamp::from_ms(self.u64()?)))
    }
}

#[cfg(test)]
mod tests;
