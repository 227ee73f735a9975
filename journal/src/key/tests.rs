use proptest::prelude::*;

use super::*;

fn bytes<K: Key>(key: &K) -> Vec<u8> {
    let mut writer = KeyWriter::default();
    key.write(&mut writer);
    writer.finish().0
}

fn back<K: Key>(bytes: &[u8]) -> Result<K, KeyError> {
    let mut reader = KeyReader::new(bytes);
    let key = K::read(&mut reader)?;
    reader.finish().map(|()| key)
}

fn prefix<K: Key>(prefix: &impl Prefix<K>) -> Vec<u8> {
    let mut writer = KeyWriter::default();
    prefix.write(&mut writer);
    writer.finish().0
}

type Wide = (u8, u16, Name, Stamp, u64);

/// Small numbers too, so that keys share their first components.
fn keys() -> impl Strategy<Value = Wide> {
    let name = prop_oneof![Just([1; 16]), any::<[u8; 16]>()].prop_map(Name::from_bytes);
    let stamp = (prop_oneof![0..3_u64, any::<u64>()], any::<u16>());
    let stamp = stamp.prop_map(|(seq, index)| Stamp::new(Seq::from_u64(seq), index));
    (0..2_u8, 0..300_u16, name, stamp, any::<u64>())
}

proptest! {
    #[test]
    fn bytes_order_as_keys_do(a in keys(), b in keys()) {
        prop_assert_eq!(bytes(&a).cmp(&bytes(&b)), a.cmp(&b));
    }

    #[test]
    fn bytes_read_back(key in keys()) {
        prop_assert_eq!(back::<Wide>(&bytes(&key)), Ok(key));
    }

    #[test]
    fn a_prefix_leads_its_keys_and_no_others(key in keys(), other in keys()) {
        let leading = prefix::<Wide>(&(other.0, other.1));
        prop_assert_eq!(bytes(&key).starts_with(&leading), (key.0, key.1) == (other.0, other.1));
    }
}

#[test]
fn too_few_and_too_many_bytes_are_no_key() {
    let good = bytes(&(1_u32, Stamp::ZERO));
    assert_eq!(good.len(), 14);
    assert_eq!(back::<(u32, Stamp)>(&good[..13]), Err(KeyError));
    assert_eq!(back::<(u32, Stamp)>(&[&good[..], &[0]].concat()), Err(KeyError));
}

#[test]
fn only_the_commits_own_stamp_is_marked() {
    let mark = |stamp: Stamp| {
        let mut writer = KeyWriter::default();
        Key::write(&(3_u16, stamp), &mut writer);
        writer.finish().1
    };
    assert_eq!(mark(Stamp::of_commit(5)), Some(2));
    assert_eq!(mark(Stamp::new(Seq::from_u64(9), 5)), None);
    assert_eq!(mark(Stamp::end_of(Seq::from_u64(9))), None);
}

#[test]
fn stamps_have_neighbours() {
    let seq = Seq::from_u64(7);
    assert_eq!(Stamp::new(seq, 3).next(), Stamp::new(seq, 4));
    assert_eq!(Stamp::end_of(seq).next(), Stamp::new(seq.next(), 0));
}
