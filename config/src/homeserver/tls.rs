//! `[tls]` and `[tls.acme]`: where the server's certificate comes from.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::source::ConfigError;

/// Let's Encrypt's directory, whose certificates browsers trust.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// The longest name that DNS has, and the longest part of one
/// ([RFC 1035](https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4)).
const NAME_LENGTH_MAX: usize = 253;
const LABEL_LENGTH_MAX: usize = 63;

/// `[tls]`: speaking TLS without a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The certificate and those that vouch for it, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Getting a certificate instead of being given one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme: Option<Acme>,
}

/// `[tls.acme]`: a certificate from an authority that speaks ACME ([RFC 8555](https://www.rfc-editor.org/rfc/rfc8555)), which
/// sees by a TLS handshake on port 443 that the names lead here ([RFC 8737](https://www.rfc-editor.org/rfc/rfc8737)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Acme {
    /// The address of the authority's directory.
    pub directory: String,
    /// Whether the operator agrees to the authority's terms of service.
    pub terms_of_service_agreed: bool,
    /// An e-mail address for the authority, told when the account with it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// The names in the certificate; the server's own if there are none.
    pub domains: Vec<String>,
    /// The folder for the account's key and the certificate; `acme` in the data folder unless it is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// PEM file with the root that vouches for the directory itself, if the system does not know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
}

impl Default for Acme {
    fn default() -> Self {
        Self {
            directory: LETS_ENCRYPT.to_owned(),
            terms_of_service_agreed: false,
            contact: None,
            domains: Vec::new(),
            cache: None,
            root: None,
        }
    }
}

impl Tls {
    /// Whether the server speaks TLS itself.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.certificate.is_some() || self.acme.is_some()
    }

    /// The paths in it.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let acme = self.acme.iter_mut().flat_map(|acme| [&mut acme.cache, &mut acme.root]);
        [&mut self.certificate, &mut self.key].into_iter().chain(acme).flatten()
    }

    pub(super) fn check(&self, server_name: &str) -> Result<(), ConfigError> {
        let wrong = |key, problem: &str| Err(ConfigError::Value { key, problem: problem.to_owned() });
        if self.certificate.is_some() != self.key.is_some() {
            return wrong("tls", "name both files, certificate and key, or none");
        }
        let Some(acme) = &self.acme else { return Ok(()) };
        if self.certificate.is_some() {
            return wrong(
                "tls",
                "a certificate comes from files (tls.certificate and tls.key) or by [tls.acme], not both: remove one of them",
            );
        }
        if !acme.directory.starts_with("https://") {
            return wrong("tls.acme.directory", "must start with https://");
        }
        if !acme.terms_of_service_agreed {
            let problem = format!(
                "read the terms of service of the authority behind {}, and set it to true if you agree to them",
                acme.directory
            );
            return Err(ConfigError::Value { key: "tls.acme.terms_of_service_agreed", problem });
        }
        if acme.contact.as_ref().is_some_and(|contact| !contact.contains('@') || contact.contains([':', ','])) {
            return wrong("tls.acme.contact", "write one e-mail address, such as \"admin@example.org\"");
        }
        if acme.domains(server_name).is_empty() {
            return wrong(
                "tls.acme.domains",
                "server.name is no name that a certificate can be had for: name the domains here",
            );
        }
        if let Some(domain) = acme.domains.iter().find(|domain| !is_domain(domain)) {
            let problem = format!(
                "\"{domain}\" is not a host name such as \"chat.example.org\" (for addresses and names with * there is none by TLS-ALPN-01)"
            );
            return Err(ConfigError::Value { key: "tls.acme.domains", problem });
        }
        Ok(())
    }
}

impl Acme {
    /// The names in the certificate, in small letters, each once: those configured, else the host in the server's name; none if
    /// that is an address or means every machine itself.
    #[must_use]
    pub fn domains(&self, server_name: &str) -> Vec<String> {
        let host = server_name.rsplit_once(':').map_or(server_name, |(host, _)| host);
        let own = (is_domain(host) && host.contains('.')).then(|| host.to_owned());
        let named = if self.domains.is_empty() { own.as_slice() } else { self.domains.as_slice() };
        let mut domains: Vec<String> = named.iter().map(|domain| domain.to_ascii_lowercase()).collect();
        domains.sort_unstable();
        domains.dedup();
        domains
    }
}

/// Whether it is a host name, no address ([RFC 1123](https://www.rfc-editor.org/rfc/rfc1123#section-2.1)).
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LABEL_LENGTH_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= NAME_LENGTH_MAX && text.split('.').all(is_label) && text.parse::<IpAddr>().is_err()
}
