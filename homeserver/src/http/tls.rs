//! TLS in the server itself: 1.2 and 1.3 with rustls' modern ciphers, HTTP/1.1 and HTTP/2 by ALPN, and a certificate that is
//! read again when its files change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::app::App;

/// `Strict-Transport-Security` of a server that speaks TLS itself: for a year, this host only
/// ([RFC 6797](https://www.rfc-editor.org/rfc/rfc6797#section-6.1)).
pub const STRICT_TRANSPORT_SECURITY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How long a handshake may take.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// Why TLS cannot be had. Each is a sentence for the operator.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read, or is no PEM.
    #[error("{path} cannot be used: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The files don't fit together.
    #[error("tls.certificate and tls.key cannot be used: {0}")]
    Pair(#[from] rustls::Error),
}

/// The certificate in use, and where it comes from.
#[derive(Debug)]
struct Certificate {
    files: [PathBuf; 2],
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    fn read(files: [PathBuf; 2]) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let current = RwLock::new(certified_key(&files, &provider)?);
        Ok(Self { files, provider, current })
    }

    fn read_again(&self) -> Result<(), TlsError> {
        let fresh = certified_key(&self.files, &self.provider)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// When each file was last written; what cannot be asked counts as never.
    fn written(&self) -> [Option<SystemTime>; 2] {
        self.files.each_ref().map(|path| std::fs::metadata(path).and_then(|file| file.modified()).ok())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn certified_key([chain, key]: &[PathBuf; 2], provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(chain, &error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
    Ok(Arc::new(CertifiedKey::from_der(certificates, key, provider)?))
}

fn unusable(path: &Path, error: &impl ToString) -> TlsError {
    TlsError::File { path: path.to_owned(), problem: error.to_string() }
}

/// Takes TLS connections.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    certificate: Arc<Certificate>,
}

impl Tls {
    /// With the configured certificate; `None` when there is none.
    ///
    /// # Errors
    /// [`TlsError`] for files that are missing, are no PEM, or don't belong together.
    pub fn open(config: &config::Tls) -> Result<Option<Self>, TlsError> {
        let (Some(chain), Some(key)) = (&config.certificate, &config.key) else { return Ok(None) };
        let certificate = Arc::new(Certificate::read([chain.clone(), key.clone()])?);
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&certificate.provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificate) as Arc<dyn ResolvesServerCert>);
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Some(Self { acceptor: TlsAcceptor::from(Arc::new(server)), certificate }))
    }

    /// The handshake; `None` for a client that fails at it or takes too long, which is the client's affair.
    pub(super) async fn accept(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        tokio::time::timeout(HANDSHAKE_TIME_MAX, self.acceptor.accept(stream)).await.ok()?.ok()
    }

    /// Reads the files again now. New connections get the new certificate.
    ///
    /// # Errors
    /// [`TlsError`]; the certificate in use stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.certificate.read_again()
    }

    /// Reads the files again whenever they change, until the server ends.
    pub async fn follow(self, app: App) {
        let mut known = self.certificate.written();
        loop {
            tokio::select! {
                () = app.tasks.ended() => return,
                () = tokio::time::sleep_until(app.clock.deadline(LOOK_EVERY)) => {}
            }
            let written = self.certificate.written();
            if written == known {
                continue;
            }
            match self.reload() {
                Ok(()) => {
                    known = written;
                    tracing::info!("the TLS certificate was renewed");
                }
                // Perhaps only one of the two is written yet.
                Err(error) => tracing::warn!(%error, "the new TLS certificate is not used; trying again"),
            }
        }
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}
