//! What is left of somebody, and of a room: nothing that a scan of any table finds.

use std::collections::BTreeSet;

use ruma::{UserId, room_id, user_id};
use serde_json::{Value, json, value::to_raw_value};

use super::*;
use crate::{
    account::{self, NewAccountData},
    media::{CompleteUpload, FileKey, Media, StoredFile, complete_upload, media},
    platform::{self, tests as clinic},
    room::membership::Action,
    tables::UserKind,
    testing::{LIFETIME_MS, Person, World},
};

fn carry_out(world: &World) -> usize {
    let mut steps = 0;
    while let Some(name) = world.read(|cx| begun(cx, 1)).unwrap().first().copied() {
        world.run(|cx| step(cx, name)).unwrap();
        steps += 1;
    }
    steps
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

/// What is told of an end, for L.
fn told() -> BTreeSet<u16> {
    BTreeSet::from([tables::CHANGES.info().id, tables::DEPARTURES.info().id])
}

/// And what the platform is told, and when counts fall: both expire as well.
fn told_to_the_platform() -> BTreeSet<u16> {
    let more = [tables::WEBHOOK_EVENTS.info().id, tables::WAITING.info().id, tables::UNREAD_ENDS.info().id];
    told().into_iter().chain(more).collect()
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
    let Decision::Commit { batch, .. } = world.decide(&|cx| crate::room::send::send_event(cx, &command)).unwrap() else {
        panic!("it writes")
    };
    world.run(|cx| erase_room(cx, &room_id)).unwrap();
    let outcome = world.journal.commit_now(batch).unwrap();
    assert!(matches!(outcome, journal::Outcome::Conflict { .. }), "{outcome:?}");
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

    world.run(|cx| erase_user(cx, &bob.user_id)).unwrap();
    assert!(world.read(|cx| account::user(cx, &bob.user_id).map(drop)).is_err());
    carry_out(&world);
    let server = world.server.name.clone();
    let file = |media_id| world.read(|cx| media(cx, Some(&ada.user_id), &server, media_id));
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
fn participants_go_whole_when_their_session_has_been_over_for_l() {
    let world = World::new();
    clinic::organization(&world, "acme", &[("North", true)]);
    let host = clinic::put_host_named(&world, "ada", "acme", "North", "Ada Byron").unwrap().user_id;
    let put = clinic::session(&world, "visit-1", "ada", &["guest-1"]).unwrap();
    let guest = put.participants["guest-1"].0.clone();
    let (host, guest) = (world.device(&host, "H"), world.device(&guest, "G"));
    let room_id = world.room(&host, &[&guest]);
    world.member(&guest, &room_id, Action::Join);
    world.say(&guest, &room_id, "thank you, doctor");
    world.run(|cx| platform::end_session(cx, "visit-1")).unwrap();
    let ended = world.now();
    assert_eq!(world.read(next_due).unwrap(), Some(ended.plus_ms(LIFETIME_MS)));
    world.advance(LIFETIME_MS - 1);
    assert!(!world.run(erase_due).unwrap(), "not a moment before");
    world.say(&host, &room_id, "a late word");
    world.advance(1);
    while world.run(erase_due).unwrap() {}
    carry_out(&world);
    assert_eq!(world.read(next_due).unwrap(), None);
    assert!(tables_with(&world, "a late word").is_empty());
    assert!(tables_with(&world, "visit-1").is_subset(&told_to_the_platform()), "{:?}", tables_with(&world, "visit-1"));
    let left = tables_with(&world, guest.user_id.as_str());
    assert!(left.is_subset(&told_to_the_platform()), "{left:?}");
    world.advance(LIFETIME_MS);
    assert!(tables_with(&world, guest.user_id.as_str()).is_empty());
    assert!(!tables_with(&world, host.user_id.as_str()).is_empty(), "the host lives on");
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
    let kept = |media_id: &str| world.read(|cx| crate::media::is_kept(cx, &format!("00000000/{media_id}"))).unwrap();
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
