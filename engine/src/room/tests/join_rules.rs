//! Restricted rooms, and what a body may add to a member event.

use ruma::{
    CanonicalJsonObject, OwnedRoomId, RoomId, UserId, api::client::room::create_room::v3::RoomPreset, events::StateEventType,
};
use serde_json::{Value, json, value::to_raw_value};

use super::{act, make, plain, request, set_state};
use crate::{
    Decision, Reject,
    room::{
        membership::{Action, SetMembership, set_membership},
        send::{parse_content, send_state},
        state_event,
    },
    testing::{self, Person, World},
};

/// A public room, and one of `version` that lets its members in.
fn restricted(world: &World, alice: &Person, version: &str, join_rule: &str) -> (OwnedRoomId, OwnedRoomId) {
    let mut asked = request("11");
    asked.preset = Some(RoomPreset::PublicChat);
    let hall = make(world, alice, asked);
    let room_id = make(world, alice, request(version));
    let rule = json!({ "join_rule": join_rule, "allow": [
        { "type": "org.example.unknown" }, "nonsense", { "type": "m.room_membership", "room_id": hall },
    ] });
    set_state(world, alice, &room_id, "m.room.join_rules", &rule).expect("a join rule");
    (hall, room_id)
}

fn member(world: &World, room_id: &RoomId, user_id: &UserId) -> Value {
    let pdu = world.read(|cx| state_event(cx, room_id, &StateEventType::RoomMember, user_id.as_str())).expect("a read");
    pdu.map_or(Value::Null, |pdu| pdu.content_as().expect("an object"))
}

fn put_member(world: &World, person: &Person, room_id: &RoomId, content: &Value) -> Result<(), Reject> {
    let command = testing::state_event(&person.user_id, room_id, "m.room.member", person.user_id.as_str(), content);
    world.run(|cx| send_state(cx, &command)).map(drop)
}

#[test]
fn members_of_the_named_room_come_in_and_the_event_says_by_whom() {
    for (version, join_rule) in [
        ("8", "restricted"),
        ("9", "restricted"),
        ("10", "knock_restricted"),
        ("11", "restricted"),
        ("12", "knock_restricted"),
    ] {
        let world = World::new();
        let (alice, bob) = (plain(&world, "alice"), plain(&world, "bob"));
        let (hall, room_id) = restricted(&world, &alice, version, join_rule);
        let join = || act(&world, &bob, &bob.user_id, &room_id, Action::Join);
        assert!(matches!(join(), Err(Reject::Forbidden(_))), "not yet in the hall");
        act(&world, &bob, &bob.user_id, &hall, Action::Join).expect("a public room");
        join().expect("in the hall");
        let content = member(&world, &room_id, &bob.user_id);
        assert_eq!(content["join_authorised_via_users_server"], json!(alice.user_id), "{version}");

        // Changing one's own event later needs nobody, whatever the client says.
        let renamed = json!({ "membership": "join", "displayname": "Bobby", "join_authorised_via_users_server": "unused" });
        put_member(&world, &bob, &room_id, &renamed).expect("still in the room");
        assert_eq!(member(&world, &room_id, &bob.user_id), json!({ "membership": "join", "displayname": "Bobby" }));

        for left in [&room_id, &hall] {
            act(&world, &bob, &bob.user_id, left, Action::Leave).expect("left");
        }
        assert!(matches!(join(), Err(Reject::Forbidden(_))), "no longer in the hall");
        let forged = json!({ "membership": "join", "join_authorised_via_users_server": alice.user_id });
        assert!(matches!(put_member(&world, &bob, &room_id, &forged), Err(Reject::Forbidden(_))), "not the client's to say");
        act(&world, &alice, &bob.user_id, &room_id, Action::Invite).expect("invited");
        join().expect("invited");
        assert_eq!(member(&world, &room_id, &bob.user_id).get("join_authorised_via_users_server"), None);
    }
}

#[test]
fn a_join_through_the_state_call_is_completed_too() {
    let world = World::new();
    let (alice, bob) = (plain(&world, "alice"), plain(&world, "bob"));
    let (hall, room_id) = restricted(&world, &alice, "11", "restricted");
    act(&world, &bob, &bob.user_id, &hall, Action::Join).expect("a public room");
    put_member(&world, &bob, &room_id, &json!({ "membership": "join" })).expect("in the hall");
    assert_eq!(member(&world, &room_id, &bob.user_id)["join_authorised_via_users_server"], json!(alice.user_id));
}

