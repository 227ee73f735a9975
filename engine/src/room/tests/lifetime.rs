//! How long what is said lives where accounts keep their text for longer (D11): both sides of each edge.

use journal::{Class, Stamp, Timestamp};
use ruma::{EventId, OwnedEventId, OwnedRoomId, RoomId, to_device::DeviceIdOrAllDevices};
use serde_json::{Value, json, value::to_raw_value};

use crate::{
    LONGER, MEGOLM_ROTATION_MS, Reject, class, erase,
    keys::backup,
    lifetimes_ms,
    media::{CompleteUpload, FileKey, StoredFile, complete_upload, media},
    platform, policy,
    receipts::{self, Receipt, SetReceipts},
    room::{
        ClientEvent, get_event,
        membership::Action,
        redact::{RedactEvent, redact_event},
        state_event,
    },
    testing::{Clinic, LIFETIME_MS, Person, World, clinic, keep_text as keep, map, pair, send, state},
    timeline, to_device,
};

fn room_of(world: &World, creator: &Person, other: &Person) -> OwnedRoomId {
    let room_id = world.room(creator, &[other]);
    world.member(other, &room_id, Action::Join);
    room_id
}

/// How long the event is still to be read.
fn left_ms(world: &World, room_id: &RoomId, event_id: &EventId) -> Option<u64> {
    let event = world.read(|cx| get_event(cx, room_id, event_id)).expect("reads");
    event.map(|event| event.expires.as_ms() - world.now().as_ms())
}

/// The event as somebody is served it.
fn served(world: &World, reader: &Person, room_id: &RoomId, event_id: &EventId) -> Option<Value> {
    let event = world.read(|cx| timeline::event(cx, &reader.requester(), room_id, event_id)).ok();
    event.map(|event| serde_json::from_str(event.get()).expect("JSON"))
}

fn reaction(world: &World, sender: &Person, room_id: &RoomId, parent: &EventId) -> OwnedEventId {
    let relates_to = json!({ "rel_type": "m.annotation", "event_id": parent, "key": "+" });
    send(world, sender, room_id, "m.reaction", json!({ "m.relates_to": relates_to }))
}

#[test]
fn an_account_asks_for_some_multiples_of_l_and_what_it_asked_for_survives_another_l() {
    let Clinic { mut world, ada, pat, bob, .. } = clinic();
    for times in 0..=31 {
        let asked = keep(&world, Some(times * LIFETIME_MS));
        if [1, 2, 3, 4, 5, 6, 7, 14, 30].contains(&times) {
            assert_eq!(asked, Ok(Some(times * LIFETIME_MS)));
        } else {
            let Err(Reject::InvalidParam(message)) = asked else { panic!("{times} times: {asked:?}") };
            assert!(message.to_string().contains(&format!(" {}, ", 7 * LIFETIME_MS)), "it names what is allowed");
        }
    }
    assert!(keep(&world, Some(2 * LIFETIME_MS + 1)).is_err());
    assert_eq!(keep(&world, Some(7 * LIFETIME_MS)), keep(&world, None), "absent keeps");
    let kept = |world: &World, person: &Person| world.read(|cx| policy::text_retention_ms(cx, &person.user_id));
    let day_ms = LIFETIME_MS;
    for (retention_ms, expected_ms) in
        [(day_ms, 7 * day_ms), (day_ms / 2, 7 * day_ms), (2 * day_ms, 6 * day_ms), (10 * day_ms, 10 * day_ms)]
    {
        world.server.retention_ms = retention_ms;
        for person in [&ada, &pat] {
            assert_eq!(kept(&world, person).expect("reads"), expected_ms, "where L is {retention_ms}");
        }
        assert_eq!(kept(&world, &bob).expect("reads"), retention_ms);
    }
}

