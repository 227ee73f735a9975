//! Sealing one value: XChaCha20-Poly1305 with a random nonce, bound to the place where the value belongs.
//!
//! Sealed form: `value_version:u8 key_id:u32 nonce:24 ciphertext tag:16`. The value's version byte stays in the clear
//! (it is bound by the tag), so that a program can say which version it met without opening anything. The key id tells a
//! key that is gone from a seal that does not hold.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::xchacha::{self, NONCE_BYTES, SealError, TAG_BYTES};
use crate::{Epoch, Timestamp};

const HEAD_BYTES: usize = 1 + 4 + NONCE_BYTES;

/// A key that seals values. `Debug` prints nothing of it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct SealKey {
    key: [u8; 32],
    id: [u8; 4],
}

impl SealKey {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        let digest = Zeroizing::new(blake3::derive_key("vestibule journal 2026: key id", &key));
        let mut id = [0; 4];
        id.copy_from_slice(&digest[..4]);
        Self { key, id }
    }

    /// Tells this key from another one, says nothing of either.
    pub(crate) const fn id(&self) -> [u8; 4] {
        self.id
    }
}

/// The place of a value: moved to any other place, its seal no longer holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) table: u16,
    /// Without the table id; the 8 bytes at `stamp_at` count as zero, since they are not known when sealing.
    pub(crate) key: &'a [u8],
    pub(crate) stamp_at: Option<u16>,
    pub(crate) lifetime: Option<(Epoch, Timestamp)>,
}

impl Place<'_> {
    fn associated_data(&self, value_version: u8) -> Vec<u8> {
        let mut data = Vec::with_capacity(20 + self.key.len());
        data.extend_from_slice(&self.table.to_be_bytes());
        data.push(value_version);
        match self.lifetime {
            None => data.push(0),
            Some((epoch, expires)) => {
                data.extend_from_slice(&[1, epoch.class.0]);
                data.extend_from_slice(&epoch.slot.to_be_bytes());
                data.extend_from_slice(&expires.as_ms().to_be_bytes());
            }
        }
        data.extend_from_slice(&self.stamp_at.unwrap_or(u16::MAX).to_be_bytes());
        let key_at = data.len();
        data.extend_from_slice(self.key);
        if let Some(at) = self.stamp_at {
            let at = key_at + usize::from(at);
            if let Some(stamp) = data.get_mut(at..at + 8) {
                stamp.fill(0);
            }
        }
        data
    }
}

/// Seals `value` (version byte first) for `place`.
pub(crate) fn seal(key: &SealKey, place: &Place<'_>, value: &[u8]) -> Result<Vec<u8>, SealError> {
    let (version, body) = value.split_first().ok_or(SealError)?;
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(|_| SealError)?;
    let mut sealed = Vec::with_capacity(HEAD_BYTES + body.len() + TAG_BYTES);
    sealed.push(*version);
    sealed.extend_from_slice(&key.id);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(body);
    xchacha::seal(&key.key, &nonce, &place.associated_data(*version), &mut sealed, HEAD_BYTES)?;
    Ok(sealed)
}

/// Undoes what sealing did to the bytes after `key`'s id, wherever they end; without the place, and so without a look at the tag.
/// `None` for bytes too short to be sealed.
pub(crate) fn strip(key: &SealKey, from_id: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, SealError> {
    let Some((nonce, ciphertext)) = from_id.get(4..).and_then(|rest| rest.split_first_chunk::<NONCE_BYTES>()) else {
        return Ok(None);
    };
    let mut bytes = Zeroizing::new(ciphertext.to_vec());
    xchacha::decrypt_unseen(&key.key, nonce, &mut bytes)?;
    Ok(Some(bytes))
}

/// The id of the key that sealed this value.
pub(crate) fn key_id(sealed: &[u8]) -> Option<[u8; 4]> {
    sealed.get(1..5)?.try_into().ok()
}

/// Opens what [`seal`] made, version byte first.
pub(crate) fn open(key: &SealKey, place: &Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    let (head, ciphertext) = sealed.split_first_chunk::<HEAD_BYTES>().ok_or(SealError)?;
    let (version, nonce) = (head[0], head.last_chunk::<NONCE_BYTES>().ok_or(SealError)?);
    let mut value = Vec::with_capacity(1 + ciphertext.len());
    value.push(version);
    value.extend_from_slice(ciphertext);
    xchacha::open(&key.key, nonce, &place.associated_data(version), &mut value, 1)?;
    Ok(value)
}

#[cfg(test)]
mod tests;
