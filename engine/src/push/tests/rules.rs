//! The specification's rules and conditions, one by one
//! ([spec v1.19, § Push rules](https://spec.matrix.org/v1.19/client-server-api/#push-rules)).

use std::collections::BTreeMap;

use ruma::push::{AnyPushRuleRef, Ruleset};
use serde_json::{Value, json};

use super::{occasion, scene, with};
use crate::push::{Recipient, Verdict, default_ruleset, evaluate::Judge};

/// Ids of a kind's rules, in order. Those of proposals stand in their own tests.
fn ids<'a>(rules: impl Iterator<Item = AnyPushRuleRef<'a>>) -> Vec<String> {
    let ids = rules.map(|rule| rule.rule_id().to_owned());
    ids.filter(|id| id.starts_with(".m.rule.")).map(|id| id[".m.rule.".len()..].to_owned()).collect()
}

#[test]
fn the_predefined_rules_stand_in_the_specified_order() {
    let rules = default_ruleset(ruma::user_id!("@bob:example.org"));
    let expected = [
        "master",
        "suppress_notices",
        "invite_for_me",
        "member_event",
        "is_user_mention",
        "contains_display_name",
        "is_room_mention",
        "roomnotif",
        "tombstone",
        "reaction",
        "room.server_acl",
        "suppress_edits",
    ];
    assert_eq!(ids(rules.override_.iter().map(AnyPushRuleRef::Override)), expected);
    assert_eq!(ids(rules.content.iter().map(AnyPushRuleRef::Content)), ["contains_user_name"]);
    let expected = ["call", "encrypted_room_one_to_one", "room_one_to_one", "message", "encrypted"];
    assert_eq!(ids(rules.underride.iter().map(AnyPushRuleRef::Underride)), expected);
    assert!(rules.room.is_empty() && rules.sender.is_empty());
    let off: Vec<_> = rules.iter().filter(|rule| !rule.enabled()).map(|rule| rule.rule_id().to_owned()).collect();
    assert_eq!(off, [".m.rule.master"]);
    assert!(rules.iter().all(ruma::push::AnyPushRuleRef::is_server_default));
}

/// What `rules` say to Bob, who is called Robert, of Ada's event among `joined_count`.
fn judged(rules: &Value, event_type: &str, state_key: Option<&str>, content: &Value, joined_count: u64) -> Option<Verdict> {
    let (world, _, bob, room_id, pdu) = scene();
    let rules: Ruleset = serde_json::from_value(rules.clone()).expect("rules");
    let pdu = with(&pdu, event_type, state_key, content);
    let occasion = occasion(&world, &room_id, &pdu, joined_count);
    let recipient = Recipient { user_id: &bob.user_id, display_name: Some("Robert") };
    world.read(|cx| Judge::new(cx, &occasion).by_rules(&rules, &recipient)).expect("reads")
}

fn rule(conditions: &Value, actions: &Value) -> Value {
    json!({ "rule_id": "r", "default": false, "enabled": true, "conditions": conditions, "actions": actions })
}

#[test]
fn each_condition_holds_when_it_should() {
    let matches = |key: &str, pattern: &str| json!([{ "kind": "event_match", "key": key, "pattern": pattern }]);
    let is = |key: &str, value: Value| json!([{ "kind": "event_property_is", "key": key, "value": value }]);
    let holds = |key: &str, value: Value| json!([{ "kind": "event_property_contains", "key": key, "value": value }]);
    let count = |is: &str| json!([{ "kind": "room_member_count", "is": is }]);
    let text = |body: &str| json!({ "msgtype": "m.text", "body": body });
    let cases = [
        (matches("content.body", "cake"), text("Let them eat CAKE!"), true),
        (matches("content.body", "cake"), text("Let them eat cakes"), false),
        (matches("content.body", "ca?e"), text("a cave here"), true),
        (matches("content.body", "ca*"), text("carry on"), true),
        (matches("content.msgtype", "m.*"), text("x"), true),
        (matches("content.msgtype", "text"), text("x"), false),
        (matches("content.count", "7"), json!({ "count": 7 }), false),
        (matches("type", "m.room.message"), text("x"), true),
        (matches("sender", "@ada:example.org"), text("x"), true),
        (matches("sender", "@bob:example.org"), text("x"), false),
        (matches("content.body", "x"), json!({}), false),
        (is("content.flag", json!(true)), json!({ "flag": true }), true),
        (is("content.flag", json!(true)), json!({ "flag": "true" }), false),
        (is("content.count", json!(7)), json!({ "count": 7 }), true),
        (is("content.count", json!(7)), json!({ "count": 8 }), false),
        (is("content.none", Value::Null), json!({ "none": null }), true),
        (is("content.none", Value::Null), json!({}), false),
        (is("content.body", json!("Cake")), text("cake"), false),
        (
            is(r"content.m\.relates_to.rel_type", json!("m.replace")),
            json!({ "m.relates_to": { "rel_type": "m.replace" } }),
            true,
        ),
        (
            is(r"content.m.relates_to.rel_type", json!("m.replace")),
            json!({ "m.relates_to": { "rel_type": "m.replace" } }),
            false,
        ),
        (holds("content.list", json!("b")), json!({ "list": ["a", "b"] }), true),
        (holds("content.list", json!(2)), json!({ "list": [1, 2] }), true),
        (holds("content.list", json!("c")), json!({ "list": ["a", "b"] }), false),
        (holds("content.list", json!("a")), json!({ "list": "a" }), false),
        (json!([{ "kind": "contains_display_name" }]), text("to robert, please"), true),
        (json!([{ "kind": "contains_display_name" }]), text("to Roberta"), false),
        (count("2"), text("x"), true),
        (count("==2"), text("x"), true),
        (count(">2"), text("x"), false),
        (count("<3"), text("x"), true),
        (count(">=3"), text("x"), false),
        (count("<=2"), text("x"), true),
        (json!([{ "kind": "sender_notification_permission", "key": "room" }]), text("x"), true),
        (json!([{ "kind": "org.example.unknown" }]), text("x"), false),
        (json!([]), text("x"), true),
        (json!([{ "kind": "room_member_count", "is": "2" }, { "kind": "org.example.unknown" }]), text("x"), false),
    ];
    for (conditions, content, expected) in cases {
        let rules = json!({ "override": [rule(&conditions, &json!(["notify"]))] });
        let found = judged(&rules, "m.room.message", None, &content, 2);
        assert_eq!(found.is_some(), expected, "{conditions} {content}");
    }
}

