//! Reading what was said, on a server in memory.

use ruma::{OwnedEventId, RoomId};
use serde_json::{Value, json};

use super::{
    ContextRequest, Direction, MembersRequest, MessagesRequest, Page, RelationsRequest, ThreadsRequest, context, event,
    event_at, members, messages, notifications, relations, room_state, state_event, threads,
};
use crate::{
    Reject, Stop,
    room::{membership::Action, redact},
    sync::{EventFilter, Token},
    tables::UserKind,
    testing::{LIFETIME_MS, Person, World, pair, send},
};

fn relate(
    world: &World,
    person: &Person,
    room_id: &RoomId,
    rel_type: &str,
    parent: &OwnedEventId,
    body: &str,
) -> OwnedEventId {
    let relates_to = json!({ "rel_type": rel_type, "event_id": parent, "key": body });
    send(world, person, room_id, "m.room.message", json!({ "msgtype": "m.text", "body": body, "m.relates_to": relates_to }))
}

fn value(raw: &serde_json::value::RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap()
}

fn bodies(events: &[Box<serde_json::value::RawValue>]) -> Vec<String> {
    let body = |event: Value| {
        event["content"]["body"].as_str().map_or_else(|| event["type"].as_str().unwrap().to_owned(), str::to_owned)
    };
    events.iter().map(|event| body(value(event))).collect()
}

fn page(
    world: &World,
    person: &Person,
    room_id: &RoomId,
    from: Option<Token>,
    direction: Direction,
    limit: usize,
    filter: Value,
) -> Result<Page, Stop> {
    let filter: EventFilter = serde_json::from_value(filter).unwrap();
    let (requester, to) = (person.requester(), None);
    let request = MessagesRequest { requester: &requester, room_id, from, to, direction, limit, filter: &filter };
    world.read(|cx| messages(cx, &request))
}

