//! The binary as an operator meets it: its start, and commands beside it.

use crate::support::binary::Site;

#[tokio::test]
async fn a_server_that_calls_nobody_needs_no_certificates_of_the_system() {
    let site = Site::new();
    let mut command = site.command();
    command.env("SSL_CERT_FILE", "missing.pem").env("SSL_CERT_DIR", "");
    site.start(command).await;
}
