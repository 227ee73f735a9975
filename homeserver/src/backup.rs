//! Backups: a consistent copy of the journal and the files, without the keys of epochs
//! (`docs/decisions/0017-backups-hold-no-epoch-keys.md`).
//!
//! ```text
//! <folder>/current/   about.json, keyring (the key of lasting rows, wrapped by the root key), journal/, media/ (unless in a bucket)
//! <folder>/incoming/  the next one, until it is whole
//! <folder>/old/       the one before, for the moment in which the two change places
//! ```
//!
//! Files that are never written twice (those of tables, uploads) are linked from the backup before: each costs what is new. Uploads
//! in a bucket stay there: a backup says in which.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::TryLockError;

use config::Config;
use journal::{Keyring, KeyringError, RootKey, Timestamp};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::media::Home;

/// The form of a backup.
const VERSION: u32 = 1;

/// In the data folder, while a backup is made: the journal's files, linked.
const CHECKPOINT: &str = "checkpoint.tmp";

/// In the data folder, while a backup is restored: the journal, until it is whole.
const RESTORING: &str = "journal.restoring";

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its form.
    pub version: u32,
    /// Whose it is.
    pub server: String,
    /// When it was made.
    pub made: Timestamp,
    /// Files in it.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that were copied: the rest is shared with the backup before.
    pub copied: u64,
    /// The bucket that the uploaded files are in, if they are in one: they are not in the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
}