fn read<T>(world: &World, read: impl FnOnce(&crate::Cx<'_>) -> Result<T, Stop>) -> Result<T, Reject> {
    world.read(read).map_err(|stop| match stop {
        Stop::Reject(reject) => reject,
        Stop::Read(error) => panic!("{error}"),
    })
}

#[test]
fn pages_join_without_a_seam_in_both_directions() {
    let (world, ada, bob, room_id) = pair();
    let sent: Vec<String> = (0..7).map(|number| format!("message {number}")).collect();
    for body in &sent {
        world.say(&ada, &room_id, body);
    }
    let only = || json!({ "types": ["m.room.message"] });
    for (direction, limit) in
        [(Direction::Backward, 3), (Direction::Forward, 3), (Direction::Backward, 1), (Direction::Forward, 7)]
    {
        let (mut from, mut all) = (None, Vec::new());
        loop {
            let page = page(&world, &bob, &room_id, from, direction, limit, only()).unwrap();
            all.extend(bodies(&page.events));
            from = page.end;
            if from.is_none() {
                break;
            }
        }
        if direction == Direction::Backward {
            all.reverse();
        }
        assert_eq!(all, sent, "{direction:?} by {limit}");
    }
}

#[test]
fn pages_are_filtered_by_how_their_events_relate() {
    let (world, ada, bob, room_id) = pair();
    let root = world.say(&ada, &room_id, "root");
    let relates_to = |rel_type: &str| json!({ "rel_type": rel_type, "event_id": root, "key": "+" });
    for (body, rel_type) in [("in the thread", "m.thread"), ("about it", "m.reference")] {
        let content = json!({ "msgtype": "m.text", "body": body, "m.relates_to": relates_to(rel_type) });
        send(&world, &bob, &room_id, "m.room.message", content);
    }
    let found = |filter: Value| {
        let mut filter = filter;
        filter["types"] = json!(["m.room.message"]);
        bodies(&page(&world, &ada, &room_id, None, Direction::Forward, 9, filter).unwrap().events)
    };
    let (only, without) = ("org.matrix.msc3874.rel_types", "org.matrix.msc3874.not_rel_types");
    assert_eq!(found(json!({ only: ["m.thread"] })), ["in the thread"]);
    assert_eq!(found(json!({ without: ["m.thread"] })), ["root", "about it"]);
    assert_eq!(found(json!({ only: ["m.thread", "m.reference"], without: ["m.thread"] })), ["about it"]);
    assert_eq!(found(json!({ only: [] })), Vec::<String>::new());
}

#[test]
fn past_the_edge_a_page_is_empty_and_the_last() {
    let (world, ada, bob, room_id) = pair();
    world.say(&ada, &room_id, "gone");
    let page_of = |from| page(&world, &bob, &room_id, from, Direction::Backward, 2, json!({})).unwrap();
    let old = page_of(None);
    assert!(old.end.is_some());
    world.advance(LIFETIME_MS + 1);
    for from in [None, Some(old.start), old.end, Some(Token::at(journal::Stamp::ZERO, world.now()))] {
        let empty = page_of(from);
        assert_eq!((empty.events.len(), empty.end), (0, None));
    }
    world.say(&ada, &room_id, "new");
    let forward = page(&world, &bob, &room_id, old.end, Direction::Forward, 9, json!({})).unwrap();
    assert_eq!(bodies(&forward.events), ["new"], "from a token of a day ago to the first that is kept");
}

#[test]
fn strangers_read_nothing_and_who_left_what_was_before() {
    let (world, ada, bob, room_id) = pair();
    let eve = world.user("eve", UserKind::Plain, "EVE");
    let before = world.say(&ada, &room_id, "before");
    let forbidden = |result: Result<Page, Stop>| matches!(result, Err(Stop::Reject(Reject::Forbidden(_))));
    assert!(forbidden(page(&world, &eve, &room_id, None, Direction::Backward, 9, json!({}))));
    assert!(forbidden(page(&world, &eve, ruma::room_id!("!none:example.org"), None, Direction::Backward, 9, json!({}))));
    let missing = |person: &Person, id: &OwnedEventId| {
        matches!(read(&world, |cx| event(cx, &person.requester(), &room_id, id)), Err(Reject::NotFound(_)))
    };
    assert!(missing(&eve, &before));
    world.member(&bob, &room_id, Action::Leave);
    let after = world.say(&ada, &room_id, "after");
    let seen = bodies(&page(&world, &bob, &room_id, None, Direction::Backward, 9, json!({})).unwrap().events);
    assert_eq!(&seen[..2], ["m.room.member", "before"]);
    assert!(!missing(&bob, &before) && missing(&bob, &after));
    assert!(read(&world, |cx| room_state(cx, &bob.user_id, &room_id)).is_ok());
    world.run(|cx| crate::room::membership::forget(cx, &bob.user_id, &room_id)).unwrap();
    assert!(forbidden(page(&world, &bob, &room_id, None, Direction::Backward, 9, json!({}))));
}

#[test]
fn an_expired_event_is_as_one_that_never_was() {
    let (world, ada, bob, room_id) = pair();
    let event_id = world.say(&ada, &room_id, "hello");
    let unknown = ruma::event_id!("$unknown");
    let request = bob.requester();
    let ask = |event_id: &ruma::EventId| {
        let filter = EventFilter::default();
        let around = ContextRequest { requester: &request, room_id: &room_id, event_id, limit: 4, filter: &filter };
        let related = RelationsRequest {
            requester: &request,
            room_id: &room_id,
            event_id,
            rel_type: None,
            event_type: None,
            from: None,
            to: None,
            direction: Direction::Backward,
            limit: 9,
            recurse: false,
        };
        [
            read(&world, |cx| event(cx, &request, &room_id, event_id)).map(drop),
            read(&world, |cx| context(cx, &around)).map(drop),
            read(&world, |cx| relations(cx, &related)).map(drop),
        ]
    };
    assert!(ask(&event_id).iter().all(Result::is_ok));
    world.advance(LIFETIME_MS);
    assert_eq!(ask(&event_id), ask(unknown), "the same answers, to the letter");
    let page = read(&world, |cx| notifications(cx, &request, None, 9, false)).unwrap();
    assert_eq!(page.notifications.len(), 0);
}

#[test]
fn the_context_of_an_event_is_what_stood_around_it() {
    let (world, ada, bob, room_id) = pair();
    let ids: Vec<_> = (0..7).map(|number| world.say(&ada, &room_id, &format!("message {number}"))).collect();
    let (request, filter) = (bob.requester(), EventFilter::default());
    let asked = ContextRequest { requester: &request, room_id: &room_id, event_id: &ids[3], limit: 4, filter: &filter };
    let found = read(&world, |cx| context(cx, &asked)).unwrap();
    assert_eq!(bodies(&found.events_before), ["message 2", "message 1"]);
    assert_eq!(value(&found.event)["content"]["body"], json!("message 3"));
    assert_eq!(bodies(&found.events_after), ["message 4", "message 5"]);
    let earlier = page(&world, &bob, &room_id, Some(found.start), Direction::Backward, 1, json!({})).unwrap();
    let later = page(&world, &bob, &room_id, Some(found.end), Direction::Forward, 1, json!({})).unwrap();
    assert_eq!(
        (bodies(&earlier.events), bodies(&later.events)),
        (vec!["message 0".to_owned()], vec!["message 6".to_owned()])
    );
    let lazy = serde_json::from_value(json!({ "lazy_load_members": true })).unwrap();
    let found = read(&world, |cx| context(cx, &ContextRequest { filter: &lazy, ..asked })).unwrap();
    let members: Vec<_> =
        found.state.iter().map(|event| value(event)).filter(|event| event["type"] == "m.room.member").collect();
    assert_eq!(members.iter().map(|member| &member["state_key"]).collect::<Vec<_>>(), ["@ada:example.org"]);
}

#[test]
fn relations_are_found_by_kind_by_page_and_through_others() {
    let (world, ada, bob, room_id) = pair();
    let root = world.say(&ada, &room_id, "root");
    let one = relate(&world, &ada, &room_id, "m.thread", &root, "one");
    relate(&world, &ada, &room_id, "m.thread", &root, "two");
    relate(&world, &bob, &room_id, "m.reference", &root, "reference");
    relate(&world, &bob, &room_id, "m.reference", &one, "nested");
    let requester = bob.requester();
    let ask = RelationsRequest {
        requester: &requester,
        room_id: &room_id,
        event_id: &root,
        rel_type: None,
        event_type: None,
        from: None,
        to: None,
        direction: Direction::Backward,
        limit: 9,
        recurse: false,
    };
    let found = |ask: RelationsRequest<'_>| read(&world, |cx| relations(cx, &ask)).unwrap();
    assert_eq!(bodies(&found(ask).events), ["reference", "two", "one"]);
    assert_eq!(bodies(&found(RelationsRequest { rel_type: Some("m.thread"), ..ask }).events), ["two", "one"]);
    assert_eq!(found(RelationsRequest { event_type: Some("m.reaction"), ..ask }).events.len(), 0);
    let recursive = found(RelationsRequest { recurse: true, direction: Direction::Forward, ..ask });
    assert_eq!(bodies(&recursive.events), ["one", "two", "reference", "nested"]);
    assert_eq!(recursive.recursion_depth, Some(3));
    let first = found(RelationsRequest { limit: 2, ..ask });
    assert_eq!(bodies(&first.events), ["reference", "two"]);
    let second = found(RelationsRequest { limit: 2, from: first.next_batch, ..ask });
    assert_eq!((bodies(&second.events), second.next_batch), (vec!["one".to_owned()], None));

    let listed = |participated| {
        let ask = ThreadsRequest { requester: &requester, room_id: &room_id, from: None, limit: 9, participated };
        read(&world, |cx| threads(cx, &ask)).unwrap().events
    };
    assert_eq!(bodies(&listed(false)), ["root"]);
    assert_eq!(listed(true).len(), 0, "bob wrote in no thread");
    assert_eq!(value(&listed(false)[0])["unsigned"]["m.relations"]["m.thread"]["count"], json!(2));
    let related = json!({ "related_by_rel_types": ["m.reference"], "related_by_senders": ["@bob:example.org"] });
    let found = page(&world, &bob, &room_id, None, Direction::Backward, 9, related).unwrap();
    assert_eq!(bodies(&found.events), ["one", "root"]);
}

#[test]
fn a_redacted_event_stays_without_its_content() {
    let (world, ada, bob, room_id) = pair();
    let root = world.say(&ada, &room_id, "root");
    let event_id = relate(&world, &ada, &room_id, "m.thread", &root, "secret");
    let command = redact::RedactEvent {
        sender: ada.user_id.clone(),
        device_id: Some(ada.device_id.clone()),
        room_id: room_id.clone(),
        event_id: event_id.clone(),
        txn_id: "redact".into(),
        reason: None,
    };
    world.run(|cx| redact::redact_event(cx, &command)).unwrap();
    let found = value(&read(&world, |cx| event(cx, &bob.requester(), &room_id, &event_id)).unwrap());
    assert_eq!((&found["content"], &found["unsigned"]["redacted_because"]["redacts"]), (&json!({}), &json!(event_id)));
    let root = value(&read(&world, |cx| event(cx, &bob.requester(), &room_id, &root)).unwrap());
    assert_eq!(root["unsigned"].get("m.relations"), None, "it is in no thread any more");
}

#[test]
fn state_and_members_are_as_they_were() {
    let (world, ada, bob, room_id) = pair();
    let joined = page(&world, &ada, &room_id, None, Direction::Backward, 1, json!({})).unwrap();
    world.member(&bob, &room_id, Action::Leave);
    let names = |at: Option<Token>, wanted: Option<&str>, unwanted: Option<&str>| {
        let (wanted, unwanted) = (wanted.map(Into::into), unwanted.map(Into::into));
        let asked = MembersRequest {
            user_id: &ada.user_id,
            room_id: &room_id,
            at,
            membership: wanted.as_ref(),
            not_membership: unwanted.as_ref(),
        };
        let found = read(&world, |cx| members(cx, &asked)).unwrap();
        found
            .iter()
            .map(|member| value(member))
            .map(|member| {
                format!("{} {}", member["state_key"].as_str().unwrap(), member["content"]["membership"].as_str().unwrap())
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(names(None, None, None), ["@ada:example.org join", "@bob:example.org leave"]);
    assert_eq!(names(None, Some("join"), None), ["@ada:example.org join"]);
    assert_eq!(names(None, None, Some("join")), ["@bob:example.org leave"]);
    assert_eq!(names(Some(joined.start), None, None), ["@ada:example.org join", "@bob:example.org join"]);
    let dawn = Token::at(journal::Stamp::ZERO, world.now());
    assert_eq!(
        names(Some(dawn), None, None),
        ["@ada:example.org join", "@bob:example.org invite"],
        "a room begins with its making"
    );
    let (full, content) =
        read(&world, |cx| state_event(cx, &ada.user_id, &room_id, &"m.room.member".into(), "@bob:example.org")).unwrap();
    assert_eq!(value(&full)["content"], value(&content));
    let absent = read(&world, |cx| state_event(cx, &ada.user_id, &room_id, &"m.room.topic".into(), ""));
    assert!(matches!(absent, Err(Reject::NotFound(_))));
}

#[test]
fn an_event_is_found_by_its_time() {
    let (world, ada, _, room_id) = pair();
    world.advance(1_000);
    let one = world.say(&ada, &room_id, "one");
    let then = world.now();
    world.advance(1_000);
    let two = world.say(&ada, &room_id, "two");
    let at = |ms: u64, direction| {
        let ts = ruma::MilliSecondsSinceUnixEpoch(ruma::UInt::new_saturating(then.as_ms() + ms));
        read(&world, |cx| event_at(cx, &ada.requester(), &room_id, ts, direction)).map(|(event_id, _)| event_id)
    };
    assert_eq!(at(0, Direction::Forward), Ok(one.clone()));
    assert_eq!(at(1, Direction::Forward), Ok(two.clone()));
    assert_eq!(at(999, Direction::Backward), Ok(one));
    assert_eq!(at(9_999, Direction::Backward), Ok(two));
    assert!(matches!(at(9_999, Direction::Forward), Err(Reject::NotFound(_))));
}

#[test]
fn notifications_are_listed_and_say_whether_they_are_read() {
    let (world, ada, bob, room_id) = pair();
    let one = world.say(&ada, &room_id, "one");
    let mention = json!({ "msgtype": "m.text", "body": "two", "m.mentions": { "user_ids": ["@bob:example.org"] } });
    send(&world, &ada, &room_id, "m.room.message", mention);
    let receipt = crate::receipts::Receipt { receipt_type: "m.read".to_owned(), event_id: one, thread_id: None };
    let command =
        crate::receipts::SetReceipts { user_id: bob.user_id.clone(), room_id: room_id.clone(), receipts: vec![receipt] };
    world.run(|cx| crate::receipts::set_receipts(cx, &command)).unwrap();
    let list = |from, limit, only| read(&world, |cx| notifications(cx, &bob.requester(), from, limit, only)).unwrap();
    let all = list(None, 9, false);
    let outcome: Vec<_> = all.notifications.iter().map(|found| (found.highlight, found.read)).collect();
    assert_eq!(outcome, [(true, false), (false, true), (false, true)], "two messages and the invitation, the latest first");
    assert_eq!(list(None, 9, true).notifications.len(), 1);
    let first = list(None, 2, false);
    assert_eq!(list(first.next, 2, false).notifications.len(), 1);
}

/// Who was in the room keeps what they could read; who comes later is served the empty event (spec: `POST /account/deactivate`).
#[test]
fn an_erased_accounts_messages_are_empty_for_newcomers() {
    for erase in [true, false] {
        let (world, ada, bob, room_id) = pair();
        let carol = world.user("carol", UserKind::Plain, "CAROL");
        let said = world.say(&bob, &room_id, "of bob");
        let edit = json!({ "msgtype": "m.text", "body": "* edited", "m.new_content": { "msgtype": "m.text", "body": "edited" },
            "m.relates_to": { "rel_type": "m.replace", "event_id": said } });
        send(&world, &bob, &room_id, "m.room.message", edit);
        let close = crate::account::Deactivate { user_id: bob.user_id.clone(), erase };
        world.run(|cx| crate::account::deactivate(cx, &close)).unwrap();
        world.act(&ada.user_id, &carol.user_id, &room_id, Action::Invite).unwrap();
        world.member(&carol, &room_id, Action::Join);

        let read = |person: &Person| value(&world.read(|cx| event(cx, &person.requester(), &room_id, &said)).unwrap());
        assert_eq!(read(&ada)["content"]["body"], "of bob");
        let (body, edited) = (read(&carol)["content"]["body"].clone(), read(&carol)["unsigned"]["m.relations"].clone());
        assert_eq!((body.is_null(), edited.is_null()), (erase, erase), "{body} {edited}");
        let page = page(&world, &carol, &room_id, None, Direction::Backward, 50, json!({})).unwrap();
        let all = page.events.iter().map(|event| event.get()).collect::<String>();
        assert_eq!(all.contains("edited"), !erase, "{all}");
    }
}
