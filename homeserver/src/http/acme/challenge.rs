//! Answers to an authority that asks in a TLS handshake whether a name leads here: TLS-ALPN-01
//! ([RFC 8737](https://www.rfc-editor.org/rfc/rfc8737)).

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::http::tls::{TlsError, server_config};

/// The one protocol that such a handshake offers.
const PROTOCOL: &[u8] = b"acme-tls/1";

/// By domain, in small letters: as many as are being asked for.
#[derive(Debug, Default)]
struct Answers(RwLock<BTreeMap<String, Arc<CertifiedKey>>>);

impl ResolvesServerCert for Answers {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let domain = hello.server_name()?.to_ascii_lowercase();
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&domain).cloned()
    }
}

/// What the authority is to be answered.
#[derive(Debug)]
pub(super) struct Challenges {
    answers: Arc<Answers>,
    server: Arc<ServerConfig>,
}

impl Challenges {
    pub(super) fn new() -> Result<Self, TlsError> {
        let answers = Arc::new(Answers::default());
        let server = server_config(Arc::clone(&answers) as Arc<dyn ResolvesServerCert>, &[PROTOCOL])?;
        Ok(Self { answers, server })
    }

    /// How to answer, if the handshake asks.
    pub(super) fn asked(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        hello.alpn()?.eq([PROTOCOL]).then(|| Arc::clone(&self.server))
    }

    /// From here on, handshakes for `domain` are answered with the digest of the key authorization.
    pub(super) fn put(&self, domain: &str, digest: &[u8]) -> Result<(), String> {
        let answer = answer(domain, digest).map_err(|error| error.to_string())?;
        let mut answers = self.answers.0.write().unwrap_or_else(PoisonError::into_inner);
        answers.insert(domain.to_ascii_lowercase(), Arc::new(answer));
        Ok(())
    }

    /// Nothing is asked any more.
    pub(super) fn clear(&self) {
        self.answers.0.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A certificate that signs itself, for the domain alone, with the digest in the extension `acmeIdentifier` (RFC 8737, 3).
fn answer(domain: &str, digest: &[u8]) -> Result<CertifiedKey, Box<dyn std::error::Error>> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new([domain.to_owned()])?;
    params.custom_extensions.push(CustomExtension::new_acme_identifier(digest));
    let certificate = params.self_signed(&key)?;
    let private = PrivatePkcs8KeyDer::from(key.serialize_der());
    // Not `from_der`: it would look into the certificate, and refuse a critical extension that it does not know.
    Ok(CertifiedKey::new(
        vec![certificate.der().clone()],
        ring::default_provider().key_provider.load_private_key(private.into())?,
    ))
}