/// Why a backup cannot be made or used. Its text is a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Files.
    #[error("{path}: {problem}")]
    Path {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Another one is being made.
    #[error("a backup is being made already: wait until it is whole")]
    Running,
    /// The store.
    #[error(transparent)]
    Store(#[from] journal::rocks::StoreError),
    /// The keyring.
    #[error(transparent)]
    Keyring(#[from] journal::KeyringError),
}

fn at(path: &Path) -> impl Fn(io::Error) -> BackupError + '_ {
    move |error| wrong(path, error.to_string())
}

fn wrong(path: &Path, problem: impl Into<String>) -> BackupError {
    BackupError::Path { path: path.to_owned(), problem: problem.into() }
}

/// Makes a backup in `folder`, or brings the one there up to date. Blocks for as long as copying takes; the server goes on meanwhile.
///
/// # Errors
/// [`BackupError`]; the backup before is whole then.
pub fn backup(app: &App, folder: &Path, progress: &dyn Fn(String)) -> Result<About, BackupError> {
    let _alone = match app.backing_up.try_lock() {
        Err(TryLockError::WouldBlock) => return Err(BackupError::Running),
        Err(TryLockError::Poisoned(ended)) => ended.into_inner(),
        Ok(alone) => alone,
    };
    let data = &app.config.server.data;
    let (media, bucket) = match app.media.home() {
        Home::Folder(media) => (Some(media), None),
        Home::Bucket(uri) => (None, Some(uri.clone())),
    };
    if is_inside(folder, data) || media.is_some_and(|media| is_inside(folder, media)) {
        return Err(wrong(folder, "a backup must lie outside the data folder and the folder for files"));
    }
    fs::create_dir_all(folder).map_err(at(folder))?;
    let (current, incoming, old) = (folder.join("current"), folder.join("incoming"), folder.join("old"));
    settle(&current, &old)?;
    clear(&incoming)?;
    fs::create_dir(&incoming).map_err(at(&incoming))?;

    let checkpoint = data.join(CHECKPOINT);
    clear(&checkpoint)?;
    progress("taking a checkpoint".to_owned());
    let made = app.clock.now();
    // A replaced name or topic must not live on in the copy.
    app.journal.scrub_lasting(made)?;
    app.journal.checkpoint(&checkpoint)?;
    let mut mirror = Mirror::new(progress);
    let mut copied = mirror.folder(&checkpoint, &incoming.join("journal"), Some(&current.join("journal")));
    if let Some(media) = media {
        mirror.may_lack = true;
        copied = copied.and_then(|()| mirror.folder(media, &incoming.join("media"), Some(&current.join("media"))));
    }
    clear(&checkpoint)?;
    copied?;
    app.journal.sealer().keyring().copy_without_epochs(&incoming.join("keyring"))?;
    let Mirror { files, bytes, copied, .. } = mirror;
    let about = About { version: VERSION, server: app.server.name.to_string(), made, files, bytes, copied, bucket };
    let text = serde_json::to_vec_pretty(&about).map_err(|error| wrong(&incoming, error.to_string()))?;
    write_synced(&incoming.join("about.json"), &text)?;
    sync_folder(&incoming)?;

    if current.exists() {
        fs::rename(&current, &old).map_err(at(&current))?;
    }
    fs::rename(&incoming, &current).map_err(at(&incoming))?;
    sync_folder(folder)?;
    clear(&old)?;
    Ok(about)
}

/// Puts the data folder of `config` back as it was when the backup in `folder` was made. Only where there is no journal: nothing is
/// overwritten. A keyring that is there is used: it opens what has not expired.
///
/// # Errors
/// [`BackupError`]; the data folder has no journal then.
pub fn restore(config: &Config, root_key: &RootKey, folder: &Path, progress: &dyn Fn(String)) -> Result<About, BackupError> {
    let data = &config.server.data;
    let (current, old) = (folder.join("current"), folder.join("old"));
    settle(&current, &old)?;
    let about = about(&current)?;
    if about.server != config.server.name {
        return Err(wrong(
            &current,
            format!("this is a backup of {}, and server.name is {}", about.server, config.server.name),
        ));
    }
    let journal = data.join("journal");
    if journal.exists() {
        return Err(wrong(
            &journal,
            "there is a journal: stop the server and move it away first, and the media folder with it; the keyring stays",
        ));
    }
    fs::create_dir_all(data).map_err(at(data))?;
    let keyring = config.keyring();
    // Before anything is written: that the root key opens it. A keyring that stayed goes on with a new root key, which the backup's of
    // before the rotation does not know: that keyring and journal are one store's is asked when they are opened.
    let saved = match Keyring::open(&current.join("keyring"), root_key) {
        Err(KeyringError::WrongRootKey(_)) if keyring.exists() => None,
        opened => Some(opened?),
    };
    if keyring.exists() {
        let kept = Keyring::open(&keyring, root_key)?;
        if saved.as_ref().is_some_and(|saved| !kept.is_of_same_store(saved)) {
            return Err(wrong(&keyring, "this keyring is another store's: move it away"));
        }
        progress("the keyring is here: what has not expired will be readable".to_owned());
    } else {
        progress("there is no keyring: messages and files of the backup are lost, accounts and rooms are not".to_owned());
    }
    let mut mirror = Mirror::new(progress);
    let incoming = data.join(RESTORING);
    clear(&incoming)?;
    mirror.folder(&current.join("journal"), &incoming, None)?;
    match (&about.bucket, &config.media.s3) {
        (None, None) => {
            // What copies a backup may leave out folders in which there is nothing.
            mirror.may_lack = true;
            mirror.folder(&current.join("media"), &config.media_store(), None)?;
            if mirror.files < about.files {
                return Err(wrong(
                    &current,
                    format!("{} of its {} files are missing", about.files - mirror.files, about.files),
                ));
            }
        }
        (Some(uri), Some(_)) => progress(format!("uploaded files are where they were: in {uri}")),
        (Some(uri), None) => progress(format!("uploaded files are in {uri}: nobody finds them until [media.s3] names it")),
        (None, Some(_)) => {
            let saved = current.join("media");
            progress(format!(
                "nobody finds the uploaded files until what is in {} is copied to the bucket",
                saved.display()
            ));
        }
    }
    if let Some(saved) = saved.filter(|_| !keyring.exists()) {
        saved.copy_without_epochs(&keyring)?;
    }
    fs::rename(&incoming, &journal).map_err(at(&incoming))?;
    sync_folder(data)?;
    Ok(about)
}

/// Removes what a kill left in the data folder of a backup or a restore: it would keep what is erased and replaced since.
///
/// # Errors
/// [`BackupError::Path`].
pub(crate) fn clear_remains(data: &Path) -> Result<(), BackupError> {
    [CHECKPOINT, RESTORING].into_iter().try_for_each(|name| clear(&data.join(name)))
}

/// What the backup in `current` says of itself.
fn about(current: &Path) -> Result<About, BackupError> {
    let path = current.join("about.json");
    let bytes = fs::read(&path).map_err(at(&path))?;
    let about: About = serde_json::from_slice(&bytes).map_err(|_| wrong(&path, "this is no backup"))?;
    if about.version == VERSION {
        Ok(about)
    } else {
        Err(wrong(&path, format!("a backup of form {}, this program knows {VERSION}", about.version)))
    }
}

/// After a kill between the two renames: the one before is the backup.
fn settle(current: &Path, old: &Path) -> Result<(), BackupError> {
    if old.exists() && !current.exists() {
        fs::rename(old, current).map_err(at(old))?;
    }
    clear(old)
}

fn clear(folder: &Path) -> Result<(), BackupError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(folder)(error)),
        _ => Ok(()),
    }
}

