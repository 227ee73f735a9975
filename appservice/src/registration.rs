//! The registration file: what a homeserver must know about an application service.
//!
//! Application Service API v1.17, "Registration". The extensions for end-to-end encryption have no stable names yet; a
//! homeserver that doesn't know them ignores them.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use ruma::api::appservice::{Namespace, Namespaces, Registration, RegistrationInit};
use serde::{Deserialize, Serialize};

use crate::Token;

/// The largest registration file read; real ones have a few hundred bytes.
const REGISTRATION_BYTES_MAX: u64 = 1024 * 1024;

/// A registration together with the extensions an encrypting application service asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RegistrationFile {
    /// The specified part.
    #[serde(flatten)]
    pub registration: Registration,
    /// MSC3202: device lists, one-time key counts and unused fallback key types come with transactions.
    #[serde(default, rename = "org.matrix.msc3202")]
    pub device_extensions: bool,
    /// MSC4190: devices are made and removed with `PUT` and `DELETE /devices/{deviceId}`, without a login.
    #[serde(default, rename = "io.element.msc4190")]
    pub device_management: bool,
    /// MSC2409 before it was merged, still what some homeservers read; it also switches to-device events (MSC4203) on.
    #[serde(default, rename = "de.sorunome.msc2409.push_ephemeral")]
    pub push_ephemeral: bool,
}

/// Why a registration file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// The file system said no.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The file is there, but it isn't a registration. The text says where, never what (it holds tokens).
    #[error("{path} is not a registration: {reason}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// The parser's complaint.
        reason: String,
    },
}

impl RegistrationFile {
    /// The registration of an application service that is one encrypting user.
    ///
    /// `user_regex` is the namespace of its users, claimed exclusively. `url` is where the homeserver reaches it.
    #[must_use]
    pub fn for_one_user(
        id: &str,
        url: &str,
        as_token: &Token,
        hs_token: &Token,
        sender_localpart: &str,
        user_regex: &str,
    ) -> Self {
        let mut namespaces = Namespaces::new();
        namespaces.users.push(Namespace::new(true, user_regex.to_owned()));
        let mut registration = Registration::from(RegistrationInit {
            id: id.to_owned(),
            url: Some(url.to_owned()),
            as_token: as_token.reveal().to_owned(),
            hs_token: hs_token.reveal().to_owned(),
            sender_localpart: sender_localpart.to_owned(),
            namespaces,
            rate_limited: Some(false),
            protocols: None,
        });
        registration.receive_ephemeral = true;
        Self { registration, device_extensions: true, device_management: true, push_ephemeral: true }
    }

    /// Reads a registration from a YAML file.
    ///
    /// # Errors
    /// When the file can't be read, is larger than a mebibyte, or is not a registration.
    pub fn read(path: &Path) -> Result<Self, RegistrationError> {
        let file_error = |source| RegistrationError::File { path: path.to_owned(), source };
        let size_bytes = fs::metadata(path).map_err(file_error)?.len();
        if size_bytes > REGISTRATION_BYTES_MAX {
            return Err(RegistrationError::Malformed {
                path: path.to_owned(),
                reason: format!("{size_bytes} bytes are more than {REGISTRATION_BYTES_MAX}"),
            });
        }
        let text = fs::read_to_string(path).map_err(file_error)?;
        Self::from_yaml(&text).map_err(|reason| RegistrationError::Malformed { path: path.to_owned(), reason })
    }

    /// Parses a registration.
    ///
    /// # Errors
    /// The parser's complaint, without the values it complains about.
    pub fn from_yaml(text: &str) -> Result<Self, String> {
        // By way of a JSON value: flattening and YAML's looser scalars don't mix in a typed parser.
        let value: serde_json::Value = serde_yaml_ng::from_str(text)
            .map_err(|error| error.location().map_or_else(String::new, |at| format!("line {}", at.line())))?;
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    /// The registration as YAML.
    ///
    /// # Errors
    /// Never for a registration that was read or built here; the serializer's type says it may.
    pub fn to_yaml(&self) -> Result<String, String> {
        let value = serde_json::to_value(self).map_err(|error| error.to_string())?;
        serde_yaml_ng::to_string(&value).map_err(|error| error.to_string())
    }

    /// Writes the file so that only its owner may read it: it holds both tokens. An existing file is replaced whole.
    ///
    /// # Errors
    /// When the file system says no.
    pub fn write(&self, path: &Path) -> Result<(), RegistrationError> {
        let file_error = |source| RegistrationError::File { path: path.to_owned(), source };
        let yaml = self.to_yaml().map_err(|reason| RegistrationError::Malformed { path: path.to_owned(), reason })?;
        let beside = path.with_extension("yaml.new");
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&beside).map_err(file_error)?;
        file.write_all(yaml.as_bytes()).map_err(file_error)?;
        file.sync_all().map_err(file_error)?;
        fs::rename(&beside, path).map_err(file_error)
    }

    /// The token the application service calls the homeserver with.
    #[must_use]
    pub fn as_token(&self) -> Token {
        Token::new(self.registration.as_token.clone())
    }

    /// The token the homeserver calls the application service with.
    #[must_use]
    pub fn hs_token(&self) -> Token {
        Token::new(self.registration.hs_token.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_only_the_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registration.yaml");
        let written = RegistrationFile::for_one_user(
            "vestibule-bridge",
            "http://127.0.0.1:9201",
            &Token::new("as: #tricky 'token'"),
            &Token::new("0123"),
            "support",
            "@support:example\\.org",
        );
        written.write(&path).unwrap();
        let read = RegistrationFile::read(&path).unwrap();
        assert!(read.as_token().matches("as: #tricky 'token'"));
        assert!(read.hs_token().matches("0123"), "a token of digits stays text");
        assert_eq!(read.registration.namespaces.users[0].regex, "@support:example\\.org");
        assert!(read.registration.receive_ephemeral && read.device_extensions);
        assert!(read.device_management && read.push_ephemeral);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_registration_written_by_another_program_is_read() {
        let read = RegistrationFile::from_yaml(
            "# made by hand\nid: bot\nurl: null\nas_token: \"a\"\nhs_token: b\nsender_localpart: bot\n\
             namespaces:\n  users:\n    - exclusive: true\n      regex: '@bot_.*'\n  rooms: []\n  aliases: []\n\
             rate_limited: false\n",
        )
        .unwrap();
        assert_eq!(read.registration.url, None);
        assert!(read.registration.namespaces.users[0].exclusive);
        assert!(!read.device_extensions && !read.registration.receive_ephemeral);
    }

    #[test]
    fn an_error_does_not_quote_the_file() {
        let reason = RegistrationFile::from_yaml("as_token: secret-value\nhs_token: [").unwrap_err();
        assert!(!reason.contains("secret-value"), "{reason}");
        let reason = RegistrationFile::from_yaml("as_token: secret-value\n").unwrap_err();
        assert!(!reason.contains("secret-value"), "{reason}");
    }
}
