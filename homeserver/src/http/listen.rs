//! Sockets: accept, serve, and end gracefully.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tower::ServiceExt as _;

use crate::app::App;
use crate::http::router::Peer;
use crate::http::tls::Tls;

/// How long the first request of a connection may take, and the headers of each. An HTTP/1.1 connection that is idle is closed after it;
/// one of HTTP/2 is asked whether its client is still there.
const HEADER_TIME_MAX: Duration = Duration::from_secs(75);

/// Bytes of the headers of one request.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Headers of one request.
const HEADERS_MAX: usize = 100;

/// Requests at the same time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 64;

/// What a connection begins with whose client knows that this server speaks HTTP/2 (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long running requests may take when the server ends.
const END_TIME_MAX: Duration = Duration::from_secs(10);

/// How long to wait after a failed accept (no file descriptors left): at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens on `address`.
///
/// # Errors
/// A sentence that names the address.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, std::io::Error> {
    TcpListener::bind(address).await.map_err(|error| {
        let what = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "another program listens there; stop it or set server.listen to another port".to_owned()
            }
            _ => error.to_string(),
        };
        std::io::Error::new(error.kind(), format!("cannot listen on {address}: {what}"))
    })
}

/// Serves all `listeners`, over TLS if there is a certificate, until the app ends; then lets running requests finish.
pub async fn serve(app: &App, listeners: Vec<TcpListener>, tls: Option<Tls>, router: axum::Router) {
    let connections = Arc::new(Semaphore::new(app.config.limits.connections));
    let graceful = GracefulShutdown::new();
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    let mut http1 = http1::Builder::new();
    http1
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEADER_TIME_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(64 * 1024);
    let connector = Arc::new(Connector { http, http1, tls, router, app: app.clone() });

    let accept_all = listeners.iter().map(|listener| accept(&connector, listener, &graceful, &connections));
    tokio::select! {
        _ = futures_util::future::join_all(accept_all) => {}
        () = app.tasks.ended() => {}
    }
    drop(listeners);
    if tokio::time::timeout(END_TIME_MAX, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in {} s and are cut off", END_TIME_MAX.as_secs());
    }
}

async fn accept(
    connector: &Arc<Connector>,
    listener: &TcpListener,
    graceful: &GracefulShutdown,
    connections: &Arc<Semaphore>,
) {
    loop {
        // A place first, then a connection: what is too much waits in the system's queue.
        let Ok(place) = Arc::clone(connections).acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = Arc::clone(connector).connection(stream, peer, graceful.watcher());
        connector.app.tasks.spawn(async move {
            connection.await;
            drop(place);
        });
    }
}

/// What connections need.
struct Connector {
    app: App,
    /// For either protocol, told apart by what it reads.
    http: auto::Builder<TokioExecutor>,
    /// For HTTP/1.1 only. The other one reads a connection's first bytes by themselves, after which there is no room for a whole read in
    /// the library's buffer: it becomes twice as large, 16 KiB for as long as the connection lives. And its connection has the
    /// size of the larger protocol's.
    http1: http1::Builder,
    tls: Option<Tls>,
    router: axum::Router,
}

impl Connector {
    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, watcher: Watcher) {
        // Answers are small and awaited: don't wait for more to fill a packet.
        let _: Result<(), _> = stream.set_nodelay(true);
        let begun = tokio::select! {
            begun = Box::pin(self.begin(stream)) => begun,
            () = self.app.tasks.ended() => return,
        };
        let Some((stream, is_http1)) = begun else { return };
        let router = self.router.clone();
        let asked = Arc::new(AtomicBool::new(false));
        let asks = Arc::clone(&asked);
        let service = hyper::service::service_fn(move |mut request: http::Request<Incoming>| {
            asks.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(Peer(peer.ip()));
            router.clone().oneshot(request.map(axum::body::Body::new))
        });
        let stream = TokioIo::new(stream);
        // In a box of its own: what waits here for hours with every open page is no larger than its protocol needs.
        let mut served = if is_http1 {
            watcher.watch(self.http1.serve_connection(stream, service)).map(drop).boxed()
        } else {
            watcher.watch(self.http.serve_connection(stream, service).into_owned()).map(drop).boxed()
        };
        // The library waits for ever for the rest of an HTTP/2 preface, and for the first request after it.
        tokio::select! {
            // A connection that breaks is the client's affair.
            () = &mut served => return,
            () = tokio::time::sleep(HEADER_TIME_MAX) => {}
        }
        if asked.load(Ordering::Relaxed) {
            served.await;
        }
    }

    /// The connection, and whether it is certainly HTTP/1.1; `None` for a client that does not begin.
    async fn begin(&self, stream: TcpStream) -> Option<(Either<TcpStream, TlsStream<TcpStream>>, bool)> {
        match &self.tls {
            None => {
                let mut start = [0; HTTP2_PREFACE.len()];
                // Looked at, not taken.
                let length = tokio::time::timeout(HEADER_TIME_MAX, stream.peek(&mut start)).await.ok()?.ok()?;
                Some((Either::Left(stream), !HTTP2_PREFACE.starts_with(start.get(..length)?)))
            }
            Some(tls) => {
                let stream = tls.accept(stream).await?;
                let is_http1 = stream.get_ref().1.alpn_protocol() != Some(b"h2".as_slice());
                Some((Either::Right(stream), is_http1))
            }
        }
    }
}
