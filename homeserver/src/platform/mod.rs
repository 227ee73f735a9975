//! The platform API, `/_vestibule/v1`: the back end of the application that Vestibule runs beside puts its organizations,
//! accounts, hosts and sessions here, and gets login tokens for their pages.
//!
//! Bearer keys from `vestibule keys create`; `PUT`s are idempotent; errors are problem details (RFC 9457). One table describes every
//! call (`calls.rs`): the router, the document and the commands at the terminal come from it.

pub mod calls;
mod newcomers;
pub mod openapi;
mod people;
pub mod schema;
mod tenants;
mod trail;
mod types;

use axum::body::Body;
use axum::response::Response;
use engine::account::Secret;
use engine::audit::Actor;
use engine::platform::PageRequest;
use http::{HeaderValue, Method, header};

use crate::app::App;
use crate::http::requester::access_token;
use crate::http::{Access, Answer, RawRequest, Routes, json_response};
use calls::{Asked, Calls};

/// Items of a page, unless more or fewer are asked for.
const PAGE: u64 = 100;

/// Every call of the platform API.
#[must_use]
pub fn all() -> Calls {
    [tenants::calls, people::calls, trail::calls].into_iter().fold(Calls::default(), |calls, family| family(calls))
}

/// The platform API's routes, its document among them.
#[must_use]
pub fn routes(mut routes: Routes) -> Routes {
    for entry in all().entries {
        let access = entry.scope.map_or(Access::None, Access::Platform);
        let path = format!("{}{}", openapi::BASE, entry.path);
        routes = routes.raw(entry.method, &path, access, move |app, request: RawRequest| {
            let handler = std::sync::Arc::clone(&entry.handler);
            async move { Ok(json_response(&handler(app, asked(request)).await?)) }
        });
    }
    routes
        .raw(Method::GET, "/_vestibule/v1/openapi.json", Access::None, document)
        .raw(Method::GET, "/_vestibule/v1/docs", Access::None, page_for_people)
        .raw(Method::GET, "/_vestibule/v1/docs.css", Access::None, style)
}

fn asked(request: RawRequest) -> Asked {
    let header = |name: &str| request.parts.headers.get(name).and_then(|value| value.to_str().ok());
    let writes = request.parts.method != Method::GET && request.parts.method != Method::HEAD;
    // The key itself, wherever it stood: it is the half of the seal that is not kept here.
    let secret = Secret::new(access_token(&request.parts).unwrap_or_default());
    let idempotency = header("idempotency-key").filter(|_| writes).map(|key| (key.to_owned(), secret));
    Asked {
        query: request.parts.uri.query().unwrap_or_default().to_owned(),
        params: request.params,
        body: request.body,
        actor: request.platform_key.map(Actor::Key),
        idempotency,
    }
}

async fn document(_: App, _: RawRequest) -> Answer {
    Ok(json_response(&openapi::document(&all())))
}

async fn page_for_people(_: App, _: RawRequest) -> Answer {
    let mut response = text_response(openapi::page(&openapi::document(&all())), "text/html; charset=utf-8");
    let policy = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    Ok(response)
}

async fn style(_: App, _: RawRequest) -> Answer {
    Ok(text_response(openapi::STYLE.to_owned(), "text/css; charset=utf-8"))
}

fn text_response(text: String, content_type: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Which page is asked for.
fn page(after: Option<String>, limit: Option<u64>) -> PageRequest {
    PageRequest { after, limit: usize::try_from(limit.unwrap_or(PAGE)).unwrap_or(usize::MAX) }
}
