use ruma::{RoomId, user_id};
use serde_json::json;

use super::*;
use crate::{
    account::{
        Credentials, Secret, authenticate, check_requester, create_login_token, create_openid_token, openid_user, profile,
    },
    room::{create, membership, redact, send},
    tables::UserKind,
    testing::{Person, World, event},
};

fn check<T>(result: Result<T, Stop>) -> Result<T, Reject> {
    result.map_err(|stop| match stop {
        Stop::Reject(reject) => reject,
        Stop::Read(error) => panic!("{error}"),
    })
}

/// `root` is an administrator, as is `vice`; `ada` is not.
fn world() -> (World, Person, Person, Person) {
    let world = World::new();
    let person = |name: &str| world.user(name, UserKind::Plain, "DEVICE");
    let (root, vice, ada) = (person("root"), person("vice"), person("ada"));
    for admin in [&root, &vice] {
        world.run(|cx| set_admin(cx, &admin.user_id, true)).expect("promoted");
    }
    (world, root, vice, ada)
}

fn put_on(world: &World, by: Option<&Person>, user_id: &UserId, restriction: Restriction, on: bool) -> Result<(), Reject> {
    let by = by.map(|by| by.user_id.clone());
    let command = Moderate { by, user_id: user_id.to_owned(), restriction, on };
    world.run(|cx| moderate(cx, &command))
}

#[test]
fn who_may_lock_and_suspend_whom() {
    let forbidden = |result: &Result<(), Reject>| matches!(result, Err(Reject::Forbidden(_)));
    for restriction in [Restriction::Lock, Restriction::Suspend] {
        let (world, root, vice, ada) = world();
        let put = |by: Option<&Person>, user_id: &UserId| put_on(&world, by, user_id, restriction, true);
        let nobody = user_id!("@nobody:example.org");
        let stranger = user_id!("@ada:elsewhere.example");
        assert!(forbidden(&put(Some(&ada), &root.user_id)));
        assert!(forbidden(&put(Some(&ada), nobody)), "authorization comes before any look-up");
        assert!(forbidden(&put(Some(&ada), stranger)));
        assert!(forbidden(&put(Some(&root), &root.user_id)), "not oneself");
        assert!(forbidden(&put(Some(&root), &vice.user_id)), "no other administrator");
        assert!(matches!(put(Some(&root), stranger), Err(Reject::InvalidParam(_))));
        assert!(matches!(put(Some(&root), nobody), Err(Reject::NotFound(_))));

        let is =
            |by: &Person, user_id: &UserId| check(world.read(|cx| is_restricted(cx, &by.user_id, user_id, restriction)));
        assert_eq!(is(&root, &ada.user_id), Ok(false));
        put(Some(&root), &ada.user_id).expect("an administrator may");
        assert_eq!(is(&vice, &ada.user_id), Ok(true));
        assert_eq!(is(&root, &root.user_id), Ok(false));
        assert!(matches!(is(&root, &vice.user_id), Err(Reject::Forbidden(_))));
        assert!(matches!(is(&ada, &ada.user_id), Err(Reject::Forbidden(_))));
        put_on(&world, Some(&vice), &ada.user_id, restriction, false).expect("taken off");
        assert_eq!(is(&root, &ada.user_id), Ok(false));

        put(None, &vice.user_id).expect("the operator may do it to administrators");
        let close = crate::account::Deactivate { user_id: ada.user_id.clone(), erase: false };
        world.run(|cx| crate::account::deactivate(cx, &close)).expect("closed");
        assert!(matches!(put(Some(&root), &ada.user_id), Err(Reject::NotFound(_))), "a closed account");
    }
}

#[test]
fn a_locked_account_keeps_its_tokens_and_opens_nothing() {
    let (world, root, _, ada) = world();
    let token = Secret::new("a token".to_owned());
    world.run(|cx| create_openid_token(cx, &ada.user_id, &token)).expect("a token");
    assert_eq!(check(world.read(|cx| openid_user(cx, "a token"))), Ok(ada.user_id.clone()));
    put_on(&world, Some(&root), &ada.user_id, Restriction::Lock, true).expect("locked");

    assert_eq!(
        check(world.read(|cx| check_requester(cx, &ada.requester()))),
        Err(Reject::UserLocked),
        "a waiting sync ends"
    );
    assert_eq!(world.run(|cx| create_login_token(cx, &ada.user_id, &token)), Err(Reject::UserLocked));
    assert_eq!(check(world.read(|cx| openid_user(cx, "a token"))), Err(Reject::UnknownToken { soft_logout: false }));
    put_on(&world, Some(&root), &ada.user_id, Restriction::Lock, false).expect("unlocked");
    assert!(world.read(|cx| check_requester(cx, &ada.requester())).is_ok());
    assert_eq!(check(world.read(|cx| openid_user(cx, "a token"))), Ok(ada.user_id.clone()));
    world.advance(crate::account::OPENID_TOKEN_MS);
    assert!(world.read(|cx| openid_user(cx, "a token")).is_err(), "an hour is over");
}

