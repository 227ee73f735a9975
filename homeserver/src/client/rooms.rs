//! Making rooms and being in them
//! ([spec v1.19, Client-Server API § Rooms](https://spec.matrix.org/v1.19/client-server-api/#rooms-1)).

use engine::Reject;
use engine::room::aliases::resolve_id_or_alias;
use engine::room::create::{CreateRoom, create_room};
use engine::room::membership::{self, Action, SetMembership};
use engine::room::send::parse_content;
use engine::room::upgrade::{UpgradeRoom, upgrade_room};
use ruma::api::client::knock::knock_room;
use ruma::api::client::membership::{
    ban_user, forget_room, invite_user, join_room_by_id, join_room_by_id_or_alias, kick_user, leave_room, unban_user,
};
use ruma::api::client::room::create_room::v3::RoomPreset;
use ruma::api::client::room::{Visibility, create_room as create_room_call, upgrade_room as upgrade_room_call};
use ruma::{CanonicalJsonObject, OwnedRoomId, OwnedUserId, RoomOrAliasId};
use serde_json::value::RawValue;

use crate::app::App;
use crate::http::{ApiError, Routes, Ruma};
use crate::workers::appservices;

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes
        .ruma(create)
        .ruma(upgrade)
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
    check_words(&request.body)?;
    let random_id = random_id(&app)?;
    for invitee in &request.body.invite {
        appservices::make_user_known(&app, invitee).await;
    }
    let command = CreateRoom { creator, random_id, request: request.body };
    let room_id = app.run(|cx| create_room(cx, &command)).await?;
    Ok(create_room_call::v3::Response::new(room_id))
}

/// ruma takes any word for those that are to come.
fn check_words(request: &create_room_call::v3::Request) -> Result<(), Reject> {
    if !matches!(request.visibility, Visibility::Public | Visibility::Private) {
        return Err(Reject::invalid_param("the visibility of a room is public or private"));
    }
    let preset = request.preset.as_ref();
    if preset.is_some_and(|preset| {
        !matches!(preset, RoomPreset::PrivateChat | RoomPreset::TrustedPrivateChat | RoomPreset::PublicChat)
    }) {
        return Err(Reject::invalid_param("the preset of a room is private_chat, trusted_private_chat or public_chat"));
    }
    Ok(())
}

/// `POST /rooms/{roomId}/upgrade`
async fn upgrade(
    app: App,
    request: Ruma<upgrade_room_call::v3::Request>,
) -> Result<upgrade_room_call::v3::Response, ApiError> {
    let sender = request.requester()?.user_id.clone();
    let random_id = random_id(&app)?;
    let upgrade_room_call::v3::Request { room_id, new_version, additional_creators, .. } = request.body;
    let command = UpgradeRoom { sender, room_id, random_id, new_version, additional_creators };
    let replacement_room = app.run(|cx| upgrade_room(cx, &command)).await?;
    Ok(upgrade_room_call::v3::Response::new(replacement_room))
}

/// `POST /rooms/{roomId}/invite`
async fn invite(app: App, request: Ruma<invite_user::v3::Request>) -> Result<invite_user::v3::Response, ApiError> {
    let change = Change::of(&request)?;
    let invite_user::v3::Request { room_id, recipient, .. } = request.body;
    let invite_user::v3::InvitationRecipient::UserId(invited) = recipient else {
        return Err(
            Reject::ThreepidDenied("people are invited by their Matrix id here, not by e-mail or telephone".into()).into()
        );
    };
    appservices::make_user_known(&app, &invited.user_id).await;
    change.make(&app, Action::Invite, room_id, Some(invited.user_id), invited.reason).await?;
    Ok(invite_user::v3::Response::new())
}

/// `POST /rooms/{roomId}/join`
async fn join(app: App, request: Ruma<join_room_by_id::v3::Request>) -> Result<join_room_by_id::v3::Response, ApiError> {
    let change = Change::of(&request)?;
    let room_id = request.body.room_id;
    change.make(&app, Action::Join, room_id.clone(), None, request.body.reason).await?;
    Ok(join_room_by_id::v3::Response::new(room_id))
}

/// `POST /join/{roomIdOrAlias}`
async fn join_by_alias(
    app: App,
    request: Ruma<join_room_by_id_or_alias::v3::Request>,
) -> Result<join_room_by_id_or_alias::v3::Response, ApiError> {
    let change = Change::of(&request)?;
    appservices::make_alias_known(&app, request.body.room_id_or_alias.as_str()).await;
    let room_id = resolve(&app, &request.body.room_id_or_alias)?;
    change.make(&app, Action::Join, room_id.clone(), None, request.body.reason).await?;
    Ok(join_room_by_id_or_alias::v3::Response::new(room_id))
}

