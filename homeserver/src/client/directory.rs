//! Aliases and the room directory
//! ([spec v1.19, Client-Server API § Room aliases and § Published room directory](https://spec.matrix.org/v1.19/client-server-api/#room-aliases)).

use engine::Reject;
use engine::room::aliases;
use engine::room::directory::{self, Page, Query};
use ruma::api::client::alias::{create_alias, delete_alias, get_alias};
use ruma::api::client::directory::{get_public_rooms, get_public_rooms_filtered, get_room_visibility, set_room_visibility};
use ruma::api::client::room::{Visibility, aliases as room_aliases};
use ruma::directory::PublicRoomsChunk;
use ruma::{UInt, UserId};
use serde_json::{Value, json};

use crate::app::App;
use crate::http::{Answer, ApiError, Routes, Ruma, json_response};
use crate::workers::appservices;

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes.ruma(create).ruma(get).ruma(delete).ruma(of_room).ruma(visibility).ruma(set_visibility).parsed(list).parsed(query)
}

/// `PUT /directory/room/{roomAlias}`
async fn create(app: App, request: Ruma<create_alias::v3::Request>) -> Result<create_alias::v3::Response, ApiError> {
    let requester = request.requester()?.clone();
    let create_alias::v3::Request { room_alias, room_id, .. } = request.body;
    app.run(|cx| aliases::create_alias(cx, &requester.user_id, &room_id, &room_alias, requester.appservice.as_deref()))
        .await?;
    Ok(create_alias::v3::Response::new())
}

/// `GET /directory/room/{roomAlias}`
async fn get(app: App, request: Ruma<get_alias::v3::Request>) -> Result<get_alias::v3::Response, ApiError> {
    appservices::make_alias_known(&app, request.body.room_alias.as_str()).await;
    let row = app.read(|cx| aliases::resolve(cx, &request.body.room_alias))?;
    Ok(get_alias::v3::Response::new(row.room_id, vec![app.server.name.clone()]))
}

/// `DELETE /directory/room/{roomAlias}`
async fn delete(app: App, request: Ruma<delete_alias::v3::Request>) -> Result<delete_alias::v3::Response, ApiError> {
    let user_id = request.requester()?.user_id.clone();
    app.run(|cx| aliases::delete_alias(cx, &user_id, &request.body.room_alias)).await?;
    Ok(delete_alias::v3::Response::new())
}

/// `GET /rooms/{roomId}/aliases`
async fn of_room(app: App, request: Ruma<room_aliases::v3::Request>) -> Result<room_aliases::v3::Response, ApiError> {
    let user_id = request.requester()?.user_id.clone();
    let room_id = request.body.room_id;
    let aliases = app.read(|cx| aliases::visible_aliases(cx, &user_id, &room_id))?;
    Ok(room_aliases::v3::Response::new(aliases))
}

/// `GET /directory/list/room/{roomId}`
async fn visibility(
    app: App,
    request: Ruma<get_room_visibility::v3::Request>,
) -> Result<get_room_visibility::v3::Response, ApiError> {
    let published = app.read(|cx| directory::is_published(cx, &request.body.room_id))?;
    let visibility = if published { Visibility::Public } else { Visibility::Private };
    Ok(get_room_visibility::v3::Response::new(visibility))
}

/// `PUT /directory/list/room/{roomId}`
async fn set_visibility(
    app: App,
    request: Ruma<set_room_visibility::v3::Request>,
) -> Result<set_room_visibility::v3::Response, ApiError> {
    let user_id = request.requester()?.user_id.clone();
    let set_room_visibility::v3::Request { room_id, visibility, .. } = request.body;
    let published = match visibility {
        Visibility::Public => true,
        Visibility::Private => false,
        _ => return Err(Reject::invalid_param("a room is either public or private").into()),
    };
    app.run(|cx| directory::set_published(cx, &user_id, &room_id, published)).await?;
    Ok(set_room_visibility::v3::Response::new())
}

/// `GET /publicRooms`
async fn list(app: App, request: Ruma<get_public_rooms::v3::Request>) -> Answer {
    let query = Query { limit: limit(request.body.limit), since: request.body.since, ..Query::default() };
    page(&app, None, &query)
}

/// `POST /publicRooms`
async fn query(app: App, request: Ruma<get_public_rooms_filtered::v3::Request>) -> Answer {
    let user_id = request.requester()?.user_id.clone();
    let body = request.body;
    let query = Query {
        limit: limit(body.limit),
        since: body.since,
        search_term: body.filter.generic_search_term,
        room_types: body.filter.room_types,
    };
    page(&app, Some(&user_id), &query)
}

/// A page of the directory. Written by hand for one word: ruma leaves out the join rule that is taken for granted, and clients
/// look for it.
fn page(app: &App, user_id: Option<&UserId>, query: &Query) -> Answer {
    let Page { chunk, next_batch, prev_batch, total } = app.read(|cx| directory::public_rooms(cx, user_id, query))?;
    let mut body = json!({ "total_room_count_estimate": total });
    body["chunk"] = chunk.iter().map(described).collect::<Result<Vec<Value>, _>>()?.into();
    for (name, token) in [("next_batch", next_batch), ("prev_batch", prev_batch)] {
        if let Some(token) = token {
            body[name] = token.into();
        }
    }
    Ok(json_response(&body))
}

fn described(chunk: &PublicRoomsChunk) -> Result<Value, ApiError> {
    let mut room = serde_json::to_value(chunk).map_err(ApiError::internal)?;
    room["join_rule"] = chunk.join_rule.as_str().into();
    Ok(room)
}

fn limit(limit: Option<UInt>) -> Option<usize> {
    limit.and_then(|limit| usize::try_from(u64::from(limit)).ok())
}
