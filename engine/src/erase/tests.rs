//! What is left of somebody, and of a room: nothing that a scan of any table finds.

mod crowds;
mod people;

use std::collections::BTreeSet;

use ruma::{RoomId, UserId, events::room::member::MembershipState, room_id, user_id};
use serde_json::{Value, json, value::to_raw_value};

use super::*;
use crate::{
    account::{self, NewAccountData},
    media::{CompleteUpload, FileKey, Media, StoredFile, complete_upload, media},
    room::{membership::Action, notices},
    tables::UserKind,
    testing::{LIFETIME_MS, Person, World},
};

/// More steps than any of these erasures takes.
const STEPS_MAX: usize = 1_000;

fn carry_out(world: &World) -> usize {
    let mut steps = 0;
    while let Some(name) = world.read(begun).unwrap().first().copied() {
        world.run(|cx| step(cx, name)).unwrap();
        steps += 1;
        assert!(steps < STEPS_MAX, "it never ends");
    }
    steps
}

/// Begins all that is due.
fn begin_due(world: &World) {
    for session in world.read(due_sessions).unwrap() {
        while world.run(|cx| erase_due(cx, session)).unwrap() {}
    }
}

/// People who were in a room and have left it.
fn former_members(world: &World, room_id: &RoomId, count: usize) {
    world
        .run(|cx| {
            let mut draft = Draft::new(*cx);
            for number in 0..count {
                let user_id = UserId::parse(format!("@former{number}:example.org")).unwrap();
                let (room, user) = (cx.room(room_id), cx.user(&user_id));
                let membership = MembershipState::Leave;
                let row = tables::MemberRow { user_id, membership, index: 0, display_name: None, avatar_url: None };
                tables::MEMBERS.put(&mut draft.batch, &(room, user), &row);
            }
            Ok(draft.commit(()))
        })
        .unwrap();
}

fn batch_of<T>(decision: Decision<T>) -> journal::Batch {
    match decision {
        Decision::Commit { batch, .. } => batch,
        Decision::Done(_) => panic!("it writes"),
    }
}

fn is_conflict(world: &World, batch: journal::Batch) -> bool {
    matches!(world.journal.commit_now(batch).unwrap(), journal::Outcome::Conflict { .. })
}

fn account_data(world: &World, person: &Person, event_type: &str, content: &Value) {
    let data = NewAccountData {
        user_id: person.user_id.clone(),
        room_id: None,
        event_type: event_type.to_owned(),
        content: to_raw_value(content).unwrap(),
    };
    world.run(|cx| account::set_account_data(cx, &data)).unwrap();
}

fn upload(world: &World, owner: &UserId, media_id: &str) {
    let file = StoredFile {
        object: format!("00000000/{media_id}"),
        key: FileKey::new([7; 32]),
        size: 10,
        content_type: None,
        file_name: None,
    };
    let completed = world.now();
    let command =
        CompleteUpload { user_id: owner.to_owned(), media_id: media_id.to_owned(), reserved: false, file, completed };
    world.run(|cx| complete_upload(cx, &command)).unwrap();
}

/// Tables in which a scan finds `needle`.
fn tables_with(world: &World, needle: &str) -> BTreeSet<u16> {
    let values = world.journal.values(world.now()).expect("opens");
    let has = |value: &[u8]| value.windows(needle.len()).any(|window| window == needle.as_bytes());
    values.into_iter().filter(|(_, value)| has(value)).map(|(id, _)| id).collect()
}

/// Whether a file is kept as a picture in use.
fn kept_by(world: &World, media_id: &str) -> bool {
    world.read(|cx| crate::media::is_kept(cx, &format!("00000000/{media_id}"))).unwrap()
}

/// What is told of an end, for L.
fn told() -> BTreeSet<u16> {
    BTreeSet::from([tables::CHANGES.info().id, tables::DEPARTURES.info().id])
}

