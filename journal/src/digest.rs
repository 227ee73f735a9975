//! The digest chain: one hash that stands for every batch up to a [`Seq`], in order.

use std::fmt;

use crate::{SealedBatch, Seq};

/// The digest of all batches up to one `seq`. Two stores with the same digest applied the same batches in the same order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Before the first batch.
    pub const ZERO: Self = Self([0; 32]);

    /// The bytes, as the store keeps them.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A digest read back from the store.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest after `batch` was committed as `seq`: BLAKE3 of the previous digest, `seq` (big-endian) and the BLAKE3 of
    /// the batch's wire form.
    #[must_use]
    pub fn next(&self, seq: Seq, batch: &SealedBatch) -> Self {
        self.after(seq, &batch.fingerprint())
    }

    /// The same when the batch was hashed already: by the committing task, so that the writer need not.
    pub(crate) fn after(&self, seq: Seq, fingerprint: &[u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        hasher.update(&seq.as_u64().to_be_bytes());
        hasher.update(fingerprint);
        Self(*hasher.finalize().as_bytes())
    }
}

impl SealedBatch {
    /// BLAKE3 of the wire form.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        *blake3::hash(&self.encode()).as_bytes()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}
