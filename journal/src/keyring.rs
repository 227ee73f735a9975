//! The keyring: the keys of the epochs, outside the store, so that destroying one reaches every copy of what it sealed.
//!
//! A small file of fixed slots beside the store. The operator's [`RootKey`] wraps one random *data key*; from that come
//! the key of lasting rows, of names, of lasting media, and the one that wraps the epoch keys. An epoch's key is random,
//! and [`Keyring::destroy`] overwrites its slot in place. A backup of the store holds no key; a copy of the keyring file
//! would, so a backup gets one without epochs ([`Keyring::copy_without_epochs`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{ClassTable, Epoch, NameKey, Timestamp, seal::SealKey};

mod file;
mod root;

pub use file::SLOTS_MAX;
use file::SlotFile;
pub use root::{RootKey, RootKeyError};

/// Why the keyring cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file system refused.
    #[error("the keyring {path} cannot be used: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The root key given is not the one this keyring was made with.
    #[error("the root key is not the one that the keyring {0} was made with; nothing was written")]
    WrongRootKey(String),
    /// The file is not a keyring, or its header or a key in it is damaged.
    #[error("the keyring {0} is damaged or not a keyring")]
    Damaged(String),
    /// A keyring of another version of the program.
    #[error("the keyring is of version {0}, which this program does not know")]
    Version(u8),
    /// There is a keyring already.
    #[error("there is a keyring at {0} already")]
    Exists(String),
    /// Another process uses it.
    #[error("the keyring {0} is used by another process")]
    InUse(String),
    /// More live epochs than the file may hold: classes times their lifetime in slots.
    #[error("the keyring holds {0} epochs already; use longer slots or fewer retention classes")]
    Full(u32),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Random,
}

/// The key under which an object store seals media chunks. `Debug` prints nothing of it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MediaKey([u8; 32]);

impl MediaKey {
    /// The key itself, for a cipher.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for MediaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MediaKey")
    }
}

/// The subkeys of one epoch.
pub(crate) struct EpochKey {
    data: SealKey,
    media: MediaKey,
}

impl EpochKey {
    fn new(secret: &[u8; 32]) -> Self {
        Self {
            data: SealKey::new(subkey("vestibule journal 2026: epoch rows", secret)),
            media: MediaKey(subkey("vestibule journal 2026: epoch media", secret)),
        }
    }

    pub(crate) const fn data(&self) -> &SealKey {
        &self.data
    }
}

fn subkey(context: &'static str, secret: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key(context, secret)
}

fn random_key() -> Result<Zeroizing<[u8; 32]>, KeyringError> {
    let mut key = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *key).map_err(|_| KeyringError::Random)?;
    Ok(key)
}

/// The keys of the live epochs and of what lasts. Cheap to clone; all clones are one keyring.
#[derive(Clone)]
pub struct Keyring(Arc<Inner>);

struct Inner {
    data: SealKey,
    names: NameKey,
    media: MediaKey,
    epochs: RwLock<BTreeMap<Epoch, Arc<EpochKey>>>,
    /// Locked by whoever makes or destroys a key; `None` for a keyring in memory.
    file: Mutex<Option<SlotFile>>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring")
    }
}

impl Keyring {
    /// A keyring that dies with the process, for tests and the journal in memory.
    ///
    /// # Errors
    /// [`KeyringError::Random`].
    pub fn in_memory() -> Result<Self, KeyringError> {
        Ok(Self::new(&*random_key()?, BTreeMap::new(), None))
    }

    /// A keyring whose data key is known to everybody, for tests that compare names between runs.
    pub(crate) fn for_tests() -> Self {
        Self::new(&[7; 32], BTreeMap::new(), None)
    }

    /// A new keyring file at `path`, readable by its owner only.
    ///
    /// # Errors
    /// [`KeyringError::Exists`], or what the file system said.
    pub fn create(path: &Path, root: &RootKey) -> Result<Self, KeyringError> {
        let data = random_key()?;
        let file = SlotFile::create(path, root, &data)?;
        Ok(Self::new(&data, BTreeMap::new(), Some(file)))
    }

    /// The keyring at `path`. A wrong root key is told before anything is written.
    ///
    /// # Errors
    /// [`KeyringError::WrongRootKey`] and the other ones.
    pub fn open(path: &Path, root: &RootKey) -> Result<Self, KeyringError> {
        let (file, data, secrets) = SlotFile::open(path, root)?;
        let epochs = secrets.iter().map(|(epoch, secret)| (*epoch, Arc::new(EpochKey::new(secret)))).collect();
        Ok(Self::new(&data, epochs, Some(file)))
    }

    fn new(data: &[u8; 32], epochs: BTreeMap<Epoch, Arc<EpochKey>>, file: Option<SlotFile>) -> Self {
        Self(Arc::new(Inner {
            data: SealKey::new(subkey("vestibule journal 2026: lasting rows", data)),
            names: NameKey::new(subkey("vestibule journal 2026: names", data)),
            media: MediaKey(subkey("vestibule journal 2026: lasting media", data)),
            epochs: RwLock::new(epochs),
            file: Mutex::new(file),
        }))
    }

    /// The key that names in keys are hashed with.
    #[must_use]
    pub fn name_key(&self) -> NameKey {
        self.0.names.clone()
    }

    /// The key of media that lasts (avatars in use).
    #[must_use]
    pub fn lasting_media_key(&self) -> MediaKey {
        self.0.media.clone()
    }

