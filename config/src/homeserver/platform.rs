//! What the platform and the homeserver have to know of each other.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::units::Span;

/// `[jwt]`: logging in by a token that the platform signs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    /// The file with the key; nobody logs in that way unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// What `iss` has to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// What `aud` has to be, or have among others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

/// `[webhooks]`: what the platform is told by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhooks {
    /// Where it is told; nowhere unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The file with the secret that signs what it is told. Made on the first start that needs it.
    pub secret: PathBuf,
    /// Whether the URL may lead to an address that is not on the public Internet.
    pub private_network: bool,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self { url: None, secret: PathBuf::from("./webhook.key"), private_network: false }
    }
}

/// `[audit]`: who called the platform API or signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// How long an entry is kept.
    pub lifetime: Span,
}

impl Default for Audit {
    fn default() -> Self {
        Self { lifetime: Span::from_secs(90 * 86_400) }
    }
}
