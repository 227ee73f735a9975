//! Key backup.

use ruma::{OwnedRoomId, room_id};
use serde_json::value::{RawValue, to_raw_value};

use super::*;
use crate::{
    MEGOLM_ROTATION_MS,
    keys::backup::{self, RoomKeys, Selection},
    testing::LIFETIME_MS,
};

fn text(value: &Value) -> Box<RawValue> {
    to_raw_value(value).expect("JSON")
}

fn algorithm(name: &str) -> Box<RawValue> {
    text(&json!({ "algorithm": name, "auth_data": { "public_key": "k", "unknown": 1 } }))
}

fn key(is_verified: bool, first_message_index: u64, forwarded_count: u64) -> Box<RawValue> {
    text(&json!({
        "is_verified": is_verified, "first_message_index": first_message_index, "forwarded_count": forwarded_count,
        "session_data": { "ciphertext": "c" },
    }))
}

fn keys_of<const N: usize>(room_id: &ruma::RoomId, sessions: [(&str, Box<RawValue>); N]) -> RoomKeys {
    let sessions = sessions.into_iter().map(|(session_id, key)| (session_id.to_owned(), key)).collect();
    map([(OwnedRoomId::from(room_id), sessions)])
}

#[test]
fn versions_are_never_used_twice_and_the_newest_is_current() {
    let world = World::new();
    let alice = world.user("alice", UserKind::Plain, "ALICE");
    let create = || world.run(|cx| backup::create(cx, &alice.user_id, &algorithm("a"))).expect("made");
    let current = || world.read(|cx| backup::current(cx, &alice.user_id)).map(|backup| backup.version).ok();
    assert_eq!(current(), None);
    assert_eq!((create(), create(), current()), (1, 2, Some(2)));
    assert!(!world.run(|cx| backup::delete_version(cx, &alice.user_id, "2")).expect("deleted"));
    assert_eq!((current(), create(), current()), (Some(1), 3, Some(3)));
    let gone = world.run(|cx| backup::delete_version(cx, &alice.user_id, "2")).expect_err("gone");
    assert!(matches!(gone, Reject::NotFound(_)));
    world.run(|cx| backup::update(cx, &alice.user_id, "3", &algorithm("a"))).expect("updated");
    let other = world.run(|cx| backup::update(cx, &alice.user_id, "3", &algorithm("b"))).expect_err("another algorithm");
    assert!(matches!(other, Reject::InvalidParam(_)));
}

#[test]
fn the_better_key_stays() {
    let world = World::new();
    let alice = world.user("alice", UserKind::Plain, "ALICE");
    world.run(|cx| backup::create(cx, &alice.user_id, &algorithm("a"))).expect("made");
    let room_id = room_id!("!r:example.org");
    let cases = [
        (key(false, 10, 5), key(false, 11, 5), false),
        (key(false, 10, 5), key(false, 10, 6), false),
        (key(false, 10, 5), key(false, 9, 6), true),
        (key(false, 10, 5), key(false, 10, 4), true),
        (key(false, 10, 5), key(true, 11, 6), true),
        (key(true, 10, 5), key(false, 0, 0), false),
        (key(true, 10, 5), key(true, 10, 5), false),
    ];
    for (number, (stored, new, replaces)) in cases.into_iter().enumerate() {
        let session = number.to_string();
        let put = |key: &RawValue| {
            let rooms = keys_of(room_id, [(&session, key.to_owned())]);
            world.run(|cx| backup::put_keys(cx, &alice.user_id, "1", &rooms)).expect("an answer")
        };
        let before = put(&stored);
        let after = put(&new);
        assert_eq!(after.count, before.count, "case {number}");
        assert_eq!(after.etag != before.etag, replaces, "case {number}");
        let selection = Selection::Session(room_id.to_owned(), session.clone());
        let kept = world.read(|cx| backup::get_keys(cx, &alice.user_id, "1", &selection)).expect("keys");
        let expected = if replaces { new } else { stored };
        assert_eq!(kept[room_id][&session].get(), expected.get(), "case {number}");
    }
}

#[test]
fn counts_and_etags_follow_every_change() {
    let world = World::new();
    let alice = world.user("alice", UserKind::Plain, "ALICE");
    world.run(|cx| backup::create(cx, &alice.user_id, &algorithm("a"))).expect("made");
    let (one, two) = (room_id!("!one:example.org"), room_id!("!two:example.org"));
    let mut rooms = keys_of(one, [("a", key(true, 0, 0)), ("b", key(true, 0, 0))]);
    rooms.extend(keys_of(two, [("a", key(true, 0, 0))]));
    let put = world.run(|cx| backup::put_keys(cx, &alice.user_id, "1", &rooms)).expect("stored");
    assert_eq!(put.count, 3);
    let delete = |selection| world.run(|cx| backup::delete_keys(cx, &alice.user_id, "1", &selection)).expect("deleted");
    let after = delete(Selection::Session(one.to_owned(), "a".to_owned()));
    assert_eq!((after.count, after.etag), (2, put.etag + 1));
    assert_eq!(delete(Selection::Session(one.to_owned(), "a".to_owned())), after, "nothing left to change");
    assert_eq!(delete(Selection::Room(one.to_owned())).count, 1);
    assert_eq!(delete(Selection::All).count, 0);
    assert!(world.read(|cx| backup::get_keys(cx, &alice.user_id, "1", &Selection::All)).expect("keys").is_empty());
}

