//! The predefined rules read off the event answer as ruma's rules do.

mod gateway;
mod rules;

use ruma::events::TimelineEventType;
use serde_json::{Value, json, value::to_raw_value};

use super::{Notified, Occasion, Recipient, Verdict, evaluate::Judge, notify_members};
use crate::{
    Draft,
    account::{NewAccountData, set_account_data},
    room::{self, Pdu},
    testing::{Person, World, pair},
};

fn scene() -> (World, Person, Person, ruma::OwnedRoomId, Pdu) {
    let (world, ada, bob, room_id) = pair();
    let event_id = world.say(&ada, &room_id, "hello");
    let pdu = world.read(|cx| room::get_event(cx, &room_id, &event_id)).unwrap().unwrap().row.pdu;
    (world, ada, bob, room_id, pdu)
}

fn with(pdu: &Pdu, event_type: &str, state_key: Option<&str>, content: &Value) -> Pdu {
    let event_type = TimelineEventType::from(event_type);
    Pdu { event_type, state_key: state_key.map(str::to_owned), content: to_raw_value(content).unwrap(), ..pdu.clone() }
}

fn occasion<'a>(world: &World, room_id: &'a ruma::RoomId, pdu: &'a Pdu, joined_count: u64) -> Occasion<'a> {
    let (stamp, class) = (journal::Stamp::ZERO, crate::class::TEXT);
    Occasion { room_id, joined_count, pdu, stamp, class, expires: world.now().plus_ms(1_000) }
}

#[test]
fn the_rules_read_off_are_the_rules() {
    let text = |body: &str| json!({ "msgtype": "m.text", "body": body });
    let mention = |mentions: Value| json!({ "msgtype": "m.text", "body": "bob @room", "m.mentions": mentions });
    let cases = [
        ("m.room.message", None, text("hello"), true, false),
        ("m.room.message", None, text("hello bob!"), true, true),
        ("m.room.message", None, text("hello Bobby"), true, false),
        ("m.room.message", None, text("to Robert, with love"), true, true),
        ("m.room.message", None, text("@room listen"), true, true),
        ("m.room.message", None, json!({ "msgtype": "m.notice", "body": "bob" }), false, false),
        ("m.room.message", None, mention(json!({})), true, false),
        ("m.room.message", None, mention(json!({ "user_ids": ["@bob:example.org"] })), true, true),
        ("m.room.message", None, mention(json!({ "user_ids": ["@eve:example.org"] })), true, false),
        ("m.room.message", None, mention(json!({ "room": true })), true, true),
        ("m.room.message", None, json!({ "body": 7 }), true, false),
        (
            "m.room.message",
            None,
            json!({ "body": "* x", "m.mentions": {}, "m.relates_to": { "rel_type": "m.replace" } }),
            false,
            false,
        ),
        ("m.room.encrypted", None, json!({ "algorithm": "m.megolm.v1.aes-sha2" }), true, false),
        ("m.reaction", None, json!({ "m.relates_to": { "rel_type": "m.annotation" } }), false, false),
        ("m.room.member", Some("@bob:example.org"), json!({ "membership": "invite" }), true, false),
        ("m.room.member", Some("@eve:example.org"), json!({ "membership": "invite" }), false, false),
        ("m.room.member", Some("@bob:example.org"), json!({ "membership": "join" }), false, false),
        ("m.room.tombstone", Some(""), json!({ "body": "moved" }), true, true),
        ("m.room.topic", Some(""), json!({ "topic": "x" }), false, false),
        ("m.call.invite", None, json!({ "lifetime": 1 }), true, false),
        ("org.matrix.msc3381.poll.start", None, json!({ "m.text": "lunch?" }), true, false),
        ("org.matrix.msc3381.poll.end", None, json!({ "m.text": "lunch" }), true, false),
        ("org.matrix.msc3381.poll.response", None, json!({ "answers": ["1"] }), false, false),
        ("org.example.custom", None, json!({ "body": "x" }), false, false),
    ];
    let (world, _, bob, room_id, pdu) = scene();
    let recipient = Recipient { user_id: &bob.user_id, display_name: Some("Robert") };
    for (event_type, state_key, content, notifies, highlights) in cases {
        for joined_count in [2, 3] {
            let pdu = with(&pdu, event_type, state_key, &content);
            let occasion = occasion(&world, &room_id, &pdu, joined_count);
            let (read_off, by_rules): (Option<Verdict>, Option<Verdict>) = world
                .read(|cx| {
                    let judge = Judge::new(cx, &occasion);
                    let rules = super::default_ruleset(&bob.user_id);
                    Ok::<_, journal::ReadError>((judge.verdict(&recipient)?, judge.by_rules(&rules, &recipient)?))
                })
                .unwrap();
            assert_eq!(read_off, by_rules, "{event_type} {content} among {joined_count}");
            let outcome = read_off.map(|verdict| verdict.highlight);
            assert_eq!(outcome, notifies.then_some(highlights), "{event_type} {content} among {joined_count}");
        }
    }
}

fn notified(world: &World, room_id: &ruma::RoomId, pdu: &Pdu, recipients: &[&Person]) -> Vec<Notified> {
    let recipients: Vec<_> =
        recipients.iter().map(|person| Recipient { user_id: &person.user_id, display_name: None }).collect();
    let occasion = occasion(world, room_id, pdu, 2);
    world.read(|cx| notify_members(&mut Draft::new(*cx), &occasion, &recipients)).unwrap()
}

fn put(world: &World, person: &Person, event_type: &str, content: &Value) {
    let data = NewAccountData {
        user_id: person.user_id.clone(),
        room_id: None,
        event_type: event_type.to_owned(),
        content: to_raw_value(content).unwrap(),
    };
    world.run(|cx| set_account_data(cx, &data)).unwrap();
}

#[test]
fn neither_the_sender_nor_who_ignores_them_is_notified() {
    let (world, ada, bob, room_id, pdu) = scene();
    let users: Vec<_> =
        notified(&world, &room_id, &pdu, &[&ada, &bob]).into_iter().map(|notified| notified.user_id).collect();
    assert_eq!(users, [bob.user_id.clone()]);
    put(&world, &bob, "m.ignored_user_list", &json!({ "ignored_users": { "@ada:example.org": {} } }));
    assert_eq!(notified(&world, &room_id, &pdu, &[&ada, &bob]), []);
}
