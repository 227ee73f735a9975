//! The operator's root key.

use std::fmt;

use base64::{Engine as _, alphabet, engine::DecodePaddingMode, engine::general_purpose};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::KeyringError;

/// The operator's key, from which everything else is unlocked. It is kept nowhere in the data folder.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RootKey([u8; 32]);

/// What was given is not 32 bytes of key. Says nothing of what was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a root key is 32 bytes: raw, as 64 hexadecimal digits, or as base64")]
pub struct RootKeyError;

impl RootKey {
    /// From its 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A new random one.
    ///
    /// # Errors
    /// [`KeyringError::Random`].
    pub fn generate() -> Result<Self, KeyringError> {
        super::random_key().map(|key| Self(*key))
    }

    /// From what an operator's file or variable holds: 32 raw bytes, 64 hexadecimal digits, or base64 (either alphabet,
    /// padded or not); white space around the text does not count.
    ///
    /// # Errors
    /// [`RootKeyError`] for anything else.
    pub fn parse(contents: &[u8]) -> Result<Self, RootKeyError> {
        if let Ok(raw) = <[u8; 32]>::try_from(contents) {
            return Ok(Self(raw));
        }
        let text = contents.trim_ascii();
        let decoded = Zeroizing::new(if text.len() == 64 { from_hex(text) } else { from_base64(text) }.ok_or(RootKeyError)?);
        <[u8; 32]>::try_from(decoded.as_slice()).map(Self).map_err(|_| RootKeyError)
    }

    /// As 64 hexadecimal digits, for the file it is kept in.
    #[must_use]
    pub fn to_hex(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(64));
        for byte in self.0 {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
        }
        text
    }

    /// The key that wraps the data key.
    pub(super) fn wrap_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key("vestibule journal 2026: root wrap", &self.0))
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey")
    }
}

fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let config = general_purpose::GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let decode = |alphabet| general_purpose::GeneralPurpose::new(alphabet, config).decode(text).ok();
    decode(&alphabet::STANDARD).or_else(|| decode(&alphabet::URL_SAFE))
}
