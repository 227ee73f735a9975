//! `vestibule.toml`.

mod outside;
mod platform;
mod tls;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use outside::{Calls, Contact, Previews};
pub use platform::{Audit, Jwt, Webhooks};
pub use tls::{Acme, Tls};

use crate::source::{self, ConfigError, Vars};
use crate::units::{Bytes, Hidden, Span};

/// The example: every key with its default and what it means. A test holds it to the defaults.
pub const EXAMPLE: &str = include_str!("vestibule.toml");

/// Environment variables start with this.
pub const PREFIX: &str = "VESTIBULE_";

/// The homeserver's configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[tls]`
    pub tls: Tls,
    /// `[registration]`
    pub registration: Registration,
    /// `[passwords]`
    pub passwords: Passwords,
    /// `[rooms]`
    pub rooms: Rooms,
    /// `[retention]`
    pub retention: Retention,
    /// `[media]`
    pub media: Media,
    /// `[previews]`
    pub previews: Previews,
    /// `[limits]`
    pub limits: Limits,
    /// `[appservices]`
    pub appservices: Appservices,
    /// `[push]`
    pub push: Push,
    /// `[jwt]`
    pub jwt: Jwt,
    /// `[webhooks]`
    pub webhooks: Webhooks,
    /// `[audit]`
    pub audit: Audit,
    /// `[contact]`
    pub contact: Contact,
    /// `[calls]`
    pub calls: Calls,
    /// `[log]`
    pub log: Log,
}

/// `[server]`: who it is, where it listens, where it keeps things.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// The part after the colon in every id. Cannot be changed once the data folder exists.
    pub name: String,
    /// One address with its port, or a list of them.
    pub listen: Listen,
    /// The data folder.
    pub data: PathBuf,
    /// Where clients reach the server, if not at its address; told by `/.well-known/matrix/client`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// The file with the root key. Not in the data folder, so that a copy of one is not a copy of both.
    pub root_key: PathBuf,
    /// The file with the keys of what is stored; `keyring` in the data folder unless it is named. On another disk, messages
    /// survive the loss of the first one together with a backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keyring: Option<PathBuf>,
    /// A TLS-terminating proxy stands in front: listening on other addresses than loopback is allowed, and the last address
    /// in `X-Forwarded-For` is the client's.
    pub behind_proxy: bool,
}

/// One address or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Listen {
    /// One.
    One(SocketAddr),
    /// Several.
    Several(Vec<SocketAddr>),
}

impl Listen {
    /// All of them.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        match self {
            Self::One(address) => std::slice::from_ref(address),
            Self::Several(addresses) => addresses,
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            name: "localhost".to_owned(),
            listen: Listen::One(SocketAddr::from(([127, 0, 0, 1], 8008))),
            data: PathBuf::from("./data"),
            public_url: None,
            root_key: PathBuf::from("./root.key"),
            keyring: None,
            behind_proxy: false,
        }
    }
}

/// `[registration]`: who may make an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// Whether anybody may.
    pub open: bool,
    /// Whoever knows it may, with a call of Synapse's, and make administrators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared_secret: Option<Hidden>,
}

/// `[passwords]`: how dear it is to guess one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passwords {
    /// Memory for hashing one, in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub passes: u32,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { memory_kib: 19_456, passes: 2 }
    }
}

/// `[rooms]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rooms {
    /// The version of rooms made without asking for one: 10, 11 or 12.
    pub default_version: String,
}

impl Default for Rooms {
    fn default() -> Self {
        Self { default_version: "11".to_owned() }
    }
}

/// `[retention]`: how long content lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// L: from a message's arrival until nobody can read it. If made longer, it counts for what comes from then on.
    pub lifetime: Span,
    /// The length of an epoch, at least a second: its key is destroyed at most this much after its last message expired.
    pub slot: Span,
    /// How often keys are destroyed and files are dropped.
    pub sweep: Span,
}

