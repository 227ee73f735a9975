//! What the server itself tells a user, in a room of the two
//! ([spec v1.19, § Server Notices](https://spec.matrix.org/v1.19/client-server-api/#server-notices)).
//!
//! Only plain accounts get such notices: provisioned users talk to people, and to support.

use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, UserId,
    api::client::room::create_room::v3::{Request, RoomPreset},
    events::room::member::MembershipState,
};

use super::{
    create::{CreateRoom, create_room},
    membership::{Action, SetMembership, set_membership},
    membership_of,
};
use crate::{
    Cx, Decided, Decision, Draft, Reject, Stop,
    account::{self, Directory},
    tables::{self, ProfileRow, UserKind, UserRow},
};

/// The localpart of who sends notices. Nobody can register it.
pub const SENDER: &str = "_server";

/// What the room and its sender are called.
const NAME: &str = "Server notices";

/// Who sends notices.
///
/// # Errors
/// Never, with a server name that is one.
pub fn sender(cx: &Cx<'_>) -> Result<OwnedUserId, Stop> {
    let user_id = UserId::parse_with_server_name(SENDER, cx.server.name());
    user_id.map_err(|_| Reject::invalid_param("the server's name leaves no place for a user id").into())
}

/// Makes the sender, if there has been no notice yet.
///
/// # Errors
/// [`Stop::Read`].
pub fn ensure_sender(cx: &Cx<'_>) -> Decided<()> {
    let user_id = sender(cx)?;
    if tables::USERS.exists(cx.view, &(cx.user(&user_id),))? {
        return Ok(Decision::Done(()));
    }
    let mut draft = Draft::new(*cx);
    let profile = ProfileRow { display_name: Some(NAME.to_owned()), ..ProfileRow::default() };
    account::put_user(&mut draft, &UserRow::new(user_id, UserKind::Plain, cx.now()), &profile, &Directory::Plain);
    Ok(draft.commit(()))
}

/// The room in which `user_id` gets notices, made with the first one. The sender exists.
///
/// # Errors
/// `M_NOT_FOUND` for nobody; `M_FORBIDDEN` for provisioned users.
pub fn open(cx: &Cx<'_>, user_id: &UserId, random_id: &RoomId) -> Decided<OwnedRoomId> {
    account::user(cx, user_id)?;
    let key = (cx.user(user_id),);
    if let Some(row) = tables::NOTICE_ROOMS.get(cx.view, &key)? {
        return Ok(Decision::Done(row.value));
    }
    let mut request = Request::new();
    request.preset = Some(RoomPreset::PrivateChat);
    request.name = Some(NAME.to_owned());
    request.invite = vec![user_id.to_owned()];
    let command = CreateRoom { creator: sender(cx)?, random_id: random_id.to_owned(), request };
    match create_room(cx, &command)? {
        Decision::Commit { mut batch, output } => {
            tables::NOTICE_ROOMS.require(&mut batch, &key, None);
            tables::NOTICE_ROOMS.put(&mut batch, &key, &output);
            Ok(Decision::Commit { batch, output })
        }
        done @ Decision::Done(_) => Ok(done),
    }
}

/// Asks `user_id` into their room for notices again, if they have left it.
///
/// # Errors
/// As [`set_membership`].
pub fn invite_again(cx: &Cx<'_>, user_id: &UserId, room_id: &RoomId) -> Decided<()> {
    let membership = membership_of(cx, room_id, user_id)?;
    if matches!(membership, Some(MembershipState::Join | MembershipState::Invite)) {
        return Ok(Decision::Done(()));
    }
    let (sender, target) = (sender(cx)?, user_id.to_owned());
    let command = SetMembership { sender, room_id: room_id.to_owned(), target, action: Action::Invite, reason: None };
    set_membership(cx, &command)
}

/// An invitation to one's notices cannot be turned down: they may be about what one is bound to.
///
/// # Errors
/// `M_CANNOT_LEAVE_SERVER_NOTICE_ROOM`.
pub(super) fn check_leave(
    cx: &Cx<'_>,
    user_id: &UserId,
    room_id: &RoomId,
    before: Option<&MembershipState>,
) -> Result<(), Stop> {
    if before != Some(&MembershipState::Invite) {
        return Ok(());
    }
    let room = tables::NOTICE_ROOMS.get(cx.view, &(cx.user(user_id),))?;
    if room.is_some_and(|row| row.value == room_id) {
        let message = "This is where the server tells you what you have to know: you can leave it once you have been in.";
        return Err(Reject::CannotLeaveServerNoticeRoom(message.into()).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ruma::room_id;

    use super::*;
    use crate::testing::World;

    #[test]
    fn a_user_has_one_room_for_notices_and_cannot_turn_it_down() {
        let world = World::new();
        let ada = world.user("ada", UserKind::Plain, "DEVICE");
        world.run(ensure_sender).unwrap();
        world.run(ensure_sender).unwrap();
        let room_id = world.run(|cx| open(cx, &ada.user_id, room_id!("!one:example.org"))).unwrap();
        assert_eq!(world.run(|cx| open(cx, &ada.user_id, room_id!("!two:example.org"))).unwrap(), room_id);
        let membership = || world.read(|cx| membership_of(cx, &room_id, &ada.user_id)).unwrap();
        assert_eq!(membership(), Some(MembershipState::Invite));

        let leave = || world.act(&ada.user_id, &ada.user_id, &room_id, Action::Leave);
        assert!(matches!(leave(), Err(Reject::CannotLeaveServerNoticeRoom(_))));
        world.member(&ada, &room_id, Action::Join);
        assert_eq!(leave(), Ok(()));
        world.run(|cx| invite_again(cx, &ada.user_id, &room_id)).unwrap();
        assert_eq!(membership(), Some(MembershipState::Invite));

        let nobody = ruma::user_id!("@nobody:example.org");
        assert!(matches!(world.run(|cx| open(cx, nobody, room_id!("!x:example.org"))), Err(Reject::NotFound(_))));
        let taken = world.read(|cx| match account::check_available(cx, SENDER, None) {
            Err(Stop::Reject(reject)) => Ok(reject),
            Err(Stop::Read(error)) => Err(error),
            Ok(_) => panic!("the sender's name can be registered"),
        });
        assert!(matches!(taken.unwrap(), Reject::Exclusive(_)));
    }
}
