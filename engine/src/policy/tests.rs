//! Who may talk to whom, as tables.

use ruma::{OwnedUserId, UserId, api::client::room::create_room, owned_user_id, user_id};

use super::*;
use crate::{
    Reject,
    platform::tests::{organization, put_host_named, session},
    room::{create::CreateRoom, membership},
    tables::UserKind,
    testing::{Person, World, appservice, event, state_event},
};

/// Two hosts of an account with chat, one of an account without, one of another organization; participants; plain users; support.
fn world() -> World {
    let world = World::with_appservices([appservice("bridge", "support")]);
    world.user("support", UserKind::Appservice, "BRIDGE");
    organization(&world, "acme", &[("North", true), ("Quiet", false)]);
    organization(&world, "other", &[("East", true)]);
    for (host, organization, account) in
        [("ada", "acme", "North"), ("bob", "acme", "North"), ("quiet", "acme", "Quiet"), ("eve", "other", "East")]
    {
        put_host_named(&world, host, organization, account, host).expect("a host");
    }
    session(&world, "s1", "ada", &["pat", "paul"]).expect("a session");
    session(&world, "s2", "quiet", &["pete"]).expect("a session");
    world.user("zed", UserKind::Plain, "Z");
    world.user("yan", UserKind::Plain, "Y");
    world
}

fn id(localpart: &str) -> OwnedUserId {
    UserId::parse(format!("@{localpart}:example.org")).expect("a user id")
}

fn create(world: &World, creator: &str, invitees: &[&str]) -> Result<ruma::OwnedRoomId, Reject> {
    let mut request = create_room::v3::Request::new();
    request.invite = invitees.iter().map(|localpart| id(localpart)).collect();
    let made = world.read(|cx| Ok::<_, Reject>(cx.view.seq())).expect("a position");
    let random_id = ruma::RoomId::parse(format!("!{creator}-{made}:example.org")).expect("a room id");
    let command = CreateRoom { creator: id(creator), random_id, request };
    world.run(|cx| crate::room::create::create_room(cx, &command))
}

fn member(world: &World, sender: &str, target: &str, room_id: &RoomId, action: membership::Action) -> Result<(), Reject> {
    world.act(&id(sender), &id(target), room_id, action)
}

fn person(localpart: &str) -> Person {
    Person { user_id: id(localpart), device_id: "D".into(), keys: std::sync::Arc::new(crate::testing::key_pair("D")) }
}

#[test]
fn who_may_make_a_room_with_whom() {
    for (creator, invitees, allowed) in [
        ("zed", &["yan"] as &[_], true),
        ("zed", &[], true),
        ("zed", &["support"], true),
        ("zed", &["ada"], false),
        ("zed", &["pat"], false),
        ("ada", &["bob"], true),
        ("ada", &[], true),
        ("ada", &["eve"], false),
        ("ada", &["zed"], false),
        ("ada", &["pat"], true),
        ("ada", &["pat", "support"], true),
        ("ada", &["pat", "paul"], false),
        ("ada", &["pat", "bob"], false),
        ("ada", &["support"], true),
        ("ada", &["quiet"], false),
        ("bob", &["pat"], false),
        ("quiet", &["bob"], false),
        ("quiet", &["pete"], false),
        ("quiet", &["support"], true),
        ("pat", &["ada"], true),
        ("pat", &["support"], true),
        ("pat", &[], false),
        ("pat", &["bob"], false),
        ("pat", &["paul"], false),
        ("pat", &["zed"], false),
        ("pat", &["ada", "support"], false),
        ("pete", &["quiet"], false),
        ("pete", &["support"], true),
        ("support", &["pat"], true),
        ("support", &["zed"], true),
        ("support", &["ada", "zed"], false),
    ] {
        let world = world();
        let made = create(&world, creator, invitees);
        assert_eq!(made.is_ok(), allowed, "{creator} with {invitees:?}: {made:?}");
        assert!(
            matches!(made, Ok(_) | Err(Reject::Forbidden(_) | Reject::InviteBlocked(_))),
            "{creator} with {invitees:?}: {made:?}"
        );
    }
}

#[test]
fn a_pair_has_one_live_room() {
    let world = world();
    let room = create(&world, "ada", &["pat"]).expect("a room");
    assert!(matches!(create(&world, "ada", &["pat"]), Err(Reject::Forbidden(_))));
    assert!(matches!(create(&world, "pat", &["ada"]), Err(Reject::Forbidden(_))));
    create(&world, "pat", &["support"]).expect("support is another pair");
    create(&world, "ada", &["paul"]).expect("paul is another pair");
    member(&world, "ada", "ada", &room, membership::Action::Leave).expect("left");
    create(&world, "pat", &["ada"]).expect("the old room is dead");
}