#[test]
fn who_may_not_notify_the_room_does_not() {
    let (world, ada, bob, room_id, pdu) = scene();
    let rules = json!([{ "kind": "sender_notification_permission", "key": "room" }]);
    let rules: Ruleset = serde_json::from_value(json!({ "override": [rule(&rules, &json!(["notify"]))] })).expect("rules");
    let recipient = Recipient { user_id: &ada.user_id, display_name: None };
    let pdu = crate::room::Pdu { sender: bob.user_id, ..pdu };
    let occasion = occasion(&world, &room_id, &pdu, 2);
    let verdict = world.read(|cx| Judge::new(cx, &occasion).by_rules(&rules, &recipient)).expect("reads");
    assert_eq!(verdict, None);
}

#[test]
fn the_first_rule_that_matches_decides_and_only_if_it_is_on() {
    let text = json!({ "body": "cake" });
    let pattern =
        |actions: Value| json!({ "rule_id": "c", "default": false, "enabled": true, "pattern": "cake", "actions": actions });
    let simple = |id: &str, actions: Value| json!({ "rule_id": id, "default": false, "enabled": true, "actions": actions });
    let room = |actions| simple("!room0:example.org", actions);
    let sender = |actions| simple("@ada:example.org", actions);
    let all = rule(&json!([]), &json!(["notify"]));
    let off = json!({ "rule_id": "off", "default": false, "enabled": false, "conditions": [], "actions": [] });
    let cases = [
        (json!({ "override": [off, all] }), true),
        (json!({ "override": [rule(&json!([]), &json!([]))], "content": [pattern(json!(["notify"]))] }), false),
        (json!({ "content": [pattern(json!([]))], "room": [room(json!(["notify"]))] }), false),
        (json!({ "room": [room(json!([]))], "sender": [sender(json!(["notify"]))] }), false),
        (json!({ "sender": [sender(json!(["dont_notify"]))], "underride": [all] }), false),
        (json!({ "sender": [sender(json!(["notify"]))], "underride": [rule(&json!([]), &json!([]))] }), true),
        (json!({ "room": [simple("!other:example.org", json!([]))], "underride": [all] }), true),
    ];
    for (rules, expected) in cases {
        let found = judged(&rules, "m.room.message", None, &text, 2);
        assert_eq!(found.is_some(), expected, "{rules}");
    }
}

#[test]
fn actions_become_tweaks() {
    let tweak = |name: &str, value: Value| json!({ "set_tweak": name, "value": value });
    let cases = [
        (json!(["notify"]), json!({})),
        (json!(["notify", tweak("sound", json!("ring"))]), json!({ "sound": "ring" })),
        (json!(["notify", { "set_tweak": "highlight" }]), json!({ "highlight": true })),
        (json!(["notify", tweak("highlight", json!(false))]), json!({})),
        (json!(["notify", tweak("org.example.colour", json!({ "r": 1 }))]), json!({ "org.example.colour": { "r": 1 } })),
    ];
    for (actions, expected) in cases {
        let rules = json!({ "override": [rule(&json!([]), &actions)] });
        let verdict = judged(&rules, "m.room.message", None, &json!({}), 2).expect("notifies");
        let expected: BTreeMap<String, Value> = serde_json::from_value(expected).expect("an object");
        assert_eq!(verdict.tweaks(), expected, "{actions}");
    }
}

#[test]
fn what_is_about_the_room_itself_notifies_as_specified() {
    let rules = serde_json::to_value(default_ruleset(ruma::user_id!("@bob:example.org"))).expect("JSON");
    let mention = json!({ "user_ids": ["@bob:example.org"] });
    let cases = [
        ("m.room.server_acl", Some(""), json!({ "allow": ["*"], "m.mentions": { "room": false } }), None),
        ("m.room.tombstone", Some(""), json!({ "body": "moved" }), Some(true)),
        ("m.room.tombstone", Some("else"), json!({ "body": "moved" }), None),
        ("m.reaction", None, json!({ "m.relates_to": { "rel_type": "m.annotation", "key": "x" } }), None),
        (
            "m.room.message",
            None,
            json!({ "body": "* x", "m.mentions": {}, "m.relates_to": { "rel_type": "m.replace" } }),
            None,
        ),
        (
            "m.room.message",
            None,
            json!({ "body": "* x", "m.mentions": mention, "m.relates_to": { "rel_type": "m.replace" } }),
            Some(true),
        ),
        ("m.room.encrypted", None, json!({ "m.mentions": mention }), Some(true)),
        ("m.sticker", None, json!({ "body": "x" }), None),
    ];
    for (event_type, state_key, content, expected) in cases {
        let verdict = judged(&rules, event_type, state_key, &content, 3);
        assert_eq!(verdict.map(|verdict| verdict.highlight), expected, "{event_type} {content}");
    }
}
