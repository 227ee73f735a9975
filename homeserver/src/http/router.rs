//! From a path to a handler. All that does not depend on the types of one call happens in [`dispatch`], once.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts as _, RawPathParams, Request, State};
use axum::response::Response;
use axum::routing::any;
use engine::Requester;
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use journal::Journal as _;
use ruma::api::path_builder::PathBuilder as _;
use ruma::api::{IncomingRequest, OutgoingResponseExt as _};

use crate::app::App;
use crate::http::error::ApiError;
use crate::http::limits::{BODY_BYTES_MAX, check_depth, check_text};
use crate::http::linger::lingering;
use crate::http::requester::{
    Access, Answer, Incoming, RawRequest, Ruma, Scheme, StreamRequest, authenticate, platform_key,
};
use crate::http::tls::STRICT_TRANSPORT_SECURITY;
use crate::http::{cors, panics};

type Buffered = Box<dyn Fn(App, RawRequest) -> BoxFuture<'static, Answer> + Send + Sync>;
type Streamed = Box<dyn Fn(App, StreamRequest) -> BoxFuture<'static, Answer> + Send + Sync>;

enum Handler {
    Buffered(Buffered),
    Streamed(Streamed),
}

struct Endpoint {
    method: Method,
    path: String,
    access: Access,
    body_bytes_max: usize,
    /// Whether users whose account is locked may call it.
    even_locked: bool,
    handler: Arc<Handler>,
}

/// The calls of the server, family by family.
#[derive(Default)]
pub struct Routes {
    endpoints: Vec<Endpoint>,
    /// From here on are the endpoints of the call added last.
    last: usize,
}

impl Routes {
    /// A call of ruma's, at all its paths (`r0`, `v3`, unstable …), with the method and authentication that ruma knows.
    #[must_use]
    pub fn ruma<T, F, Fut>(self, handler: F) -> Self
    where
        T: IncomingRequest + Send + 'static,
        T::Authentication: Scheme,
        T::OutgoingResponse: Send,
        F: Fn(App, Ruma<T>) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Result<T::OutgoingResponse, ApiError>> + Send + 'static,
    {
        self.parsed(move |app, request| async move { write::<T>(handler(app, request).await?) })
    }

    /// A call of ruma's whose answer ruma's type does not write as the specification has it.
    #[must_use]
    pub fn parsed<T, F, Fut>(mut self, handler: F) -> Self
    where
        T: IncomingRequest + Send + 'static,
        T::Authentication: Scheme,
        F: Fn(App, Ruma<T>) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        self.last = self.endpoints.len();
        let handler = Arc::new(Handler::Buffered(erase(handler)));
        for path in T::PATH_BUILDER.all_paths() {
            self.push(T::METHOD, path, T::Authentication::ACCESS, &handler);
        }
        self
    }

    /// A call that ruma has no type for.
    #[must_use]
    pub fn raw<F, Fut>(mut self, method: Method, path: &str, access: Access, handler: F) -> Self
    where
        F: Fn(App, RawRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        self.last = self.endpoints.len();
        let handler = Arc::new(Handler::Buffered(Box::new(move |app, request| Box::pin(handler(app, request)))));
        self.push(method, path, access, &handler);
        self
    }

    /// A call whose body is read by its handler, as it arrives.
    #[must_use]
    pub fn stream<F, Fut>(mut self, method: Method, path: &str, access: Access, handler: F) -> Self
    where
        F: Fn(App, StreamRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        self.last = self.endpoints.len();
        let handler = Arc::new(Handler::Streamed(Box::new(move |app, request| Box::pin(handler(app, request)))));
        self.push(method, path, access, &handler);
        self
    }

    /// Lets the body of the call added last have `bytes` instead of [`BODY_BYTES_MAX`].
    #[must_use]
    pub fn body_max(mut self, bytes: usize) -> Self {
        for endpoint in &mut self.endpoints[self.last..] {
            endpoint.body_bytes_max = bytes;
        }
        self
    }

    /// Lets users call the call added last whose account is locked.
    #[must_use]
    pub fn even_locked(mut self) -> Self {
        for endpoint in &mut self.endpoints[self.last..] {
            endpoint.even_locked = true;
        }
        self
    }

    fn push(&mut self, method: Method, path: &str, access: Access, handler: &Arc<Handler>) {
        // Two of ruma's calls may share a path of an older version: the one added first keeps it.
        if !self.endpoints.iter().any(|known| known.method == method && known.path == path) {
            let handler = Arc::clone(handler);
            self.endpoints.push(Endpoint {
                method,
                path: path.to_owned(),
                access,
                body_bytes_max: BODY_BYTES_MAX,
                even_locked: false,
                handler,
            });
        }
    }

    /// Methods and paths, for documents and tests.
    pub fn paths(&self) -> impl Iterator<Item = (&Method, &str)> {
        self.endpoints.iter().map(|endpoint| (&endpoint.method, endpoint.path.as_str()))
    }

    /// The whole server as one service.
    pub fn into_router(self, app: &App) -> axum::Router {
        let mut paths: BTreeMap<String, Vec<Endpoint>> = BTreeMap::new();
        for endpoint in self.endpoints {
            paths.entry(endpoint.path.clone()).or_default().push(endpoint);
        }
        let mut router = axum::Router::new();
        for (path, endpoints) in paths {
            let place = Place { app: app.clone(), path: path.clone().into(), endpoints: endpoints.into() };
            router = router.route(&path, any(dispatch).with_state(place));
        }
        let nowhere = Place { app: app.clone(), path: "(none)".into(), endpoints: Arc::from([]) };
        router.fallback_service(any(dispatch).with_state(nowhere)).layer(panics::layer()).layer(cors::layer())
    }
}