#[test]
fn the_shortest_class_that_lasts_is_taken() {
    let world = World::new();
    let lifetimes_ms = lifetimes_ms(LIFETIME_MS);
    let lasts = |class: Class| lifetimes_ms[usize::from(class.0)];
    assert_eq!(lifetimes_ms.len(), 26, "a class for each");
    let check = |classes: &[Class], chosen: Class, needed_ms: u64| {
        assert!(classes.contains(&chosen) && lasts(chosen) >= needed_ms, "{needed_ms} in {chosen:?}");
        assert!(classes.iter().all(|class| lasts(*class) >= lasts(chosen) || lasts(*class) < needed_ms), "{needed_ms}");
    };
    let text = [&[class::TEXT][..], &class::HALVED, &class::LONGER].concat();
    let edges =
        LONGER.map(|times| times * LIFETIME_MS).into_iter().chain([1, LIFETIME_MS / 16, LIFETIME_MS / 2, LIFETIME_MS]);
    for edge_ms in edges {
        for needed_ms in [edge_ms - 1, edge_ms, edge_ms + 1].into_iter().filter(|ms| *ms <= 30 * LIFETIME_MS) {
            world
                .read(|cx| {
                    check(&text, cx.text_class_for(needed_ms), needed_ms);
                    for within in [class::TO_DEVICE, class::OUTBOX] {
                        let classes = [&[within][..], &class::LONGER_AND_HOUR].concat();
                        check(&classes, cx.class_and_hour(within, needed_ms), needed_ms + MEGOLM_ROTATION_MS);
                    }
                    Ok::<_, Reject>(())
                })
                .expect("reads");
        }
    }
}

#[test]
fn a_host_s_chat_with_a_participant_lives_as_long_as_their_account_says() {
    let Clinic { world, ada, pat, .. } = clinic();
    let room_id = room_of(&world, &ada, &pat);
    let retention = world.read(|cx| state_event(cx, &room_id, &"m.room.retention".into(), "")).expect("reads");
    let retention = retention.expect("every new room says for how long");
    assert_eq!(retention.content_field::<u64>("max_lifetime"), Some(7 * LIFETIME_MS));
    let shown: Value = serde_json::from_str(ClientEvent::new(&retention).to_raw().get()).expect("JSON");
    assert_eq!(shown["type"], "m.room.retention", "by its stable name");
    let words = [world.say(&ada, &room_id, "hello"), world.say(&pat, &room_id, "good morning")];
    let end = world.now().plus_ms(7 * LIFETIME_MS);
    for event_id in &words {
        let event = served(&world, &pat, &room_id, event_id).expect("there");
        assert_eq!(event["unsigned"]["org.vestibule.expires_ts"], json!(end), "clients are told");
    }
    let later = LIFETIME_MS / 48;
    world.advance(later);
    let reaction = reaction(&world, &ada, &room_id, &words[1]);
    assert_eq!(left_ms(&world, &room_id, &reaction), left_ms(&world, &room_id, &words[1]), "no longer than its parent");
    world.advance(7 * LIFETIME_MS - later - 1);
    for event_id in words.iter().chain([&reaction]) {
        assert!(served(&world, &ada, &room_id, event_id).is_some());
    }
    world.advance(1);
    for event_id in words.iter().chain([&reaction]) {
        assert_eq!(served(&world, &ada, &room_id, event_id), None);
    }
}

#[test]
fn where_one_keeps_text_for_l_everybody_s_words_live_l() {
    let Clinic { world, ada, abe, bob, .. } = clinic();
    let room_id = room_of(&world, &ada, &abe);
    let before = world.say(&ada, &room_id, "among ourselves");
    world.act(&ada.user_id, &bob.user_id, &room_id, Action::Invite).expect("invited");
    let invited = world.say(&ada, &room_id, "welcome");
    world.member(&bob, &room_id, Action::Join);
    let together = [&ada, &abe, &bob].map(|person| world.say(person, &room_id, "together"));
    for event_id in together.iter().chain([&invited]) {
        assert_eq!(left_ms(&world, &room_id, event_id), Some(LIFETIME_MS));
        let event = served(&world, &bob, &room_id, event_id).expect("there");
        assert_eq!(event["unsigned"].get("org.vestibule.expires_ts"), None, "nothing to be told");
    }
    assert_eq!(left_ms(&world, &room_id, &before), Some(7 * LIFETIME_MS), "what was said keeps its time");
    world.member(&bob, &room_id, Action::Leave);
    let after = world.say(&ada, &room_id, "among ourselves again");
    assert_eq!(left_ms(&world, &room_id, &after), Some(7 * LIFETIME_MS));
    // A room that was made with somebody who keeps less says so from the beginning, and goes on to.
    let with_bob = room_of(&world, &ada, &bob);
    world.member(&bob, &with_bob, Action::Leave);
    let alone = world.say(&ada, &with_bob, "alone");
    assert_eq!(left_ms(&world, &with_bob, &alone), Some(LIFETIME_MS));
}

