use std::path::PathBuf;

use super::*;
use crate::{Class, Retention};

const HEADER: usize = 512;
const SLOT: usize = 128;

struct File {
    folder: tempfile::TempDir,
    root: RootKey,
}

impl File {
    fn new() -> (Self, Keyring) {
        let file = Self { folder: tempfile::tempdir().unwrap(), root: RootKey::generate().unwrap() };
        let keyring = Keyring::create(&file.path(), &file.root).unwrap();
        (file, keyring)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("keyring")
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }

    fn open(&self) -> Result<Keyring, KeyringError> {
        Keyring::open(&self.path(), &self.root)
    }

    fn change(&self, at: usize, change: impl FnOnce(&mut [u8])) {
        let mut bytes = self.bytes();
        change(&mut bytes[at..]);
        std::fs::write(self.path(), bytes).unwrap();
    }
}

fn epoch(class: u8, slot: u32) -> Epoch {
    Epoch { class: Class(class), slot }
}

fn media(keyring: &Keyring, epoch: Epoch) -> Option<[u8; 32]> {
    keyring.media_key(epoch).map(|key| *key.expose())
}

#[test]
fn keys_are_there_after_a_restart() {
    let (file, keyring) = File::new();
    let name = keyring.name_key().name("@a:b");
    // More than the file holds at first.
    let epochs: Vec<_> = (0..150).map(|slot| epoch(u8::try_from(slot % 3).unwrap(), slot)).collect();
    let keys: Vec<_> = epochs.iter().map(|epoch| *keyring.make_media_key(*epoch).unwrap().expose()).collect();
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 150);
    drop(keyring);
    let keyring = file.open().unwrap();
    assert_eq!(keyring.epochs().len(), 150);
    for (epoch, key) in epochs.iter().zip(keys) {
        assert_eq!(media(&keyring, *epoch), Some(key));
        assert_eq!(*keyring.make_media_key(*epoch).unwrap().expose(), key);
    }
    assert_eq!(keyring.name_key().name("@a:b"), name);
    assert_eq!(media(&keyring, epoch(3, 0)), None);
}

#[test]
fn the_file_shows_no_key_and_only_to_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let (file, keyring) = File::new();
    let secret = Zeroizing::new([0x5a; 32]);
    keyring.lock_file().as_mut().unwrap().store(epoch(0, 1), &secret).unwrap();
    assert!(!file.bytes().windows(8).any(|window| window == [0x5a; 8]));
    let mode = std::fs::metadata(file.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let shown = format!("{keyring:?} {:?} {:?}", file.root, keyring.lasting_media_key());
    assert_eq!(shown, "Keyring RootKey MediaKey");
}

#[test]
fn a_destroyed_key_is_overwritten_and_stays_away() {
    let (file, keyring) = File::new();
    let (kept, gone) = (epoch(0, 1), epoch(0, 2));
    let key = media(&keyring, {
        keyring.make_media_key(kept).unwrap();
        kept
    });
    keyring.make_media_key(gone).unwrap();
    let before = file.bytes();
    let slot = HEADER + SLOT..HEADER + 2 * SLOT;
    assert_ne!(before[slot.clone()], [0; SLOT]);
    assert!(keyring.destroy(gone).unwrap());
    assert!(!keyring.destroy(gone).unwrap());
    let after = file.bytes();
    assert_eq!(after[slot.clone()], [0; SLOT]);
    assert_eq!((&after[..slot.start], after.len()), (&before[..slot.start], before.len()));
    assert_eq!((media(&keyring, gone), media(&keyring, kept)), (None, key));
    drop(keyring);
    let keyring = file.open().unwrap();
    assert_eq!((media(&keyring, gone), media(&keyring, kept)), (None, key));
}

#[test]
fn the_file_does_not_grow_with_time() {
    let (file, keyring) = File::new();
    let length = file.bytes().len();
    for slot in 0..300 {
        keyring.make_media_key(epoch(0, slot)).unwrap();
        if slot >= 50 {
            assert!(keyring.destroy(epoch(0, slot - 50)).unwrap());
        }
    }
    assert_eq!(file.bytes().len(), length);
    drop(keyring);
    assert_eq!(file.open().unwrap().epochs().len(), 50);
}

#[test]
fn a_wrong_root_key_is_told_before_anything_is_written() {
    let (file, keyring) = File::new();
    keyring.make_media_key(epoch(0, 1)).unwrap();
    drop(keyring);
    let before = file.bytes();
    let wrong = Keyring::open(&file.path(), &RootKey::from_bytes([1; 32]));
    assert!(matches!(wrong, Err(KeyringError::WrongRootKey(_))));
    assert_eq!(file.bytes(), before);
    assert!(file.open().is_ok());
}

