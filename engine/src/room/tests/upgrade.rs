//! Upgrades: what moves to the new room, what stays behind, who may, and what people take along.

use ruma::{
    OwnedRoomId, RoomAliasId, RoomId, RoomVersionId,
    api::client::room::{Visibility, create_room::v3::RoomPreset},
    events::StateEventType,
    push::{Action as PushAction, NewConditionalPushRule, NewPushRule, NewSimplePushRule, PushCondition, RuleKind},
};
use serde_json::{Value, json, value::to_raw_value};

use super::{act, make, plain, request, room_of, set_state};
use crate::{
    Reject,
    account::{self, ChangePushRules, NewAccountData, PushRuleChange},
    room::{
        aliases, directory,
        membership::Action,
        membership_of, state_event,
        upgrade::{UpgradeRoom, upgrade_room},
    },
    testing::{self, Person, World},
};

fn upgrade(
    world: &World,
    by: &Person,
    room_id: &RoomId,
    version: &str,
    additional: &[&Person],
) -> Result<OwnedRoomId, Reject> {
    let made = world.read(|cx| Ok::<_, Reject>(cx.view.seq())).expect("a position");
    let command = UpgradeRoom {
        sender: by.user_id.clone(),
        room_id: room_id.to_owned(),
        random_id: RoomId::parse(format!("!upgraded-{made}:example.org")).expect("a room id"),
        new_version: RoomVersionId::try_from(version).expect("a version"),
        additional_creators: additional.iter().map(|person| person.user_id.clone()).collect(),
    };
    world.run(|cx| upgrade_room(cx, &command))
}

/// The content of a room's state; `null` when there is none.
fn content(world: &World, room_id: &RoomId, event_type: &str, state_key: &str) -> Value {
    let event_type = StateEventType::from(event_type);
    let pdu = world.read(|cx| state_event(cx, room_id, &event_type, state_key)).expect("a read");
    pdu.map_or(Value::Null, |pdu| pdu.content_as().expect("an object"))
}

fn event_id(world: &World, room_id: &RoomId, event_type: &str) -> Value {
    let pdu = world.read(|cx| state_event(cx, room_id, &StateEventType::from(event_type), "")).expect("a read");
    json!(pdu.map(|pdu| pdu.event_id))
}

#[test]
fn the_new_room_is_as_the_old_one_and_each_points_at_the_other() {
    for (from, to) in [("10", "11"), ("11", "12"), ("12", "12"), ("12", "11"), ("11", "9"), ("2", "12")] {
        let world = World::new();
        let (alice, bob) = (plain(&world, "alice"), plain(&world, "bob"));
        let mut asked = request(from);
        asked.preset = Some(RoomPreset::PublicChat);
        asked.creation_content =
            Some(serde_json::from_value(json!({ "type": "m.space", "m.federate": false })).expect("content"));
        let old = make(&world, &alice, asked);
        act(&world, &bob, &bob.user_id, &old, Action::Join).expect("a public room");
        let copied = [
            ("m.room.name", json!({ "name": "Tea" })),
            ("m.room.topic", json!({ "topic": "and biscuits" })),
            ("m.room.avatar", json!({ "url": "mxc://example.org/tea" })),
            ("m.room.join_rules", json!({ "join_rule": "knock" })),
            ("m.room.guest_access", json!({ "guest_access": "forbidden" })),
            ("m.room.history_visibility", json!({ "history_visibility": "invited" })),
            ("m.room.encryption", json!({ "algorithm": "m.megolm.v1.aes-sha2", "rotation_period_ms": 3_600_000 })),
            ("m.room.server_acl", json!({ "allow": ["*"] })),
            ("m.room.retention", json!({ "max_lifetime": 3_600_000 })),
        ];
        for (event_type, content) in &copied {
            set_state(&world, &alice, &old, event_type, content).expect("state");
        }
        set_state(&world, &alice, &old, "org.example.own", &json!({ "by": "whom" })).expect("state");
        testing::state(&world, &alice, &old, "m.space.child", "!child:example.org", json!({ "via": ["example.org"] }));
        testing::state(&world, &alice, &old, "m.space.child", "!gone:example.org", json!({}));
        let new = upgrade(&world, &alice, &old, to, &[]).expect("upgraded");

        for (event_type, expected) in &copied {
            assert_eq!(content(&world, &new, event_type, ""), *expected, "{from} to {to}: {event_type}");
        }
        assert_eq!(content(&world, &new, "org.example.own", ""), Value::Null, "who sent it may matter");
        assert_eq!(content(&world, &new, "m.space.child", "!child:example.org"), json!({ "via": ["example.org"] }));
        assert_eq!(content(&world, &new, "m.space.child", "!gone:example.org"), Value::Null);
        let create = content(&world, &new, "m.room.create", "");
        assert_eq!(
            (&create["room_version"], &create["type"], &create["m.federate"]),
            (&json!(to), &json!("m.space"), &json!(false))
        );
        assert_eq!(create["predecessor"]["room_id"], json!(old));
        assert_eq!(content(&world, &old, "m.room.tombstone", "")["replacement_room"], json!(new));
        let tombstone = event_id(&world, &old, "m.room.tombstone");
        let named = if to == "12" { Value::Null } else { tombstone };
        assert_eq!(create["predecessor"].get("event_id").cloned().unwrap_or_default(), named, "{from} to {to}");
        let member = |room_id: &RoomId, person: &Person| {
            world.read(|cx| membership_of(cx, room_id, &person.user_id)).expect("a read").map(|state| state.to_string())
        };
        assert_eq!((member(&new, &alice), member(&new, &bob)), (Some("join".into()), None), "people come by themselves");
        let levels = content(&world, &old, "m.room.power_levels", "");
        assert_eq!((&levels["events_default"], &levels["invite"]), (&json!(50), &json!(50)), "the old room is closed");
        let said = super::message(&bob, &old, "late", &json!({ "body": "too late" }));
        assert!(matches!(world.run(|cx| crate::room::send::send_event(cx, &said)), Err(Reject::Forbidden(_))));
    }
}

