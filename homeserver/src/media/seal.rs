//! Sealing a file in chunks, so that any part of it can be read and nothing large is held in memory.
//!
//! A file of its own key is cut into chunks of 64 KiB, each sealed with XChaCha20-Poly1305 under a nonce of its number and of
//! whether it is the last (the STREAM construction): a chunk that is moved, dropped or repeated, or a file that is cut short,
//! does not open. A file always has a last chunk, an empty one if need be.

use engine::media::FileKey;
use journal::xchacha::{self, NONCE_BYTES, SealError, TAG_BYTES};

/// Unsealed bytes of a chunk.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// Sealed bytes of a full chunk.
pub const SEALED_BYTES: usize = CHUNK_BYTES + TAG_BYTES;

/// Seals and opens the chunks of one file.
pub struct Chunks {
    key: FileKey,
}

impl std::fmt::Debug for Chunks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Chunks")
    }
}

fn nonce(number: u64, last: bool) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    nonce[..8].copy_from_slice(&number.to_be_bytes());
    nonce[8] = u8::from(last);
    nonce
}

impl Chunks {
    /// Under the file's key.
    #[must_use]
    pub fn new(key: &FileKey) -> Self {
        Self { key: key.clone() }
    }

    /// Seals chunk `number`, behind what `out` has.
    ///
    /// # Errors
    /// [`SealError`] for a chunk of an absurd size.
    pub fn seal(&self, number: u64, last: bool, plain: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        let from = out.len();
        out.reserve_exact(plain.len() + TAG_BYTES);
        out.extend_from_slice(plain);
        xchacha::seal(self.key.expose(), &nonce(number, last), &[], out, from)
    }

    /// Opens chunk `number`, behind what `out` has.
    ///
    /// # Errors
    /// [`SealError`] when it is not that chunk of that file.
    pub fn open(&self, number: u64, last: bool, sealed: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        let from = out.len();
        out.extend_from_slice(sealed);
        xchacha::open(self.key.expose(), &nonce(number, last), &[], out, from)
    }
}

/// The number of a file's last chunk.
#[must_use]
pub const fn last_chunk(size: u64) -> u64 {
    size.saturating_sub(1) / CHUNK_BYTES as u64
}

/// Where a chunk of a file of `size` bytes lies in the sealed object.
#[must_use]
pub fn sealed_range(size: u64, number: u64) -> std::ops::Range<u64> {
    let start = number * SEALED_BYTES as u64;
    let plain = (size - number * CHUNK_BYTES as u64).min(CHUNK_BYTES as u64);
    start..start + plain + TAG_BYTES as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_opens_only_in_its_place() {
        let chunks = Chunks::new(&FileKey::new([7; 32]));
        let mut sealed = Vec::new();
        chunks.seal(3, false, b"content", &mut sealed).expect("seals");
        let open = |chunks: &Chunks, number, last| {
            let mut plain = b"before ".to_vec();
            chunks.open(number, last, &sealed, &mut plain).map(|()| plain)
        };
        assert_eq!(open(&chunks, 3, false).as_deref(), Ok(b"before content".as_slice()));
        assert_eq!(open(&chunks, 4, false), Err(SealError));
        assert_eq!(open(&chunks, 3, true), Err(SealError), "a file cut short");
        assert_eq!(open(&Chunks::new(&FileKey::new([8; 32])), 3, false), Err(SealError));
        assert!(!sealed.windows(4).any(|window| window == b"cont"));
    }

    #[test]
    fn chunks_lie_one_after_the_other() {
        let chunk = CHUNK_BYTES as u64;
        assert_eq!((last_chunk(0), last_chunk(1), last_chunk(chunk), last_chunk(chunk + 1)), (0, 0, 0, 1));
        assert_eq!(sealed_range(0, 0), 0..16);
        assert_eq!(sealed_range(chunk, 0), 0..chunk + 16);
        assert_eq!(sealed_range(chunk + 5, 1), chunk + 16..chunk + 16 + 21);
    }
}