#[test]
fn a_room_is_erased_whole_and_its_members_hear_of_it() {
    let world = World::new();
    let (ada, bob) = (world.user("ada", UserKind::Plain, "A"), world.user("bob", UserKind::Plain, "B"));
    let room_id = world.room(&ada, &[&bob]);
    world.member(&bob, &room_id, Action::Join);
    account_data(
        &world,
        &ada,
        "m.direct",
        &json!({ "@bob:example.org": [room_id], "@eve:example.org": ["!x:example.org"] }),
    );
    for number in 0..1_400 {
        world.say(&bob, &room_id, &format!("message {number}"));
    }
    world.run(|cx| erase_room(cx, &room_id)).unwrap();
    let gone = world.read(|cx| crate::room::get_room(cx, &room_id).map(drop));
    assert!(matches!(gone, Err(Stop::Reject(Reject::NotFound(_)))), "from the first batch on");
    assert!(carry_out(&world) > 1, "in several steps");
    assert_eq!(tables_with(&world, room_id.as_str()), told());
    let direct = world.read(|cx| account::account_data(cx, &ada.user_id, "m.direct")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(direct.get()).unwrap(), json!({ "@eve:example.org": ["!x:example.org"] }));
    world.advance(LIFETIME_MS);
    assert_eq!(tables_with(&world, room_id.as_str()), BTreeSet::new());
    assert!(world.run(|cx| erase_room(cx, room_id!("!never:example.org"))).is_err());
}

#[test]
fn what_is_being_sent_meanwhile_is_decided_again() {
    let world = World::new();
    let ada = world.user("ada", UserKind::Plain, "A");
    let room_id = world.room(&ada, &[]);
    let command = crate::room::send::SendEvent {
        sender: ada.user_id.clone(),
        device_id: None,
        room_id: room_id.clone(),
        event_type: "m.room.message".into(),
        txn_id: "late".into(),
        content: to_raw_value(&json!({ "msgtype": "m.text", "body": "late" })).unwrap(),
        timestamp: None,
    };
    let batch = batch_of(world.decide(&|cx| crate::room::send::send_event(cx, &command)).unwrap());
    world.run(|cx| erase_room(cx, &room_id)).unwrap();
    assert!(is_conflict(&world, batch));
}

#[test]
fn whoever_comes_into_a_room_that_is_being_erased_hears_of_it_too() {
    let world = World::new();
    let (ada, bob) = (world.user("ada", UserKind::Plain, "A"), world.user("bob", UserKind::Plain, "B"));
    let room_id = world.room(&ada, &[&bob]);
    let erasure = batch_of(world.decide(&|cx| erase_room(cx, &room_id)).unwrap());
    world.member(&bob, &room_id, Action::Join);
    assert!(is_conflict(&world, erasure), "it is looked again who is there");
    world.run(|cx| erase_room(cx, &room_id)).unwrap();
    carry_out(&world);
    assert_eq!(tables_with(&world, room_id.as_str()), told());
}

#[test]
fn whoever_is_being_erased_comes_into_no_room_any_more() {
    let world = World::new();
    let people = ["ada", "bob", "eve"].map(|name| world.user(name, UserKind::Plain, "D"));
    let [ada, bob, eve] = &people;
    let room_id = world.room(ada, &[bob, eve]);
    world.member(eve, &room_id, Action::Join);
    let (user_id, target) = (bob.user_id.clone(), bob.user_id.clone());
    let command = crate::room::membership::SetMembership {
        sender: user_id,
        room_id: room_id.clone(),
        target,
        action: Action::Join,
        reason: None,
        further: ruma::CanonicalJsonObject::new(),
    };
    let join = batch_of(world.decide(&|cx| crate::room::membership::set_membership(cx, &command)).unwrap());
    world.run(|cx| erase_user(cx, &bob.user_id)).unwrap();
    assert!(is_conflict(&world, join));
    carry_out(&world);
    let membership = world.read(|cx| crate::room::membership_of(cx, &room_id, &bob.user_id)).unwrap();
    assert_eq!(membership, Some(MembershipState::Leave));
}