#[test]
fn keys_go_into_the_current_version_only() {
    let world = World::new();
    let alice = world.user("alice", UserKind::Plain, "ALICE");
    let rooms = keys_of(room_id!("!r:example.org"), [("a", key(true, 0, 0))]);
    let put =
        |version: &str| world.run(|cx| backup::put_keys(cx, &alice.user_id, version, &rooms)).map(|counted| counted.count);
    assert!(matches!(put("1"), Err(Reject::NotFound(_))));
    for _ in 0..2 {
        world.run(|cx| backup::create(cx, &alice.user_id, &algorithm("a"))).expect("made");
    }
    assert_eq!(put("1"), Err(Reject::WrongRoomKeysVersion { current_version: Some("2".to_owned()) }));
    assert_eq!(put("2"), Ok(1));
    let bad = keys_of(room_id!("!r:example.org"), [("a", text(&json!({ "is_verified": true })))]);
    let refused = world.run(|cx| backup::put_keys(cx, &alice.user_id, "2", &bad)).expect_err("not a key");
    assert!(matches!(refused, Reject::BadJson(_)));
}

#[test]
fn a_large_backup_is_deleted_in_steps_and_whole() {
    let world = World::new();
    let alice = world.user("alice", UserKind::Plain, "ALICE");
    world.run(|cx| backup::create(cx, &alice.user_id, &algorithm("a"))).expect("made");
    for room in ["!one:example.org", "!two:example.org"] {
        let sessions = (0..3_000).map(|number| (number.to_string(), key(true, 0, 0))).collect();
        let rooms = map([(OwnedRoomId::try_from(room).expect("id"), sessions)]);
        world.run(|cx| backup::put_keys(cx, &alice.user_id, "1", &rooms)).expect("stored");
    }
    let delete = || world.run(|cx| backup::delete_version(cx, &alice.user_id, "1"));
    assert!(delete().expect("a step"), "more is left");
    assert_eq!(world.read(|cx| backup::current(cx, &alice.user_id)).expect("still there").row.count, 1_000);
    assert!(!delete().expect("the last step"));
    let left = world.read(|cx| tables::BACKUP_KEYS.count(cx.view, &(cx.user(&alice.user_id),))).expect("a count");
    assert_eq!(left, 0);
}

#[test]
fn a_key_goes_when_its_last_ciphertext_has_expired() {
    let world = World::new();
    let alice = world.user("alice", UserKind::Plain, "ALICE");
    world.run(|cx| backup::create(cx, &alice.user_id, &algorithm("a"))).expect("made");
    let room_id = room_id!("!r:example.org");
    let rooms = keys_of(room_id, [("old", key(true, 0, 0)), ("live", key(true, 0, 0))]);
    world.run(|cx| backup::put_keys(cx, &alice.user_id, "1", &rooms)).expect("stored");
    let appended = |session: &str| {
        world
            .run(|cx| {
                let mut draft = Draft::new(*cx);
                backup::ciphertext_appended(&mut draft, room_id, session, cx.text_expiry())?;
                Ok(draft.commit(()))
            })
            .expect("appended");
    };
    appended("old");
    world.advance(MEGOLM_ROTATION_MS);
    appended("live");
    let expire = || {
        for user in world.read(backup::users_with_backups).expect("users") {
            world.run(|cx| backup::expire_keys(cx, user)).expect("swept");
        }
    };
    let left = || {
        let keys = world.read(|cx| backup::get_keys(cx, &alice.user_id, "1", &Selection::All)).expect("keys");
        keys.into_values().flat_map(std::collections::BTreeMap::into_keys).collect::<Vec<_>>()
    };
    world.advance(LIFETIME_MS - 1);
    expire();
    assert_eq!(left(), ["live", "old"], "an hour after its last message");
    world.advance(1);
    expire();
    assert_eq!(left(), ["live"]);
    assert_eq!(world.read(|cx| backup::current(cx, &alice.user_id)).expect("a backup").row.count, 1);
    world.advance(MEGOLM_ROTATION_MS);
    expire();
    assert!(left().is_empty());
}
