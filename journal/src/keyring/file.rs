//! The keyring's file.
//!
//! ```text
//! header, 512 bytes: "VESTKEYS" version:u8=1 zero*7 nonce:24 wrapped data key:48 checksum:16 zero…
//! slot, 128 bytes:   state:u8=1 class:u8 slot:u32 nonce:24 wrapped key:48 checksum:16 zero…   (all zero: free)
//! ```
//!
//! Wrapped with XChaCha20-Poly1305, everything before the nonce as associated data. Checksums are the first 16 bytes of
//! BLAKE3 over what stands before them; they tell a torn write from a wrong key. No slot crosses a disk sector, and the
//! header is never written in place: another root key makes another file, which takes the first one's name.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{KeyringError, RootKey, subkey};
use crate::{Class, Epoch, xchacha};

const MAGIC: &[u8; 8] = b"VESTKEYS";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 512;
const SLOT_BYTES: usize = 128;
/// How many slots the file grows by.
const GROW_SLOTS: u32 = 64;
/// Live epochs at most (32 MiB of slots): 150 classes of a day in slots of a minute, or ten times as many in slots of ten minutes. (A class
/// of a month counts as thirty.)
pub const SLOTS_MAX: u32 = 262_144;

type Secret = Zeroizing<[u8; 32]>;
/// What a file holds: itself, the data key, and the keys of the live epochs.
type Opened = (SlotFile, Secret, Vec<(Epoch, Secret)>);

/// The open, locked file and where in it each epoch's key is.
pub(super) struct SlotFile {
    path: PathBuf,
    file: File,
    wrap: Secret,
    slots: u32,
    used: BTreeMap<Epoch, u32>,
    free: BTreeSet<u32>,
}

impl SlotFile {
    pub(super) fn create(path: &Path, root: &RootKey, data: &Secret) -> Result<Self, KeyringError> {
        if path.exists() {
            return Err(KeyringError::Exists(path.display().to_string()));
        }
        // Complete under another name first: after a crash there is a whole keyring or none.
        let new = next_path(path);
        let mut bytes = header(root, data)?;
        bytes.resize(HEADER_BYTES + SLOT_BYTES * GROW_SLOTS as usize, 0);
        let write = || -> io::Result<File> {
            let file = write_new(&new, &bytes)?;
            std::fs::rename(&new, path)?;
            sync_folder(path)?;
            Ok(file)
        };
        let file = write().map_err(|source| io_error(path, source))?;
        lock(&file, path)?;
        let free = (0..GROW_SLOTS).collect();
        Ok(Self { path: path.to_owned(), file, wrap: wrap(data), slots: GROW_SLOTS, used: BTreeMap::new(), free })
    }

    pub(super) fn open(path: &Path, root: &RootKey) -> Result<Opened, KeyringError> {
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(|source| io_error(path, source))?;
        lock(&file, path)?;
        let bytes = std::fs::read(path).map_err(|source| io_error(path, source))?;
        let damaged = || KeyringError::Damaged(path.display().to_string());
        let (header, slots) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or_else(damaged)?;
        let data = open_header(header, root, path)?;
        // A slot cut off at the end is a growth that was never finished: nothing is in it.
        let slots = slots.chunks_exact(SLOT_BYTES);
        let count = u32::try_from(slots.len()).map_err(|_| damaged())?;
        let mut this = Self {
            path: path.to_owned(),
            file,
            wrap: wrap(&data),
            slots: count,
            used: BTreeMap::new(),
            free: BTreeSet::new(),
        };
        let mut secrets = Vec::new();
        let mut torn = Vec::new();
        for (position, slot) in (0..count).zip(slots) {
            match read_slot(slot) {
                Slot::Free => {
                    this.free.insert(position);
                }
                Slot::Torn => torn.push(position),
                Slot::Used { epoch, sealed } => {
                    let secret = unwrap_key(&this.wrap, &sealed).ok_or_else(damaged)?;
                    if this.used.insert(epoch, position).is_some() {
                        return Err(damaged());
                    }
                    secrets.push((epoch, secret));
                }
            }
        }
        this.clear_torn(torn)?;
        let next = next_path(path);
        discard(&next).map_err(|source| io_error(&next, source))?;
        Ok((this, data, secrets))
    }

