//! The only place of the homeserver that makes random bytes. (The keys of an identity are made in the crate `identity`.)

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::signatures::Ed25519KeyPair;

/// The system's random source.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entropy;

/// Letters and digits that cannot be taken for one another.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz123456789";

impl Entropy {
    /// Fills `bytes`.
    pub fn fill(self, bytes: &mut [u8]) {
        // Once the system has started, its random source cannot fail; going on with anything else would be worse.
        if let Err(error) = getrandom::fill(bytes) {
            unreachable!("the system gave no random bytes: {error}");
        }
    }

    /// `N` random bytes.
    #[must_use]
    pub fn bytes<const N: usize>(self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A secret that nobody guesses: `prefix` and 256 bits in 43 characters that need no escaping anywhere.
    #[must_use]
    pub fn token(self, prefix: &str) -> String {
        format!("{prefix}{}", URL_SAFE_NO_PAD.encode(self.bytes::<32>()))
    }

    /// A name for a thing: `length` letters and digits, 5 bits each.
    #[must_use]
    pub fn id(self, length: usize) -> String {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes);
        bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
    }

    /// A new key that signs events, as PKCS#8.
    #[must_use]
    pub fn signing_key(self) -> Vec<u8> {
        Ed25519KeyPair::generate().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_tokens_have_their_form() {
        let id = Entropy.id(18);
        assert_eq!(id.len(), 18);
        assert!(id.bytes().all(|byte| ALPHABET.contains(&byte)));
        let token = Entropy.token("vst_");
        assert_eq!(token.len(), 47);
        assert_ne!(token, Entropy.token("vst_"));
    }
}
