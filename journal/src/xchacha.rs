//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03, § 2): ring's ChaCha20-Poly1305 under a key that `HChaCha20` makes for each nonce.
//!
//! The construction is the draft's, the two halves are libraries': decision 23 has why they are not from one.

use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use chacha20::{R20, XChaCha20, hchacha};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

/// Bytes of a nonce: random ones do not repeat.
pub const NONCE_BYTES: usize = 24;

/// Bytes of the tag that follows the ciphertext.
pub const TAG_BYTES: usize = 16;

/// A block of the stream: the first one makes the tag's key.
const BLOCK_BYTES: u64 = 64;

/// A tag that does not hold, or a value too long for one nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a seal does not hold")]
pub struct SealError;

fn keyed(key: &[u8; 32], nonce: &[u8; NONCE_BYTES]) -> Result<(LessSafeKey, Nonce), SealError> {
    let (head, tail) = nonce.split_first_chunk::<16>().ok_or(SealError)?;
    let subkey = Zeroizing::new(<[u8; 32]>::from(hchacha::<R20>(key.into(), head.into())));
    let key = UnboundKey::new(&CHACHA20_POLY1305, &*subkey).map_err(|_| SealError)?;
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(tail);
    Ok((LessSafeKey::new(key), Nonce::assume_unique_for_key(nonce)))
}

/// Seals what `buffer` holds from byte `from` on, and appends the tag.
///
/// # Errors
/// [`SealError`] for more than 256 GiB, or when `from` lies behind the end.
pub fn seal(
    key: &[u8; 32],
    nonce: &[u8; NONCE_BYTES],
    associated: &[u8],
    buffer: &mut Vec<u8>,
    from: usize,
) -> Result<(), SealError> {
    let (key, nonce) = keyed(key, nonce)?;
    let plain = buffer.get_mut(from..).ok_or(SealError)?;
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(associated), plain).map_err(|_| SealError)?;
    buffer.extend_from_slice(tag.as_ref());
    Ok(())
}

/// Opens what [`seal`] made of `buffer` from byte `from` on, and cuts the tag off. A buffer that does not open is no longer what it was.
///
/// # Errors
/// [`SealError`] when key, nonce, associated data or a byte is another one.
pub fn open(
    key: &[u8; 32],
    nonce: &[u8; NONCE_BYTES],
    associated: &[u8],
    buffer: &mut Vec<u8>,
    from: usize,
) -> Result<(), SealError> {
    let (key, nonce) = keyed(key, nonce)?;
    let sealed = buffer.get_mut(from..).ok_or(SealError)?;
    let plain = key.open_in_place(nonce, Aad::from(associated), sealed).map_err(|_| SealError)?.len();
    buffer.truncate(from + plain);
    Ok(())
}

/// Decrypts without a look at any tag.
pub(crate) fn decrypt_unseen(key: &[u8; 32], nonce: &[u8; NONCE_BYTES], bytes: &mut [u8]) -> Result<(), SealError> {
    let mut stream = XChaCha20::new(key.into(), nonce.into());
    stream.try_seek(BLOCK_BYTES).map_err(|_| SealError)?;
    stream.try_apply_keystream(bytes).map_err(|_| SealError)
}

#[cfg(test)]
mod tests {
    use chacha20poly1305::aead::{Aead as _, Payload};
    use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The same bytes as another implementation's.
        #[test]
        fn is_xchacha20_poly1305(
            key: [u8; 32], nonce: [u8; NONCE_BYTES], associated: Vec<u8>, plain: Vec<u8>, head in 0..9_usize,
        ) {
            let other = XChaCha20Poly1305::new(&key.into());
            let expected = other.encrypt(&nonce.into(), Payload { msg: &plain, aad: &associated }).unwrap();
            let mut buffer = [vec![7; head], plain.clone()].concat();
            seal(&key, &nonce, &associated, &mut buffer, head).unwrap();
            prop_assert_eq!(&buffer[head..], &expected);
            prop_assert_eq!(&buffer[..head], vec![7; head]);

            let mut stripped = expected[..plain.len()].to_vec();
            decrypt_unseen(&key, &nonce, &mut stripped).unwrap();
            prop_assert_eq!(&stripped, &plain);

            open(&key, &nonce, &associated, &mut buffer, head).unwrap();
            prop_assert_eq!(&buffer[head..], &plain);
        }

        #[test]
        fn a_changed_byte_does_not_open(key: [u8; 32], plain: Vec<u8>, at: prop::sample::Index, bit in 0..8_u32) {
            let mut buffer = plain;
            seal(&key, &[0; NONCE_BYTES], b"here", &mut buffer, 0).unwrap();
            let at = at.index(buffer.len());
            buffer[at] ^= 1 << bit;
            prop_assert_eq!(open(&key, &[0; NONCE_BYTES], b"here", &mut buffer, 0), Err(SealError));
        }
    }

    /// The draft's own example (appendix A.3.1).
    #[test]
    fn is_as_the_draft_says() {
        let key: [u8; 32] = std::array::from_fn(|i| 0x80 + u8::try_from(i).unwrap());
        let nonce: [u8; NONCE_BYTES] = std::array::from_fn(|i| 0x40 + u8::try_from(i).unwrap());
        let associated = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
        let mut buffer = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.".to_vec();
        seal(&key, &nonce, &associated, &mut buffer, 0).unwrap();
        assert_eq!(buffer[..8], [0xbd, 0x6d, 0x17, 0x9d, 0x3e, 0x83, 0xd4, 0x3b]);
        assert_eq!(
            buffer[114..],
            [0xc0, 0x87, 0x59, 0x24, 0xc1, 0xc7, 0x98, 0x79, 0x47, 0xde, 0xaf, 0xd8, 0x78, 0x0a, 0xcf, 0x49]
        );
    }
}
