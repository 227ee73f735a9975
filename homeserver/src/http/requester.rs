//! Who asks, and what: requests as handlers see them.

use std::net::IpAddr;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use engine::account::{Credentials, Secret};
use engine::tables::Scope;
use engine::{Reject, Requester, platform};
use http::{Method, StatusCode, header, request::Parts};
use ruma::api::auth_scheme::{
    AccessToken, AccessTokenOptional, AppserviceToken, AppserviceTokenOptional, NoAccessToken, NoAuthentication,
};
use ruma::api::{IncomingRequest, IncomingRequestExt as _};
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::http::error::ApiError;

/// Which access token a call takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// None; one that is sent is not looked at.
    None,
    /// One may be sent, and must then be valid.
    Optional,
    /// A user's, or an application service's.
    Required,
    /// An application service's only.
    Appservice,
    /// An application service's may be sent (to register, to log in); any other one is not looked at.
    AppserviceOptional,
    /// A key of the platform API (`vestibule keys create`) that is for this. There is no requester then.
    Platform(Scope),
}

/// What ruma's authentication schemes come to.
pub trait Scheme {
    /// The access.
    const ACCESS: Access;
}

macro_rules! schemes {
    ($($scheme:ty => $access:ident),* $(,)?) => {
        $(impl Scheme for $scheme { const ACCESS: Access = Access::$access; })*
    };
}
schemes! {
    NoAuthentication => None,
    NoAccessToken => None,
    AccessToken => Required,
    AccessTokenOptional => Optional,
    AppserviceToken => Appservice,
    AppserviceTokenOptional => AppserviceOptional,
}

/// A request with a body of type `B`, after authentication.
#[derive(Debug)]
pub struct Incoming<B> {
    /// Method, address, headers.
    pub parts: Parts,
    /// Path parameters in the order of the path, percent-decoded.
    pub params: Vec<(String, String)>,
    /// The body.
    pub body: B,
    /// Who asks.
    pub requester: Option<Requester>,
    /// The id of the platform API's key that came with the request, for calls that take one.
    pub platform_key: Option<String>,
    /// From where.
    pub address: IpAddr,
}

/// A request whose body is in memory.
pub type RawRequest = Incoming<Bytes>;

/// A request whose body is still arriving.
pub type StreamRequest = Incoming<Body>;

impl StreamRequest {
    /// Asks once more who asks: the account or the device may have gone while the body came.
    ///
    /// # Errors
    /// 401, as before a call is handled.
    pub async fn authenticate_again(app: &App, parts: &Parts) -> Result<(), ApiError> {
        authenticate(app, parts, Access::Required, false).await.map(drop)
    }
}

impl<B> Incoming<B> {
    /// Who asks.
    ///
    /// # Errors
    /// 401 `M_MISSING_TOKEN` when the call was made without an access token.
    pub fn requester(&self) -> Result<&Requester, ApiError> {
        self.requester.as_ref().ok_or_else(ApiError::missing_token)
    }

    /// The path parameter `name`; empty if the path has none of this name.
    #[must_use]
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(param, _)| param == name).map_or("", |(_, value)| value)
    }

    /// The query as `Q`.
    ///
    /// # Errors
    /// 400 `M_INVALID_PARAM`.
    pub fn query<Q: DeserializeOwned>(&self) -> Result<Q, ApiError> {
        serde_html_form::from_str(self.parts.uri.query().unwrap_or_default()).map_err(|_| {
            ApiError::new(
                StatusCode::BAD_REQUEST,
                "M_INVALID_PARAM",
                "a parameter in the address is missing or not of its form",
            )
        })
    }
}

impl RawRequest {
    /// The body as JSON of the form `V`; an empty body counts as `{}`.
    ///
    /// # Errors
    /// 400 `M_NOT_JSON` or `M_BAD_JSON`.
    pub fn json<V: DeserializeOwned>(&self) -> Result<V, ApiError> {
        let body = if self.body.is_empty() { b"{}".as_slice() } else { &self.body };
        serde_json::from_slice(body).map_err(|error| ruma::api::error::FromHttpRequestError::from(error).into())
    }
}

