//! TLS in the server itself. The certificates are self-signed, for `localhost`, and know no end.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::Server;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api/certificates").join(name)
}

fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file(&format!("{name}.pem"))).expect("a certificate")
}

fn put(server_files: &Path, name: &str) {
    for ending in ["pem", "key"] {
        std::fs::copy(file(&format!("{name}.{ending}")), server_files.join(format!("tls.{ending}"))).expect("copies");
    }
}

/// A connection of a client that trusts both certificates.
async fn connect(server: &Server, protocols: &[&str]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    for name in ["first", "second"] {
        roots.add(certificate(name)).expect("a root");
    }
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(server.address).await.expect("connects");
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("the handshake")
}

/// The certificate that new connections see.
async fn shown(server: &Server) -> CertificateDer<'static> {
    let stream = connect(server, &[]).await;
    stream.get_ref().1.peer_certificates().expect("certificates")[0].clone()
}

async fn start(files: &Path) -> Server {
    put(files, "first");
    let (chain, key) = (files.join("tls.pem"), files.join("tls.key"));
    Server::start_with(|config| config.tls = config::Tls { certificate: Some(chain), key: Some(key), acme: None }).await
}

#[tokio::test]
async fn answers_over_tls_and_tells_browsers_to_stay_there() {
    let files = tempfile::tempdir().expect("a folder");
    let server = start(files.path()).await;
    let mut stream = connect(&server, &["http/1.1"]).await;
    let request = b"GET /_matrix/client/versions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("reads");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age=31536000\r\n"), "{answer}");

    let stream = connect(&server, &["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let root = reqwest::Certificate::from_der(&certificate("first")).expect("a certificate");
    let client =
        reqwest::Client::builder().tls_certs_only([root]).resolve("localhost", server.address).build().expect("a client");
    let url = format!("https://localhost:{}/_matrix/client/versions", server.address.port());
    let answer = client.get(url).send().await.expect("an answer");
    assert_eq!((answer.version(), answer.status().as_u16()), (reqwest::Version::HTTP_2, 200));
}

#[tokio::test]
async fn does_not_answer_plain_http_there() {
    let files = tempfile::tempdir().expect("a folder");
    let server = start(files.path()).await;
    let mut stream = TcpStream::connect(server.address).await.expect("connects");
    stream.write_all(b"GET /_matrix/client/versions HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("writes");
    let mut answer = Vec::new();
    // What comes, if anything, is a TLS alert.
    let _: Result<usize, _> = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/"));
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_connections_and_a_wrong_one_is_not() {
    let files = tempfile::tempdir().expect("a folder");
    let server = start(files.path()).await;
    let tls = server.tls.clone().expect("it speaks TLS");
    assert_eq!(shown(&server).await, certificate("first"));

    std::fs::copy(file("second.pem"), files.path().join("tls.pem")).expect("copies");
    let error = tls.reload().expect_err("the key is still the first one's");
    assert!(error.to_string().starts_with("tls.certificate and tls.key cannot be used: "), "{error}");
    assert_eq!(shown(&server).await, certificate("first"));

    put(files.path(), "second");
    tls.reload().expect("a pair");
    assert_eq!(shown(&server).await, certificate("second"));
}
