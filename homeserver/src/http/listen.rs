//! Sockets: accept, serve, and end gracefully.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::either::Either;
use tower::ServiceExt as _;

use crate::app::App;
use crate::http::router::Peer;
use crate::http::tls::Tls;

/// How long the headers of a request may take: an idle connection is closed after it.
const HEADER_TIME_MAX: Duration = Duration::from_secs(75);

/// Bytes of the headers of one request.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Headers of one request.
const HEADERS_MAX: usize = 100;

/// Requests at the same time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 64;

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
    http.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX).max_header_list_size(64 * 1024);
    let connector = Connector { http, tls, router, app: app.clone() };

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

async fn accept(connector: &Connector, listener: &TcpListener, graceful: &GracefulShutdown, connections: &Arc<Semaphore>) {
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
        let connection = connector.clone().connection(stream, peer, graceful.watcher());
        connector.app.tasks.spawn(async move {
            connection.await;
            drop(place);
        });
    }
}

/// What a connection needs.
#[derive(Clone)]
struct Connector {
    app: App,
    http: auto::Builder<TokioExecutor>,
    tls: Option<Tls>,
    router: axum::Router,
}

impl Connector {
    async fn connection(self, stream: TcpStream, peer: SocketAddr, watcher: Watcher) {
        // Answers are small and awaited: don't wait for more to fill a packet.
        let _: Result<(), _> = stream.set_nodelay(true);
        let stream = match self.tls {
            None => Either::Left(stream),
            Some(tls) => {
                let accepted = tokio::select! {
                    accepted = tls.accept(stream) => accepted,
                    () = self.app.tasks.ended() => return,
                };
                let Some(stream) = accepted else { return };
                Either::Right(stream)
            }
        };
        let router = self.router;
        let service = hyper::service::service_fn(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer.ip()));
            router.clone().oneshot(request.map(axum::body::Body::new))
        });
        let connection = self.http.serve_connection(TokioIo::new(stream), service).into_owned();
        // A connection that breaks is the client's affair.
        let _: Result<(), _> = watcher.watch(connection).await;
    }
}