#[test]
fn however_many_were_in_a_room_an_erasure_ends() {
    let world = World::new();
    let people = ["ada", "bob", "eve"].map(|name| world.user(name, UserKind::Plain, "D"));
    let [ada, bob, eve] = &people;
    let group = world.room(ada, &[bob, eve]);
    world.member(bob, &group, Action::Join);
    world.member(eve, &group, Action::Join);
    world.say(bob, &group, "from the one who goes");
    former_members(&world, &group, 2 * STEP_MAX);
    world.run(|cx| erase_user(cx, &bob.user_id)).unwrap();
    carry_out(&world);
    assert!(tables_with(&world, "from the one who goes").is_empty());
    world.run(|cx| erase_room(cx, &group)).unwrap();
    carry_out(&world);
    assert_eq!(tables_with(&world, group.as_str()), told());
    let members = world.read(|cx| crate::room::members(cx, &group)).unwrap();
    assert!(members.is_empty(), "whoever had left it is forgotten as well");
}

#[test]
fn the_first_batch_is_as_small_for_a_user_of_many_rooms() {
    let world = World::new();
    let people = ["ada", "bob", "eve"].map(|name| world.user(name, UserKind::Plain, "D"));
    let [ada, bob, eve] = &people;
    let first = || batch_of(world.decide(&|cx| erase_user(cx, &bob.user_id)).unwrap()).ops().len();
    let alone = first();
    let groups: Vec<_> = (0..20).map(|_| world.room(ada, &[bob, eve])).collect();
    for group in &groups {
        world.member(bob, group, Action::Join);
    }
    assert_eq!(first(), alone);
    world.run(|cx| erase_user(cx, &bob.user_id)).unwrap();
    carry_out(&world);
    for group in &groups {
        let membership = world.read(|cx| crate::room::membership_of(cx, group, &bob.user_id)).unwrap();
        assert_eq!(membership, Some(MembershipState::Leave));
    }
}

#[test]
fn of_a_user_a_hash_is_left() {
    let world = World::new();
    let (ada, bob, eve) = (
        world.user("ada", UserKind::Plain, "A"),
        world.user("bob", UserKind::Plain, "B"),
        world.user("eve", UserKind::Plain, "E"),
    );
    let pair = world.room(&ada, &[&bob]);
    world.member(&bob, &pair, Action::Join);
    let group = world.room(&ada, &[&bob, &eve]);
    world.member(&bob, &group, Action::Join);
    world.member(&eve, &group, Action::Join);
    world.say(&bob, &group, "from the one who goes");
    world.say(&ada, &group, "from one who stays");
    upload(&world, &bob.user_id, "his");
    upload(&world, &ada.user_id, "hers");
    let ignored = json!({ "ignored_users": { "@bob:example.org": {}, "@zed:example.org": {} } });
    account_data(&world, &eve, "m.ignored_user_list", &ignored);

    let powers = json!({ "users": { "@ada:example.org": 100, "@bob:example.org": 100 } });
    crate::testing::state(&world, &ada, &group, "m.room.power_levels", "", powers);
    crate::testing::state(&world, &bob, &group, "m.room.avatar", "", json!({ "url": "mxc://example.org/his" }));
    world.run(|cx| erase_user(cx, &bob.user_id)).unwrap();
    assert!(world.read(|cx| account::user(cx, &bob.user_id).map(drop)).is_err());
    let server = world.server.name.clone();
    let file = |media_id| world.read(|cx| media(cx, Some(&ada.user_id), &server, media_id));
    assert!(kept_by(&world, "his"), "it was the group's picture");
    assert!(file("his").is_err(), "from the first batch on");
    carry_out(&world);
    assert!(!kept_by(&world, "his"));
    assert!(file("his").is_err() && matches!(file("hers"), Ok(Media::File { .. })));
    assert!(tables_with(&world, "from the one who goes").is_empty());
    assert!(!tables_with(&world, "from one who stays").is_empty());
    assert_eq!(tables_with(&world, pair.as_str()), told());
    // In the room that lives on, they left: state is not content.
    let state = [tables::STATE.info(), tables::MEMBERS.info(), tables::CHANGES.info(), tables::TIMELINE.info()];
    let allowed: BTreeSet<u16> = state.iter().map(|table| table.id).collect();
    let left = tables_with(&world, "@bob:example.org");
    assert!(left.is_subset(&allowed), "{left:?}");
    let register = account::Register {
        localpart: "bob".to_owned(),
        kind: UserKind::Plain,
        password_hash: None,
        admin: false,
        appservice: None,
        device: None,
    };
    assert_eq!(world.run(|cx| account::register(cx, &register)).err(), Some(Reject::UserInUse), "no id is given out twice");
    assert!(world.run(|cx| erase_user(cx, user_id!("@never:example.org"))).is_err());
}