#[test]
fn power_goes_to_the_new_room_in_its_own_terms() {
    // (versions, users before by alice, who upgrades, additional creators, users after); alice made the room.
    let cases: [(&str, &str, Value, &str, &[&str], Value); 7] = [
        ("11", "12", json!({ "bob": 100 }), "bob", &[], json!({})),
        ("11", "12", json!({ "bob": 100, "eve": 100 }), "bob", &[], json!({ "eve": 100 })),
        ("12", "12", json!({ "bob": 150 }), "bob", &["eve"], json!({})),
        ("12", "12", json!({ "bob": 150, "eve": 50 }), "bob", &["eve", "eve", "bob"], json!({})),
        ("11", "12", json!({ "alice": 100, "bob": 100, "eve": 50 }), "alice", &["bob"], json!({ "eve": 50 })),
        ("11", "11", json!({ "alice": 100, "bob": 50 }), "alice", &["bob"], json!({ "alice": 100, "bob": 50 })),
        ("12", "11", json!({ "bob": 150 }), "bob", &[], json!({ "alice": 150, "bob": 150 })),
    ];
    let full = |users: &Value| -> Value {
        let users = users.as_object().expect("users").iter();
        users.map(|(name, level)| (format!("@{name}:example.org"), level.clone())).collect::<serde_json::Map<_, _>>().into()
    };
    for (from, to, before, by, additional, after) in cases {
        let world = World::new();
        let [alice, bob, eve] = ["alice", "bob", "eve"].map(|name| plain(&world, name));
        let person = |name: &str| {
            [("alice", &alice), ("bob", &bob), ("eve", &eve)].into_iter().find(|one| one.0 == name).expect("one").1
        };
        let mut asked = request(from);
        asked.preset = Some(RoomPreset::PublicChat);
        let old = make(&world, &alice, asked);
        for guest in [&bob, &eve] {
            act(&world, guest, &guest.user_id, &old, Action::Join).expect("a public room");
        }
        set_state(&world, &alice, &old, "m.room.power_levels", &json!({ "users": full(&before) })).expect("levels");
        let additional: Vec<&Person> = additional.iter().map(|name| person(name)).collect();
        let new = upgrade(&world, person(by), &old, to, &additional).expect("upgraded");
        assert_eq!(content(&world, &new, "m.room.power_levels", "")["users"], full(&after), "{from} to {to} by {by}");
        let others: Vec<_> =
            additional.iter().filter(|other| other.user_id != person(by).user_id).map(|other| &other.user_id).collect();
        let listed = content(&world, &new, "m.room.create", "").get("additional_creators").cloned().unwrap_or_default();
        let expected = if to == "12" && !others.is_empty() { json!([others[0]]) } else { Value::Null };
        assert_eq!(listed, expected, "{from} to {to} by {by}");
    }
}