#[test]
fn another_root_key_takes_the_place_of_the_old_one() {
    let (mut file, keyring) = File::new();
    let key = *keyring.make_media_key(epoch(0, 1)).unwrap().expose();
    // The file as it was stays open: what is overwritten shows in it.
    let replaced = std::fs::File::open(file.path()).unwrap();
    let new = RootKey::generate().unwrap();
    let wrong = keyring.rewrap(&RootKey::from_bytes([1; 32]), &new);
    assert!(matches!(wrong, Err(KeyringError::WrongRootKey(_))));
    keyring.rewrap(&file.root, &new).unwrap();
    let mut old = Vec::new();
    std::io::Read::read_to_end(&mut &replaced, &mut old).unwrap();
    assert!(old.iter().all(|byte| *byte == 0), "the old file is overwritten");
    // It goes on being used, and destroyed in place.
    keyring.make_media_key(epoch(0, 2)).unwrap();
    assert!(matches!(Keyring::open(&file.path(), &new), Err(KeyringError::InUse(_))));
    drop(keyring);
    assert!(matches!(file.open(), Err(KeyringError::WrongRootKey(_))));
    file.root = new;
    let keyring = file.open().unwrap();
    assert_eq!((media(&keyring, epoch(0, 1)), keyring.epochs().len()), (Some(key), 2));
    assert!(!file.path().with_extension("new").exists());
}

#[test]
fn another_root_key_that_cannot_be_written_changes_nothing() {
    let (file, keyring) = File::new();
    let (before, new) = (file.bytes(), RootKey::generate().unwrap());
    let next = file.path().with_extension("new");
    std::fs::create_dir(&next).unwrap();
    assert!(matches!(keyring.rewrap(&file.root, &new), Err(KeyringError::Io { .. })));
    assert!(keyring.is_opened_by(&file.root).unwrap() && !keyring.is_opened_by(&new).unwrap());
    assert_eq!(file.bytes(), before);
    std::fs::remove_dir(&next).unwrap();
    keyring.rewrap(&file.root, &new).unwrap();
    assert!(keyring.is_opened_by(&new).unwrap() && !keyring.is_opened_by(&file.root).unwrap());
}

#[test]
fn keys_made_and_destroyed_after_a_rewrap_that_failed_half_way_are_in_the_file_that_has_the_name() {
    let (mut file, keyring) = File::new();
    keyring.make_media_key(epoch(0, 1)).unwrap();
    let new = RootKey::generate().unwrap();
    let away = |_: &Path| Err(std::io::Error::other("the disk is away"));
    let outcome = keyring.lock_file().as_mut().unwrap().rewrap_and(&file.root, &new, away);
    assert!(matches!(outcome, Err(KeyringError::Io { .. })));
    assert!(keyring.is_opened_by(&new).unwrap());
    let key = *keyring.make_media_key(epoch(0, 2)).unwrap().expose();
    assert!(keyring.destroy(epoch(0, 1)).unwrap());
    drop(keyring);
    file.root = new;
    let keyring = file.open().unwrap();
    assert_eq!((keyring.epochs(), media(&keyring, epoch(0, 2))), (vec![epoch(0, 2)], Some(key)));
}

#[test]
fn what_a_kill_left_of_a_rewrap_is_overwritten_at_the_next_start() {
    let (file, keyring) = File::new();
    keyring.make_media_key(epoch(0, 1)).unwrap();
    drop(keyring);
    let left = file.path().with_extension("new");
    std::fs::copy(file.path(), &left).unwrap();
    let mut shown = std::fs::File::open(&left).unwrap();
    let wrong = Keyring::open(&file.path(), &RootKey::from_bytes([1; 32]));
    assert!(matches!(wrong, Err(KeyringError::WrongRootKey(_))) && left.exists());
    drop(file.open().unwrap());
    assert!(!left.exists());
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut shown, &mut bytes).unwrap();
    assert!(bytes.len() == file.bytes().len() && bytes.iter().all(|byte| *byte == 0));
    std::fs::write(&left, "no keyring").unwrap();
    drop(file.open().unwrap());
    assert_eq!(std::fs::read(&left).unwrap(), b"no keyring", "what is not ours stays");
}

#[test]
fn a_copy_for_backups_opens_what_lasts_and_no_epoch() {
    let (file, keyring) = File::new();
    keyring.make_media_key(epoch(0, 1)).unwrap();
    let copy = file.folder.path().join("copy");
    keyring.copy_without_epochs(&copy).unwrap();
    let copied = Keyring::open(&copy, &file.root).unwrap();
    assert_eq!(copied.epochs(), []);
    assert!(copied.is_of_same_store(&keyring) && !copied.is_of_same_store(&Keyring::in_memory().unwrap()));
    assert_eq!(copied.name_key().name("@a:b"), keyring.name_key().name("@a:b"));
}

#[test]
fn a_keyring_is_not_made_twice_nor_opened_twice() {
    let (file, keyring) = File::new();
    assert!(matches!(Keyring::create(&file.path(), &file.root), Err(KeyringError::Exists(_))));
    assert!(matches!(file.open(), Err(KeyringError::InUse(_))));
    drop(keyring);
    assert!(file.open().is_ok());
    let nowhere = Keyring::open(&file.folder.path().join("other"), &file.root);
    assert!(matches!(nowhere, Err(KeyringError::Io { .. })));
}

