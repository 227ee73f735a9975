//! The HTTP surface a homeserver calls.

use std::{future::Future, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, RawQuery, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use ruma::{OwnedTransactionId, RoomAliasId, TransactionId, UserId};
use serde_json::json;

use crate::{Token, Transaction};

/// The largest transaction taken. A homeserver sends at most 100 events and 100 to-device events at once, each at most
/// 64 KiB; this leaves room for device lists.
pub const TRANSACTION_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is on disk now.
    New,
    /// A transaction of this id was taken before; this copy was dropped.
    Replayed,
}

/// The application service can't keep a transaction now; the homeserver is told to come again.
#[derive(Debug, thiserror::Error)]
#[error("the application service can't store a transaction: {0}")]
pub struct Unavailable(pub String);

/// What an application service does with what it is sent.
pub trait Appservice: Send + Sync + 'static {
    /// Makes the transaction durable, once for each `txn_id`, and returns. The homeserver is answered 200 only after
    /// this, and never sends the transaction again: to-device events in it carry keys that exist nowhere else.
    ///
    /// `body` is what `transaction` was parsed from, for services that store it as it came.
    fn accept(
        &self,
        txn_id: &TransactionId,
        body: Bytes,
        transaction: Transaction,
    ) -> impl Future<Output = Result<Accepted, Unavailable>> + Send;

    /// Whether this user of its namespace exists (the homeserver asks when somebody addresses one it doesn't know).
    fn knows_user(&self, user_id: &UserId) -> impl Future<Output = bool> + Send;

    /// Whether this alias of its namespace exists.
    fn knows_alias(&self, room_alias: &RoomAliasId) -> impl Future<Output = bool> + Send;
}

struct Shared<A> {
    appservice: A,
    hs_token: Token,
}

/// The routes of an application service: transactions, user and alias queries, and pings, at their `v1` paths and at the
/// paths from before the API had versions.
pub fn router<A: Appservice>(appservice: A, hs_token: Token) -> Router {
    let shared = Arc::new(Shared { appservice, hs_token });
    Router::new()
        .route("/_matrix/app/v1/transactions/{txn_id}", put(transaction::<A>))
        .route("/transactions/{txn_id}", put(transaction::<A>))
        .route("/_matrix/app/v1/users/{user_id}", get(user::<A>))
        .route("/users/{user_id}", get(user::<A>))
        .route("/_matrix/app/v1/rooms/{room_alias}", get(alias::<A>))
        .route("/rooms/{room_alias}", get(alias::<A>))
        .route("/_matrix/app/v1/ping", post(ping::<A>))
        .route("/_matrix/app/unstable/fi.mau.msc2659/ping", post(ping::<A>))
        .fallback(|| async { refuse(StatusCode::NOT_FOUND, "M_UNRECOGNIZED", "Unknown endpoint.") })
        .method_not_allowed_fallback(|| async {
            refuse(StatusCode::METHOD_NOT_ALLOWED, "M_UNRECOGNIZED", "This endpoint has another method.")
        })
        .layer(DefaultBodyLimit::max(TRANSACTION_BYTES_MAX))
        .with_state(shared)
}

async fn transaction<A: Appservice>(
    State(shared): State<Arc<Shared<A>>>,
    Path(txn_id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Err(refusal) = check_token(&shared.hs_token, &headers, query.as_deref()) {
        return refusal;
    }
    let transaction = match Transaction::parse(&body) {
        Ok(transaction) => transaction,
        Err(error) => {
            // Only where the parser stopped: the text around it may be somebody's event.
            tracing::warn!(line = error.line(), column = error.column(), "transaction is not valid");
            return refuse(StatusCode::BAD_REQUEST, "M_BAD_JSON", "The body is not a transaction.");
        }
    };
    let txn_id = OwnedTransactionId::from(txn_id);
    match shared.appservice.accept(&txn_id, body, transaction).await {
        Ok(Accepted::New | Accepted::Replayed) => Json(json!({})).into_response(),
        Err(error) => {
            tracing::error!(%error, "transaction refused");
            refuse(StatusCode::SERVICE_UNAVAILABLE, "M_UNKNOWN", "Can't store the transaction now. Send it again.")
        }
    }
}

async fn user<A: Appservice>(
    State(shared): State<Arc<Shared<A>>>,
    Path(user_id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if let Err(refusal) = check_token(&shared.hs_token, &headers, query.as_deref()) {
        return refusal;
    }
    match <&UserId>::try_from(user_id.as_str()) {
        Ok(user_id) if shared.appservice.knows_user(user_id).await => Json(json!({})).into_response(),
        _ => refuse(StatusCode::NOT_FOUND, "M_NOT_FOUND", "No such user here."),
    }
}

async fn alias<A: Appservice>(
    State(shared): State<Arc<Shared<A>>>,
    Path(room_alias): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if let Err(refusal) = check_token(&shared.hs_token, &headers, query.as_deref()) {
        return refusal;
    }
    match <&RoomAliasId>::try_from(room_alias.as_str()) {
        Ok(alias) if shared.appservice.knows_alias(alias).await => Json(json!({})).into_response(),
        _ => refuse(StatusCode::NOT_FOUND, "M_NOT_FOUND", "No such room alias here."),
    }
}

async fn ping<A: Appservice>(
    State(shared): State<Arc<Shared<A>>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    match check_token(&shared.hs_token, &headers, query.as_deref()) {
        Ok(()) => Json(json!({})).into_response(),
        Err(refusal) => refusal,
    }
}

/// The header of today, or the query parameter of before v1.4, which homeservers may still send beside it.
#[expect(clippy::result_large_err, reason = "the error is the answer, built once and sent")]
fn check_token(hs_token: &Token, headers: &HeaderMap, query: Option<&str>) -> Result<(), Response> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    });
    let presented = header.or_else(|| query?.split('&').find_map(|pair| pair.strip_prefix("access_token=")));
    match presented {
        None => Err(refuse(StatusCode::UNAUTHORIZED, "M_UNAUTHORIZED", "The homeserver's token is missing.")),
        Some(token) if hs_token.matches(token) => Ok(()),
        Some(_) => Err(refuse(StatusCode::FORBIDDEN, "M_FORBIDDEN", "This is not the homeserver's token.")),
    }
}

fn refuse(status: StatusCode, errcode: &str, error: &str) -> Response {
    (status, Json(json!({"errcode": errcode, "error": error}))).into_response()
}

#[cfg(test)]
#[path = "router/tests.rs"]
mod tests;
