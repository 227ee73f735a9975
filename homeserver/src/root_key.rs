//! The root key: where it comes from, and how another one takes its place.
//!
//! Three places, in this order: the environment variable `VESTIBULE_ROOT_KEY`, systemd's credential `vestibule.root_key` (both read
//! by `main`), and the file `server.root_key`, which the first start makes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use config::Config;
use journal::{Keyring, KeyringError, RootKey};
use zeroize::Zeroizing;

use crate::backup::is_inside;
use crate::start::{StartError, at};

/// What an old key is overwritten with. It is as long as every form of a key.
const NO_KEY: &[u8] = &[b'0'; 64];

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
        let keyring = match given {
            Some(root_key) => Keyring::open(&path, &root_key)?,
            None => open_with_file(&path, &config.server.root_key)?,
        };
        // Without keys of epochs it is of a first start that was cut off.
        if !data.join("journal").exists() && !keyring.epochs().is_empty() {
            let problem = "the keyring is here, its journal is not: run `vestibule restore`, or put the journal back; to begin anew, move the \
                           keyring away too";
            return Err(StartError::Path { path, problem: problem.to_owned() });
        }
        return Ok(keyring);
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
    let contents = Zeroizing::new(std::fs::read(path).map_err(at(path))?);
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
    let opened = match read(path).and_then(|root_key| Ok(Keyring::open(keyring, &root_key)?)) {
        // Killed after the keyring had been wrapped anew, before the file took its name.
        Err(StartError::Keyring(KeyringError::WrongRootKey(_)) | StartError::Path { .. }) if next.exists() => {
            Keyring::open(keyring, &read(&next)?)?
        }
        opened => opened?,
    };
    settle(&opened, path)?;
    Ok(opened)
}

fn make(path: &Path) -> Result<RootKey, StartError> {
    let root_key = RootKey::generate()?;
    write_new(path, &root_key)?;
    tracing::warn!(path = %path.display(), "made a new root key; keep a copy of it apart from copies of the data folder");
    Ok(root_key)
}

/// Writes a key to a new file that only its owner may read. It is there after a crash too.
fn write_new(path: &Path, root_key: &RootKey) -> Result<(), StartError> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(at(path))?;
    file.write_all(root_key.to_hex().as_bytes()).and_then(|()| file.sync_all()).map_err(at(path))?;
    sync_folder_of(path)
}

fn next_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

/// Ends what a rotation left that did not come to its end: the new key goes if the file's is in force, and takes the file's place if
/// it is in force itself. The key in force is in one of the two at every moment.
fn settle(keyring: &Keyring, path: &Path) -> Result<(), StartError> {
    let next = next_path(path);
    if !next.exists() {
        return Ok(());
    }
    if is_in_force(keyring, path)? {
        std::fs::remove_file(&next).map_err(at(&next))?;
        sync_folder_of(&next)
    } else if is_in_force(keyring, &next)? {
        replace(&next, path)
    } else {
        Ok(())
    }
}

fn is_in_force(keyring: &Keyring, path: &Path) -> Result<bool, StartError> {
    read(path).map_or(Ok(false), |root_key| Ok(keyring.is_opened_by(&root_key)?))
}

/// Puts what is at `next` into the place of what is at `path`, and then overwrites that. A file that no other can take the name of,
/// such as a container's mount, is written to instead.
fn replace(next: &Path, path: &Path) -> Result<(), StartError> {
    let stuck = |error: io::Error| {
        let problem =
            format!("the root key in force is in this file, and cannot take the place of {}: {error}", path.display());
        StartError::Path { path: next.to_owned(), problem }
    };
    let old = OpenOptions::new().write(true).open(path);
    let Err(refused) = std::fs::rename(next, path) else {
        sync_folder_of(path)?;
        // It has no name any more; its blocks still hold the old key.
        return old.map_or(Ok(()), |old| overwrite(&old, NO_KEY)).map_err(at(path));
    };
    let Ok(old) = old else { return Err(stuck(refused)) };
    let key = Zeroizing::new(std::fs::read(next).map_err(stuck)?);
    overwrite(&old, &key).map_err(stuck)?;
    // Both have it now.
    let left = OpenOptions::new().write(true).open(next);
    left.and_then(|left| overwrite(&left, NO_KEY)).and_then(|()| std::fs::remove_file(next)).map_err(at(next))?;
    sync_folder_of(next)
}

