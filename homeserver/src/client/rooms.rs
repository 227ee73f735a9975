//! Making rooms and being in them
//! ([spec v1.19, Client-Server API § Rooms](https://spec.matrix.org/v1.19/client-server-api/#rooms-1)).

use engine::Reject;
use engine::room::aliases::resolve_id_or_alias;
use engine::room::create::{CreateRoom, create_room};
use engine::room::membership::{self, Action, SetMembership};
use ruma::api::client::knock::knock_room;
use ruma::api::client::membership::{
    ban_user, forget_room, invite_user, join_room_by_id, join_room_by_id_or_alias, kick_user, leave_room, unban_user,
};
use ruma::api::client::room::create_room as create_room_call;
use ruma::{OwnedRoomId, OwnedUserId, RoomOrAliasId};

use crate::app::App;
use crate::http::{ApiError, Routes, Ruma};
use crate::workers::appservices;

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes
        .ruma(create)
        .ruma(invite)
        .ruma(join)
        .ruma(join_by_alias)
        .ruma(knock)
        .ruma(leave)
        .ruma(kick)
        .ruma(ban)
        .ruma(unban)
        .ruma(forget)
}

/// `POST /createRoom`
async fn create(app: App, request: Ruma<create_room_call::v3::Request>) -> Result<create_room_call::v3::Response, ApiError> {
    let creator = request.requester()?.user_id.clone();
    let random_id = OwnedRoomId::try_from(format!("!{}:{}", app.entropy.id(18), app.server.name))
        .map_err(|_| Reject::invalid_param("the server's name leaves no place for a room id"))?;
    for invitee in &request.body.invite {
        appservices::make_user_known(&app, invitee).await;
    }
    let command = CreateRoom { creator, random_id, request: request.body };
    let room_id = app.run(|cx| create_room(cx, &command)).await?;
    Ok(create_room_call::v3::Response::new(room_id))
}

/// `POST /rooms/{roomId}/invite`
async fn invite(app: App, request: Ruma<invite_user::v3::Request>) -> Result<invite_user::v3::Response, ApiError> {
    let sender = request.requester()?.user_id.clone();
    let invite_user::v3::Request { room_id, recipient, .. } = request.body;
    let invite_user::v3::InvitationRecipient::UserId(invited) = recipient else {
        return Err(
            Reject::ThreepidDenied("people are invited by their Matrix id here, not by e-mail or telephone".into()).into()
        );
    };
    appservices::make_user_known(&app, &invited.user_id).await;
    set(&app, sender, room_id, Some(invited.user_id), Action::Invite, invited.reason).await?;
    Ok(invite_user::v3::Response::new())
}

/// `POST /rooms/{roomId}/join`
async fn join(app: App, request: Ruma<join_room_by_id::v3::Request>) -> Result<join_room_by_id::v3::Response, ApiError> {
    let sender = request.requester()?.user_id.clone();
    let room_id = request.body.room_id;
    set(&app, sender, room_id.clone(), None, Action::Join, request.body.reason).await?;
    Ok(join_room_by_id::v3::Response::new(room_id))
}

/// `POST /join/{roomIdOrAlias}`
async fn join_by_alias(
    app: App,
    request: Ruma<join_room_by_id_or_alias::v3::Request>,
) -> Result<join_room_by_id_or_alias::v3::Response, ApiError> {
    let sender = request.requester()?.user_id.clone();
    appservices::make_alias_known(&app, request.body.room_id_or_alias.as_str()).await;
    let room_id = resolve(&app, &request.body.room_id_or_alias)?;
    set(&app, sender, room_id.clone(), None, Action::Join, request.body.reason).await?;
    Ok(join_room_by_id_or_alias::v3::Response::new(room_id))
}

/// `POST /knock/{roomIdOrAlias}`
async fn knock(app: App, request: Ruma<knock_room::v3::Request>) -> Result<knock_room::v3::Response, ApiError> {
    let sender = request.requester()?.user_id.clone();
    appservices::make_alias_known(&app, request.body.room_id_or_alias.as_str()).await;
    let room_id = resolve(&app, &request.body.room_id_or_alias)?;
    set(&app, sender, room_id.clone(), None, Action::Knock, request.body.reason).await?;
    Ok(knock_room::v3::Response::new(room_id))
}

/// `POST /rooms/{roomId}/leave`
async fn leave(app: App, request: Ruma<leave_room::v3::Request>) -> Result<leave_room::v3::Response, ApiError> {
    let sender = request.requester()?.user_id.clone();
    set(&app, sender, request.body.room_id, None, Action::Leave, request.body.reason).await?;
    Ok(leave_room::v3::Response::new())
}

/// `POST /rooms/{roomId}/kick`
async fn kick(app: App, request: Ruma<kick_user::v3::Request>) -> Result<kick_user::v3::Response, ApiError> {
    let sender = request.requester()?.user_id.clone();
    let kick_user::v3::Request { room_id, user_id, reason, .. } = request.body;
    set(&app, sender, room_id, Some(user_id), Action::Kick, reason).await?;
    Ok(kick_user::v3::Response::new())
}

/// `POST /rooms/{roomId}/ban`
async fn ban(app: App, request: Ruma<ban_user::v3::Request>) -> Result<ban_user::v3::Response, ApiError> {
    let sender = request.requester()?.user_id.clone();
    let ban_user::v3::Request { room_id, user_id, reason, .. } = request.body;
    set(&app, sender, room_id, Some(user_id), Action::Ban, reason).await?;
    Ok(ban_user::v3::Response::new())
}

/// `POST /rooms/{roomId}/unban`
async fn unban(app: App, request: Ruma<unban_user::v3::Request>) -> Result<unban_user::v3::Response, ApiError> {
    let sender = request.requester()?.user_id.clone();
    let unban_user::v3::Request { room_id, user_id, reason, .. } = request.body;
    set(&app, sender, room_id, Some(user_id), Action::Unban, reason).await?;
    Ok(unban_user::v3::Response::new())
}

/// `POST /rooms/{roomId}/forget`
async fn forget(app: App, request: Ruma<forget_room::v3::Request>) -> Result<forget_room::v3::Response, ApiError> {
    let user_id = request.requester()?.user_id.clone();
    app.run(|cx| membership::forget(cx, &user_id, &request.body.room_id)).await?;
    Ok(forget_room::v3::Response::new())
}

async fn set(
    app: &App,
    sender: OwnedUserId,
    room_id: OwnedRoomId,
    target: Option<OwnedUserId>,
    action: Action,
    reason: Option<String>,
) -> Result<(), ApiError> {
    let target = target.unwrap_or_else(|| sender.clone());
    let command = SetMembership { sender, room_id, target, action, reason };
    app.run(|cx| membership::set_membership(cx, &command)).await
}

fn resolve(app: &App, room: &RoomOrAliasId) -> Result<OwnedRoomId, ApiError> {
    app.read(|cx| resolve_id_or_alias(cx, room))
}
