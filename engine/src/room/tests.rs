//! Rooms: creation by version, forks that join again, power, transactions, redaction, state then and now, expiry.

mod join_rules;
mod lifetime;
mod spaces;
mod upgrade;

use std::collections::BTreeSet;

use ruma::{
    OwnedEventId, OwnedRoomId, RoomId, RoomVersionId, UserId,
    api::client::room::create_room::v3::Request,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};
use serde_json::{Value, json};

use super::{
    create::{CreateRoom, create_room},
    get_event, joined_members,
    membership::Action,
    membership_of,
    redact::{RedactEvent, redact_event},
    send::{SendEvent, send_event, send_state},
    state_at, state_event, whole_state,
};
use crate::{
    Decision, Reject,
    tables::{self, UserKind},
    testing::{self, LIFETIME_MS, Person, World, event},
};

fn plain(world: &World, name: &str) -> Person {
    world.user(name, UserKind::Plain, &name.to_uppercase())
}

fn request(version: &str) -> Request {
    let mut request = Request::new();
    request.room_version = Some(RoomVersionId::try_from(version).expect("a version"));
    request
}

fn make(world: &World, creator: &Person, request: Request) -> OwnedRoomId {
    let made = world.read(|cx| Ok::<_, Reject>(cx.view.seq())).expect("a position");
    let random_id = RoomId::parse(format!("!made-{made}:example.org")).expect("a room id");
    let command = CreateRoom { creator: creator.user_id.clone(), random_id, request };
    world.run(|cx| create_room(cx, &command)).expect("a room")
}

fn room_of(world: &World, creator: &Person, version: RoomVersionId) -> OwnedRoomId {
    make(world, creator, request(version.as_str()))
}

fn message(person: &Person, room_id: &RoomId, txn_id: &str, content: &Value) -> SendEvent {
    event(person, room_id, "m.room.message", txn_id, content)
}

fn set_state(
    world: &World,
    person: &Person,
    room_id: &RoomId,
    event_type: &str,
    content: &Value,
) -> Result<OwnedEventId, Reject> {
    let command = testing::state_event(&person.user_id, room_id, event_type, "", content);
    world.run(|cx| send_state(cx, &command))
}

fn act(world: &World, sender: &Person, target: &UserId, room_id: &RoomId, action: Action) -> Result<(), Reject> {
    world.act(&sender.user_id, target, room_id, action)
}

#[test]
fn rooms_of_every_supported_version_take_messages() {
    let every = (1..=12).map(|number| RoomVersionId::try_from(number.to_string()).expect("a version"));
    for version in every {
        let world = World::new();
        let alice = plain(&world, "alice");
        let room_id = room_of(&world, &alice, version.clone());
        let event_id = world.say(&alice, &room_id, "hello");
        let stored = world.read(|cx| get_event(cx, &room_id, &event_id)).expect("a read").expect("the message");
        assert_eq!(stored.row.pdu.event_type, TimelineEventType::RoomMessage, "{version}");
        let named_after_event = room_id.server_name().is_none();
        assert_eq!(named_after_event, version == RoomVersionId::V12, "only version 12 names a room after its first event");
        let create =
            world.read(|cx| state_event(cx, &room_id, &StateEventType::RoomCreate, "")).expect("a read").expect("create");
        let tells_creator = !matches!(version, RoomVersionId::V11 | RoomVersionId::V12);
        assert_eq!(create.content_field::<String>("creator").is_some(), tells_creator, "{version}");
        assert!(!stored.row.pdu.auth_events.contains(&create.event_id) || version != RoomVersionId::V12);
    }
    let world = World::new();
    let alice = plain(&world, "alice");
    let random_id = RoomId::parse("!random:example.org").expect("a room id");
    let command = CreateRoom { creator: alice.user_id.clone(), random_id, request: request("org.example.own") };
    assert_eq!(world.run(|cx| create_room(cx, &command)), Err(Reject::UnsupportedRoomVersion("org.example.own".into())));
}

