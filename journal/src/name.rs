//! Names in keys: what a person or room is called never stands in a key, only a keyed hash of it.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::ZeroizeOnDrop;

/// A natural name (a user id, an event id, a token …) as it stands in keys: 128 bits of a keyed hash.
///
/// Whoever reads a manifest, a write-ahead log or a backup without the root key learns nothing from it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name([u8; 16]);

impl Name {
    /// The bytes, as a key holds them.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A name read back from a key.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

/// The key that names are hashed with; derived from the root key.
#[derive(Clone, ZeroizeOnDrop)]
pub struct NameKey([u8; 32]);

impl NameKey {
    /// From 32 bytes of key material.
    #[must_use]
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The name of `natural`. Two different texts never share a name in practice (2⁻⁶⁴ at four billion names).
    #[must_use]
    pub fn name(&self, natural: &str) -> Name {
        let hash = blake3::keyed_hash(&self.0, natural.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_bytes()[..16]);
        Name(bytes)
    }
}

impl fmt::Debug for NameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameKey")
    }
}