#[test]
fn texts_become_numbers_where_levels_have_to_be_numbers() {
    let world = World::new();
    let alice = plain(&world, "alice");
    let old = room_of(&world, &alice, RoomVersionId::V9);
    let levels = json!({ "users": { alice.user_id.as_str(): "100" }, "ban": " 60 ", "events": { "m.room.name": "+70" } });
    set_state(&world, &alice, &old, "m.room.power_levels", &levels).expect("old rooms take texts");
    let new = upgrade(&world, &alice, &old, "11", &[]).expect("upgraded");
    let expected = json!({ "users": { alice.user_id.as_str(): 100 }, "ban": 60, "events": { "m.room.name": 70 } });
    assert_eq!(content(&world, &new, "m.room.power_levels", ""), expected);
    let closed = content(&world, &old, "m.room.power_levels", "");
    assert_eq!((&closed["events_default"], &closed["invite"]), (&json!(50), &json!(50)));
}

#[test]
fn a_closed_room_is_above_what_everybody_may() {
    for (before, after) in [(0, 50), (49, 50), (50, 51), (99, 100)] {
        let world = World::new();
        let alice = plain(&world, "alice");
        let old = room_of(&world, &alice, RoomVersionId::V11);
        let levels = json!({ "users": { alice.user_id.as_str(): 100 }, "users_default": before, "invite": 70 });
        set_state(&world, &alice, &old, "m.room.power_levels", &levels).expect("levels");
        upgrade(&world, &alice, &old, "12", &[]).expect("upgraded");
        let closed = content(&world, &old, "m.room.power_levels", "");
        assert_eq!((&closed["events_default"], &closed["invite"]), (&json!(after), &json!(after.max(70))));
    }
}

#[test]
fn aliases_and_the_place_in_the_directory_move() {
    let world = World::new();
    let alice = plain(&world, "alice");
    let mut asked = request("11");
    asked.room_alias_name = Some("tea".into());
    asked.visibility = Visibility::Public;
    let old = make(&world, &alice, asked);
    let second = RoomAliasId::parse("#biscuits:example.org").expect("an alias");
    world.run(|cx| aliases::create_alias(cx, &alice.user_id, &old, &second, None)).expect("an alias");
    let new = upgrade(&world, &alice, &old, "12", &[]).expect("upgraded");
    let alias = RoomAliasId::parse("#tea:example.org").expect("an alias");
    for alias in [&alias, &second] {
        assert_eq!(world.read(|cx| aliases::resolve(cx, alias)).expect("it names a room").room_id, new);
    }
    let of = |room_id: &RoomId| world.read(|cx| aliases::aliases_of(cx, room_id)).expect("a read").len();
    assert_eq!((of(&old), of(&new)), (0, 2));
    assert_eq!(content(&world, &new, "m.room.canonical_alias", ""), json!({ "alias": alias }));
    assert_eq!(content(&world, &old, "m.room.canonical_alias", ""), json!({}));
    let published = |room_id: &RoomId| world.read(|cx| directory::is_published(cx, room_id)).expect("a read");
    assert_eq!((published(&old), published(&new)), (false, true));
    world.run(|cx| aliases::delete_alias(cx, &alice.user_id, &alias)).expect("still its maker's");
}

#[test]
fn bans_go_along_and_other_memberships_do_not() {
    let world = World::new();
    let [alice, bob, eve] = ["alice", "bob", "eve"].map(|name| plain(&world, name));
    let old = world.room(&alice, &[&bob, &eve]);
    act(&world, &bob, &bob.user_id, &old, Action::Join).expect("invited");
    act(&world, &alice, &eve.user_id, &old, Action::Ban).expect("a ban");
    let new = upgrade(&world, &alice, &old, "12", &[]).expect("upgraded");
    assert_eq!(content(&world, &new, "m.room.member", eve.user_id.as_str()), json!({ "membership": "ban" }));
    assert_eq!(content(&world, &new, "m.room.member", bob.user_id.as_str()), Value::Null);
    let again = upgrade(&world, &alice, &new, "12", &[&eve]).expect("a creator cannot be banned");
    assert_eq!(content(&world, &again, "m.room.member", eve.user_id.as_str()), Value::Null);
}

