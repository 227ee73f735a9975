//! What has to outlive the process: the account's key, and the certificate with its key. Only the owner can read them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Result, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;
use zeroize::Zeroizing;

/// A folder for one directory: what another authority (or its test branch) has signed is none of this one's.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    pub(super) fn new(cache: &Path, directory: &str) -> Self {
        let name = directory.trim_start_matches("https://").trim_end_matches('/');
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-');
        let name = name.replace(|letter| !is_plain(letter), "_");
        Self { folder: cache.join(name) }
    }

    /// The file with the certificate's key, the certificate, and those that vouch for it: PEM.
    pub(super) fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    pub(super) fn put_certificate(&self, contents: &[u8]) -> Result<()> {
        self.put(&self.certificate(), contents)
    }

    fn account_path(&self) -> PathBuf {
        self.folder.join("account.json")
    }

    pub(super) fn account(&self) -> Result<Option<AccountCredentials>> {
        let contents = match std::fs::read(self.account_path()) {
            Ok(contents) => Zeroizing::new(contents),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(serde_json::from_slice(&contents)?))
    }

    pub(super) fn put_account(&self, credentials: &AccountCredentials) -> Result<()> {
        let contents = Zeroizing::new(serde_json::to_vec(credentials)?);
        self.put(&self.account_path(), &contents)
    }

    /// The authority no longer knows it.
    pub(super) fn forget_account(&self) -> Result<()> {
        std::fs::remove_file(self.account_path())
    }

    /// Takes the place of what is there at once, or not at all.
    fn put(&self, path: &Path, contents: &[u8]) -> Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let next = path.with_extension("new");
        match std::fs::remove_file(&next) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next)?;
        file.write_all(contents)?;
        file.sync_all()?;
        std::fs::rename(&next, path)?;
        File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn each_directory_has_a_folder_and_files_are_the_owners() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::new(folder.path(), "https://ca.example.org:9000/acme/../x/directory");
        assert_eq!(cache.certificate(), folder.path().join("ca.example.org_9000_acme_.._x_directory/certificate.pem"));
        assert!(cache.account().expect("reads").is_none());
        for contents in [b"first".as_slice(), b"second"] {
            cache.put_certificate(contents).expect("writes");
            assert_eq!(std::fs::read(cache.certificate()).expect("reads"), contents);
        }
        let mode = |path: &Path| std::fs::metadata(path).expect("is there").permissions().mode() & 0o777;
        assert_eq!((mode(&cache.folder), mode(&cache.certificate())), (0o700, 0o600));
        assert_eq!(std::fs::read_dir(&cache.folder).expect("reads").count(), 1);
    }
}
