//! Random bytes and names. Keys of the signature algorithms are made by vodozemac.

/// Letters and digits that cannot be taken for one another.
pub const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz123456789";

/// `N` random bytes.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// `length` letters and digits, 5 bits each.
pub fn name(length: usize) -> String {
    let mut bytes = vec![0; length];
    fill(&mut bytes);
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
}

fn fill(bytes: &mut [u8]) {
    // Once the system has started, its random source cannot fail; going on with anything else would be worse.
    if let Err(error) = getrandom::fill(bytes) {
        unreachable!("the system gave no random bytes: {error}");
    }
}