fn overwrite(file: &File, contents: &[u8]) -> io::Result<()> {
    file.write_all_at(contents, 0)?;
    file.set_len(contents.len() as u64)?;
    file.sync_all()
}

fn sync_folder_of(path: &Path) -> Result<(), StartError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

/// Wraps the keyring by a new root key: in `server.root_key`'s place, or in the new file `to`. `given` is the present key if it did
/// not come from the file. Answers where the new one is. A kill at any moment leaves a pair that opens.
///
/// # Errors
/// [`StartError`]; the key in force is then where it was, or in a file that the error names.
pub fn rotate(
    config: &Config,
    keyring: &Keyring,
    given: Option<&RootKey>,
    to: Option<&Path>,
) -> Result<PathBuf, StartError> {
    let file = &config.server.root_key;
    if let Some(to) = to.filter(|to| is_inside(to, &config.server.data)) {
        let problem = "keep it out of the data folder".to_owned();
        return Err(StartError::Path { path: to.to_owned(), problem });
    }
    let old = if let Some(root_key) = given {
        root_key.clone()
    } else {
        settle(keyring, file)?;
        read(file)?
    };
    if let Some(to) = to {
        wrap_by_new(keyring, &old, to)?;
        return Ok(to.to_owned());
    }
    if given.is_some() {
        let message = "the root key does not come from a file here: say with --to where the new one is to be written, and put it in the \
                       old one's place";
        return Err(StartError::Mismatch(message.to_owned()));
    }
    // Better told now than when the keyring is wrapped anew.
    OpenOptions::new().write(true).open(file).map_err(at(file))?;
    wrap_by_new(keyring, &old, &next_path(file))?;
    settle(keyring, file)?;
    Ok(file.clone())
}