#[test]
fn nobody_lets_in_where_nobody_may_invite_or_the_rule_is_broken() {
    let world = World::new();
    let (alice, bob) = (plain(&world, "alice"), plain(&world, "bob"));
    let (hall, room_id) = restricted(&world, &alice, "11", "restricted");
    act(&world, &bob, &bob.user_id, &hall, Action::Join).expect("a public room");
    let join = || act(&world, &bob, &bob.user_id, &room_id, Action::Join);
    for allow in [
        json!(["nonsense"]),
        json!("nonsense"),
        json!([]),
        json!([{ "type": "m.room_membership", "room_id": "!no:example.org" }]),
    ] {
        let rule = json!({ "join_rule": "restricted", "allow": allow });
        set_state(&world, &alice, &room_id, "m.room.join_rules", &rule).expect("a join rule");
        assert!(matches!(join(), Err(Reject::Forbidden(_))), "{allow}");
    }
    let rule = json!({ "join_rule": "restricted", "allow": [{ "type": "m.room_membership", "room_id": hall }] });
    set_state(&world, &alice, &room_id, "m.room.join_rules", &rule).expect("a join rule");
    let levels = json!({ "users": { alice.user_id.as_str(): 100 }, "invite": 101 });
    set_state(&world, &alice, &room_id, "m.room.power_levels", &levels).expect_err("above one's own power");
    act(&world, &alice, &alice.user_id, &room_id, Action::Leave).expect("left");
    assert!(matches!(join(), Err(Reject::Forbidden(_))), "nobody is there who could");
}

#[test]
fn who_leaves_the_other_room_at_the_same_moment_does_not_get_in() {
    let world = World::new();
    let (alice, bob) = (plain(&world, "alice"), plain(&world, "bob"));
    let (hall, room_id) = restricted(&world, &alice, "11", "restricted");
    act(&world, &bob, &bob.user_id, &hall, Action::Join).expect("a public room");
    let command = SetMembership {
        sender: bob.user_id.clone(),
        room_id: room_id.clone(),
        target: bob.user_id.clone(),
        action: Action::Join,
        reason: None,
        further: CanonicalJsonObject::new(),
    };
    let Decision::Commit { batch, .. } = world.decide(&|cx| set_membership(cx, &command)).expect("a decision") else {
        panic!("a join is a commit");
    };
    act(&world, &bob, &bob.user_id, &hall, Action::Leave).expect("left");
    assert!(matches!(world.journal.commit_now(batch), Ok(journal::Outcome::Conflict { .. })));
    assert!(matches!(world.run(|cx| set_membership(cx, &command)), Err(Reject::Forbidden(_))));
}

#[test]
fn a_body_adds_fields_to_a_member_event_but_not_the_servers_own() {
    let world = World::new();
    let (alice, bob) = (plain(&world, "alice"), plain(&world, "bob"));
    let room_id = world.room(&alice, &[]);
    let body = json!({
        "foo": "bar", "user_id": bob.user_id, "reason": "as an argument", "membership": "ban", "displayname": "Mallory",
        "avatar_url": "mxc://example.org/x", "is_direct": true, "third_party_signed": {}, "third_party_invite": {},
        "join_authorised_via_users_server": alice.user_id, "id_access_token": "secret",
    });
    let further = parse_content(&to_raw_value(&body).expect("JSON")).expect("content");
    for (sender, action, membership) in [
        (&alice, Action::Invite, "invite"),
        (&bob, Action::Join, "join"),
        (&alice, Action::Kick, "leave"),
        (&alice, Action::Ban, "ban"),
        (&alice, Action::Unban, "leave"),
    ] {
        let command = SetMembership {
            sender: sender.user_id.clone(),
            room_id: room_id.clone(),
            target: bob.user_id.clone(),
            action,
            reason: Some("why not".into()),
            further: further.clone(),
        };
        world.run(|cx| set_membership(cx, &command)).expect("a membership");
        let expected = json!({ "membership": membership, "reason": "why not", "foo": "bar" });
        assert_eq!(member(&world, &room_id, &bob.user_id), expected, "{action:?}");
    }
}
