//! The way to the authority: the same HTTP client as for all other calls, as the ACME library wants it.

use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

use crate::egress;
use crate::http::tls::{TlsError, unusable};

/// How long a call may take, and the connection for it.
const CALL_TIME_MAX: Duration = Duration::from_secs(30);
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// Bytes of an answer: a chain of certificates has some thousand.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Calls the authority, by HTTPS only.
#[derive(Clone, Debug)]
pub(super) struct Client(reqwest::Client);

impl Client {
    /// `root` is the file with the root that vouches for the authority, if it is not one of the system's.
    pub(super) fn new(root: Option<&Path>) -> Result<Self, TlsError> {
        // This comes before the rest of the start, which does it too.
        let _: Result<(), _> = rustls::crypto::ring::default_provider().install_default();
        let mut builder =
            reqwest::Client::builder().https_only(true).connect_timeout(CONNECT_TIME_MAX).timeout(CALL_TIME_MAX);
        if let Some(path) = root {
            let pem = std::fs::read(path).map_err(|error| unusable(path, &error))?;
            let roots = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| unusable(path, &error))?;
            if roots.is_empty() {
                return Err(unusable(path, &"there is no certificate in it"));
            }
            builder = builder.tls_certs_only(roots);
        }
        builder.build().map(Self).map_err(TlsError::Client)
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let failed = |error: reqwest::Error| Error::Other(error.into());
            let (parts, body) = request.into_parts();
            let Ok(body) = body.collect().await;
            let request = Request::from_parts(parts, body.to_bytes()).try_into().map_err(failed)?;
            let answer = client.execute(request).await.map_err(failed)?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let body = egress::read_body(answer, ANSWER_BYTES_MAX).await.map_err(failed)?;
            let mut response = Response::new(Full::new(Bytes::from(body)));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            Ok(response.into())
        })
    }
}