    /// Whether `root` opens the file, now and after a crash.
    pub(super) fn is_opened_by(&self, root: &RootKey) -> Result<bool, KeyringError> {
        let failed = |source| io_error(&self.path, source);
        // It may have taken its name without the disk knowing.
        sync_folder(&self.path).map_err(failed)?;
        let mut header = [0; HEADER_BYTES];
        self.file.read_exact_at(&mut header, 0).map_err(failed)?;
        match open_header(&header, root, &self.path) {
            Ok(_) => Ok(true),
            Err(KeyringError::WrongRootKey(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Puts a file wrapped by `new` into the place of this one, then overwrites this one.
    pub(super) fn rewrap(&mut self, old: &RootKey, new: &RootKey) -> Result<(), KeyringError> {
        self.rewrap_and(old, new, sync_folder)
    }

    /// As [`SlotFile::rewrap`]; `settle` waits until the disk knows which file has the name.
    pub(super) fn rewrap_and(
        &mut self,
        old: &RootKey,
        new: &RootKey,
        settle: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<(), KeyringError> {
        let path = self.path.clone();
        let failed = |source| io_error(&path, source);
        let length = self.file.metadata().map_err(failed)?.len();
        let mut bytes = Zeroizing::new(vec![0; usize::try_from(length).unwrap_or(usize::MAX)]);
        self.file.read_exact_at(&mut bytes, 0).map_err(failed)?;
        let damaged = || KeyringError::Damaged(path.display().to_string());
        let (head, _) = bytes.split_first_chunk_mut::<HEADER_BYTES>().ok_or_else(damaged)?;
        let data = open_header(head, old, &path)?;
        head.copy_from_slice(&header(new, &data)?);
        let next = next_path(&path);
        let renamed = write_new(&next, &bytes).map_err(failed).and_then(|file| {
            lock(&file, &path)?;
            std::fs::rename(&next, &path).map_err(failed)?;
            Ok(file)
        });
        let file = renamed.inspect_err(|_| {
            // What is left is removed by the next start at the latest.
            let _: io::Result<()> = discard(&next);
        })?;
        // Whatever fails from here on: keys are made and destroyed in the file that has the name.
        let replaced = std::mem::replace(&mut self.file, file);
        // Until the disk knows that, a crash may bring back the other one: it stays whole.
        settle(&path).map_err(failed)?;
        // It has no name any more; its blocks still hold what the old root key opens.
        bytes.fill(0);
        replaced.write_all_at(&bytes, 0).and_then(|()| replaced.sync_all()).map_err(failed)
    }

    pub(super) fn copy_without_epochs(&self, path: &Path) -> Result<(), KeyringError> {
        let mut bytes = vec![0; HEADER_BYTES + SLOT_BYTES * GROW_SLOTS as usize];
        self.file.read_exact_at(&mut bytes[..HEADER_BYTES], 0).map_err(|source| io_error(&self.path, source))?;
        write_new(path, &bytes).map(drop).map_err(|source| io_error(path, source))
    }

    /// Writes the key of a new epoch into a free slot and waits for the disk.
    pub(super) fn store(&mut self, epoch: Epoch, secret: &Secret) -> Result<(), KeyringError> {
        if self.free.is_empty() {
            self.grow()?;
        }
        let position = self.free.pop_first().ok_or(KeyringError::Full(self.slots))?;
        let mut slot = vec![1, epoch.class.0];
        slot.extend_from_slice(&epoch.slot.to_be_bytes());
        wrap_key(&self.wrap, &mut slot, secret)?;
        // A position whose write failed is not used again before a restart, which finds out what is in it.
        self.write(position, &slot)?;
        self.sync()?;
        self.used.insert(epoch, position);
        Ok(())
    }

    /// Overwrites the keys of `epochs` in place and waits for the disk; epochs without a key are passed over.
    pub(super) fn wipe(&mut self, epochs: &[Epoch]) -> Result<(), KeyringError> {
        let positions: Vec<_> = epochs.iter().filter_map(|epoch| Some((*epoch, *self.used.get(epoch)?))).collect();
        if positions.is_empty() {
            return Ok(());
        }
        for (_, position) in &positions {
            self.write(*position, &[])?;
        }
        self.sync()?;
        for (epoch, position) in positions {
            self.used.remove(&epoch);
            self.free.insert(position);
        }
        Ok(())
    }

    fn clear_torn(&mut self, torn: Vec<u32>) -> Result<(), KeyringError> {
        if torn.is_empty() {
            return Ok(());
        }
        tracing::warn!(slots = torn.len(), "the keyring has slots that were not written to their end; clearing them");
        for position in &torn {
            self.write(*position, &[])?;
        }
        self.sync()?;
        self.free.extend(torn);
        Ok(())
    }

    fn grow(&mut self) -> Result<(), KeyringError> {
        let slots = self.slots.saturating_add(GROW_SLOTS);
        if slots > SLOTS_MAX {
            return Err(KeyringError::Full(self.slots));
        }
        for position in self.slots..slots {
            self.write(position, &[])?;
        }
        self.file.sync_all().map_err(|source| io_error(&self.path, source))?;
        self.free.extend(self.slots..slots);
        self.slots = slots;
        Ok(())
    }

    /// Writes `slot`, padded with zeros, in one call.
    fn write(&self, position: u32, slot: &[u8]) -> Result<(), KeyringError> {
        let mut bytes = [0; SLOT_BYTES];
        bytes[..slot.len()].copy_from_slice(slot);
        let at = HEADER_BYTES as u64 + u64::from(position) * SLOT_BYTES as u64;
        self.file.write_all_at(&bytes, at).map_err(|source| io_error(&self.path, source))
    }

    fn sync(&self) -> Result<(), KeyringError> {
        self.file.sync_data().map_err(|source| io_error(&self.path, source))
    }
}

fn io_error(path: &Path, source: io::Error) -> KeyringError {
    KeyringError::Io { path: path.display().to_string(), source }
}

/// Writes a whole file that only its owner may read, and waits for the disk.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(file)
}

/// Where the file is written that is to take the place of the one at `path`.
fn next_path(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Overwrites and removes the keyring at `path`, if there is one: one that was to take another's place and never did. It holds
/// epochs' keys that nobody would destroy.
fn discard(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let mut magic = [0; MAGIC.len()];
    if file.read_exact_at(&mut magic, 0).is_err() || magic != *MAGIC {
        return Ok(());
    }
    let length = file.metadata()?.len();
    io::copy(&mut io::repeat(0).take(length), &mut file)?;
    file.sync_all()?;
    std::fs::remove_file(path)?;
    sync_folder(path)
}

fn lock(file: &File, path: &Path) -> Result<(), KeyringError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => KeyringError::InUse(path.display().to_string()),
        TryLockError::Error(source) => io_error(path, source),
    })
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

fn wrap(data: &Secret) -> Secret {
    Zeroizing::new(subkey("vestibule journal 2026: epoch wrap", data))
}

fn header(root: &RootKey, data: &Secret) -> Result<Vec<u8>, KeyringError> {
    let mut header = MAGIC.to_vec();
    header.push(VERSION);
    header.extend_from_slice(&[0; 7]);
    wrap_key(&root.wrap_key(), &mut header, data)?;
    header.resize(HEADER_BYTES, 0);
    Ok(header)
}

fn open_header(header: &[u8; HEADER_BYTES], root: &RootKey, path: &Path) -> Result<Secret, KeyringError> {
    let name = || path.display().to_string();
    if !header.starts_with(MAGIC) {
        return Err(KeyringError::Damaged(name()));
    }
    if header[8] != VERSION {
        return Err(KeyringError::Version(header[8]));
    }
    let sealed = Wrapped::read(header, 16).ok_or_else(|| KeyringError::Damaged(name()))?;
    unwrap_key(&root.wrap_key(), &sealed).ok_or_else(|| KeyringError::WrongRootKey(name()))
}

/// A wrapped key whose checksum holds.
struct Wrapped<'a> {
    associated: &'a [u8],
    nonce: [u8; 24],
    ciphertext: &'a [u8],
}

impl<'a> Wrapped<'a> {
    /// `associated` bytes, nonce, wrapped key, checksum.
    fn read(bytes: &'a [u8], associated: usize) -> Option<Self> {
        let (body, rest) = bytes.split_at_checked(associated + 24 + 48)?;
        if rest.get(..16)? != checksum(body) {
            return None;
        }
        let (associated, rest) = body.split_at(associated);
        let (nonce, ciphertext) = rest.split_first_chunk::<24>()?;
        Some(Self { associated, nonce: *nonce, ciphertext })
    }
}

enum Slot<'a> {
    Free,
    Torn,
    Used { epoch: Epoch, sealed: Wrapped<'a> },
}

fn read_slot(bytes: &[u8]) -> Slot<'_> {
    if bytes.iter().all(|byte| *byte == 0) {
        return Slot::Free;
    }
    let Some(sealed) = Wrapped::read(bytes, 6) else { return Slot::Torn };
    let &[1, class, a, b, c, d] = sealed.associated else { return Slot::Torn };
    Slot::Used { epoch: Epoch { class: Class(class), slot: u32::from_be_bytes([a, b, c, d]) }, sealed }
}

fn checksum(bytes: &[u8]) -> [u8; 16] {
    let mut sum = [0; 16];
    sum.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    sum
}

/// Appends nonce, wrapped `secret` and checksum to `out`, which is bound as associated data.
fn wrap_key(key: &Secret, out: &mut Vec<u8>, secret: &Secret) -> Result<(), KeyringError> {
    let mut nonce = [0; 24];
    getrandom::fill(&mut nonce).map_err(|_| KeyringError::Random)?;
    let associated = out.clone();
    out.extend_from_slice(&nonce);
    let from = out.len();
    out.extend_from_slice(&**secret);
    xchacha::seal(key, &nonce, &associated, out, from).map_err(|_| KeyringError::Random)?;
    let sum = checksum(out);
    out.extend_from_slice(&sum);
    Ok(())
}

fn unwrap_key(key: &Secret, sealed: &Wrapped<'_>) -> Option<Secret> {
    let mut opened = Zeroizing::new(sealed.ciphertext.to_vec());
    xchacha::open(key, &sealed.nonce, sealed.associated, &mut opened, 0).ok()?;
    <[u8; 32]>::try_from(opened.as_slice()).ok().map(Zeroizing::new)
}