#[test]
fn two_who_start_at_once_make_one_room() {
    let world = world();
    let decide = |creator: &str, invitee: &str| {
        let mut request = create_room::v3::Request::new();
        request.invite = vec![id(invitee)];
        let random_id = ruma::RoomId::parse(format!("!{creator}:example.org")).expect("a room id");
        let command = CreateRoom { creator: id(creator), random_id, request };
        world.decide(&|cx: &Cx<'_>| crate::room::create::create_room(cx, &command)).expect("decided")
    };
    let (one, other) = (decide("ada", "pat"), decide("pat", "ada"));
    let commit = |decision| match decision {
        crate::Decision::Commit { batch, .. } => world.journal.commit_now(batch).expect("the journal writes"),
        crate::Decision::Done(_) => panic!("a room is a commit"),
    };
    assert!(matches!(commit(one), journal::Outcome::Committed(_)));
    assert!(matches!(commit(other), journal::Outcome::Conflict { .. }));
}

#[test]
fn who_may_be_brought_into_a_room() {
    use membership::Action::{Invite, Join};
    let world = world();
    let hosts = create(&world, "ada", &["bob"]).expect("a room");
    let pair = create(&world, "ada", &["paul"]).expect("a room");
    let plain = create(&world, "zed", &[]).expect("a room");
    for (sender, target, room, expected) in [
        ("ada", "pat", &hosts, "M_INVITE_BLOCKED"),
        ("ada", "eve", &hosts, "M_FORBIDDEN"),
        ("ada", "zed", &hosts, "M_FORBIDDEN"),
        ("ada", "support", &hosts, ""),
        ("ada", "bob", &pair, "M_INVITE_BLOCKED"),
        ("ada", "pat", &pair, "M_FORBIDDEN"),
        ("ada", "support", &pair, ""),
        ("zed", "ada", &plain, "M_FORBIDDEN"),
        ("zed", "yan", &plain, ""),
    ] {
        let code = match member(&world, sender, target, room, Invite) {
            Ok(()) => "",
            Err(Reject::Forbidden(_)) => "M_FORBIDDEN",
            Err(Reject::InviteBlocked(_)) => "M_INVITE_BLOCKED",
            Err(other) => panic!("{sender} invites {target}: {other:?}"),
        };
        assert_eq!(code, expected, "{sender} invites {target}");
    }
    member(&world, "paul", "paul", &pair, Join).expect("invited by the inviter");
    assert!(
        matches!(member(&world, "paul", "support", &pair, Invite), Err(Reject::Forbidden(_))),
        "participants invite nobody"
    );
    assert!(matches!(member(&world, "pat", "pat", &hosts, Join), Err(Reject::NotFound(_))));
}

#[test]
fn who_knows_of_whom() {
    let world = world();
    create(&world, "pat", &["support"]).expect("a room");
    for (viewer, target, seen) in [
        ("zed", "yan", true),
        ("zed", "ada", false),
        ("zed", "pat", false),
        ("zed", "support", true),
        ("ada", "ada", true),
        ("ada", "bob", true),
        ("ada", "quiet", true),
        ("ada", "eve", false),
        ("ada", "zed", false),
        ("ada", "pat", true),
        ("ada", "pete", false),
        ("bob", "pat", false),
        ("pat", "ada", true),
        ("pat", "paul", false),
        ("pat", "bob", false),
        ("pat", "support", true),
        ("pat", "zed", false),
        ("support", "pat", true),
    ] {
        assert_eq!(world.read(|cx| may_see(cx, &id(viewer), &id(target))).expect("reads"), seen, "{viewer} sees {target}");
    }
}

#[test]
fn switching_chat_off_leaves_support() {
    let world = world();
    let pair = create(&world, "ada", &["pat"]).expect("a room");
    let support = create(&world, "ada", &["support"]).expect("a room");
    let may = |user: &str, room: &RoomId| world.read(|cx| may_send(cx, &id(user), room)).is_ok();
    assert!(may("ada", &pair) && may("pat", &pair) && may("ada", &support));
    organization(&world, "acme", &[("North", false)]);
    assert!(!may("ada", &pair) && !may("pat", &pair));
    assert!(may("ada", &support));
    assert!(matches!(world.run(|cx| send(cx, &person("ada"), &pair)), Err(Reject::Forbidden(_))));
}

fn send(cx: &Cx<'_>, person: &Person, room_id: &RoomId) -> crate::Decided<ruma::OwnedEventId> {
    let content = serde_json::json!({ "msgtype": "m.text", "body": "hello" });
    let command = event(person, room_id, "m.room.message", "t", &content);
    crate::room::send::send_event(cx, &command)
}

#[test]
fn a_host_writes_to_nobody_whose_session_is_over() {
    use membership::Action::{Invite, Leave};
    let world = world();
    session(&world, "s3", "ada", &["peg"]).expect("a session");
    let pair = create(&world, "ada", &["pat"]).expect("a room");
    let with_support = create(&world, "ada", &["peg", "support"]).expect("a room");
    let of_support = create(&world, "pat", &["support"]).expect("a room");
    let hosts = create(&world, "ada", &["bob"]).expect("a room");
    let may = |user: &str, room: &RoomId| world.read(|cx| may_send(cx, &id(user), room)).is_ok();

    session(&world, "s1", "ada", &["paul"]).expect("pat is left out");
    assert!(!may("ada", &pair));
    session(&world, "s1", "ada", &["pat", "paul"]).expect("pat is back");
    world.advance(3_600_000 - 1);
    assert!(may("ada", &pair) && may("ada", &with_support) && may("pat", &pair));

    // Over to the millisecond, whether or not the worker has come by.
    world.advance(1);
    for worker_came in [false, true] {
        if worker_came {
            for over in ["s1", "s3"] {
                world.run(|cx| crate::platform::end_session(cx, over)).expect("ended");
            }
        }
        for (what, outcome) in [
            ("a message", world.run(|cx| send(cx, &person("ada"), &pair)).map(drop)),
            ("an invitation", member(&world, "ada", "support", &pair, Invite)),
            ("another room", create(&world, "ada", &["pat"]).map(drop)),
            ("a first room", create(&world, "ada", &["paul"]).map(drop)),
            ("a room with support", create(&world, "ada", &["paul", "support"]).map(drop)),
        ] {
            let sentence = "This session has ended: they can't read it any more.";
            assert_eq!(outcome, Err(Reject::forbidden(sentence)), "{what}, worker: {worker_came}");
        }
        assert!(may("ada", &hosts), "another host reads");
        assert!(may("ada", &with_support), "support reads");
        assert!(may("support", &of_support) && may("support", &with_support));
        assert!(world.read(|cx| may_create_room(cx, &id("support"), &[id("paul")])).is_ok(), "support is as it was");
        let own = world.read(|cx| may_redact(cx, &id("ada"), &id("ada"), &pair));
        assert!(own.is_ok(), "what one has said one may take back: {own:?}");
        let theirs = world.read(|cx| may_redact(cx, &id("ada"), &id("pat"), &pair));
        assert!(theirs.is_err(), "what others have said one may not");
    }
    // Where support has gone, too, nobody is left.
    member(&world, "support", "support", &with_support, Leave).expect("left");
    assert!(!may("ada", &with_support));
}

#[test]
fn a_hosts_clients_are_told_that_a_session_is_over() {
    let world = world();
    let pair = create(&world, "ada", &["pat"]).expect("a room");
    let told = |host: &str| {
        let data = world.read(|cx| crate::account::room_account_data(cx, &id(host), &pair, SESSION));
        data.ok().map(|content| content.get().to_owned())
    };
    session(&world, "s1", "ada", &["pat", "paul"]).expect("the same");
    assert_eq!(told("ada"), None, "there is nothing to tell");
    session(&world, "s1", "ada", &["paul"]).expect("pat is left out");
    assert_eq!(told("ada").as_deref(), Some(r#"{"ended":true}"#));
    session(&world, "s1", "ada", &["pat", "paul"]).expect("pat is back");
    assert_eq!(told("ada").as_deref(), Some(r#"{"ended":false}"#));
    world.run(|cx| crate::platform::end_session(cx, "s1")).expect("ended");
    assert_eq!(told("ada").as_deref(), Some(r#"{"ended":true}"#));
    assert_eq!(told("pat"), None, "a participant is logged out, and hears no more");
}

#[test]
fn a_room_that_is_made_while_the_session_ends_is_refused_or_told() {
    let commit = |world: &World, decision: crate::Decision<()>| match decision {
        crate::Decision::Commit { batch, .. } => world.journal.commit_now(batch).expect("the journal writes"),
        crate::Decision::Done(()) => panic!("it writes"),
    };
    let end = |cx: &Cx<'_>| crate::platform::end_session(cx, "s1");
    let make = |cx: &Cx<'_>| -> crate::Decided<()> {
        let mut request = create_room::v3::Request::new();
        request.invite = vec![id("pat")];
        let random_id = ruma::RoomId::parse("!meanwhile:example.org").expect("a room id");
        let command = CreateRoom { creator: id("ada"), random_id, request };
        Ok(crate::room::create::create_room(cx, &command)?.map(drop))
    };
    for end_first in [true, false] {
        let world = world();
        let (ends, made) = (world.decide(&end).expect("decided"), world.decide(&make).expect("decided"));
        let (first, second) = if end_first { (ends, made) } else { (made, ends) };
        assert!(matches!(commit(&world, first), journal::Outcome::Committed(_)));
        assert!(matches!(commit(&world, second), journal::Outcome::Conflict { .. }), "end first: {end_first}");
    }
}

#[test]
fn what_else_provisioned_users_may() {
    let world = world();
    type Asked = fn(&Cx<'_>, &UserId) -> Result<(), Stop>;
    let publish: Asked = may_alias;
    let moderate: Asked = may_moderate;
    let rename: Asked = |cx, user| may_change_profile(cx, user, true);
    let avatar: Asked = |cx, user| may_change_profile(cx, user, false);
    for (what, asked, allowed) in [
        ("publish", publish, [true, false, false]),
        ("moderate", moderate, [true, true, false]),
        ("rename", rename, [true, false, false]),
        ("avatar", avatar, [true, true, false]),
    ] {
        for (localpart, allowed) in ["zed", "ada", "pat"].into_iter().zip(allowed) {
            assert_eq!(world.read(|cx| asked(cx, &id(localpart))).is_ok(), allowed, "{localpart}: {what}");
        }
    }
    let browses = |localpart: &str| world.read(|cx| may_browse_rooms(cx, &id(localpart))).expect("reads");
    assert_eq!(["zed", "ada", "pat"].map(browses), [true, false, false]);
}

#[test]
fn support_is_whom_an_application_service_plays() {
    let world = World::new();
    world.user("support", UserKind::Plain, "D");
    assert!(!world.read(|cx| Ok::<_, ()>(is_support(cx, user_id!("@support:example.org")))).expect("reads"));
    assert_eq!(world.read(|cx| Ok::<_, ()>(support_user_id(cx))).expect("reads"), owned_user_id!("@support:example.org"));
}

#[test]
fn no_other_call_brings_people_in() {
    let world = world();
    let member = |localpart: &str, membership: &str| serde_json::json!({ "type": "m.room.member", "state_key": id(localpart), "content": { "membership": membership } });
    let with = |creator: &str, invitees: &[&str], body: serde_json::Value| {
        let mut request = create_room::v3::Request::new();
        request.invite = invitees.iter().map(|localpart| id(localpart)).collect();
        if let Some(event) = body.get("event") {
            request.initial_state = vec![ruma::serde::Raw::from_json(serde_json::value::to_raw_value(event).expect("JSON"))];
        }
        request.room_alias_name = body.get("alias").and_then(|alias| alias.as_str()).map(ToOwned::to_owned);
        let random_id = ruma::RoomId::parse("!other:example.org").expect("a room id");
        let command = CreateRoom { creator: id(creator), random_id, request };
        world.run(|cx| crate::room::create::create_room(cx, &command))
    };
    for event in [member("paul", "invite"), member("bob", "join")] {
        let made = with("pat", &["ada"], serde_json::json!({ "event": event }));
        assert!(matches!(made, Err(Reject::InvalidParam(_))), "{made:?}");
    }
    for creator in ["ada", "pat"] {
        let made = with(creator, &["support"], serde_json::json!({ "alias": "mine" }));
        assert!(matches!(made, Err(Reject::Forbidden(_))), "{creator}: {made:?}");
    }

    let room = create(&world, "pat", &["ada"]).expect("a room");
    let put = |sender: &str, target: &str, content: serde_json::Value| {
        let command = state_event(&id(sender), &room, "m.room.member", id(target).as_str(), &content);
        world.run(|cx| crate::room::send::send_state(cx, &command)).map(drop)
    };
    for (target, membership) in [("paul", "invite"), ("bob", "invite"), ("ada", "ban"), ("ada", "leave")] {
        let put = put("pat", target, serde_json::json!({ "membership": membership }));
        assert!(matches!(put, Err(Reject::Forbidden(_) | Reject::InviteBlocked(_))), "{membership} {target}: {put:?}");
    }
    let posing = serde_json::json!({ "membership": "join", "displayname": "ada" });
    assert!(matches!(put("pat", "pat", posing), Err(Reject::Forbidden(_))), "nobody takes another name");
    put("pat", "pat", serde_json::json!({ "membership": "join", "displayname": "pat the invitee", "org.example": 1 }))
        .expect("own name");
}