/// A request as ruma's type for it, after authentication.
#[derive(Debug)]
pub struct Ruma<T> {
    /// The request.
    pub body: T,
    /// The body as it came, for what ruma's type has no field for.
    pub bytes: Bytes,
    /// Who asks.
    pub requester: Option<Requester>,
    /// From where.
    pub address: IpAddr,
}

impl<T> Ruma<T> {
    /// Who asks.
    ///
    /// # Errors
    /// 401 `M_MISSING_TOKEN` when the call was made without an access token.
    pub fn requester(&self) -> Result<&Requester, ApiError> {
        self.requester.as_ref().ok_or_else(ApiError::missing_token)
    }
}

impl<T: IncomingRequest> Ruma<T> {
    /// Parses.
    ///
    /// # Errors
    /// 400 that says what is not of its form.
    pub(crate) fn parse(request: RawRequest) -> Result<Self, ApiError> {
        let Incoming { mut parts, params, body: bytes, requester, address, .. } = request;
        if parts.method == Method::HEAD {
            parts.method = Method::GET;
        }
        let args: Vec<&str> = params.iter().map(|(_, value)| value.as_str()).collect();
        // A call whose fields may all be left out may come without a body: clients join rooms like that.
        let body: &[u8] = if bytes.is_empty() && parts.method != Method::GET { b"{}" } else { &bytes };
        let body = T::try_from_http_request(http::Request::from_parts(parts, body), &args)?;
        Ok(Self { body, bytes, requester, address })
    }
}

/// What a handler answers.
pub type Answer = Result<Response, ApiError>;

/// The access token of a request: in the `Authorization` header, or in the query (until the version after v1.19, MSC4127).
#[must_use]
pub fn access_token(parts: &Parts) -> Option<String> {
    if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned());
    }
    query_param(parts, "access_token")
}

fn query_param(parts: &Parts, name: &str) -> Option<String> {
    let query = parts.uri.query()?;
    let params: Vec<(String, String)> = serde_html_form::from_str(query).ok()?;
    params.into_iter().find_map(|(param, value)| (param == name).then_some(value))
}

/// The id of the platform API's key that came with a request, if it is for `scope`.
pub(super) fn platform_key(app: &App, parts: &Parts, scope: Scope) -> Result<String, ApiError> {
    let key = access_token(parts).filter(|token| !token.is_empty()).ok_or_else(ApiError::missing_token)?;
    let found = app.read(|cx| platform::check_platform_key(cx, &Secret::new(key), scope));
    found.map(|row| row.id).map_err(|error| {
        if error.errcode() != "M_UNKNOWN_TOKEN" {
            return error;
        }
        let message = "this is no key of the platform API (any more): `vestibule keys create` makes one";
        ApiError::new(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN", message)
    })
}

/// Who asks, as the access token says; an application service may speak for a user and a device in its namespace
/// ([spec v1.19, Application Service API § Identity assertion](https://spec.matrix.org/v1.19/application-service-api/#identity-assertion), MSC3202).
///
/// Whose account is locked may call nothing but what is for `even_locked`.
pub(super) async fn authenticate(
    app: &App,
    parts: &Parts,
    access: Access,
    even_locked: bool,
) -> Result<Option<Requester>, ApiError> {
    if access == Access::None {
        return Ok(None);
    }
    let Some(token) = access_token(parts).filter(|token| !token.is_empty()) else {
        let optional = matches!(access, Access::Optional | Access::AppserviceOptional);
        return if optional { Ok(None) } else { Err(ApiError::missing_token()) };
    };
    let user_id = query_param(parts, "user_id");
    let device_id = query_param(parts, "device_id").or_else(|| query_param(parts, "org.matrix.msc3202.device_id"));
    let credentials = Credentials { token: &token, user_id: user_id.as_deref(), device_id: device_id.as_deref() };
    let (requester, locked) = match app.authenticate(&credentials).await {
        Err(error) if access == Access::AppserviceOptional && error.errcode() == "M_UNKNOWN_TOKEN" => return Ok(None),
        authenticated => authenticated?,
    };
    if access == Access::Appservice && requester.appservice.is_none() {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "M_FORBIDDEN", "only an application service may call this"));
    }
    if access == Access::AppserviceOptional && requester.appservice.is_none() {
        return Ok(None);
    }
    if locked && !even_locked {
        return Err(Reject::UserLocked.into());
    }
    Ok(Some(requester))
}