#[test]
fn before_version_3_the_server_names_events_and_hashes_what_they_follow() {
    for version in [RoomVersionId::V1, RoomVersionId::V2] {
        let world = World::new();
        let alice = plain(&world, "alice");
        let room_id = room_of(&world, &alice, version);
        let stored = |event_id: &OwnedEventId| {
            world.read(|cx| get_event(cx, &room_id, event_id)).expect("a read").expect("the event").row.pdu
        };
        let (one, two) = (stored(&world.say(&alice, &room_id, "one")), stored(&world.say(&alice, &room_id, "two")));
        assert!(two.event_id.as_str().ends_with(":example.org"), "{}", two.event_id);
        let hash = one.references.expect("hashes").own;
        let named = two.references.clone().expect("hashes").named;
        assert_eq!(named.get(&one.event_id), Some(&hash), "it names what it follows with its hash");
        assert!(two.auth_events.iter().all(|event_id| named.contains_key(event_id)), "and what allows it");
        let redact = RedactEvent {
            sender: alice.user_id.clone(),
            device_id: None,
            room_id: room_id.clone(),
            event_id: two.event_id.clone(),
            txn_id: "redaction".into(),
            reason: None,
        };
        world.run(|cx| redact_event(cx, &redact)).expect("redacted");
        assert_eq!(stored(&two.event_id).content.get(), "{}");
    }
}

#[test]
fn a_room_has_one_beginning_and_version_12_does_not_list_its_creators() {
    let world = World::new();
    let alice = plain(&world, "alice");
    for version in [RoomVersionId::V11, RoomVersionId::V12] {
        let room_id = room_of(&world, &alice, version.clone());
        let again = set_state(&world, &alice, &room_id, "m.room.create", &json!({ "room_version": "12", "x": 1 }));
        assert!(matches!(again, Err(Reject::BadJson(_))), "{again:?}");
        let listed = json!({ "users": { alice.user_id.as_str(): 100 } });
        let set = set_state(&world, &alice, &room_id, "m.room.power_levels", &listed);
        assert_eq!(matches!(set, Err(Reject::BadJson(_))), version == RoomVersionId::V12, "{set:?}");
    }
}

#[test]
fn two_messages_at_once_fork_and_the_next_joins_them() {
    let world = World::new();
    let alice = plain(&world, "alice");
    let room_id = world.room(&alice, &[]);
    let one = message(&alice, &room_id, "1", &json!({ "body": "one" }));
    let two = message(&alice, &room_id, "2", &json!({ "body": "two" }));
    let decided = [&one, &two].map(|command| world.decide(&|cx| send_event(cx, command)).expect("a decision"));
    let ids = decided.map(|decision| {
        let Decision::Commit { batch, output } = decision else { panic!("a message is a commit") };
        assert!(matches!(world.journal.commit_now(batch), Ok(journal::Outcome::Committed(_))), "messages don't conflict");
        output
    });
    let joining = world.say(&alice, &room_id, "three");
    let stored = world.read(|cx| get_event(cx, &room_id, &joining)).expect("a read").expect("the message");
    let mut followed = stored.row.pdu.prev_events;
    followed.sort();
    let mut expected = ids.to_vec();
    expected.sort();
    assert_eq!(followed, expected);
    let tips = world.read(|cx| tables::EXTREMITIES.count(cx.view, &(cx.room(&room_id),))).expect("a count");
    assert_eq!(tips, 1);
}

#[test]
fn the_same_words_at_the_same_moment_are_two_events() {
    let world = World::new();
    let alice = plain(&world, "alice");
    let room_id = world.room(&alice, &[]);
    let [one, two] = ["1", "2"].map(|txn_id| message(&alice, &room_id, txn_id, &json!({ "body": "again" })));
    let Decision::Commit { batch, output: first } = world.decide(&|cx| send_event(cx, &one)).expect("a decision") else {
        panic!("a message is a commit");
    };
    let Decision::Commit { batch: same, .. } = world.decide(&|cx| send_event(cx, &two)).expect("a decision") else {
        panic!("a message is a commit");
    };
    assert!(matches!(world.journal.commit_now(batch), Ok(journal::Outcome::Committed(_))));
    assert!(matches!(world.journal.commit_now(same), Ok(journal::Outcome::Conflict { .. })));
    assert_ne!(world.run(|cx| send_event(cx, &two)).expect("decided again"), first);
}

#[test]
fn more_messages_at_once_than_one_can_follow_are_joined_by_those_after() {
    let world = World::new();
    let alice = plain(&world, "alice");
    let room_id = world.room(&alice, &[]);
    let at_once =
        |number: usize| message(&alice, &room_id, &format!("t{number}"), &json!({ "body": format!("at once {number}") }));
    let commands: Vec<SendEvent> = (0..25).map(at_once).collect();
    let decided: Vec<_> =
        commands.iter().map(|command| world.decide(&|cx| send_event(cx, command)).expect("a decision")).collect();
    let mut open = BTreeSet::new();
    for decision in decided {
        let Decision::Commit { batch, output } = decision else { panic!("a message is a commit") };
        assert!(matches!(world.journal.commit_now(batch), Ok(journal::Outcome::Committed(_))), "messages don't conflict");
        open.insert(output);
    }
    for (turn, expected) in [20, 6, 1, 1].into_iter().enumerate() {
        let event_id = world.say(&alice, &room_id, &format!("after {turn}"));
        let stored = world.read(|cx| get_event(cx, &room_id, &event_id)).expect("a read").expect("the message");
        let followed = stored.row.pdu.prev_events;
        assert_eq!(followed.len(), expected);
        for event_id in followed {
            assert!(open.remove(&event_id), "each event is followed once");
        }
        open.insert(event_id);
    }
    assert_eq!(open.len(), 1);
}

