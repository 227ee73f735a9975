//! The root key: where it comes from, and how another one takes its place.
//!
//! Three places, in this order: the environment variable `VESTIBULE_ROOT_KEY`, systemd's credential `vestibule.root_key` (both read
//! by `main`), and the file `server.root_key`, which the first start makes.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use config::Config;
use journal::{Keyring, KeyringError, RootKey};

use crate::start::{StartError, at};

/// Where an operator can put the root key instead of a file.
pub const ROOT_KEY_VARIABLE: &str = "VESTIBULE_ROOT_KEY";

/// The name of systemd's credential: `LoadCredential=vestibule.root_key:…` or `LoadCredentialEncrypted=…` in the unit.
pub const ROOT_KEY_CREDENTIAL: &str = "vestibule.root_key";

/// Opens the keyring of a data folder, or makes one on the very first start. A root key that is lost or wrong, and a keyring that is
/// lost, are told before anything is written. `given` is the operator's key if it came from elsewhere than the file.
///
/// # Errors
/// [`StartError`].
pub fn open_keyring(config: &Config, given: Option<RootKey>) -> Result<Keyring, StartError> {
    let data = &config.server.data;
    let path = config.keyring();
    if path.exists() {
        return match given {
            Some(root_key) => Ok(Keyring::open(&path, &root_key)?),
            None => open_with_file(&path, &config.server.root_key),
        };
    }
    if data.join("journal").exists() {
        let problem = "the keyring is not here, and the journal cannot be read without it: put it back, or move the journal away and run \
                       `vestibule restore`";
        return Err(StartError::Path { path, problem: problem.to_owned() });
    }
    let root_key = match given {
        Some(root_key) => root_key,
        None if config.server.root_key.exists() => read(&config.server.root_key)?,
        None => make(&config.server.root_key)?,
    };
    Ok(Keyring::create(&path, &root_key)?)
}

/// The key in the file at `path`.
///
/// # Errors
/// [`StartError::Path`].
pub fn read(path: &Path) -> Result<RootKey, StartError> {
    let contents = zeroize::Zeroizing::new(std::fs::read(path).map_err(at(path))?);
    RootKey::parse(&contents).map_err(|error| StartError::Path { path: path.to_owned(), problem: error.to_string() })
}

/// With the key in the file, or with the one that a rotation was about to put there.
fn open_with_file(keyring: &Path, path: &Path) -> Result<Keyring, StartError> {
    let next = next_path(path);
    if !path.exists() && !next.exists() {
        let problem = format!(
            "the root key is not here, and {} cannot be read without it: put it back, or set server.root_key to where it is",
            keyring.display()
        );
        return Err(StartError::Path { path: path.to_owned(), problem });
    }
    let opened = read(path).and_then(|root_key| Ok(Keyring::open(keyring, &root_key)?));
    match opened {
        Err(StartError::Keyring(KeyringError::WrongRootKey(_)) | StartError::Path { .. }) if next.exists() => {
            // Killed after the keyring had been wrapped anew, before the file took its name.
            let opened = Keyring::open(keyring, &read(&next)?)?;
            replace(&next, path)?;
            Ok(opened)
        }
        Ok(opened) => {
            // Killed before the keyring was wrapped anew: that key opens nothing.
            match std::fs::remove_file(&next) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at(&next)(error)),
                _ => Ok(opened),
            }
        }
        Err(error) => Err(error),
    }
}

fn make(path: &Path) -> Result<RootKey, StartError> {
    let root_key = RootKey::generate()?;
    write_new(path, &root_key)?;
    tracing::warn!(path = %path.display(), "made a new root key; keep a copy of it apart from copies of the data folder");
    Ok(root_key)
}

fn write_new(path: &Path, root_key: &RootKey) -> Result<(), StartError> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(at(path))?;
    file.write_all(root_key.to_hex().as_bytes()).and_then(|()| file.sync_all()).map_err(at(path))
}

fn next_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

/// Overwrites what is at `path`, and gives its name to what is at `next`.
fn replace(next: &Path, path: &Path) -> Result<(), StartError> {
    if let Ok(mut file) = std::fs::OpenOptions::new().write(true).open(path) {
        file.write_all(&[b'0'; 64]).and_then(|()| file.sync_all()).map_err(at(path))?;
    }
    std::fs::rename(next, path).map_err(at(next))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

/// Wraps the keyring by a new root key: in `server.root_key`'s place, or in the new file `to`. `given` is the present key if it did
/// not come from the file. Answers where the new one is. A kill at any moment leaves a pair that opens.
///
/// # Errors
/// [`StartError`]; the present key is still in force then.
pub fn rotate(
    config: &Config,
    keyring: &Keyring,
    given: Option<&RootKey>,
    to: Option<&Path>,
) -> Result<PathBuf, StartError> {
    let file = &config.server.root_key;
    let old = match given {
        Some(root_key) => root_key.clone(),
        None => read(file)?,
    };
    let new = RootKey::generate()?;
    if let Some(to) = to {
        if to.starts_with(&config.server.data) {
            let problem = "keep it out of the data folder".to_owned();
            return Err(StartError::Path { path: to.to_owned(), problem });
        }
        write_new(to, &new)?;
        keyring.rewrap(&old, &new)?;
        return Ok(to.to_owned());
    }
    if given.is_some() {
        let message = "the root key does not come from a file here: say with --to where the new one is to be written, and put it in the \
                       old one's place";
        return Err(StartError::Mismatch(message.to_owned()));
    }
    let next = next_path(file);
    if next.exists() {
        std::fs::remove_file(&next).map_err(at(&next))?;
    }
    write_new(&next, &new)?;
    keyring.rewrap(&old, &new)?;
    replace(&next, file)?;
    Ok(file.clone())
}
