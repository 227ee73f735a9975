//! What rooms tell of themselves: summaries, and the rooms of a space
//! ([spec v1.19, Client-Server API § Spaces](https://spec.matrix.org/v1.19/client-server-api/#spaces)).

use engine::room::hierarchy::{DEPTH_MAX, HierarchyRequest, hierarchy};
use engine::room::summary::{OwnSummary, room_summary};
use http::Method;
use ruma::RoomOrAliasId;
use serde::{Deserialize, Serialize};

use super::body::{invalid, json, limit, room_id};
use crate::app::App;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes};
use crate::workers::appservices;

/// Rooms of a space in one answer: what a client gets that doesn't say, and at most.
const PAGE_MAX: usize = 50;

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    let unstable = "/_matrix/client/unstable/im.nheko.summary";
    routes
        .raw(Method::GET, "/_matrix/client/v1/room_summary/{room_id_or_alias}", Access::Optional, summary)
        .raw(Method::GET, &format!("{unstable}/summary/{{room_id_or_alias}}"), Access::Optional, unstable_summary)
        .raw(Method::GET, &format!("{unstable}/rooms/{{room_id_or_alias}}/summary"), Access::Optional, unstable_summary)
        .raw(Method::GET, "/_matrix/client/v1/rooms/{room_id}/hierarchy", Access::Required, space)
}

async fn own_summary(app: &App, request: &RawRequest) -> Result<OwnSummary, ApiError> {
    let room = request.param("room_id_or_alias");
    let room = <&RoomOrAliasId>::try_from(room).map_err(|_| invalid("this is neither a room id nor an alias"))?;
    appservices::make_alias_known(app, room.as_str()).await;
    let user_id = request.requester.as_ref().map(|requester| &*requester.user_id);
    app.read(|cx| room_summary(cx, user_id, room))
}

/// `GET /room_summary/{roomIdOrAlias}`
async fn summary(app: App, request: RawRequest) -> Answer {
    json(&own_summary(&app, &request).await?)
}

/// The same before it was stable (MSC3266): two fields have other names, too.
async fn unstable_summary(app: App, request: RawRequest) -> Answer {
    #[derive(Serialize)]
    struct Unstable {
        #[serde(flatten)]
        summary: OwnSummary,
        #[serde(rename = "im.nheko.summary.encryption", skip_serializing_if = "Option::is_none")]
        encryption: Option<String>,
        #[serde(rename = "im.nheko.summary.room_version")]
        room_version: String,
    }
    let own = own_summary(&app, &request).await?;
    let (encryption, room_version) = (own.summary.encryption.clone(), own.summary.room_version.to_string());
    json(&Unstable { summary: own, encryption, room_version })
}

/// `GET /rooms/{roomId}/hierarchy`
async fn space(app: App, request: RawRequest) -> Answer {
    #[derive(Deserialize)]
    struct Query {
        from: Option<String>,
        limit: Option<u64>,
        max_depth: Option<u64>,
        #[serde(default)]
        suggested_only: bool,
    }
    let query: Query = request.query()?;
    if query.limit == Some(0) {
        return Err(invalid("limit is a number greater than zero"));
    }
    let asked = HierarchyRequest {
        user_id: &request.requester()?.user_id,
        room_id: &room_id(&request)?,
        suggested_only: query.suggested_only,
        max_depth: query.max_depth.unwrap_or(DEPTH_MAX).min(DEPTH_MAX),
        limit: limit(query.limit, PAGE_MAX, PAGE_MAX),
        from: query.from.as_deref(),
    };
    json(&app.read(|cx| hierarchy(cx, &asked))?)
}
