//! Finding what was said
//! ([spec v1.19, Client-Server API § Server Side Search](https://spec.matrix.org/v1.19/client-server-api/#server-side-search)).

use engine::timeline::{self, SearchRequest, SearchResults};
use http::Method;
use serde::{Deserialize, Serialize};

use super::body::json;
use crate::app::App;
use crate::http::{Access, Answer, RawRequest, Routes};

/// This family's calls.
#[must_use]
pub fn routes(mut routes: Routes) -> Routes {
    for version in ["v3", "r0"] {
        routes = routes.raw(Method::POST, &format!("/_matrix/client/{version}/search"), Access::Required, search);
    }
    routes
}

/// `POST /search`. Of the categories there is one.
async fn search(app: App, request: RawRequest) -> Answer {
    #[derive(Deserialize)]
    struct Query {
        next_batch: Option<String>,
    }
    #[derive(Deserialize)]
    struct Asked {
        search_categories: Categories<SearchRequest>,
    }
    #[derive(Default, Deserialize, Serialize)]
    struct Categories<T> {
        #[serde(skip_serializing_if = "Option::is_none")]
        room_events: Option<T>,
    }
    #[derive(Serialize)]
    struct Body {
        search_categories: Categories<SearchResults>,
    }
    let query: Query = request.query()?;
    let asked: Asked = request.json()?;
    let requester = request.requester()?;
    let next_batch = query.next_batch.as_deref();
    let room_events = match &asked.search_categories.room_events {
        Some(criteria) => Some(app.read(|cx| timeline::search(cx, requester, criteria, next_batch))?),
        None => None,
    };
    json(&Body { search_categories: Categories { room_events } })
}