#[test]
fn a_join_rule_that_the_new_version_does_not_know_becomes_an_invitation() {
    let world = World::new();
    let alice = plain(&world, "alice");
    for (version, kept) in [("9", false), ("10", true)] {
        let old = room_of(&world, &alice, RoomVersionId::V11);
        let rule = json!({ "join_rule": "knock_restricted", "allow": [] });
        set_state(&world, &alice, &old, "m.room.join_rules", &rule).expect("a join rule");
        let new = upgrade(&world, &alice, &old, version, &[]).expect("upgraded");
        let expected = if kept { rule } else { json!({ "join_rule": "invite" }) };
        assert_eq!(content(&world, &new, "m.room.join_rules", ""), expected);
    }
}

#[test]
fn who_may_not_changes_nothing() {
    let world = World::new();
    let [alice, bob, eve] = ["alice", "bob", "eve"].map(|name| plain(&world, name));
    let old = world.room(&alice, &[&bob]);
    act(&world, &bob, &bob.user_id, &old, Action::Join).expect("invited");
    let before = world.read(|cx| Ok::<_, Reject>(cx.view.seq())).expect("a position");
    for (by, version) in [(&bob, "11"), (&bob, "12"), (&eve, "12")] {
        assert!(matches!(upgrade(&world, by, &old, version, &[]), Err(Reject::Forbidden(_))));
    }
    for version in ["13", "org.matrix.msc2870", "nonsense"] {
        assert_eq!(upgrade(&world, &alice, &old, version, &[]), Err(Reject::UnsupportedRoomVersion(version.into())));
    }
    let unknown = RoomId::parse("!unknown:example.org").expect("a room id");
    assert!(matches!(upgrade(&world, &alice, &unknown, "12", &[]), Err(Reject::NotFound(_))));
    assert_eq!(world.read(|cx| Ok::<_, Reject>(cx.view.seq())).expect("a position"), before);
}

#[test]
fn provisioned_users_upgrade_nothing_and_their_rooms_stay() {
    let (world, [ada, pat, support]) = super::spaces::clinic();
    let old = world.room(&support, &[&pat]);
    act(&world, &pat, &pat.user_id, &old, Action::Join).expect("support asked");
    let chat = world.room(&ada, &[&pat]);
    for (by, room_id) in [(&ada, &chat), (&pat, &chat), (&pat, &old), (&support, &old)] {
        assert!(matches!(upgrade(&world, by, room_id, "12", &[]), Err(Reject::Forbidden(_))));
    }
}

fn rule(world: &World, person: &Person, rule: NewPushRule) {
    let change = PushRuleChange::Put { rule, after: None, before: None };
    let command = ChangePushRules { user_id: person.user_id.clone(), change };
    world.run(|cx| account::change_push_rules(cx, &command)).expect("a rule");
}

/// Push rules, tags and a direct chat for `room_id`.
fn settle(world: &World, person: &Person, room_id: &OwnedRoomId) {
    let about =
        |key: &str| PushCondition::EventMatch(ruma::push::EventMatchConditionData::new(key.into(), room_id.to_string()));
    rule(world, person, NewPushRule::Room(NewSimplePushRule::new(room_id.clone(), vec![PushAction::Notify])));
    for (rule_id, key) in [(room_id.as_str(), "room_id"), ("quiet", "room_id"), ("other", "content.body")] {
        let new = NewConditionalPushRule::new(rule_id.into(), vec![about(key)], vec![]);
        rule(world, person, NewPushRule::Override(new));
    }
    let change = PushRuleChange::Enabled { kind: RuleKind::Room, rule_id: room_id.to_string(), enabled: false };
    let command = ChangePushRules { user_id: person.user_id.clone(), change };
    world.run(|cx| account::change_push_rules(cx, &command)).expect("a change");
    let tag = json!({ "order": 0.25 });
    world.run(|cx| account::put_tag(cx, &person.user_id, room_id, "m.favourite", &tag)).expect("a tag");
    let direct = json!({ "@x:example.org": [room_id], "@y:example.org": ["!z:example.org"] });
    let command = NewAccountData {
        user_id: person.user_id.clone(),
        room_id: None,
        event_type: "m.direct".into(),
        content: to_raw_value(&direct).expect("JSON"),
    };
    world.run(|cx| account::set_account_data(cx, &command)).expect("account data");
}