#[test]
fn a_slot_not_written_to_its_end_is_cleared() {
    let (file, keyring) = File::new();
    keyring.make_media_key(epoch(0, 1)).unwrap();
    keyring.make_media_key(epoch(0, 2)).unwrap();
    drop(keyring);
    file.change(HEADER + SLOT + 60, |rest| rest[..SLOT - 60].fill(0));
    // The file was about to grow, too.
    std::fs::write(file.path(), [file.bytes(), vec![0; 40]].concat()).unwrap();
    let keyring = file.open().unwrap();
    assert_eq!(keyring.epochs(), [epoch(0, 1)]);
    assert_eq!(file.bytes()[HEADER + SLOT..HEADER + 2 * SLOT], [0; SLOT]);
    keyring.make_media_key(epoch(0, 3)).unwrap();
    drop(keyring);
    assert_eq!(file.open().unwrap().epochs(), [epoch(0, 1), epoch(0, 3)]);
}

#[test]
fn damage_is_told() {
    let (file, keyring) = File::new();
    keyring.make_media_key(epoch(0, 1)).unwrap();
    drop(keyring);
    let good = file.bytes();
    let outcome = |at: usize| {
        file.change(at, |rest| rest[0] ^= 1);
        let outcome = file.open();
        std::fs::write(file.path(), &good).unwrap();
        outcome.map(|keyring| keyring.epochs())
    };
    assert!(matches!(outcome(0), Err(KeyringError::Damaged(_))));
    assert!(matches!(outcome(8), Err(KeyringError::Version(0))));
    assert!(matches!(outcome(20), Err(KeyringError::Damaged(_))));
    assert!(matches!(outcome(100), Err(KeyringError::Damaged(_))));
    // A slot moved under another epoch with a good checksum: it was not us who wrote that.
    file.change(HEADER, |slot| {
        slot[5] ^= 1;
        let sum = blake3::hash(&slot[..78]);
        slot[78..94].copy_from_slice(&sum.as_bytes()[..16]);
    });
    assert!(matches!(file.open(), Err(KeyringError::Damaged(_))));
    std::fs::write(file.path(), &good[..HEADER - 1]).unwrap();
    assert!(matches!(file.open(), Err(KeyringError::Damaged(_))));
}

#[test]
fn knows_what_has_ended_and_makes_what_comes_next() {
    let keyring = Keyring::in_memory().unwrap();
    let classes = ClassTable::new(1000, vec![Retention { lifetime_ms: 5000 }, Retention { lifetime_ms: 60_000 }]);
    keyring.make_media_key(epoch(0, 10)).unwrap();
    keyring.make_media_key(epoch(1, 10)).unwrap();
    keyring.prepare(Timestamp::from_ms(10_999), &classes).unwrap();
    assert_eq!(keyring.epochs(), [epoch(0, 10), epoch(0, 11), epoch(1, 10), epoch(1, 11)]);
    let expired = |ms| keyring.expired(Timestamp::from_ms(ms), &classes);
    assert_eq!(expired(15_999), []);
    assert_eq!(expired(16_000), [epoch(0, 10)]);
    assert_eq!(expired(71_000), [epoch(0, 10), epoch(0, 11), epoch(1, 10)]);
    assert_eq!(keyring.destroy_all(&[epoch(0, 10), epoch(0, 11), epoch(0, 12)]).unwrap(), 2);
    assert_eq!(keyring.epochs(), [epoch(1, 10), epoch(1, 11)]);
}

#[test]
fn many_threads_get_one_key() {
    let (_file, keyring) = File::new();
    let keys: BTreeSet<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| *keyring.make_media_key(epoch(0, 1)).unwrap().expose())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(keys.len(), 1);
}

#[test]
fn root_keys_are_read_in_three_forms() {
    let bytes: [u8; 32] = std::array::from_fn(|index| u8::try_from(index * 8 + 7).unwrap());
    let hex = RootKey::from_bytes(bytes).to_hex();
    let good: [&[u8]; 6] = [
        &bytes,
        hex.as_bytes(),
        &[b" ", hex.to_uppercase().as_bytes(), b"\n"].concat(),
        b"Bw8XHycvNz9HT1dfZ293f4ePl5+nr7e/x8/X3+fv9/8=\n",
        b"Bw8XHycvNz9HT1dfZ293f4ePl5+nr7e/x8/X3+fv9/8",
        b"Bw8XHycvNz9HT1dfZ293f4ePl5-nr7e_x8_X3-fv9_8",
    ];
    for form in good {
        assert_eq!(RootKey::parse(form).unwrap().to_hex(), hex, "{form:?}");
    }
    let bad: [&[u8]; 5] = [b"", b"short", &[b'g'; 64], &[0; 33], b"Bw8XHycvNz9HT1dfZ29="];
    for form in bad {
        assert_eq!(RootKey::parse(form).unwrap_err(), RootKeyError, "{form:?}");
    }
}
