//! The binary as an operator meets it: its start, and commands beside it.

use crate::support::binary::{Binary, command, free_port};

#[tokio::test]
async fn a_server_that_calls_nobody_needs_no_certificates_of_the_system() {
    let _: Result<(), _> = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let mut command = command(folder.path(), port);
    command.env("SSL_CERT_FILE", folder.path().join("missing.pem")).env("SSL_CERT_DIR", "");
    Binary::start(command, port, &reqwest::Client::new()).await;
}