impl Default for Retention {
    fn default() -> Self {
        Self { lifetime: Span::from_secs(86_400), slot: Span::from_secs(600), sweep: Span::from_secs(600) }
    }
}

/// `[media]`: files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Media {
    /// One file at most.
    pub size_max: Bytes,
    /// All files of one user in any 24 hours.
    pub upload_per_day: Bytes,
    /// The folder for sealed files; `media` in the data folder unless named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<PathBuf>,
    /// Answer the download calls that need no access token (removed from the specification in v1.11).
    pub unauthenticated_downloads: bool,
    /// `[media.s3]`: a bucket instead of the folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3>,
}

/// `[media.s3]`: a bucket for sealed files, of any service that speaks S3's protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3 {
    /// The bucket.
    pub bucket: String,
    /// The service's address, if it is not Amazon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The region; services that know none take any.
    pub region: String,
    /// What every name in the bucket begins with.
    #[serde(default)]
    pub prefix: String,
    /// The access key's id.
    pub access_key_id: String,
    /// The file with the secret access key.
    pub secret_access_key_file: PathBuf,
}

impl Default for Media {
    fn default() -> Self {
        Self {
            size_max: Bytes::new(200_000_000),
            upload_per_day: Bytes::new(1_000_000_000),
            store: None,
            unauthenticated_downloads: false,
            s3: None,
        }
    }
}

/// `[limits]`: how much one client may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Whether rates are limited at all.
    pub enabled: bool,
    /// Requests per second of one user.
    pub user_per_second: u32,
    /// How many a user may make at once after a pause.
    pub user_burst: u32,
    /// Requests per second without an access token (logging in, registering) from one address.
    pub address_per_second: u32,
    /// How many an address may make at once after a pause.
    pub address_burst: u32,
    /// Connections at the same time.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            enabled: true,
            user_per_second: 20,
            user_burst: 200,
            address_per_second: 5,
            address_burst: 60,
            connections: 4_096,
        }
    }
}

/// `[appservices]`: application services, the support bridge among them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Appservices {
    /// Registration files.
    pub registrations: Vec<PathBuf>,
}