#[test]
fn another_setting_counts_for_what_is_said_from_then_on() {
    let Clinic { world, ada, abe, .. } = clinic();
    let room_id = room_of(&world, &ada, &abe);
    let first = world.say(&ada, &room_id, "first");
    keep(&world, Some(LIFETIME_MS)).expect("shorter");
    let second = world.say(&ada, &room_id, "second");
    keep(&world, Some(14 * LIFETIME_MS)).expect("longer");
    let third = world.say(&ada, &room_id, "third");
    let left = [&first, &second, &third].map(|event_id| left_ms(&world, &room_id, event_id));
    assert_eq!(left, [7, 1, 7].map(|times| Some(times * LIFETIME_MS)), "the room says seven times L");
    let new = room_of(&world, &ada, &abe);
    let fourth = world.say(&abe, &new, "fourth");
    assert_eq!(left_ms(&world, &new, &fourth), Some(14 * LIFETIME_MS));
}

#[test]
fn a_room_may_say_less_under_either_name() {
    let Clinic { world, ada, abe, .. } = clinic();
    let room_id = room_of(&world, &ada, &abe);
    let names = ["m.room.retention", "org.matrix.msc1763.retention"];
    for (name, lifetime_ms) in names.into_iter().zip([3 * LIFETIME_MS, LIFETIME_MS / 4]) {
        state(&world, &ada, &room_id, name, "", json!({ "max_lifetime": lifetime_ms }));
        let said = world.say(&abe, &room_id, name);
        assert_eq!(left_ms(&world, &room_id, &said), Some(lifetime_ms), "{name}");
        let event = served(&world, &ada, &room_id, &said).expect("there");
        assert_eq!(event["unsigned"]["org.vestibule.expires_ts"], json!(world.now().plus_ms(lifetime_ms)));
    }
    state(&world, &ada, &room_id, "m.room.retention", "", json!({ "max_lifetime": 30 * LIFETIME_MS }));
    let said = world.say(&abe, &room_id, "no more than the account");
    assert_eq!(left_ms(&world, &room_id, &said), Some(7 * LIFETIME_MS));
    let (world, ada, _, room_id) = pair();
    state(&world, &ada, &room_id, "m.room.retention", "", json!({ "max_lifetime": 30 * LIFETIME_MS }));
    let said = world.say(&ada, &room_id, "nobody here has an account");
    assert_eq!(left_ms(&world, &room_id, &said), Some(LIFETIME_MS));
}

#[test]
fn keys_on_their_way_live_as_long_as_both_keep_text() {
    let Clinic { world, ada, abe, bob, pat } = clinic();
    for (from, to) in [(&ada, &pat), (&ada, &bob), (&bob, &abe)] {
        let content = to_raw_value(&json!({ "key": "k" })).expect("JSON");
        let command = to_device::SendToDevice {
            requester: from.requester(),
            event_type: "m.room_key".to_owned(),
            txn_id: format!("to {}", to.user_id),
            messages: map([(to.user_id.clone(), map([(DeviceIdOrAllDevices::DeviceId(to.device_id.clone()), content)]))]),
        };
        world.run(|cx| to_device::send(cx, &command)).expect("sent");
    }
    let waiting = || {
        [&pat, &bob, &abe].map(|person| {
            let read =
                |cx: &crate::Cx<'_>| to_device::read(cx, &person.user_id, &person.device_id, Stamp::ZERO, Stamp::MAX, 10);
            world.read(read).expect("reads").messages.len()
        })
    };
    world.advance(LIFETIME_MS + MEGOLM_ROTATION_MS - 1);
    assert_eq!(waiting(), [1, 1, 1]);
    world.advance(1);
    assert_eq!(waiting(), [1, 0, 0]);
    world.advance(6 * LIFETIME_MS - 1);
    assert_eq!(waiting(), [1, 0, 0]);
    world.advance(1);
    assert_eq!(waiting(), [0, 0, 0]);
}