/// That `person` has for `to` what [`settle`] had set for `from`, and still for `from`.
fn check_settled(world: &World, person: &Person, from: &OwnedRoomId, to: &OwnedRoomId) {
    let rules = world.read(|cx| account::push_rules(cx, &person.user_id)).expect("rules");
    for room_id in [from, to] {
        let found = rules.room.iter().find(|rule| rule.rule_id == *room_id).expect("a rule of the room");
        assert!(!found.enabled && found.actions.len() == 1, "as it was");
    }
    let ids: Vec<_> = rules.override_.iter().filter(|rule| !rule.default).map(|rule| rule.rule_id.clone()).collect();
    let expected = ["other".into(), "quiet".into(), format!("quiet {to}"), from.to_string(), to.to_string()];
    assert_eq!(ids, expected, "each just below the one it was made after");
    let pattern = |rule_id: &str| {
        let found = rules.override_.iter().find(|rule| rule.rule_id == rule_id).expect("a rule");
        let PushCondition::EventMatch(data) = &found.conditions[0] else { panic!("a pattern") };
        data.pattern.clone()
    };
    assert_eq!((pattern("quiet"), pattern(&format!("quiet {to}"))), (from.to_string(), to.to_string()));
    for room_id in [from, to] {
        let tags = world.read(|cx| account::tags(cx, &person.user_id, room_id)).expect("tags");
        assert_eq!(Value::Object(tags), json!({ "m.favourite": { "order": 0.25 } }));
    }
    let direct = world.read(|cx| account::account_data(cx, &person.user_id, "m.direct")).expect("direct chats");
    let direct: Value = serde_json::from_str(direct.get()).expect("JSON");
    assert_eq!(direct, json!({ "@x:example.org": [from, to], "@y:example.org": ["!z:example.org"] }));
}

#[test]
fn people_take_their_settings_along_whoever_makes_the_new_room() {
    for by_hand in [false, true] {
        let world = World::new();
        let (alice, bob) = (plain(&world, "alice"), plain(&world, "bob"));
        let mut asked = request("10");
        asked.preset = Some(RoomPreset::PublicChat);
        let old = make(&world, &alice, asked);
        act(&world, &bob, &bob.user_id, &old, Action::Join).expect("a public room");
        for person in [&alice, &bob] {
            settle(&world, person, &old);
        }
        let new = if by_hand {
            let mut asked = request("11");
            asked.preset = Some(RoomPreset::PublicChat);
            let predecessor = json!({ "predecessor": { "room_id": old } });
            asked.creation_content = Some(serde_json::from_value(predecessor).expect("content"));
            make(&world, &alice, asked)
        } else {
            upgrade(&world, &alice, &old, "11", &[]).expect("upgraded")
        };
        check_settled(&world, &alice, &old, &new);
        act(&world, &bob, &bob.user_id, &new, Action::Join).expect("a public room");
        check_settled(&world, &bob, &old, &new);
    }
}

#[test]
fn what_is_set_for_the_new_room_stays_as_it_is() {
    let world = World::new();
    let (alice, bob) = (plain(&world, "alice"), plain(&world, "bob"));
    let mut asked = request("11");
    asked.preset = Some(RoomPreset::PublicChat);
    let old = make(&world, &alice, asked);
    settle(&world, &bob, &old);
    let new = upgrade(&world, &alice, &old, "11", &[]).expect("upgraded");
    world.run(|cx| account::put_tag(cx, &bob.user_id, &new, "u.own", &json!({}))).expect("a tag");
    rule(&world, &bob, NewPushRule::Room(NewSimplePushRule::new(new.clone(), vec![])));
    act(&world, &bob, &bob.user_id, &new, Action::Join).expect("a public room");
    let tags = world.read(|cx| account::tags(cx, &bob.user_id, &new)).expect("tags");
    assert_eq!(Value::Object(tags), json!({ "u.own": {} }));
    let rules = world.read(|cx| account::push_rules(cx, &bob.user_id)).expect("rules");
    let own = rules.room.iter().find(|rule| rule.rule_id == new).expect("a rule");
    assert!(own.enabled && own.actions.is_empty());
}