#[test]
fn a_message_rests_on_the_power_levels_it_was_allowed_by() {
    let world = World::new();
    let (alice, bob) = (plain(&world, "alice"), plain(&world, "bob"));
    let room_id = world.room(&alice, &[&bob]);
    world.member(&bob, &room_id, Action::Join);
    let command = message(&bob, &room_id, "1", &json!({ "body": "let me in" }));
    let Decision::Commit { batch, .. } = world.decide(&|cx| send_event(cx, &command)).expect("a decision") else {
        panic!("a message is a commit");
    };
    let levels = json!({ "users": { alice.user_id.as_str(): 100 }, "events_default": 50 });
    set_state(&world, &alice, &room_id, "m.room.power_levels", &levels).expect("new levels");
    assert!(matches!(world.journal.commit_now(batch), Ok(journal::Outcome::Conflict { .. })), "decided on old levels");
    assert!(matches!(world.run(|cx| send_event(cx, &command)), Err(Reject::Forbidden(_))));
}

#[test]
fn a_repeated_transaction_is_the_same_event() {
    let world = World::new();
    let alice = plain(&world, "alice");
    let room_id = world.room(&alice, &[]);
    let command = message(&alice, &room_id, "once", &json!({ "body": "once" }));
    let first = world.run(|cx| send_event(cx, &command)).expect("a message");
    assert_eq!(world.run(|cx| send_event(cx, &command)), Ok(first.clone()));
    let other_device =
        SendEvent { device_id: Some("OTHER".into()), ..message(&alice, &room_id, "once", &json!({ "body": "once" })) };
    assert_ne!(world.run(|cx| send_event(cx, &other_device)), Ok(first), "transactions belong to a device");
}

#[test]
fn content_that_canonical_json_cannot_hold_is_refused() {
    let world = World::new();
    let alice = plain(&world, "alice");
    let room_id = world.room(&alice, &[]);
    for content in [json!([]), json!("text"), json!({ "n": 1.5 }), json!({ "n": 9_007_199_254_740_992_u64 })] {
        let command = message(&alice, &room_id, "bad", &content);
        assert!(matches!(world.run(|cx| send_event(cx, &command)), Err(Reject::BadJson(_))), "{content}");
    }
    let command = message(&alice, &room_id, "large", &json!({ "body": "x".repeat(70_000) }));
    assert!(matches!(world.run(|cx| send_event(cx, &command)), Err(Reject::TooLarge(_))));
}

#[test]
fn memberships_follow_the_room_s_rules() {
    let world = World::new();
    let (alice, bob, eve) = (plain(&world, "alice"), plain(&world, "bob"), plain(&world, "eve"));
    let room_id = world.room(&alice, &[&bob]);
    let forbidden = |result: Result<(), Reject>| assert!(matches!(result, Err(Reject::Forbidden(_))), "{result:?}");
    forbidden(act(&world, &eve, &eve.user_id, &room_id, Action::Join));
    forbidden(act(&world, &eve, &eve.user_id, &room_id, Action::Leave));
    act(&world, &bob, &bob.user_id, &room_id, Action::Join).expect("bob was invited");
    act(&world, &bob, &bob.user_id, &room_id, Action::Join).expect("joining twice is joining once");
    forbidden(act(&world, &bob, &alice.user_id, &room_id, Action::Kick));
    act(&world, &bob, &eve.user_id, &room_id, Action::Invite).expect("everybody may invite into a private chat");
    act(&world, &alice, &eve.user_id, &room_id, Action::Ban).expect("the creator may ban");
    forbidden(act(&world, &eve, &eve.user_id, &room_id, Action::Join));
    act(&world, &alice, &eve.user_id, &room_id, Action::Unban).expect("the creator may unban");
    act(&world, &alice, &bob.user_id, &room_id, Action::Kick).expect("the creator may kick");
    let joined = world.read(|cx| joined_members(cx, &room_id)).expect("a read");
    assert_eq!(joined.into_iter().map(|row| row.user_id).collect::<Vec<_>>(), [alice.user_id.clone()]);
    let membership = world.read(|cx| membership_of(cx, &room_id, &bob.user_id)).expect("a read");
    assert_eq!(membership, Some(MembershipState::Leave));
}