#[test]
fn a_backed_up_key_is_kept_as_long_as_what_it_opens() {
    let Clinic { world, ada, pat, .. } = clinic();
    let room_id = room_of(&world, &ada, &pat);
    let about = to_raw_value(&json!({ "algorithm": "a", "auth_data": {} })).expect("JSON");
    world.run(|cx| backup::create(cx, &ada.user_id, &about)).expect("a backup");
    let key = json!({ "is_verified": true, "first_message_index": 0, "forwarded_count": 0, "session_data": {} });
    let sessions = ["long", "none"].map(|session| (session.to_owned(), to_raw_value(&key).expect("JSON")));
    let rooms = map([(room_id.clone(), map(sessions))]);
    world.run(|cx| backup::put_keys(cx, &ada.user_id, "1", &rooms)).expect("stored");
    let content = json!({ "algorithm": "m.megolm.v1.aes-sha2", "session_id": "long", "ciphertext": "c" });
    send(&world, &pat, &room_id, "m.room.encrypted", content);
    let left = || {
        for user in world.read(backup::users_with_backups).expect("users") {
            world.run(|cx| backup::expire_keys(cx, user)).expect("swept");
        }
        world.read(|cx| backup::current(cx, &ada.user_id)).expect("a backup").row.count
    };
    world.advance(LIFETIME_MS);
    assert_eq!(left(), 1, "what nothing needs goes after L");
    world.advance(6 * LIFETIME_MS + MEGOLM_ROTATION_MS - 1);
    assert_eq!(left(), 1);
    world.advance(1);
    assert_eq!(left(), 0, "an hour after its last message");
}

fn read(world: &World, reader: &Person, room_id: &RoomId, event_id: &EventId) {
    let receipt = Receipt { receipt_type: "m.read".to_owned(), event_id: event_id.to_owned(), thread_id: None };
    let command = SetReceipts { user_id: reader.user_id.clone(), room_id: room_id.to_owned(), receipts: vec![receipt] };
    world.run(|cx| receipts::set_receipts(cx, &command)).expect("read");
}

/// How many events with receipts somebody is shown, and how much is unread for them.
fn receipts_and_count(world: &World, person: &Person, room_id: &RoomId) -> (usize, u64) {
    let shown = world.read(|cx| receipts::receipt_events(cx, room_id, &person.user_id, None)).expect("reads").len();
    let unread = world.read(|cx| receipts::unread(cx, &person.user_id, room_id)).expect("reads");
    (shown, unread.total().notification_count)
}

#[test]
fn a_receipt_is_shown_as_long_as_its_event_and_counts_as_long_as_what_it_covers() {
    let Clinic { world, ada, abe, bob, .. } = clinic();
    let long_only = room_of(&world, &ada, &abe);
    let last = world.say(&ada, &long_only, "last");
    read(&world, &abe, &long_only, &last);
    let mixed = room_of(&world, &ada, &abe);
    world.say(&ada, &mixed, "long");
    world.act(&ada.user_id, &bob.user_id, &mixed, Action::Invite).expect("invited");
    let short = world.say(&ada, &mixed, "short");
    let unread = receipts_and_count(&world, &abe, &mixed);
    assert!(unread.0 == 0 && unread.1 > 1, "{unread:?}");
    read(&world, &abe, &mixed, &short);
    world.advance(LIFETIME_MS - 1);
    assert_eq!(receipts_and_count(&world, &abe, &mixed), (1, 0));
    world.advance(1);
    assert_eq!(receipts_and_count(&world, &abe, &mixed), (0, 0), "what lives longer was read, and stays so");
    assert_eq!(receipts_and_count(&world, &abe, &long_only), (1, 0));
    world.advance(6 * LIFETIME_MS - 1);
    assert_eq!(receipts_and_count(&world, &abe, &mixed), (0, 0));
    assert_eq!(receipts_and_count(&world, &abe, &long_only), (1, 0));
    world.advance(1);
    assert_eq!(receipts_and_count(&world, &abe, &long_only), (0, 0));
}

