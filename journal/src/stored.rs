//! A row as the store holds it: what the journal has to know without opening it, then the sealed value.
//!
//! `kind:u8(1 lasting | 2 expiring) seq:u64 stamp_at:u16`, for an expiring row `class:u8 slot:u32 expires:u64`, then the
//! sealed value. Integers are big-endian. `seq` is filled in by the commit and is the only part no seal protects.

use crate::{Class, Epoch, Seq, TableInfo, Timestamp};

const LASTING: u8 = 1;
const EXPIRING: u8 = 2;
const NO_STAMP: u16 = u16::MAX;

/// A stored row, its sealed value borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredRow<'a> {
    pub(crate) seq: Seq,
    pub(crate) stamp_at: Option<u16>,
    pub(crate) lifetime: Option<(Epoch, Timestamp)>,
    pub(crate) sealed: &'a [u8],
}

impl<'a> StoredRow<'a> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24 + self.sealed.len());
        out.push(if self.lifetime.is_some() { EXPIRING } else { LASTING });
        out.extend_from_slice(&self.seq.as_u64().to_be_bytes());
        out.extend_from_slice(&self.stamp_at.unwrap_or(NO_STAMP).to_be_bytes());
        if let Some((epoch, expires)) = self.lifetime {
            out.push(epoch.class.0);
            out.extend_from_slice(&epoch.slot.to_be_bytes());
            out.extend_from_slice(&expires.as_ms().to_be_bytes());
        }
        out.extend_from_slice(self.sealed);
        out
    }

    /// `None` for bytes that are no row.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (seq, rest) = rest.split_first_chunk::<8>()?;
        let (stamp_at, rest) = rest.split_first_chunk::<2>()?;
        let (lifetime, sealed) = match *kind {
            LASTING => (None, rest),
            EXPIRING => {
                let (class, rest) = rest.split_first()?;
                let (slot, rest) = rest.split_first_chunk::<4>()?;
                let (expires, rest) = rest.split_first_chunk::<8>()?;
                let epoch = Epoch { class: Class(*class), slot: u32::from_be_bytes(*slot) };
                (Some((epoch, Timestamp::from_ms(u64::from_be_bytes(*expires)))), rest)
            }
            _ => return None,
        };
        let seq = Seq::from_u64(u64::from_be_bytes(*seq));
        let stamp_at = Some(u16::from_be_bytes(*stamp_at)).filter(|at| *at != NO_STAMP);
        Some(Self { seq, stamp_at, lifetime, sealed })
    }
}

/// The key a row is stored under: the table id, then the key.
pub(crate) fn full_key(table: &TableInfo, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(2 + key.len());
    full.extend_from_slice(&table.id.to_be_bytes());
    full.extend_from_slice(key);
    full
}

/// The first key after all that start with `prefix`; `None` when there is none.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}
