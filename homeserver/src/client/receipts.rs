//! Receipts and read markers
//! ([spec v1.19, Client-Server API § Receipts](https://spec.matrix.org/v1.19/client-server-api/#receipts)).

use engine::receipts::{self, FULLY_READ, READ, READ_PRIVATE, Receipt, SetReceipts};
use http::Method;
use ruma::OwnedEventId;
use serde::Deserialize;

use super::body::{event_id, room_id};
use crate::app::App;
use crate::http::{Access, Answer, RawRequest, Routes, empty_response};

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes
        .raw(Method::POST, "/_matrix/client/v3/rooms/{room_id}/receipt/{receipt_type}/{event_id}", Access::Required, receipt)
        .raw(Method::POST, "/_matrix/client/r0/rooms/{room_id}/receipt/{receipt_type}/{event_id}", Access::Required, receipt)
        .raw(Method::POST, "/_matrix/client/v3/rooms/{room_id}/read_markers", Access::Required, read_markers)
        .raw(Method::POST, "/_matrix/client/r0/rooms/{room_id}/read_markers", Access::Required, read_markers)
}

async fn receipt(app: App, request: RawRequest) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        thread_id: Option<String>,
    }
    let body: Body = request.json()?;
    let receipt = Receipt {
        receipt_type: request.param("receipt_type").to_owned(),
        event_id: event_id(&request)?,
        thread_id: body.thread_id,
    };
    set(&app, &request, vec![receipt]).await
}

async fn read_markers(app: App, request: RawRequest) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default, rename = "m.fully_read")]
        fully_read: Option<OwnedEventId>,
        #[serde(default, rename = "m.read")]
        read: Option<OwnedEventId>,
        #[serde(default, rename = "m.read.private")]
        read_private: Option<OwnedEventId>,
    }
    let body: Body = request.json()?;
    let all = [(FULLY_READ, body.fully_read), (READ, body.read), (READ_PRIVATE, body.read_private)];
    let receipt = |(receipt_type, event_id): (&str, Option<OwnedEventId>)| {
        Some(Receipt { receipt_type: receipt_type.to_owned(), event_id: event_id?, thread_id: None })
    };
    set(&app, &request, all.into_iter().filter_map(receipt).collect()).await
}

async fn set(app: &App, request: &RawRequest, receipts: Vec<Receipt>) -> Answer {
    let command = SetReceipts { user_id: request.requester()?.user_id.clone(), room_id: room_id(request)?, receipts };
    app.run(|cx| receipts::set_receipts(cx, &command)).await?;
    Ok(empty_response())
}