#[test]
fn what_is_unread_stops_to_count_at_its_own_end() {
    let Clinic { world, ada, abe, .. } = clinic();
    let room_id = room_of(&world, &ada, &abe);
    world.say(&ada, &room_id, "unread");
    let tell = || world.run(|cx| receipts::tell_ends(cx, Timestamp::from_ms(0), 100)).expect("told").0;
    world.advance(7 * LIFETIME_MS - 1);
    assert_eq!(tell(), 0);
    assert!(receipts_and_count(&world, &abe, &room_id).1 > 0);
    world.advance(1);
    assert!(tell() > 0, "the note of it has outlived the message");
    assert_eq!(receipts_and_count(&world, &abe, &room_id).1, 0);
}

#[test]
fn a_redacted_event_keeps_its_own_end() {
    let Clinic { world, ada, pat, .. } = clinic();
    let room_id = room_of(&world, &ada, &pat);
    let said = world.say(&ada, &room_id, "regretted");
    world.advance(LIFETIME_MS);
    let command = RedactEvent {
        sender: ada.user_id.clone(),
        device_id: Some(ada.device_id.clone()),
        room_id: room_id.clone(),
        event_id: said.clone(),
        txn_id: "redaction".into(),
        reason: None,
    };
    world.run(|cx| redact_event(cx, &command)).expect("redacted");
    assert_eq!(left_ms(&world, &room_id, &said), Some(6 * LIFETIME_MS));
    world.advance(6 * LIFETIME_MS - 1);
    let event = served(&world, &pat, &room_id, &said).expect("there, without its content");
    assert_eq!(event["content"], json!({}));
    assert!(event["unsigned"]["org.vestibule.expires_ts"].is_u64());
    world.advance(1);
    assert_eq!(served(&world, &pat, &room_id, &said), None);
}

#[test]
fn participants_stay_until_what_they_said_is_gone() {
    let Clinic { world, ada, pat, .. } = clinic();
    let room_id = room_of(&world, &ada, &pat);
    world.say(&pat, &room_id, "thank you");
    world.run(|cx| platform::end_session(cx, "visit")).expect("over");
    let due = world.now().plus_ms(7 * LIFETIME_MS);
    assert_eq!(world.read(erase::next_due).expect("reads"), Some(due));
    // What the account says from then on moves nothing.
    keep(&world, Some(LIFETIME_MS)).expect("shorter");
    world.advance(7 * LIFETIME_MS - 1);
    assert!(world.read(erase::due_sessions).expect("reads").is_empty());
    world.advance(1);
    let visits = world.read(erase::due_sessions).expect("reads");
    assert_eq!(visits.iter().map(|(since, _)| *since).collect::<Vec<_>>(), [due.as_ms()]);
    assert_eq!(world.run(|cx| erase::erase_due(cx, visits[0])), Ok(true));

    let Clinic { world, .. } = clinic();
    world.run(|cx| platform::end_session(cx, "visit")).expect("over");
    keep(&world, Some(LIFETIME_MS)).expect("shorter");
    world.run(|cx| platform::delete_session(cx, "visit")).expect("deleted");
    assert_eq!(world.read(erase::next_due).expect("reads"), None, "it leaves the plan as it came into it");
}

#[test]
fn files_live_l_whatever_the_account_says() {
    let Clinic { world, ada, .. } = clinic();
    let file = StoredFile {
        object: "00000000/file".to_owned(),
        key: FileKey::new([7; 32]),
        size: 10,
        content_type: None,
        file_name: None,
    };
    let (user_id, media_id) = (ada.user_id.clone(), "file".to_owned());
    let command = CompleteUpload { user_id, media_id, reserved: false, file, completed: world.now() };
    world.run(|cx| complete_upload(cx, &command)).expect("uploaded");
    let server = world.server.name.clone();
    let there = || world.read(|cx| media(cx, Some(&ada.user_id), &server, "file")).is_ok();
    world.advance(LIFETIME_MS - 1);
    assert!(there());
    world.advance(1);
    assert!(!there());
}