#[test]
fn the_servers_own_users_are_not_erased_and_the_next_notice_makes_another_room() {
    let world = World::with_appservices([crate::testing::appservice("desk", "desk")]);
    let ada = world.user("ada", UserKind::Plain, "A");
    world.run(notices::ensure_sender).unwrap();
    let open = |random_id: &RoomId| world.run(|cx| notices::open(cx, &ada.user_id, random_id)).unwrap();
    let room_id = open(room_id!("!one:example.org"));
    world.run(|cx| erase_room(cx, &room_id)).unwrap();
    carry_out(&world);
    assert_ne!(open(room_id!("!two:example.org")), room_id);
    let refused = world.run(|cx| erase_user(cx, user_id!("@_server:example.org")));
    assert!(matches!(refused, Err(Reject::Forbidden(_))), "{refused:?}");
    // A plain user was there before the service that is to send as them.
    let desk = world.user("desk", UserKind::Plain, "D");
    world.run(|cx| erase_user(cx, &desk.user_id)).unwrap();
    carry_out(&world);
    let refused = world.run(account::ensure_senders);
    assert!(matches!(refused, Err(Reject::Exclusive(_))), "{refused:?}");
}

#[test]
fn the_files_are_to_be_rewritten_after_every_erasure() {
    let world = World::new();
    let (ada, bob) = (world.user("ada", UserKind::Plain, "A"), world.user("bob", UserKind::Plain, "B"));
    let due = || world.read(scrub_due).unwrap();
    assert_eq!(due(), None);
    let erase = |person: &Person| {
        world.run(|cx| erase_user(cx, &person.user_id)).unwrap();
        carry_out(&world);
        due().expect("it is due")
    };
    let before = erase(&ada);
    let meanwhile = erase(&bob);
    world.run(|cx| scrubbed(cx, before)).unwrap();
    assert_eq!(due(), Some(meanwhile), "what was erased while the files were rewritten may be in them");
    world.run(|cx| scrubbed(cx, meanwhile)).unwrap();
    assert_eq!(due(), None);
}

#[test]
fn a_picture_in_use_lives_until_it_is_replaced() {
    let world = World::new();
    let (ada, bob) = (world.user("ada", UserKind::Plain, "A"), world.user("bob", UserKind::Plain, "B"));
    world
        .run(|cx| {
            let mut draft = Draft::new(*cx);
            for person in [&ada, &bob] {
                tables::PROFILES.put(&mut draft.batch, &(cx.user(&person.user_id),), &tables::ProfileRow::default());
            }
            Ok(draft.commit(()))
        })
        .unwrap();
    let set = |person: &Person, url: Option<&str>| {
        let value = url.map(|url| json!(url));
        let command = account::profile::SetField { user_id: person.user_id.clone(), field: "avatar_url".to_owned(), value };
        world.run(|cx| account::profile::set_field(cx, &command)).unwrap();
    };
    let server = world.server.name.clone();
    let there = |media_id: &str| world.read(|cx| media(cx, Some(&bob.user_id), &server, media_id)).is_ok();
    let kept = |media_id: &str| kept_by(&world, media_id);
    upload(&world, &ada.user_id, "face");
    upload(&world, &ada.user_id, "sent");
    set(&ada, Some("mxc://example.org/face"));
    // Somebody else's file is not kept by showing it.
    set(&bob, Some("mxc://example.org/sent"));
    world.advance(LIFETIME_MS);
    assert!(there("face") && kept("face"));
    assert!(!there("sent") && !kept("sent"));
    upload(&world, &ada.user_id, "newer");
    set(&ada, Some("mxc://example.org/newer"));
    assert!(!there("face") && !kept("face"));
    set(&ada, None);
    assert!(there("newer") && !kept("newer"), "as long as any file");
    world.advance(LIFETIME_MS);
    assert!(!there("newer"));
}
