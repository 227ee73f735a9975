//! Who is in rooms, and in which rooms one is
//! ([spec v1.19](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmembers)).

use std::collections::BTreeMap;

use engine::room;
use engine::timeline::{self, MembersRequest};
use http::Method;
use ruma::OwnedUserId;
use ruma::events::room::member::MembershipState;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::body::{invalid, json, room_id, token};
use crate::app::App;
use crate::http::{Access, Answer, RawRequest, Routes};

/// This family's calls.
#[must_use]
pub fn routes(mut routes: Routes) -> Routes {
    for version in ["v3", "r0"] {
        let at = |rest: &str| format!("/_matrix/client/{version}/{rest}");
        routes = routes
            .raw(Method::GET, &at("rooms/{room_id}/members"), Access::Required, members)
            .raw(Method::GET, &at("rooms/{room_id}/joined_members"), Access::Required, joined_members)
            .raw(Method::GET, &at("joined_rooms"), Access::Required, joined_rooms);
    }
    routes.raw(Method::GET, "/_matrix/client/v1/mutual_rooms", Access::Required, mutual_rooms)
}

async fn members(app: App, request: RawRequest) -> Answer {
    #[derive(Deserialize)]
    struct Query {
        at: Option<String>,
        membership: Option<MembershipState>,
        not_membership: Option<MembershipState>,
    }
    let query: Query = request.query()?;
    let asked = MembersRequest {
        user_id: &request.requester()?.user_id,
        room_id: &room_id(&request)?,
        at: token(query.at.as_deref())?,
        membership: query.membership.as_ref(),
        not_membership: query.not_membership.as_ref(),
    };
    let chunk = app.read(|cx| timeline::members(cx, &asked))?;
    json(&BTreeMap::from([("chunk", chunk)]))
}

async fn joined_members(app: App, request: RawRequest) -> Answer {
    #[derive(Serialize)]
    struct Member {
        /// Always there, if only as null: Complement asks for it.
        avatar_url: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        display_name: Option<String>,
    }
    let (requester, room_id) = (request.requester()?, room_id(&request)?);
    let members = app.read(|cx| timeline::joined_members(cx, &requester.user_id, &room_id))?;
    let joined: BTreeMap<_, _> = members
        .into_iter()
        .map(|member| (member.user_id, Member { avatar_url: member.avatar_url, display_name: member.display_name }))
        .collect();
    json(&BTreeMap::from([("joined", joined)]))
}

async fn joined_rooms(app: App, request: RawRequest) -> Answer {
    let requester = request.requester()?;
    let rooms = app.read(|cx| Ok(room::joined_rooms(cx, &requester.user_id)?))?;
    json(&json!({ "joined_rooms": rooms }))
}

/// `GET /mutual_rooms`
async fn mutual_rooms(app: App, request: RawRequest) -> Answer {
    #[derive(Deserialize)]
    struct Query {
        user_id: OwnedUserId,
        from: Option<String>,
    }
    let query: Query = request.query()?;
    if query.user_id.validate_strict().is_err() {
        return Err(invalid("user_id is not a user id as the specification has it today"));
    }
    let requester = request.requester()?;
    json(&app.read(|cx| room::mutual_rooms(cx, &requester.user_id, &query.user_id, query.from.as_deref()))?)
}
