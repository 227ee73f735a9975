//! Summaries, spaces and rooms in common: what is told of a room, and to whom.

use ruma::{
    OwnedRoomId, RoomId, UserId,
    api::client::room::create_room::v3::{Request, RoomPreset},
    user_id,
};
use serde_json::{Value, json};

use super::{act, make, plain, request, set_state};
use crate::{
    Reject, Stop,
    platform::tests::{organization, put_host_named, session},
    room::{
        hierarchy::{DEPTH_MAX, Hierarchy, HierarchyRequest, hierarchy},
        membership::Action,
        mutual_rooms,
        summary::room_summary,
    },
    tables::UserKind,
    testing::{Person, World, appservice, state},
};

/// A host, a participant of theirs, and support.
pub(super) fn clinic() -> (World, [Person; 3]) {
    let world = World::with_appservices([appservice("bridge", "support")]);
    let support = world.user("support", UserKind::Appservice, "BRIDGE");
    organization(&world, "acme", &[("North", true)]);
    put_host_named(&world, "ada", "acme", "North", "ada").expect("a host");
    session(&world, "s1", "ada", &["pat"]).expect("a session");
    let person = |user_id: &UserId| world.device(user_id, "D");
    let (ada, pat) = (person(user_id!("@ada:example.org")), person(user_id!("@pat:example.org")));
    (world, [ada, pat, support])
}

fn reject<T>(result: Result<T, Stop>) -> Result<T, Reject> {
    result.map_err(|stop| match stop {
        Stop::Reject(reject) => reject,
        Stop::Read(error) => panic!("{error}"),
    })
}

fn summary(world: &World, person: Option<&Person>, room: &str) -> Result<Value, Reject> {
    let room = <&ruma::RoomOrAliasId>::try_from(room).expect("a room");
    let found = reject(world.read(|cx| room_summary(cx, person.map(|person| &*person.user_id), room)));
    found.map(|summary| serde_json::to_value(summary).expect("JSON"))
}

fn walk<'a>(
    world: &World,
    person: &'a Person,
    room_id: &'a RoomId,
    change: impl FnOnce(&mut HierarchyRequest<'a>),
) -> Result<Hierarchy, Reject> {
    let mut request = HierarchyRequest {
        user_id: &person.user_id,
        room_id,
        suggested_only: false,
        max_depth: DEPTH_MAX,
        limit: 50,
        from: None,
    };
    change(&mut request);
    reject(world.read(|cx| hierarchy(cx, &request)))
}

fn ids(page: &Hierarchy) -> Vec<OwnedRoomId> {
    page.rooms.iter().map(|room| room.summary.listed.room_id.clone()).collect()
}

fn public(name: &str) -> Request {
    let mut asked = request("11");
    asked.preset = Some(RoomPreset::PublicChat);
    asked.name = Some(name.to_owned());
    asked
}

fn space(name: &str) -> Request {
    let mut asked = public(name);
    asked.creation_content = Some(serde_json::from_value(json!({ "type": "m.space" })).expect("content"));
    asked
}

fn child(world: &World, person: &Person, space: &RoomId, child: &RoomId, content: &Value) {
    world.advance(1);
    state(world, person, space, "m.space.child", child.as_str(), content.clone());
}

fn via() -> Value {
    json!({ "via": ["example.org"] })
}

