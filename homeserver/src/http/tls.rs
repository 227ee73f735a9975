//! TLS in the server itself: 1.2 and 1.3 with rustls' modern ciphers, HTTP/1.1 and HTTP/2 by ALPN, and a certificate that is
//! read again when its files change, or had and renewed by ACME.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use config::Config;
use http::HeaderValue;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{Acceptor, ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::app::App;
use crate::http::acme::Acme;

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
    /// Calls to an ACME authority cannot be made.
    #[error("tls.acme cannot be used: {0}")]
    Client(reqwest::Error),
}

/// The certificate in use, and where it comes from. `None` until there is one: handshakes then end with an alert.
#[derive(Debug)]
pub(super) struct Certificate {
    files: [PathBuf; 2],
    provider: Arc<CryptoProvider>,
    current: RwLock<Option<Arc<CertifiedKey>>>,
}

impl Certificate {
    /// In the files with the chain and the key, which [`Certificate::read_again`] reads.
    pub(super) fn new(files: [PathBuf; 2]) -> Self {
        Self { files, provider: Arc::new(ring::default_provider()), current: RwLock::new(None) }
    }

    /// Shows what is in the files to new connections from now on.
    pub(super) fn read_again(&self) -> Result<(), TlsError> {
        let fresh = certified_key(&self.files, &self.provider)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(fresh);
        Ok(())
    }

    /// What new connections are shown.
    pub(super) fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When each file was last written; what cannot be asked counts as never.
    fn written(&self) -> [Option<SystemTime>; 2] {
        self.files.each_ref().map(|path| std::fs::metadata(path).and_then(|file| file.modified()).ok())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current()
    }
}

fn certified_key([chain, key]: &[PathBuf; 2], provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(chain, &error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
    Ok(Arc::new(CertifiedKey::from_der(certificates, key, provider)?))
}

pub(super) fn unusable(path: &Path, error: &impl ToString) -> TlsError {
    TlsError::File { path: path.to_owned(), problem: error.to_string() }
}

/// How connections that offer `protocols` are taken.
pub(super) fn server_config(
    certificates: Arc<dyn ResolvesServerCert>,
    protocols: &[&[u8]],
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    server.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(server))
}

/// Takes TLS connections.
#[derive(Clone)]
pub struct Tls {
    server: Arc<ServerConfig>,
    certificate: Arc<Certificate>,
    acme: Option<Arc<Acme>>,
}

impl Tls {
    /// With the configured certificate, or one that is to be had by ACME; `None` when neither is configured.
    ///
    /// # Errors
    /// [`TlsError`] for files that are missing, are no PEM, or don't belong together.
    pub fn open(config: &Config) -> Result<Option<Self>, TlsError> {
        let (certificate, acme) = if let (Some(chain), Some(key)) = (&config.tls.certificate, &config.tls.key) {
            let certificate = Arc::new(Certificate::new([chain.clone(), key.clone()]));
            certificate.read_again()?;
            (certificate, None)
        } else if let Some(acme) = Acme::open(config)? {
            (acme.certificate(), Some(Arc::new(acme)))
        } else {
            return Ok(None);
        };
        let server = server_config(Arc::clone(&certificate) as Arc<dyn ResolvesServerCert>, &[b"h2", b"http/1.1"])?;
        Ok(Some(Self { server, certificate, acme }))
    }

    /// The handshake; `None` for a client that fails at it or takes too long, which is the client's affair, and for an authority
    /// that has seen what it wanted.
    pub(super) async fn accept(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        tokio::time::timeout(HANDSHAKE_TIME_MAX, self.shake_hands(stream)).await.ok()?
    }

    async fn shake_hands(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await.ok()?;
        let challenge = self.acme.as_ref().and_then(|acme| acme.challenged(&start.client_hello()));
        let Some(challenge) = challenge else { return start.into_stream(Arc::clone(&self.server)).await.ok() };
        // The handshake is the answer; nothing is said over the connection (RFC 8737, 3).
        let _: Result<(), _> = start.into_stream(challenge).await.ok()?.shutdown().await;
        None
    }

    /// Reads the files again now. New connections get the new certificate.
    ///
    /// # Errors
    /// [`TlsError`]; the certificate in use stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.certificate.read_again()
    }

    /// Keeps the certificate fresh until the server ends: reads the files again whenever they change, or has it renewed.
    pub async fn keep(self, app: App) {
        match &self.acme {
            Some(acme) => acme.keep(&app).await,
            None => self.follow(&app).await,
        }
    }

    async fn follow(&self, app: &App) {
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