/// `[push]`: push gateways, which users name and the server calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// Origins of gateways that may be called by plain HTTP and at private addresses: the operator's own.
    pub trusted_gateways: Vec<String>,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// What is logged, in the form of `tracing`'s filters.
    pub filter: String,
    /// How.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info,ruma_state_res=warn".to_owned(), format: LogFormat::Text }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Config {
    /// Reads `file` (the defaults if `None`) and `vars` over it; relative paths in the file are relative to its folder.
    ///
    /// # Errors
    /// [`ConfigError`], a sentence for the operator.
    pub fn load(file: Option<&Path>, vars: Vars) -> Result<Self, ConfigError> {
        let mut config: Self = source::read(file, vars.without("bridge_"))?;
        if let Some(folder) = file.and_then(Path::parent).filter(|folder| !folder.as_os_str().is_empty()) {
            let server = &mut config.server;
            for path in [&mut server.data, &mut server.root_key]
                .into_iter()
                .chain(&mut server.keyring)
                .chain(&mut config.media.store)
                .chain(config.media.s3.as_mut().map(|s3| &mut s3.secret_access_key_file))
                .chain(config.tls.paths())
                .chain(&mut config.appservices.registrations)
                .chain([&mut config.webhooks.secret])
                .chain(&mut config.jwt.key)
            {
                *path = folder.join(&path);
            }
        }
        config.check()?;
        Ok(config)
    }

    /// The file with the keys of what is stored.
    #[must_use]
    pub fn keyring(&self) -> PathBuf {
        self.server.keyring.clone().unwrap_or_else(|| self.server.data.join("keyring"))
    }

    /// The folder for sealed files.
    #[must_use]
    pub fn media_store(&self) -> PathBuf {
        self.media.store.clone().unwrap_or_else(|| self.server.data.join("media"))
    }

    /// The folder for what `[tls.acme]` has to keep.
    #[must_use]
    pub fn acme_cache(&self) -> PathBuf {
        let named = self.tls.acme.as_ref().and_then(|acme| acme.cache.clone());
        named.unwrap_or_else(|| self.server.data.join("acme"))
    }

    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key, problem: &str| Err(ConfigError::Value { key, problem: problem.to_owned() });
        if self.server.listen.addresses().is_empty() {
            return wrong("server.listen", "name at least one address, such as \"127.0.0.1:8008\"");
        }
        self.tls.check(&self.server.name)?;
        if !self.server.behind_proxy
            && !self.tls.is_on()
            && let Some(address) = self.server.listen.addresses().iter().find(|address| !address.ip().is_loopback())
        {
            let problem = format!(
                "{address} can be reached from other machines, over plain HTTP: set tls.certificate and tls.key, or [tls.acme], or put a \
                 TLS-terminating proxy in front and set server.behind_proxy = true, or listen on 127.0.0.1"
            );
            return Err(ConfigError::Value { key: "server.listen", problem });
        }
        for (key, url) in [
            ("server.public_url", &self.server.public_url),
            ("contact.support_page", &self.contact.support_page),
            ("calls.livekit_service_url", &self.calls.livekit_service_url),
        ] {
            if url.as_ref().is_some_and(|url| !(url.starts_with("https://") || url.starts_with("http://"))) {
                return wrong(key, "write it as clients do, such as \"https://chat.example.org\"");
            }
        }
        if self.server.root_key.starts_with(&self.server.data) {
            return wrong(
                "server.root_key",
                "keep it out of the data folder: whoever copies that folder must not get the key with it",
            );
        }
        if self.media.s3.is_some() && self.media.store.is_some() {
            return wrong("media", "name a folder (store) or a bucket ([media.s3]), not both");
        }
        if let Some(endpoint) = self.media.s3.as_ref().and_then(|s3| s3.endpoint.as_ref())
            && !(endpoint.starts_with("https://") || endpoint.starts_with("http://"))
        {
            return wrong("media.s3.endpoint", "write it as an address, such as \"https://objects.example.org\"");
        }
        if !matches!(self.rooms.default_version.as_str(), "10" | "11" | "12") {
            return wrong("rooms.default_version", "must be \"10\", \"11\" or \"12\"");
        }
        let retention = &self.retention;
        for (key, span) in [
            ("retention.lifetime", retention.lifetime),
            ("retention.slot", retention.slot),
            ("retention.sweep", retention.sweep),
        ] {
            if span.as_ms() < 100 {
                return wrong(key, "must be at least \"100ms\"");
            }
        }
        // Slots are counted in 32 bits, from 1970 on.
        if retention.slot.as_ms() < 1_000 {
            return wrong("retention.slot", "must be at least \"1s\"");
        }
        if retention.slot > retention.lifetime {
            return wrong("retention.slot", "cannot be longer than retention.lifetime");
        }
        let is_origin = |origin: &str| {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            host.is_some_and(|host| !host.is_empty() && !host.contains('/'))
        };
        if !self.push.trusted_gateways.iter().all(|origin| is_origin(origin)) {
            return wrong("push.trusted_gateways", "write origins, such as \"http://127.0.0.1:7000\", without a path");
        }
        if let Some(url) = &self.webhooks.url
            && !(url.starts_with("https://") || (self.webhooks.private_network && url.starts_with("http://")))
        {
            return wrong(
                "webhooks.url",
                "must start with https:// (http:// only on a private network: webhooks.private_network = true)",
            );
        }
        if self.audit.lifetime.as_ms() == 0 {
            return wrong("audit.lifetime", "must be longer than nothing");
        }
        if self.limits.connections == 0 {
            return wrong("limits.connections", "must be at least 1");
        }
        let rates = &self.limits;
        if rates.enabled
            && [rates.user_per_second, rates.user_burst, rates.address_per_second, rates.address_burst].contains(&0)
        {
            return wrong("limits", "a rate of 0 lets nobody in; set limits.enabled = false for no limits");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
