//! `bridge.toml`.
//!
//! Every key can also come from the environment as `VESTIBULE_BRIDGE_<SECTION>__<KEY>`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use config::{
    ConfigError, Vars, source,
    units::{Bytes, Span},
};
use serde::{Deserialize, Serialize};

/// What `vestibule-bridge config example` prints: every key, with what it is for.
pub const EXAMPLE: &str = include_str!("../bridge.example.toml");

/// The prefix of environment variables.
const PREFIX: &str = "VESTIBULE_BRIDGE_";

/// The whole file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[homeserver]`
    pub homeserver: Homeserver,
    /// `[appservice]`
    pub appservice: Appservice,
    /// `[storage]`
    pub storage: Storage,
    /// `[desk]`
    pub desk: Desk,
    /// `[retention]`
    pub retention: Retention,
    /// `[attachments]`
    pub attachments: Attachments,
    /// `[log]`
    pub log: Log,
}

/// The homeserver whose support this is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Homeserver {
    /// Where the bridge reaches it.
    pub url: String,
    /// Its name, the part of a user id behind the colon.
    pub name: String,
}

/// The bridge as an application service of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Appservice {
    /// Where the bridge listens for the homeserver.
    pub listen: SocketAddr,
    /// Where the homeserver reaches the bridge; by default `http://` and the address above.
    pub url: Option<String>,
    /// The registration file, made by `vestibule-bridge registration`; holds both tokens.
    pub registration: PathBuf,
    /// The support user's name before the colon.
    pub localpart: String,
    /// What people see the support user called.
    pub display_name: String,
}

/// What the bridge keeps.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// The data folder. One bridge only may use it.
    pub data: PathBuf,
    /// The file with the root key, which seals everything in the data folder. Made at the first start.
    pub root_key: PathBuf,
}

/// The built-in desk.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Desk {
    /// Where the page for agents is served.
    pub listen: SocketAddr,
    /// What agents sign in with.
    pub password: String,
    /// A file that holds the password instead.
    pub password_file: Option<PathBuf>,
    /// Whether agents reach the page over HTTPS (a reverse proxy in front); its cookie is then sent over nothing else.
    pub https: bool,
}

/// How long content lives.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Should be the homeserver's; a room's own, shorter one counts.
    pub lifetime: Span,
    /// At most this long after it expired, the key of content is destroyed.
    pub slot: Span,
    /// How often rows and files of expired content are removed.
    pub sweep: Span,
}

/// Files people send.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Attachments {
    /// The largest one passed on to the desk.
    pub size_max: Bytes,
}

/// The log, on standard error. It never holds content, names or tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// What is logged: `error`, `warn`, `info`, `debug`, or directives by module.
    pub filter: String,
    /// One JSON object a line, for programs.
    pub json: bool,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("listen", &self.listen).field("https", &self.https).finish_non_exhaustive()
    }
}

impl Default for Homeserver {
    fn default() -> Self {
        Self { url: "http://127.0.0.1:8008".to_owned(), name: String::new() }
    }
}

impl Default for Appservice {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8009)),
            url: None,
            registration: "vestibule-bridge.yaml".into(),
            localpart: "support".to_owned(),
            display_name: "Support".to_owned(),
        }
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self { data: "bridge-data".into(), root_key: "bridge-root.key".into() }
    }
}

impl Default for Desk {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 8010));
        Self { listen, password: String::new(), password_file: None, https: false }
    }
}

impl Default for Retention {
    fn default() -> Self {
        let ten_minutes = Span::from_secs(600);
        Self { lifetime: Span::from_secs(24 * 3600), slot: ten_minutes, sweep: ten_minutes }
    }
}

impl Default for Attachments {
    fn default() -> Self {
        Self { size_max: Bytes::new(25_000_000) }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".to_owned(), json: false }
    }
}

impl Config {
    /// Reads the file and the environment. Paths in the file are relative to it.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = source::read(Some(file), Vars::of_process(PREFIX).without("config"))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        for path in [&mut config.storage.data, &mut config.storage.root_key, &mut config.appservice.registration] {
            *path = folder.join(&*path);
        }
        if let Some(path) = &mut config.desk.password_file {
            *path = folder.join(&*path);
        }
        if config.homeserver.name.is_empty() {
            return Err(missing("homeserver.name", "say the homeserver's name, for instance \"example.org\""));
        }
        Ok(config)
    }

    /// Where the homeserver reaches the bridge.
    #[must_use]
    pub fn appservice_url(&self) -> String {
        self.appservice.url.clone().unwrap_or_else(|| format!("http://{}", self.appservice.listen))
    }

    /// The desk's password.
    ///
    /// # Errors
    /// When there is none, or it is too short to be one.
    pub fn desk_password(&self) -> Result<String, ConfigError> {
        /// Short enough for a test bench, long enough that nobody leaves it empty by mistake.
        const PASSWORD_CHARS_MIN: usize = 8;
        let password = match &self.desk.password_file {
            Some(file) => std::fs::read_to_string(file)
                .map_err(|error| missing("desk.password_file", &format!("{}: {error}", file.display())))?
                .trim_end_matches(['\r', '\n'])
                .to_owned(),
            None => self.desk.password.clone(),
        };
        if password.chars().count() < PASSWORD_CHARS_MIN {
            return Err(missing("desk.password", "agents sign in with it: give one of at least 8 characters"));
        }
        Ok(password)
    }
}

fn missing(key: &'static str, problem: &str) -> ConfigError {
    ConfigError::Value { key, problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_read_and_shows_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bridge.toml");
        std::fs::write(&file, EXAMPLE).unwrap();
        let config = Config::read(&file).unwrap();
        assert_eq!(config.homeserver.name, "example.org");
        assert_eq!(config.appservice.registration, folder.path().join("vestibule-bridge.yaml"));
        assert_eq!(config.appservice_url(), "http://127.0.0.1:8009");
        assert_eq!(config.retention.lifetime, Retention::default().lifetime);
        assert_eq!(config.attachments.size_max, Attachments::default().size_max);
        assert!(config.desk_password().is_err(), "the example has no password that works");
    }

    #[test]
    fn an_unknown_key_is_named_and_a_password_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bridge.toml");
        std::fs::write(&file, "[homeserver]\nname = \"x\"\nurll = \"y\"\n").unwrap();
        assert!(Config::read(&file).unwrap_err().to_string().contains("urll"));
        std::fs::write(&file, "[homeserver]\nname = \"x\"\n[desk]\npassword = \"hush-hush-hush\"\n").unwrap();
        let config = Config::read(&file).unwrap();
        assert!(!format!("{config:?}").contains("hush"));
        assert_eq!(config.desk_password().unwrap(), "hush-hush-hush");
    }
}