#[test]
fn a_room_is_told_of_to_those_who_may_come_in_and_to_nobody_else() {
    // (join rule, history, membership of the asker, in the hall) -> asker, stranger without an account
    let cases = [
        ("invite", "shared", None, false, false, false),
        ("invite", "shared", Some(Action::Invite), false, true, false),
        ("invite", "shared", Some(Action::Ban), false, false, false),
        ("invite", "world_readable", None, false, true, true),
        ("private", "shared", None, false, false, false),
        ("public", "joined", None, false, true, true),
        ("public", "joined", Some(Action::Join), false, true, true),
        ("knock", "joined", None, false, true, true),
        ("knock", "joined", Some(Action::Knock), false, true, true),
        ("restricted", "shared", None, false, false, false),
        ("restricted", "shared", None, true, true, false),
        ("knock_restricted", "shared", None, false, true, true),
    ];
    for (join_rule, history, action, in_hall, asker, stranger) in cases {
        let world = World::new();
        let (alice, bob) = (plain(&world, "alice"), plain(&world, "bob"));
        let hall = make(&world, &alice, public("Hall"));
        let room_id = world.room(&alice, &[]);
        let rule = json!({ "join_rule": join_rule, "allow": [{ "type": "m.room_membership", "room_id": hall }] });
        set_state(&world, &alice, &room_id, "m.room.join_rules", &rule).expect("a rule");
        set_state(&world, &alice, &room_id, "m.room.history_visibility", &json!({ "history_visibility": history }))
            .expect("a rule");
        if in_hall {
            act(&world, &bob, &bob.user_id, &hall, Action::Join).expect("a public room");
        }
        if let Some(action) = action {
            let by = if matches!(action, Action::Invite | Action::Ban) { &alice } else { &bob };
            act(&world, by, &bob.user_id, &room_id, action).expect("a membership");
        }
        for (person, seen) in [(Some(&bob), asker), (None, stranger)] {
            let told = summary(&world, person, room_id.as_str());
            assert_eq!(told.is_ok(), seen, "{join_rule} {history} {action:?} {in_hall}: {told:?}");
        }
        assert_eq!(walk(&world, &bob, &room_id, |_| {}).is_ok(), asker, "{join_rule} {history} {action:?} {in_hall}");
        let unknown = summary(&world, Some(&bob), "!unknown:example.org").expect_err("no room");
        assert!(matches!(unknown, Reject::NotFound(_)));
        for denied in [summary(&world, Some(&bob), room_id.as_str()), summary(&world, None, room_id.as_str())] {
            assert!(denied.is_ok() || denied == Err(unknown.clone()), "the same words as for no room at all");
        }
    }
}

#[test]
fn a_summary_has_what_there_is_to_tell() {
    let world = World::new();
    let (alice, bob) = (plain(&world, "alice"), plain(&world, "bob"));
    let hall = make(&world, &alice, space("Hall"));
    let mut asked = public("Tea");
    asked.room_alias_name = Some("tea".into());
    let room_id = make(&world, &alice, asked);
    for (event_type, content) in [
        ("m.room.topic", json!({ "topic": "and biscuits" })),
        ("m.room.avatar", json!({ "url": "mxc://example.org/tea" })),
        ("m.room.encryption", json!({ "algorithm": "m.megolm.v1.aes-sha2" })),
        (
            "m.room.join_rules",
            json!({ "join_rule": "knock_restricted", "allow": [{ "type": "m.room_membership", "room_id": hall }] }),
        ),
    ] {
        set_state(&world, &alice, &room_id, event_type, &content).expect("state");
    }
    let mut expected = json!({
        "room_id": room_id, "name": "Tea", "topic": "and biscuits", "avatar_url": "mxc://example.org/tea",
        "canonical_alias": "#tea:example.org", "num_joined_members": 1, "world_readable": false, "guest_can_join": false,
        "join_rule": "knock_restricted", "allowed_room_ids": [hall], "encryption": "m.megolm.v1.aes-sha2",
        "room_version": "11", "membership": "leave",
    });
    assert_eq!(summary(&world, Some(&bob), room_id.as_str()).expect("told"), expected);
    assert_eq!(summary(&world, Some(&bob), "#tea:example.org").expect("told"), expected);
    expected.as_object_mut().expect("an object").remove("membership");
    assert_eq!(summary(&world, None, "#tea:example.org").expect("told"), expected);
    let told = summary(&world, Some(&alice), hall.as_str()).expect("told");
    assert_eq!(
        (&told["room_type"], &told["membership"], told.get("allowed_room_ids")),
        (&json!("m.space"), &json!("join"), None)
    );
    set_state(&world, &alice, &room_id, "m.room.join_rules", &json!({ "join_rule": "org.example.own" })).expect("a rule");
    assert_eq!(summary(&world, Some(&alice), room_id.as_str()).expect("told")["join_rule"], "org.example.own");
}