/// Whether `path` is `folder` or in it, whatever the two are called.
pub(crate) fn is_inside(path: &Path, folder: &Path) -> bool {
    let real = |path: &Path| {
        path.ancestors().find_map(|above| {
            let rest = path.strip_prefix(above).ok()?;
            Some(above.canonicalize().ok()?.join(rest))
        })
    };
    match (real(path), real(folder)) {
        (Some(path), Some(folder)) => path.starts_with(folder),
        _ => false,
    }
}

/// Copies folders file by file.
struct Mirror<'a> {
    progress: &'a dyn Fn(String),
    /// Whether what is listed may be gone when it is its turn: files of a running server, which expire.
    may_lack: bool,
    files: usize,
    bytes: u64,
    copied: u64,
}

impl<'a> Mirror<'a> {
    fn new(progress: &'a dyn Fn(String)) -> Self {
        Self { progress, may_lack: false, files: 0, bytes: 0, copied: 0 }
    }

    fn is_nothing(&self, error: &io::Error) -> bool {
        self.may_lack && error.kind() == io::ErrorKind::NotFound
    }

    /// All of `from` into `to`; what `before` has already is linked.
    fn folder(&mut self, from: &Path, to: &Path, before: Option<&Path>) -> Result<(), BackupError> {
        fs::create_dir_all(to).map_err(at(to))?;
        let entries = match fs::read_dir(from) {
            Err(error) if self.is_nothing(&error) => return Ok(()),
            entries => entries.map_err(at(from))?,
        };
        for entry in entries {
            let entry = entry.map_err(at(from))?;
            let (name, path) = (entry.file_name(), entry.path());
            // Uploads on their way in, and the lock, are nobody's.
            if name == "incoming" || name == "LOCK" {
                continue;
            }
            let (to, before) = (to.join(&name), before.map(|before| before.join(&name)));
            if path.is_dir() {
                self.folder(&path, &to, before.as_deref())?;
            } else {
                self.file(&path, &to, before.as_deref())?;
            }
        }
        sync_folder(to)
    }

    fn file(&mut self, from: &Path, to: &Path, before: Option<&Path>) -> Result<(), BackupError> {
        let found = match fs::metadata(from) {
            Err(error) if self.is_nothing(&error) => return Ok(()),
            found => found.map_err(at(from))?,
        };
        let is_same = |other: &fs::Metadata| {
            other.len() == found.len() && other.modified().ok() == found.modified().ok() && is_immutable(from)
        };
        let known = before.filter(|before| fs::metadata(before).is_ok_and(|other| is_same(&other)));
        if known.is_none_or(|before| fs::hard_link(before, to).is_err()) {
            let copied = match fs::copy(from, to) {
                Err(error) if self.is_nothing(&error) => return Ok(()),
                copied => copied.map_err(at(from))?,
            };
            let file = File::options().write(true).open(to).map_err(at(to))?;
            found
                .modified()
                .and_then(|modified| file.set_modified(modified))
                .and_then(|()| file.sync_all())
                .map_err(at(to))?;
            self.copied += copied;
        }
        self.files += 1;
        self.bytes += found.len();
        if self.files.is_multiple_of(100) {
            (self.progress)(format!("{} files, {} MB", self.files, self.bytes / 1_000_000));
        }
        Ok(())
    }
}

/// Tables' files and uploads are written once, under a name of their own.
fn is_immutable(path: &Path) -> bool {
    path.extension().is_none_or(|extension| extension == "sst") && !path.ends_with("CURRENT")
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let mut file = File::create(path).map_err(at(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(path))
}

fn sync_folder(folder: &Path) -> Result<(), BackupError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

#[cfg(test)]
mod tests;
