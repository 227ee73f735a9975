//! Finding sealed values in bytes of any kind: files of a store, its write-ahead log, copies of either.
//!
//! A stored row's header names its epoch, and the seal after it the key ([`crate::seal`]); so every copy of a row can be recognised
//! wherever it lies, deleted and replaced ones too, and opened by whoever has the key. What no key opens is noise. Store files
//! are not compressed (there is nothing to compress in what is sealed), so a row's bytes lie together.

use std::collections::BTreeMap;

use crate::{
    Epoch, Keyring, ReadError,
    seal::{self, SealKey},
    stored::StoredRow,
};

/// Bytes of the id of the key, and of what stands before it in a lasting and in an expiring row: kind, seq, stamp position; class,
/// slot, end; version of the value.
const LASTING_HEAD: usize = 1 + 8 + 2 + 1;
const EXPIRING_HEAD: usize = LASTING_HEAD + 1 + 4 + 8;

/// A block of a write-ahead log, and the head of a record in it.
const LOG_BLOCK: usize = 32 * 1024;
const LOG_HEAD: usize = 7;

/// All keys that exist, by their ids, and what they can still open. A picture of one moment: keys made later are not in it.
pub struct Tracer {
    keys: BTreeMap<[u8; 4], (Option<Epoch>, SealKey)>,
    /// The first two bytes of all ids, as a bitmap: most places are passed over by one look.
    first: Vec<bool>,
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracer").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

/// A value that was sealed, opened without a look at its tag: what follows it in the file hangs on at its end, as noise.
#[derive(Clone, Copy, Debug)]
pub struct Trace<'a> {
    /// The value, and noise.
    pub value: &'a [u8],
    /// Which epoch's key opened it; `None`: the key of lasting rows.
    pub epoch: Option<Epoch>,
}

impl Keyring {
    /// Takes all keys there are now.
    #[must_use]
    pub fn tracer(&self) -> Tracer {
        let lasting = (None, self.data_key().clone());
        let epochs = self.epochs().into_iter().filter_map(|epoch| Some((Some(epoch), self.existing(epoch)?.data().clone())));
        let keys: BTreeMap<_, _> =
            std::iter::once(lasting).chain(epochs).map(|(epoch, key)| (key.id(), (epoch, key))).collect();
        let mut first = vec![false; 1 << 16];
        for id in keys.keys() {
            first[usize::from(u16::from_be_bytes([id[0], id[1]]))] = true;
        }
        Tracer { keys, first }
    }
}

impl Tracer {
    /// How many keys there are.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Opens every sealed value in `bytes` that a key opens. Answers how many there were.
    ///
    /// # Errors
    /// [`ReadError::Store`] when the cipher refuses, which it does for absurd lengths only.
    pub fn trace(&self, bytes: &[u8], each: &mut dyn FnMut(Trace<'_>)) -> Result<usize, ReadError> {
        let places: Vec<_> =
            (0..bytes.len().saturating_sub(3)).filter_map(|at| Some((at, self.key_at(bytes, at)?))).collect();
        for (number, (at, (epoch, key))) in places.iter().enumerate() {
            let end = places.get(number + 1).map_or(bytes.len(), |(next, _)| *next);
            let sealed = bytes.get(*at..end).unwrap_or_default();
            if let Some(value) = seal::strip(key, sealed).map_err(|_| ReadError::Store("a file is too long".to_owned()))? {
                each(Trace { value: &value, epoch: *epoch });
            }
        }
        Ok(places.len())
    }

    /// The key whose id stands at `at`, with the header of a row before it.
    fn key_at(&self, bytes: &[u8], at: usize) -> Option<&(Option<Epoch>, SealKey)> {
        let id: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        if !self.first.get(usize::from(u16::from_be_bytes([id[0], id[1]]))).copied().unwrap_or(false) {
            return None;
        }
        let found = self.keys.get(&id)?;
        let head = if found.0.is_some() { EXPIRING_HEAD } else { LASTING_HEAD };
        let row = StoredRow::decode(bytes.get(at.checked_sub(head)?..)?)?;
        (row.lifetime.map(|(epoch, _)| epoch) == found.0).then_some(found)
    }
}

/// The records of a write-ahead log one after the other, without the heads that cut them into blocks. What is damaged is passed over:
/// this looks for what may be there, it does not rely on it.
#[must_use]
pub fn log_records(log: &[u8]) -> Vec<u8> {
    let mut records = Vec::with_capacity(log.len());
    for mut block in log.chunks(LOG_BLOCK) {
        while let Some((head, rest)) = block.split_first_chunk::<LOG_HEAD>() {
            let length = usize::from(u16::from_le_bytes([head[4], head[5]]));
            // Types 5 to 8 are of a recycled log: its number comes first.
            let skipped = if (5..=8).contains(&head[6]) { 4 } else { 0 };
            let end = (skipped + length).min(rest.len());
            records.extend_from_slice(rest.get(skipped..end).unwrap_or_default());
            block = rest.get(end..).unwrap_or_default();
        }
    }
    records
}

#[cfg(all(test, feature = "rocksdb"))]
mod tests;