#[test]
fn provisioned_users_and_others_learn_nothing_of_each_others_rooms() {
    let (world, [ada, pat, _]) = clinic();
    let zed = plain(&world, "zed");
    let theirs = world.room(&ada, &[&pat]);
    for (event_type, content) in [
        ("m.room.join_rules", json!({ "join_rule": "public" })),
        ("m.room.history_visibility", json!({ "history_visibility": "world_readable" })),
    ] {
        set_state(&world, &ada, &theirs, event_type, &content).expect("state");
    }
    let public = make(&world, &zed, space("Public"));
    for (person, room_id, seen) in [
        (Some(&zed), &theirs, false),
        (None, &theirs, false),
        (Some(&ada), &theirs, true),
        (Some(&pat), &theirs, true),
        (Some(&ada), &public, false),
        (Some(&pat), &public, false),
        (None, &public, true),
    ] {
        assert_eq!(summary(&world, person, room_id.as_str()).is_ok(), seen);
        if let Some(person) = person {
            assert_eq!(walk(&world, person, room_id, |_| {}).is_ok(), seen);
        }
    }
}

/// Root with R1 (suggested), S1 and R2 (suggested); S1 with S2; S2 with R3 and R4. R2, which is no space, names R1.
fn tree(world: &World, alice: &Person) -> [OwnedRoomId; 7] {
    let make_space = |name: &str| make(world, alice, space(name));
    let make_room = |name: &str| make(world, alice, public(name));
    let (root, s1, s2) = (make_space("Root"), make_space("S1"), make_space("S2"));
    let [r1, r2, r3, r4] = ["R1", "R2", "R3", "R4"].map(make_room);
    let suggested = json!({ "via": ["example.org"], "suggested": true });
    for (from, to, content) in [
        (&root, &r1, suggested.clone()),
        (&root, &s1, via()),
        (&root, &r2, suggested),
        (&r2, &r1, via()),
        (&s1, &s2, via()),
        (&s2, &r3, via()),
        (&s2, &r4, via()),
        (&s2, &root, via()),
    ] {
        child(world, alice, from, to, &content);
    }
    [root, r1, s1, s2, r3, r4, r2]
}

#[test]
fn a_space_is_walked_depth_first_and_each_room_told_once() {
    let world = World::new();
    let (alice, bob) = (plain(&world, "alice"), plain(&world, "bob"));
    let all = tree(&world, &alice);
    let [root, r1, s1, s2, _, r4, r2] = all.clone();
    let page = walk(&world, &bob, &root, |_| {}).expect("a page");
    assert_eq!((ids(&page), page.next_batch.is_some()), (all.to_vec(), false));
    let links = |page: &Hierarchy, room_id: &OwnedRoomId| -> Vec<Value> {
        let room = page.rooms.iter().find(|room| room.summary.listed.room_id == *room_id).expect("a room");
        let event = |raw: &serde_json::value::RawValue| serde_json::from_str::<Value>(raw.get()).expect("JSON");
        room.children_state.iter().map(|raw| event(raw)["state_key"].clone()).collect()
    };
    assert_eq!(links(&page, &root), [json!(r1), json!(s1), json!(r2)]);
    assert_eq!(links(&page, &r2), Vec::<Value>::new(), "only a space has children");
    let first: Value = serde_json::from_str(page.rooms[0].children_state[0].get()).expect("JSON");
    let fields: Vec<_> = first.as_object().expect("an object").keys().cloned().collect();
    assert_eq!(fields, ["content", "origin_server_ts", "sender", "state_key", "type"]);

    let shallow = walk(&world, &bob, &root, |request| request.max_depth = 1).expect("a page");
    assert_eq!(ids(&shallow), [root.clone(), r1.clone(), s1.clone(), r2.clone()]);
    assert_eq!(links(&shallow, &s1), [json!(s2)], "told, not followed");
    assert_eq!(ids(&walk(&world, &bob, &root, |request| request.max_depth = 0).expect("a page")), [root.clone()]);
    let suggested = walk(&world, &bob, &root, |request| request.suggested_only = true).expect("a page");
    assert_eq!(ids(&suggested), [root.clone(), r1.clone(), r2.clone()]);
    assert_eq!(links(&suggested, &root), [json!(r1), json!(r2)]);

    // What may not be seen is left out, and what only it leads to.
    set_state(&world, &alice, &s1, "m.room.join_rules", &json!({ "join_rule": "invite" })).expect("a rule");
    assert_eq!(ids(&walk(&world, &bob, &root, |_| {}).expect("a page")), [root.clone(), r1.clone(), r2.clone()]);
    act(&world, &alice, &bob.user_id, &s1, Action::Invite).expect("invited");
    set_state(&world, &alice, &r4, "m.room.join_rules", &json!({ "join_rule": "invite" })).expect("a rule");
    assert_eq!(ids(&walk(&world, &bob, &root, |_| {}).expect("a page")).len(), 6);
    child(&world, &alice, &root, &s1, &json!({}));
    assert_eq!(ids(&walk(&world, &bob, &root, |_| {}).expect("a page")), [root, r1, r2]);
}

