//! Content at rest: sealed under keys that are destroyed when it expires.
//!
//! Everything a person wrote (text, names, files) is sealed with XChaCha20-Poly1305 before it enters a database or a file.
//! The key belongs to the *epoch* in which the content expires; all epoch keys live in one small file, the keyring, each
//! in a slot of its own, wrapped under the operator's root key. Expiry overwrites the slot in place and fsyncs: from then
//! on nothing sealed in that epoch can be read, wherever copies of the databases are. (A copy of the keyring *and* the
//! root key made before is a copy of the content; `docs/adding-a-helpdesk.md` says to back up neither.)

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use zeroize::Zeroizing;

use crate::clock::Millis;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const EPOCH_BYTES: usize = 8;
/// One slot of the keyring: the epoch, a nonce and the wrapped key. All zeros: free.
const SLOT_BYTES: usize = EPOCH_BYTES + NONCE_BYTES + KEY_BYTES + TAG_BYTES;
/// The first byte of sealed content.
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 1 + EPOCH_BYTES + NONCE_BYTES;

/// Why something could not be sealed or the keyring not be kept.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The keyring file can't be read or written.
    #[error("the keyring can't be kept: {0}")]
    Keyring(#[from] io::Error),
    /// The operating system has no randomness.
    #[error("no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// Sealed bytes are not what was sealed under this root key: another root key, or damage.
    #[error("sealed content doesn't open: is the root key the one it was sealed with?")]
    Damaged,
}

/// 32 bytes from which every other key of the bridge is derived. Prints nothing.
#[derive(Clone)]
pub struct RootKey(Zeroizing<[u8; KEY_BYTES]>);

impl RootKey {
    /// Reads the key, or makes one on the first start. The file is readable by its owner alone.
    pub fn read_or_make(path: &Path) -> Result<Self, SealError> {
        let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
        match File::open(path) {
            Ok(mut file) => {
                file.read_exact(key.as_mut_slice())?;
                return Ok(Self(key));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        getrandom::fill(key.as_mut_slice())?;
        // Beside it first: a crash must not leave half a key where the key is looked for.
        let beside = path.with_extension("new");
        let mut file = owner_only().create(true).truncate(true).write(true).open(&beside)?;
        file.write_all(key.as_slice())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        sync_folder_of(path)?;
        Ok(Self(key))
    }

    /// A key for one purpose. The purpose is a constant that is never used for another.
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; KEY_BYTES]> {
        Zeroizing::new(blake3::derive_key(purpose, self.0.as_slice()))
    }
}

fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Seals and opens content. Cheap to clone; all clones share one keyring.
#[derive(Clone)]
pub struct Sealer(Arc<Mutex<Keyring>>);

struct Keyring {
    file: File,
    wrapping: XChaCha20Poly1305,
    slot_ms: Millis,
    /// Epoch → position in the file and key.
    keys: BTreeMap<i64, (u64, Zeroizing<[u8; KEY_BYTES]>)>,
    free: Vec<u64>,
    slots: u64,
}

impl Sealer {
    /// Opens the keyring at `path`, or makes an empty one. `slot_ms` is the length of an epoch: content is unreadable at
    /// most that long after it expired (readers check the exact time themselves).
    pub fn open(path: &Path, root_key: &RootKey, slot_ms: Millis) -> Result<Self, SealError> {
        let mut file = owner_only().create(true).truncate(false).read(true).write(true).open(path)?;
        sync_folder_of(path)?;
        let wrapping = XChaCha20Poly1305::new(&(*root_key.derive("vestibule bridge 2026 keyring")).into());
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut keyring =
            Keyring { file, wrapping, slot_ms: slot_ms.max(1), keys: BTreeMap::new(), free: Vec::new(), slots: 0 };
        for slot in bytes.chunks_exact(SLOT_BYTES) {
            keyring.read_slot(slot)?;
        }
        Ok(Self(Arc::new(Mutex::new(keyring))))
    }

    /// Seals `content` until `expires_ms`. `about` names what it is; the same must be given to open it.
    pub fn seal(&self, expires_ms: Millis, about: &str, content: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut keyring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = keyring.epoch_of(expires_ms);
        let cipher = keyring.cipher_for(epoch)?;
        drop(keyring);
        let mut nonce = [0_u8; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        let mut sealed = Vec::with_capacity(HEADER_BYTES + content.len() + TAG_BYTES);
        sealed.push(VERSION);
        sealed.extend_from_slice(&epoch.to_le_bytes());
        sealed.extend_from_slice(&nonce);
        let payload = Payload { msg: content, aad: about.as_bytes() };
        sealed.extend(cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::Damaged)?);
        Ok(sealed)
    }

    /// Opens what [`seal`](Self::seal) made; `None` once its key is destroyed.
    pub fn open_sealed(&self, about: &str, sealed: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, SealError> {
        let (header, content) = sealed.split_at_checked(HEADER_BYTES).ok_or(SealError::Damaged)?;
        let (&version, header) = header.split_first().ok_or(SealError::Damaged)?;
        let (epoch, nonce) = header.split_at_checked(EPOCH_BYTES).ok_or(SealError::Damaged)?;
        if version != VERSION {
            return Err(SealError::Damaged);
        }
        let epoch = i64::from_le_bytes(epoch.try_into().map_err(|_| SealError::Damaged)?);
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| SealError::Damaged)?;
        let keyring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((_, key)) = keyring.keys.get(&epoch) else { return Ok(None) };
        let cipher = XChaCha20Poly1305::new(&(**key).into());
        drop(keyring);
        let payload = Payload { msg: content, aad: about.as_bytes() };
        let content = cipher.decrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::Damaged)?;
        Ok(Some(Zeroizing::new(content)))
    }