#[test]
fn a_locked_users_token_says_so() {
    let (world, root, ..) = world();
    let bob = crate::account::Register {
        localpart: "bob".to_owned(),
        kind: UserKind::Plain,
        password_hash: None,
        appservice: None,
        device: Some(crate::account::NewDevice {
            device: crate::account::DeviceChoice { wanted: None, random: "PHONE".into() },
            display_name: None,
            tokens: crate::account::NewTokens { access_token: Secret::new("bobs".to_owned()), refresh_token: None },
        }),
        admin: false,
    };
    let (user_id, _) = world.run(|cx| crate::account::register(cx, &bob)).expect("registered");
    let locked = || check(world.read(|cx| authenticate(cx, &Credentials { token: "bobs", user_id: None, device_id: None })));
    assert!(!locked().expect("valid").locked);
    put_on(&world, Some(&root), &user_id, Restriction::Lock, true).expect("locked");
    assert!(locked().expect("still valid").locked);
}

/// Everything that others notice is refused; what clears up is not.
#[test]
fn what_suspended_users_may_still_do() {
    let (world, root, _, ada) = world();
    let bob = world.user("bob", UserKind::Plain, "DEVICE");
    let room_id = world.room(&bob, &[&ada]);
    world.member(&ada, &room_id, membership::Action::Join);
    let invited = world.room(&bob, &[&ada]);
    let (own, others) = (world.say(&ada, &room_id, "mine"), world.say(&bob, &room_id, "his"));
    put_on(&world, Some(&root), &ada.user_id, Restriction::Suspend, true).expect("suspended");

    let message = event(&ada, &room_id, "m.room.message", "1", &json!({ "msgtype": "m.text", "body": "hi" }));
    assert_eq!(world.run(|cx| send::send_event(cx, &message)), Err(Reject::UserSuspended));
    let change = |room_id: &RoomId, action, target: &Person| world.act(&ada.user_id, &target.user_id, room_id, action);
    assert_eq!(change(&invited, membership::Action::Join, &ada), Err(Reject::UserSuspended));
    assert_eq!(change(&room_id, membership::Action::Invite, &root), Err(Reject::UserSuspended));
    assert_eq!(change(&room_id, membership::Action::Kick, &bob), Err(Reject::UserSuspended));
    let request = ruma::api::client::room::create_room::v3::Request::new();
    let random_id = RoomId::parse("!new:example.org").expect("an id");
    let make = create::CreateRoom { creator: ada.user_id.clone(), random_id, request };
    assert_eq!(world.run(|cx| create::create_room(cx, &make)).map(drop), Err(Reject::UserSuspended));
    let name =
        profile::SetField { user_id: ada.user_id.clone(), field: "displayname".to_owned(), value: Some(json!("Eve")) };
    assert_eq!(world.run(|cx| profile::set_field(cx, &name)).map(drop), Err(Reject::UserSuspended));

    let redacted = |event_id: &ruma::EventId| {
        let command = redact::RedactEvent {
            sender: ada.user_id.clone(),
            device_id: None,
            room_id: room_id.clone(),
            event_id: event_id.to_owned(),
            txn_id: event_id.as_str().into(),
            reason: None,
        };
        world.run(|cx| redact::redact_event(cx, &command)).map(drop)
    };
    assert_eq!(redacted(&others), Err(Reject::UserSuspended));
    assert_eq!(redacted(&own), Ok(()), "one's own may be taken back");
    assert_eq!(change(&invited, membership::Action::Leave, &ada), Ok(()), "an invitation may be turned down");
    assert!(world.read(|cx| crate::timeline::event(cx, &ada.requester(), &room_id, &others)).is_ok(), "reading goes on");
    assert_eq!(change(&room_id, membership::Action::Leave, &ada), Ok(()));
    put_on(&world, Some(&root), &ada.user_id, Restriction::Suspend, false).expect("taken off");
    world.run(|cx| create::create_room(cx, &make)).expect("as before");
}

#[test]
fn devices_are_for_their_user_and_administrators() {
    let (world, root, _, ada) = world();
    let devices =
        |by: &Person, user_id: &UserId| check(world.read(|cx| whois(cx, &by.user_id, user_id))).map(|devices| devices.len());
    assert_eq!(devices(&ada, &ada.user_id), Ok(1));
    assert_eq!(devices(&root, &ada.user_id), Ok(1));
    assert!(matches!(devices(&ada, &root.user_id), Err(Reject::Forbidden(_))));
    assert!(matches!(devices(&ada, user_id!("@nobody:example.org")), Err(Reject::Forbidden(_))));
    assert!(matches!(devices(&root, user_id!("@nobody:example.org")), Err(Reject::NotFound(_))));
}
