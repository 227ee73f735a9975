use proptest::prelude::*;

use super::*;

const ROOMS: TableInfo = TableInfo { id: 1, name: "rooms", residence: Residence::Lasting, version: 1, append_only: false };
const EVENTS: TableInfo =
    TableInfo { id: 0x0203, name: "events", residence: Residence::Expiring, version: 4, append_only: true };

fn example() -> SealedBatch {
    let lifetime = Some((Epoch { class: Class(2), slot: 3_000_000 }, Timestamp::from_ms(1_800_086_400_000)));
    SealedBatch {
        now: Timestamp::from_ms(1_800_000_000_000),
        preconditions: vec![
            Precondition { table: ROOMS, key: vec![0xaa; 16], version: Some(Seq::from_u64(41)) },
            Precondition { table: EVENTS, key: vec![1], version: None },
        ],
        ops: vec![
            SealedOp::Put { table: ROOMS, key: vec![0xaa; 16], stamp_at: None, sealed: vec![5; 50], lifetime: None },
            SealedOp::Put { table: EVENTS, key: vec![0xff; 11], stamp_at: Some(1), sealed: vec![6; 45], lifetime },
            SealedOp::Delete { table: ROOMS, key: Vec::new() },
        ],
        wake: vec![Topic(Name::from_bytes([7; 16])), Topic(Name::from_bytes([8; 16]))],
    }
}

/// `golden.hex` was written by version 1 and is never to change: logs and digests of running servers are made of it.
#[test]
fn version_1_is_as_it_was() {
    let golden: String = include_str!("golden.hex").split_whitespace().collect();
    let golden: Vec<_> =
        (0..golden.len()).step_by(2).map(|at| u8::from_str_radix(&golden[at..at + 2], 16).unwrap()).collect();
    assert_eq!(example().encode(), golden);
    let digest = crate::Digest::ZERO.next(Seq::from_u64(42), &example());
    assert_eq!(digest.to_string(), include_str!("golden.digest").trim());
}

#[test]
fn reads_what_it_wrote() {
    let batch = example();
    assert_eq!(SealedBatch::decode(&batch.encode(), &[ROOMS, EVENTS]).unwrap(), batch);
    // Unknown tables have no name, everything else is there.
    let nameless = SealedBatch::decode(&batch.encode(), &[]).unwrap();
    assert_eq!(nameless.preconditions[0].table, TableInfo { name: "unknown", ..ROOMS });
    assert_eq!(nameless.encode(), batch.encode());
}

#[test]
fn refuses_what_is_cut_or_continued() {
    let bytes = example().encode();
    for length in 0..bytes.len() {
        assert_eq!(SealedBatch::decode(&bytes[..length], &[]), Err(WireError::Malformed), "{length} bytes");
    }
    assert_eq!(SealedBatch::decode(&[&bytes[..], &[0]].concat(), &[]), Err(WireError::Malformed));
}

#[test]
fn refuses_other_versions_and_contradictions() {
    let changed = |at: usize, byte: u8| {
        let mut bytes = example().encode();
        bytes[at] = byte;
        SealedBatch::decode(&bytes, &[])
    };
    assert_eq!(changed(0, b'X'), Err(WireError::Malformed));
    assert_eq!(changed(2, 2), Err(WireError::Version(2)));
    // The first precondition: its table's flags, its key's length, whether it is there.
    assert_eq!(changed(18, 4), Err(WireError::Malformed));
    assert_eq!(changed(19, 0xff), Err(WireError::TooLarge));
    assert_eq!(changed(37, 2), Err(WireError::Malformed));

    let mut batch = example();
    let SealedOp::Put { table, .. } = &mut batch.ops[0] else { panic!() };
    table.residence = Residence::Expiring;
    assert_eq!(SealedBatch::decode(&batch.encode(), &[]), Err(WireError::Malformed), "no lifetime");
    let mut batch = example();
    let SealedOp::Put { stamp_at, .. } = &mut batch.ops[1] else { panic!() };
    *stamp_at = Some(4);
    assert_eq!(SealedBatch::decode(&batch.encode(), &[]), Err(WireError::Malformed), "a stamp past the key");
}

#[test]
fn limits_hold_for_what_comes_in() {
    let many = vec![SealedOp::Delete { table: ROOMS, key: vec![1] }; LIMITS.ops_max + 1];
    let batch = SealedBatch { ops: many, ..example() };
    assert_eq!(SealedBatch::decode(&batch.encode(), &[]), Err(WireError::TooLarge));
    let sealed = vec![0; LIMITS.bytes_max + 100];
    let large = SealedOp::Put { table: ROOMS, key: vec![1], stamp_at: None, sealed, lifetime: None };
    let batch = SealedBatch { ops: vec![large], ..example() };
    assert_eq!(SealedBatch::decode(&batch.encode(), &[]), Err(WireError::TooLarge));
}

proptest! {
    #[test]
    fn changed_bytes_never_panic_and_never_grow(at in 0..200_usize, byte: u8, cut in 0..400_usize) {
        let mut bytes = example().encode();
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.truncate(cut);
        if let Ok(batch) = SealedBatch::decode(&bytes, &[]) {
            prop_assert_eq!(batch.encode(), bytes);
        }
    }

    #[test]
    fn any_bytes_at_all(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let bytes = [&b"VB\x01"[..], &bytes].concat();
        if let Ok(batch) = SealedBatch::decode(&bytes, &[]) {
            prop_assert_eq!(batch.encode(), bytes);
        }
    }
}