/// `POST /knock/{roomIdOrAlias}`
async fn knock(app: App, request: Ruma<knock_room::v3::Request>) -> Result<knock_room::v3::Response, ApiError> {
    let change = Change::of(&request)?;
    appservices::make_alias_known(&app, request.body.room_id_or_alias.as_str()).await;
    let room_id = resolve(&app, &request.body.room_id_or_alias)?;
    change.make(&app, Action::Knock, room_id.clone(), None, request.body.reason).await?;
    Ok(knock_room::v3::Response::new(room_id))
}

/// `POST /rooms/{roomId}/leave`
async fn leave(app: App, request: Ruma<leave_room::v3::Request>) -> Result<leave_room::v3::Response, ApiError> {
    let change = Change::of(&request)?;
    change.make(&app, Action::Leave, request.body.room_id, None, request.body.reason).await?;
    Ok(leave_room::v3::Response::new())
}

/// `POST /rooms/{roomId}/kick`
async fn kick(app: App, request: Ruma<kick_user::v3::Request>) -> Result<kick_user::v3::Response, ApiError> {
    let change = Change::of(&request)?;
    let kick_user::v3::Request { room_id, user_id, reason, .. } = request.body;
    change.make(&app, Action::Kick, room_id, Some(user_id), reason).await?;
    Ok(kick_user::v3::Response::new())
}

/// `POST /rooms/{roomId}/ban`
async fn ban(app: App, request: Ruma<ban_user::v3::Request>) -> Result<ban_user::v3::Response, ApiError> {
    let change = Change::of(&request)?;
    let ban_user::v3::Request { room_id, user_id, reason, .. } = request.body;
    change.make(&app, Action::Ban, room_id, Some(user_id), reason).await?;
    Ok(ban_user::v3::Response::new())
}

/// `POST /rooms/{roomId}/unban`
async fn unban(app: App, request: Ruma<unban_user::v3::Request>) -> Result<unban_user::v3::Response, ApiError> {
    let change = Change::of(&request)?;
    let unban_user::v3::Request { room_id, user_id, reason, .. } = request.body;
    change.make(&app, Action::Unban, room_id, Some(user_id), reason).await?;
    Ok(unban_user::v3::Response::new())
}

/// `POST /rooms/{roomId}/forget`
async fn forget(app: App, request: Ruma<forget_room::v3::Request>) -> Result<forget_room::v3::Response, ApiError> {
    let user_id = request.requester()?.user_id.clone();
    app.run(|cx| membership::forget(cx, &user_id, &request.body.room_id)).await?;
    Ok(forget_room::v3::Response::new())
}

/// What all changes of a membership take from their request: who asks, and the fields of the body that are none of the
/// call's own: they go into the member event.
struct Change {
    sender: OwnedUserId,
    further: CanonicalJsonObject,
}

impl Change {
    fn of<T>(request: &Ruma<T>) -> Result<Self, ApiError> {
        let sender = request.requester()?.user_id.clone();
        let body = serde_json::from_slice::<Box<RawValue>>(&request.bytes).ok();
        let further = body.map(|body| parse_content(&body)).transpose()?.unwrap_or_default();
        Ok(Self { sender, further })
    }

    async fn make(
        self,
        app: &App,
        action: Action,
        room_id: OwnedRoomId,
        target: Option<OwnedUserId>,
        reason: Option<String>,
    ) -> Result<(), ApiError> {
        let Self { sender, further } = self;
        let target = target.unwrap_or_else(|| sender.clone());
        let command = SetMembership { sender, room_id, target, action, reason, further };
        app.run(|cx| membership::set_membership(cx, &command)).await
    }
}

/// A room id that nobody can guess.
fn random_id(app: &App) -> Result<OwnedRoomId, Reject> {
    OwnedRoomId::try_from(format!("!{}:{}", app.entropy.id(18), app.server.name))
        .map_err(|_| Reject::invalid_param("the server's name leaves no place for a room id"))
}

fn resolve(app: &App, room: &RoomOrAliasId) -> Result<OwnedRoomId, ApiError> {
    app.read(|cx| resolve_id_or_alias(cx, room))
}