#[test]
fn children_are_ordered_as_the_specification_has_it() {
    let world = World::new();
    let alice = plain(&world, "alice");
    let root = make(&world, &alice, space("Root"));
    let mut rooms = Vec::new();
    for (place, content) in [
        (5, via()),
        (4, json!({ "via": ["example.org"], "order": "first" })),
        (6, json!({ "via": ["example.org"], "order": "\u{e9}" })),
        (2, json!({ "via": ["example.org"], "order": " " })),
        (3, json!({ "via": ["example.org"], "order": "aaaa" })),
        (7, json!({ "via": ["example.org"], "order": "x".repeat(51) })),
        (8, json!({ "via": ["example.org"], "order": 1 })),
    ] {
        let room_id = make(&world, &alice, public("child"));
        child(&world, &alice, &root, &room_id, &content);
        rooms.push((place, room_id));
    }
    for broken in [json!({ "via": "example.org" }), json!({ "order": "a" })] {
        let room_id = make(&world, &alice, public("no child"));
        child(&world, &alice, &root, &room_id, &broken);
    }
    rooms.sort();
    let expected: Vec<_> = std::iter::once(root.clone()).chain(rooms.into_iter().map(|(_, room_id)| room_id)).collect();
    assert_eq!(ids(&walk(&world, &alice, &root, |_| {}).expect("a page")), expected);
}

#[test]
fn pages_of_a_space_join_and_their_tokens_are_for_nothing_else() {
    let world = World::new();
    let (alice, bob) = (plain(&world, "alice"), plain(&world, "bob"));
    let all = tree(&world, &alice);
    let root = &all[0];
    for limit in 1..=7 {
        let (mut found, mut from) = (Vec::new(), None::<String>);
        loop {
            let page = walk(&world, &bob, root, |request| {
                request.limit = limit;
                request.from = from.as_deref();
            });
            let page = page.expect("a page");
            assert!(page.rooms.len() <= limit);
            found.extend(ids(&page));
            from = page.next_batch;
            if from.is_none() {
                break;
            }
        }
        assert_eq!(found, all, "by {limit}");
    }
    let token = walk(&world, &bob, root, |request| request.limit = 2).expect("a page").next_batch.expect("more");
    let with = |person: &Person, room_id: &RoomId, token: &str, change: &dyn Fn(&mut HierarchyRequest<'_>)| {
        walk(&world, person, room_id, |request| {
            request.from = Some(token);
            change(request);
        })
        .map(|page| ids(&page))
    };
    assert_eq!(with(&bob, root, &token, &|_| {}), Ok(all[2..].to_vec()));
    let invalid =
        |result: Result<Vec<OwnedRoomId>, Reject>| assert!(matches!(result, Err(Reject::InvalidParam(_))), "{result:?}");
    invalid(with(&bob, root, &token, &|request| request.suggested_only = true));
    invalid(with(&bob, root, &token, &|request| request.max_depth = 3));
    invalid(with(&alice, root, &token, &|_| {}));
    invalid(with(&bob, &all[2], &token, &|_| {}));
    for text in ["", "2", "nonsense", &token.replacen('2', "3", 1), &format!("{token}0"), "_1_2"] {
        invalid(with(&bob, root, text, &|_| {}));
    }
    world.advance(600_000);
    assert!(with(&bob, root, &token, &|_| {}).is_ok(), "ten minutes at least");
    world.advance(600_000);
    invalid(with(&bob, root, &token, &|_| {}));
}