/// With [`write`], the only part of a call that is compiled for each of ruma's types.
fn erase<T, F, Fut>(handler: F) -> Buffered
where
    T: IncomingRequest + Send + 'static,
    F: Fn(App, Ruma<T>) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    Box::new(move |app, request| match Ruma::<T>::parse(request) {
        Err(error) => Box::pin(std::future::ready(Err(error))),
        Ok(request) => Box::pin(handler(app, request)),
    })
}

fn write<T: IncomingRequest>(response: T::OutgoingResponse) -> Answer {
    response.try_into_http_response::<Vec<u8>>().map(|response| response.map(Body::from)).map_err(ApiError::internal)
}

/// A path and what is there.
#[derive(Clone)]
struct Place {
    app: App,
    path: Arc<str>,
    endpoints: Arc<[Endpoint]>,
}

/// From where a connection comes; put into each of its requests.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// Every request goes through here.
async fn dispatch(State(place): State<Place>, request: Request) -> Response {
    let stopwatch = place.app.clock.stopwatch();
    let method = request.method().clone();
    let problems = request.uri().path().starts_with("/_vestibule/v1/");
    let result = place.answer(request).await;
    let status = result.as_ref().map_or_else(ApiError::status, Response::status);
    let duration_ms = u64::try_from(stopwatch.elapsed().as_millis()).unwrap_or(u64::MAX);
    // The path's template, never the path: it holds ids. No query: it may hold a token.
    let (path, status) = (&*place.path, status.as_u16());
    match &result {
        Err(error) if error.cause().is_some() => {
            tracing::error!(%method, path, status, duration_ms, cause = error.cause(), "request failed");
        }
        _ => tracing::debug!(%method, path, status, duration_ms, "request"),
    }
    let mut response = match result {
        Ok(mut response) => {
            response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
            response
        }
        Err(error) if problems => error.into_problem(),
        Err(error) => error.absolute(&place.app.base_url()).into_response(),
    };
    if place.app.config.tls.is_on() {
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT_SECURITY);
    }
    response
}

impl Place {
    async fn answer(&self, request: Request) -> Answer {
        let (mut parts, body) = request.into_parts();
        let body = lingering(&parts.headers, body, &self.app.tasks);
        if self.endpoints.is_empty() {
            return Err(ApiError::unrecognized_path());
        }
        let asked = if parts.method == Method::HEAD { &Method::GET } else { &parts.method };
        let endpoint = self.endpoints.iter().find(|endpoint| endpoint.method == asked);
        let endpoint = endpoint.ok_or_else(ApiError::unrecognized_method)?;
        let app = self.app.clone();
        let address = client_address(&app, &parts);

        let known = *app.journal.watch().borrow();
        let (requester, platform_key) = match endpoint.authenticate(&app, &parts).await {
            Ok(authenticated) => authenticated,
            // Guessing tokens costs as much as guessing passwords.
            Err(error) => return app.count(None, address).and(Err(error)),
        };
        // The platform's back end speaks for everybody. What anybody may read (versions, the widget's files) costs next to
        // nothing, and many people may share an address.
        let open_read = requester.is_none() && endpoint.method == Method::GET;
        if platform_key.is_none() && !open_read {
            app.count(requester.as_ref(), address)?;
        }

        let params = RawPathParams::from_request_parts(&mut parts, &())
            .await
            .map_err(|_| ApiError::new(StatusCode::BAD_REQUEST, "M_INVALID_PARAM", "the address is not valid UTF-8"))?;
        let params = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        match &*endpoint.handler {
            Handler::Streamed(handler) => {
                handler(app, Incoming { parts, params, body, requester, platform_key, address }).await
            }
            Handler::Buffered(handler) => {
                let body = app.bodies.collect(&parts.headers, body, endpoint.body_bytes_max).await?;
                check_text(&body)?;
                check_depth(&body)?;
                // Whose account or device has gone while the body came leaves nothing behind any more.
                if *app.journal.watch().borrow() != known {
                    endpoint.authenticate(&app, &parts).await?;
                }
                handler(app, Incoming { parts, params, body, requester, platform_key, address }).await
            }
        }
    }
}

impl Endpoint {
    /// Who asks, or with which key of the platform API.
    async fn authenticate(&self, app: &App, parts: &Parts) -> Result<(Option<Requester>, Option<String>), ApiError> {
        match self.access {
            Access::Platform(scope) => platform_key(app, parts, scope).map(|key| (None, Some(key))),
            access => authenticate(app, parts, access, self.even_locked).await.map(|requester| (requester, None)),
        }
    }
}

/// The client's address: the connection's, or behind a proxy the one that the proxy saw.
fn client_address(app: &App, parts: &http::request::Parts) -> IpAddr {
    let peer = parts.extensions.get::<Peer>().map_or(IpAddr::from([127, 0, 0, 1]), |peer| peer.0);
    if !app.config.server.behind_proxy {
        return peer;
    }
    let forwarded = parts.headers.get_all("x-forwarded-for").iter().next_back();
    forwarded.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()).unwrap_or(peer)
}