/// Writes a new root key to the new file `to` and wraps the keyring by it. If that fails, the file goes again, unless its key may be
/// in force.
fn wrap_by_new(keyring: &Keyring, old: &RootKey, to: &Path) -> Result<(), StartError> {
    let new = RootKey::generate()?;
    write_new(to, &new)?;
    let wrapped = keyring.rewrap(old, &new).inspect_err(|_| {
        if matches!(keyring.is_opened_by(&new), Ok(false)) {
            let _: io::Result<()> = std::fs::remove_file(to);
        }
    });
    Ok(wrapped?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The folder with a root key, and the keyring that it opens.
    struct World {
        folder: tempfile::TempDir,
        config: Config,
    }

    impl World {
        fn new() -> (Self, Keyring) {
            let folder = tempfile::tempdir().unwrap();
            let mut config = Config::default();
            config.server.data = folder.path().join("data");
            config.server.root_key = folder.path().join("root.key");
            std::fs::create_dir(&config.server.data).unwrap();
            let keyring = open_keyring(&config, None).unwrap();
            (Self { folder, config }, keyring)
        }

        fn file(&self) -> &Path {
            &self.config.server.root_key
        }

        fn key(&self) -> Vec<u8> {
            std::fs::read(self.file()).unwrap()
        }
    }

    #[test]
    fn a_key_that_cannot_take_the_files_place_leaves_what_is_there() {
        let (world, _) = World::new();
        let before = world.key();
        let problem = replace(&world.folder.path().join("missing"), world.file()).unwrap_err().to_string();
        assert!(problem.contains("missing") && problem.contains("root.key"), "{problem}");
        assert_eq!(world.key(), before);
    }

    // A rename from one file system to another is refused, as one over a mount is.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_keeps_its_name_is_written_to() {
        let (world, _) = World::new();
        std::fs::write(world.file(), [world.key(), b" with something behind it\n".to_vec()].concat()).unwrap();
        let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
        let (next, new) = (elsewhere.path().join("root.key.new"), RootKey::generate().unwrap());
        write_new(&next, &new).unwrap();
        let mut overwritten = File::open(&next).unwrap();
        replace(&next, world.file()).unwrap();
        assert_eq!(world.key(), new.to_hex().as_bytes());
        assert!(!next.exists());
        let mut left = Vec::new();
        io::Read::read_to_end(&mut overwritten, &mut left).unwrap();
        assert!(left == NO_KEY || left == world.key(), "renamed after all where both are one file system");
    }

    #[test]
    fn the_old_key_is_overwritten_after_the_new_one_is_in_its_place() {
        let (world, keyring) = World::new();
        let mut old = File::open(world.file()).unwrap();
        rotate(&world.config, &keyring, None, None).unwrap();
        let mut left = Vec::new();
        io::Read::read_to_end(&mut old, &mut left).unwrap();
        assert_eq!(left, NO_KEY);
        drop(keyring);
        open_keyring(&world.config, None).unwrap();
    }

    #[test]
    fn a_rotation_after_one_that_got_stuck_loses_no_key() {
        let (world, keyring) = World::new();
        let (old, next) = (world.key(), next_path(world.file()));
        rotate(&world.config, &keyring, None, None).unwrap();
        // As it is when the new key could not take the file's place.
        std::fs::rename(world.file(), &next).unwrap();
        std::fs::write(world.file(), old).unwrap();
        rotate(&world.config, &keyring, None, None).unwrap();
        assert!(!next.exists());
        // And when a key was written that never came into force.
        write_new(&next, &RootKey::generate().unwrap()).unwrap();
        rotate(&world.config, &keyring, None, None).unwrap();
        assert!(!next.exists());
        drop(keyring);
        open_keyring(&world.config, None).unwrap();
    }

    #[test]
    fn keys_that_open_nothing_are_left_to_the_operator() {
        let (world, keyring) = World::new();
        let (kept, next) = (world.key(), next_path(world.file()));
        for path in [world.file(), next.as_path()] {
            std::fs::write(path, RootKey::generate().unwrap().to_hex().as_bytes()).unwrap();
        }
        let (file, other) = (world.key(), std::fs::read(&next).unwrap());
        rotate(&world.config, &keyring, None, None).unwrap_err();
        assert_eq!((world.key(), std::fs::read(&next).unwrap()), (file, other));
        std::fs::write(world.file(), kept).unwrap();
        rotate(&world.config, &keyring, None, None).unwrap();
    }

    #[test]
    fn a_rotation_that_fails_leaves_the_key_in_force_and_no_other() {
        let (world, keyring) = World::new();
        let (before, to) = (world.key(), world.folder.path().join("given.key"));
        // Nothing can be written where the keyring is wrapped anew.
        let obstacle = world.config.keyring().with_extension("new");
        std::fs::create_dir(&obstacle).unwrap();
        rotate(&world.config, &keyring, None, Some(&to)).unwrap_err();
        rotate(&world.config, &keyring, None, None).unwrap_err();
        assert!(!to.exists() && !next_path(world.file()).exists());
        assert_eq!(world.key(), before);
        std::fs::remove_dir(&obstacle).unwrap();
        drop(keyring);
        let keyring = open_keyring(&world.config, None).unwrap();
        rotate(&world.config, &keyring, None, Some(&to)).unwrap();
        drop(keyring);
        let given = read(&to).unwrap();
        assert!(open_keyring(&world.config, None).is_err() && open_keyring(&world.config, Some(given)).is_ok());
    }

    #[test]
    fn a_new_key_is_not_written_into_the_data_folder_whatever_it_is_called() {
        let (world, keyring) = World::new();
        let (data, link) = (&world.config.server.data, world.folder.path().join("link"));
        std::os::unix::fs::symlink(data, &link).unwrap();
        std::fs::create_dir(data.join("below")).unwrap();
        for to in [data.join("a"), link.join("b"), world.folder.path().join("link/below/../c")] {
            let problem = rotate(&world.config, &keyring, None, Some(&to)).unwrap_err().to_string();
            assert!(problem.contains("out of the data folder") && !to.exists(), "{problem}");
        }
    }
}