#[test]
fn who_is_banned_may_not_begin_a_walk() {
    let world = World::new();
    let (alice, bob) = (plain(&world, "alice"), plain(&world, "bob"));
    let root = make(&world, &alice, space("Root"));
    assert!(walk(&world, &bob, &root, |_| {}).is_ok());
    act(&world, &alice, &bob.user_id, &root, Action::Ban).expect("a ban");
    let refused = walk(&world, &bob, &root, |_| {}).expect_err("banned");
    let unknown = walk(&world, &bob, ruma::room_id!("!unknown:example.org"), |_| {}).expect_err("no room");
    assert!(matches!(refused, Reject::Forbidden(_)) && refused == unknown);
    set_state(&world, &alice, &root, "m.room.history_visibility", &json!({ "history_visibility": "world_readable" }))
        .expect("state");
    assert!(walk(&world, &bob, &root, |_| {}).is_ok(), "everybody may read it");
}

#[test]
fn rooms_in_common_are_those_both_are_in() {
    let world = World::new();
    let [alice, bob, eve] = ["alice", "bob", "eve"].map(|name| plain(&world, name));
    let mut shared = Vec::new();
    for number in 0..105 {
        let room_id = world.room(&alice, &[&bob]);
        if number % 21 != 0 {
            act(&world, &bob, &bob.user_id, &room_id, Action::Join).expect("invited");
            shared.push(room_id);
        }
    }
    world.room(&alice, &[&eve]);
    let ask = |person: &Person, other: &UserId, from: Option<&str>| {
        reject(world.read(|cx| mutual_rooms(cx, &person.user_id, other, from)))
    };
    let page = ask(&alice, &bob.user_id, None).expect("a page");
    let mut found = page.joined;
    found.sort();
    shared.sort();
    assert_eq!((page.count, found, page.next_batch), (100, shared, None));
    let invited = world.room(&alice, &[&bob]);
    act(&world, &bob, &bob.user_id, &invited, Action::Join).expect("invited");
    let first = ask(&alice, &bob.user_id, None).expect("a page");
    let token = first.next_batch.expect("more");
    let last = ask(&alice, &bob.user_id, Some(&token)).expect("a page");
    assert_eq!((first.joined.len(), first.count, last.joined.len(), last.count, last.next_batch), (100, 101, 1, 101, None));
    assert!(!first.joined.contains(&last.joined[0]));
    for other in [&eve.user_id, &user_id!("@nobody:example.org").to_owned()] {
        assert_eq!(ask(&alice, other, None).expect("a page").count, 0);
        assert!(matches!(ask(&alice, other, Some(&token)), Err(Reject::InvalidParam(_))), "a token for somebody else");
    }
    assert!(matches!(ask(&alice, &alice.user_id, None), Err(Reject::InvalidParam(_))), "oneself");
    world.advance(1_200_000);
    assert!(matches!(ask(&alice, &bob.user_id, Some(&token)), Err(Reject::InvalidParam(_))), "too old");
}
