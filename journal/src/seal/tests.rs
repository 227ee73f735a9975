use super::*;
use crate::Class;

const VALUE: &[u8] = b"\x01{\"body\":\"a secret\"}";

fn key(byte: u8) -> SealKey {
    SealKey::new([byte; 32])
}

fn lifetime(slot: u32, expires: u64) -> (Epoch, Timestamp) {
    (Epoch { class: Class(1), slot }, Timestamp::from_ms(expires))
}

fn place(bytes: &[u8]) -> Place<'_> {
    Place { table: 7, key: bytes, stamp_at: None, lifetime: Some(lifetime(3, 900)) }
}

#[test]
fn opens_what_was_sealed_and_shows_nothing_of_it() {
    let sealed = seal(&key(1), &place(b"k"), VALUE).unwrap();
    assert_eq!(open(&key(1), &place(b"k"), &sealed).unwrap(), VALUE);
    assert!(!sealed.windows(6).any(|window| window == b"secret"));
    assert_eq!(sealed.len(), VALUE.len() + crate::wire::SEAL_OVERHEAD);
    assert_eq!(key_id(&sealed), Some(key(1).id()));
}

#[test]
fn two_seals_of_one_value_differ() {
    assert_ne!(seal(&key(1), &place(b"k"), VALUE).unwrap(), seal(&key(1), &place(b"k"), VALUE).unwrap());
}

#[test]
fn holds_at_its_own_place_only() {
    let here = place(b"k");
    let sealed = seal(&key(1), &here, VALUE).unwrap();
    let elsewhere = [
        Place { table: 8, ..here },
        Place { key: b"l", ..here },
        Place { key: b"kk", ..here },
        Place { stamp_at: Some(0), ..here },
        Place { lifetime: None, ..here },
        Place { lifetime: Some(lifetime(4, 900)), ..here },
        Place { lifetime: Some(lifetime(3, 901)), ..here },
    ];
    for other in elsewhere {
        assert_eq!(open(&key(1), &other, &sealed), Err(SealError), "{other:?}");
    }
    assert_eq!(open(&key(2), &here, &sealed), Err(SealError));
}

#[test]
fn any_changed_or_missing_byte_breaks_it() {
    let sealed = seal(&key(1), &place(b"k"), VALUE).unwrap();
    // The key id is only a hint which key to take; everything else is bound.
    for at in (0..sealed.len()).filter(|at| !(1..5).contains(at)) {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert_eq!(open(&key(1), &place(b"k"), &changed), Err(SealError), "byte {at}");
        assert_eq!(open(&key(1), &place(b"k"), &sealed[..at]), Err(SealError), "cut at {at}");
    }
}

#[test]
fn a_stamp_is_filled_in_after_sealing() {
    let at_seal = [b'r', 255, 255, 255, 255, 255, 255, 255, 255, 0, 4];
    let at_open = [b'r', 0, 0, 0, 0, 0, 0, 0, 9, 0, 4];
    let sealed = seal(&key(1), &Place { stamp_at: Some(1), ..place(&at_seal) }, VALUE).unwrap();
    assert!(open(&key(1), &Place { stamp_at: Some(1), ..place(&at_open) }, &sealed).is_ok());
    let other_index = [b'r', 0, 0, 0, 0, 0, 0, 0, 9, 0, 5];
    assert_eq!(open(&key(1), &Place { stamp_at: Some(1), ..place(&other_index) }, &sealed), Err(SealError));
}

#[test]
fn a_value_without_a_version_is_not_sealed() {
    assert_eq!(seal(&key(1), &place(b"k"), b""), Err(SealError));
}