    /// The media key of `epoch`, if the epoch has a key: `None` means that what it sealed is gone for good.
    #[must_use]
    pub fn media_key(&self, epoch: Epoch) -> Option<MediaKey> {
        self.existing(epoch).map(|key| key.media.clone())
    }

    /// The media key of `epoch` for sealing; makes the epoch's key durable when it is the first use.
    ///
    /// # Errors
    /// [`KeyringError`] when the key cannot be made durable.
    pub fn make_media_key(&self, epoch: Epoch) -> Result<MediaKey, KeyringError> {
        self.key(epoch).map(|key| key.media.clone())
    }

    /// The epochs that have a key, in order.
    #[must_use]
    pub fn epochs(&self) -> Vec<Epoch> {
        self.read_epochs(|epochs| epochs.keys().copied().collect())
    }

    /// The epochs whose end has come at `now`: their keys are to be destroyed.
    #[must_use]
    pub fn expired(&self, now: Timestamp, classes: &ClassTable) -> Vec<Epoch> {
        self.epochs().into_iter().filter(|epoch| classes.ends_at(*epoch) <= now).collect()
    }

    /// Makes the next slot's key of every class that is in use, so that no writer waits for the disk at a slot's turn.
    ///
    /// # Errors
    /// [`KeyringError`] when a key cannot be made durable.
    pub fn prepare(&self, now: Timestamp, classes: &ClassTable) -> Result<(), KeyringError> {
        let in_use: BTreeSet<_> = self.epochs().iter().map(|epoch| epoch.class).collect();
        let next = now.plus_ms(classes.slot_ms());
        in_use.into_iter().try_for_each(|class| self.key(classes.epoch(class, next)).map(drop))
    }

    /// Destroys the key of `epoch`: overwrites it in place, waits for the disk, then forgets it. From then on nothing that
    /// the epoch sealed can be read, wherever it was copied. Answers whether there was a key.
    ///
    /// # Errors
    /// [`KeyringError`] when the disk refused; the key is then still there, and this is to be tried again.
    pub fn destroy(&self, epoch: Epoch) -> Result<bool, KeyringError> {
        self.destroy_all(&[epoch]).map(|destroyed| destroyed == 1)
    }

    /// As [`Keyring::destroy`] for several epochs with one wait for the disk. Answers how many keys there were.
    ///
    /// # Errors
    /// As [`Keyring::destroy`].
    pub fn destroy_all(&self, epochs: &[Epoch]) -> Result<usize, KeyringError> {
        let mut file = self.lock_file();
        if let Some(file) = file.as_mut() {
            file.wipe(epochs)?;
        }
        let mut keys = self.0.epochs.write().unwrap_or_else(PoisonError::into_inner);
        Ok(epochs.iter().filter(|epoch| keys.remove(epoch).is_some()).count())
    }

    /// Wraps the keyring by another root key; from then on the old one opens nothing. A crash leaves one of the two in force, whole.
    ///
    /// # Errors
    /// [`KeyringError::WrongRootKey`] when `old` is not the present one; what the file system said. [`Keyring::is_opened_by`] tells then
    /// which of the two is in force.
    pub fn rewrap(&self, old: &RootKey, new: &RootKey) -> Result<(), KeyringError> {
        self.lock_file().as_mut().map_or(Ok(()), |file| file.rewrap(old, new))
    }

    /// Whether `root` opens the keyring's file, now and after a crash. A keyring in memory is opened by none.
    ///
    /// # Errors
    /// What the file system said.
    pub fn is_opened_by(&self, root: &RootKey) -> Result<bool, KeyringError> {
        self.lock_file().as_ref().map_or(Ok(false), |file| file.is_opened_by(root))
    }

    /// Writes a keyring to `path` that holds the key of lasting rows and no epoch's: what a backup may hold.
    ///
    /// # Errors
    /// What the file system said.
    pub fn copy_without_epochs(&self, path: &Path) -> Result<(), KeyringError> {
        self.lock_file().as_ref().map_or(Ok(()), |file| file.copy_without_epochs(path))
    }

    /// Whether both open the same lasting rows.
    #[must_use]
    pub fn is_of_same_store(&self, other: &Self) -> bool {
        self.0.data.id() == other.0.data.id()
    }

    pub(crate) fn data_key(&self) -> &SealKey {
        &self.0.data
    }

    /// The key of `epoch` if there is one.
    pub(crate) fn existing(&self, epoch: Epoch) -> Option<Arc<EpochKey>> {
        self.read_epochs(|epochs| epochs.get(&epoch).cloned())
    }

    /// The key of `epoch`; a new one is on disk before this returns.
    pub(crate) fn key(&self, epoch: Epoch) -> Result<Arc<EpochKey>, KeyringError> {
        if let Some(key) = self.existing(epoch) {
            return Ok(key);
        }
        let mut file = self.lock_file();
        // Whoever held the lock before may have made it.
        if let Some(key) = self.existing(epoch) {
            return Ok(key);
        }
        let secret = random_key()?;
        if let Some(file) = file.as_mut() {
            file.store(epoch, &secret)?;
        }
        let key = Arc::new(EpochKey::new(&secret));
        self.0.epochs.write().unwrap_or_else(PoisonError::into_inner).insert(epoch, Arc::clone(&key));
        Ok(key)
    }

    fn read_epochs<T>(&self, read: impl FnOnce(&BTreeMap<Epoch, Arc<EpochKey>>) -> T) -> T {
        read(&self.0.epochs.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock_file(&self) -> MutexGuard<'_, Option<SlotFile>> {
        self.0.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