#[test]
fn a_redaction_takes_the_content_away_everywhere() {
    let world = World::new();
    let (alice, bob) = (plain(&world, "alice"), plain(&world, "bob"));
    let room_id = world.room(&alice, &[&bob]);
    world.member(&bob, &room_id, Action::Join);
    let said = world.say(&alice, &room_id, "regretted");
    let redact = |sender: &Person, event_id: &OwnedEventId, txn_id: &str| {
        let command = RedactEvent {
            sender: sender.user_id.clone(),
            device_id: Some(sender.device_id.clone()),
            room_id: room_id.clone(),
            event_id: event_id.clone(),
            txn_id: txn_id.into(),
            reason: None,
        };
        world.run(|cx| redact_event(cx, &command))
    };
    assert!(matches!(redact(&bob, &said, "1"), Err(Reject::Forbidden(_))), "bob may redact only what he said");
    let redaction = redact(&alice, &said, "2").expect("one's own message");
    let stored = world.read(|cx| get_event(cx, &room_id, &said)).expect("a read").expect("the event stays");
    assert_eq!(stored.row.pdu.content.get(), "{}");
    assert_eq!(stored.row.redacted_because.map(|pdu| pdu.event_id), Some(redaction));
    let name = set_state(&world, &alice, &room_id, "m.room.name", &json!({ "name": "regretted" })).expect("a name");
    let before = world.read(|cx| whole_state(cx, &room_id, None)).expect("a read");
    redact(&alice, &name, "3").expect("one's own state");
    let state = world.read(|cx| whole_state(cx, &room_id, None)).expect("a read");
    let stamps = |state: &[(journal::Stamp, super::Pdu)]| state.iter().map(|(stamp, _)| *stamp).collect::<Vec<_>>();
    assert_eq!(stamps(&before), stamps(&state), "a redaction moves no state");
    assert!(state.iter().all(|(_, pdu)| !pdu.content.get().contains("regretted")));
}

#[test]
fn state_is_known_as_it_was() {
    let world = World::new();
    let alice = plain(&world, "alice");
    let room_id = world.room(&alice, &[]);
    let name = |cx: &crate::Cx<'_>, at| state_at(cx, &room_id, &StateEventType::RoomName, "", at);
    let mut seen = Vec::new();
    for text in ["one", "two", "three"] {
        set_state(&world, &alice, &room_id, "m.room.name", &json!({ "name": text })).expect("a name");
        let at = world.read(|cx| Ok::<_, Reject>(journal::Stamp::end_of(cx.view.seq()))).expect("a position");
        seen.push((at, text));
    }
    for (at, text) in seen {
        let then = world.read(|cx| name(cx, at)).expect("a read").expect("a name");
        assert_eq!(then.content_field::<String>("name").as_deref(), Some(text));
    }
    assert!(world.read(|cx| name(cx, journal::Stamp::ZERO)).expect("a read").is_none());
}

#[test]
fn a_message_is_gone_at_l_exactly_and_state_stays() {
    let world = World::new();
    let alice = plain(&world, "alice");
    let room_id = world.room(&alice, &[]);
    let said = world.say(&alice, &room_id, "soon gone");
    let edit = json!({ "body": "* x", "m.relates_to": { "rel_type": "m.replace", "event_id": said } });
    world.advance(LIFETIME_MS - 1);
    let edit = world.run(|cx| send_event(cx, &message(&alice, &room_id, "edit", &edit))).expect("an edit");
    for event_id in [&said, &edit] {
        assert!(world.read(|cx| get_event(cx, &room_id, event_id)).expect("a read").is_some(), "a millisecond before");
    }
    world.advance(1);
    for event_id in [&said, &edit] {
        assert!(
            world.read(|cx| get_event(cx, &room_id, event_id)).expect("a read").is_none(),
            "an edit never outlives its parent"
        );
    }
    let create =
        world.read(|cx| state_event(cx, &room_id, &StateEventType::RoomCreate, "")).expect("a read").expect("create");
    assert!(world.read(|cx| get_event(cx, &room_id, &create.event_id)).expect("a read").is_some(), "current state stays");
    world.say(&alice, &room_id, "the room lives on");
}