    /// Destroys the keys of every epoch that ended by `now_ms`; says how many.
    pub fn destroy_expired(&self, now_ms: Millis) -> Result<usize, SealError> {
        let mut keyring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let keyring = &mut *keyring;
        let alive = now_ms.div_euclid(keyring.slot_ms);
        let still_alive = keyring.keys.split_off(&(alive + 1));
        let expired = std::mem::replace(&mut keyring.keys, still_alive);
        for (position, _) in expired.values() {
            keyring.file.seek(SeekFrom::Start(position * SLOT_BYTES as u64))?;
            keyring.file.write_all(&[0; SLOT_BYTES])?;
            keyring.free.push(*position);
        }
        if !expired.is_empty() {
            keyring.file.sync_all()?;
        }
        Ok(expired.len())
    }
}

impl Keyring {
    /// The epoch in which `expires_ms` lies; its key is destroyed when the epoch ends.
    fn epoch_of(&self, expires_ms: Millis) -> i64 {
        // An epoch is named by its end, and zero marks a free slot.
        (expires_ms.div_euclid(self.slot_ms) + 1).max(1)
    }

    fn cipher_for(&mut self, epoch: i64) -> Result<XChaCha20Poly1305, SealError> {
        if let Some((_, key)) = self.keys.get(&epoch) {
            return Ok(XChaCha20Poly1305::new(&(**key).into()));
        }
        let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
        getrandom::fill(key.as_mut_slice())?;
        let mut nonce = [0_u8; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        let mut slot = Vec::with_capacity(SLOT_BYTES);
        slot.extend_from_slice(&epoch.to_le_bytes());
        slot.extend_from_slice(&nonce);
        let payload = Payload { msg: key.as_slice(), aad: &epoch.to_le_bytes() };
        slot.extend(self.wrapping.encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::Damaged)?);
        let position = self.free.pop().unwrap_or(self.slots);
        self.file.seek(SeekFrom::Start(position * SLOT_BYTES as u64))?;
        self.file.write_all(&slot)?;
        // The key must survive before anything sealed with it does.
        self.file.sync_all()?;
        self.slots = self.slots.max(position + 1);
        let cipher = XChaCha20Poly1305::new(&(*key).into());
        self.keys.insert(epoch, (position, key));
        Ok(cipher)
    }

    fn read_slot(&mut self, slot: &[u8]) -> Result<(), SealError> {
        let position = self.slots;
        self.slots += 1;
        let (epoch, rest) = slot.split_at(EPOCH_BYTES);
        let (nonce, wrapped) = rest.split_at(NONCE_BYTES);
        let epoch_number = i64::from_le_bytes(epoch.try_into().map_err(|_| SealError::Damaged)?);
        if epoch_number == 0 {
            self.free.push(position);
            return Ok(());
        }
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| SealError::Damaged)?;
        let payload = Payload { msg: wrapped, aad: epoch };
        let key = self.wrapping.decrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::Damaged)?;
        let key = Zeroizing::new(key);
        let key: [u8; KEY_BYTES] = key.as_slice().try_into().map_err(|_| SealError::Damaged)?;
        self.keys.insert(epoch_number, (position, Zeroizing::new(key)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: Millis = 1000;

    fn sealer(folder: &Path) -> Sealer {
        let root_key = RootKey::read_or_make(&folder.join("root")).unwrap();
        Sealer::open(&folder.join("keyring"), &root_key, SLOT).unwrap()
    }

    #[test]
    fn content_opens_until_its_epoch_is_over_and_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let early = sealer(folder.path()).seal(1500, "message", b"early").unwrap();
        let late = sealer(folder.path()).seal(2500, "message", b"late").unwrap();
        let open = |sealer: &Sealer, sealed: &[u8]| sealer.open_sealed("message", sealed).unwrap().map(|c| c.to_vec());

        let reopened = sealer(folder.path());
        assert_eq!(reopened.destroy_expired(1999).unwrap(), 0);
        assert_eq!(open(&reopened, &early).unwrap(), b"early");
        assert_eq!(reopened.destroy_expired(2000).unwrap(), 1);
        assert_eq!(open(&reopened, &early), None);
        assert_eq!(open(&reopened, &late).unwrap(), b"late");

        let reopened = sealer(folder.path());
        assert_eq!(open(&reopened, &early), None, "a destroyed key stays destroyed");
        let again = reopened.seal(9000, "message", b"again").unwrap();
        assert_eq!(open(&reopened, &again).unwrap(), b"again");
        let size = std::fs::metadata(folder.path().join("keyring")).unwrap().len();
        assert_eq!(size, 2 * SLOT_BYTES as u64, "a free slot is used again");
    }

    #[test]
    fn a_destroyed_key_is_not_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let sealer = sealer(folder.path());
        sealer.seal(1500, "message", b"x").unwrap();
        let before = std::fs::read(folder.path().join("keyring")).unwrap();
        assert!(before.iter().any(|byte| *byte != 0));
        sealer.destroy_expired(60_000).unwrap();
        let after = std::fs::read(folder.path().join("keyring")).unwrap();
        assert_eq!(after, vec![0; SLOT_BYTES]);
    }

    #[test]
    fn content_is_bound_to_what_it_is_about_and_to_the_root_key() {
        let folder = tempfile::tempdir().unwrap();
        let sealed = sealer(folder.path()).seal(1500, "message", b"x").unwrap();
        assert!(matches!(sealer(folder.path()).open_sealed("contact", &sealed), Err(SealError::Damaged)));
        std::fs::remove_file(folder.path().join("root")).unwrap();
        let root_key = RootKey::read_or_make(&folder.path().join("root")).unwrap();
        let other = Sealer::open(&folder.path().join("keyring"), &root_key, SLOT);
        assert!(matches!(other, Err(SealError::Damaged)));
    }
}
