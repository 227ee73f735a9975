//! Where rules stand after they are put, and what cannot be done to them.

use ruma::push::{NewConditionalPushRule, NewSimplePushRule, PredefinedOverrideRuleId};

use super::*;
use crate::{tables::UserKind, testing::World};

fn sender_rule(name: &str) -> NewPushRule {
    NewPushRule::Sender(NewSimplePushRule::new(format!("@{name}:x").try_into().expect("a user id"), vec![]))
}

/// Puts rules one after the other, each as (its name, after, before); the names in the order they end up in.
fn placed(puts: &[(&str, Option<&str>, Option<&str>)]) -> Result<Vec<String>, Reject> {
    let world = World::new();
    let ada = world.user("ada", UserKind::Plain, "ADA").user_id;
    for (name, after, before) in puts {
        let id = |name: &&str| if name.starts_with('.') { (*name).to_owned() } else { format!("@{name}:x") };
        let change =
            PushRuleChange::Put { rule: sender_rule(name), after: after.as_ref().map(id), before: before.as_ref().map(id) };
        world.run(|cx| change_push_rules(cx, &ChangePushRules { user_id: ada.clone(), change: change.clone() }))?;
    }
    let rules = world.read(|cx| push_rules(cx, &ada)).expect("reads");
    Ok(rules.sender.iter().map(|rule| rule.rule_id.localpart().to_owned()).collect())
}

#[test]
fn a_rule_stands_where_it_is_put() {
    let abc = [("c", None, None), ("b", None, None), ("a", None, None)];
    let cases: [(&str, Option<&str>, Option<&str>, &[&str]); 9] = [
        ("new", None, None, &["new", "a", "b", "c"]),
        ("new", Some("a"), None, &["a", "new", "b", "c"]),
        ("new", None, Some("c"), &["a", "b", "new", "c"]),
        ("new", Some("c"), None, &["a", "b", "c", "new"]),
        ("new", Some("a"), Some("c"), &["a", "b", "new", "c"]),
        ("a", Some("c"), None, &["b", "c", "a"]),
        ("a", None, Some("c"), &["b", "a", "c"]),
        ("c", None, Some("a"), &["c", "a", "b"]),
        ("b", None, None, &["a", "b", "c"]),
    ];
    for (name, after, before, expected) in cases {
        let puts: Vec<_> = abc.into_iter().chain([(name, after, before)]).collect();
        assert_eq!(placed(&puts).expect("put"), expected, "{name} after {after:?} before {before:?}");
    }
}

#[test]
fn what_cannot_stand_where_it_should_is_refused() {
    let unknown = |result: Result<Vec<String>, Reject>| matches!(result, Err(Reject::Unknown(_)));
    let invalid = |result: Result<Vec<String>, Reject>| matches!(result, Err(Reject::InvalidParam(_)));
    let two = |third| placed(&[("a", None, None), ("b", Some("a"), None), third]);
    assert!(unknown(two(("c", Some("nobody"), None))));
    assert!(unknown(two(("c", None, Some("nobody")))));
    assert!(unknown(two(("a", Some("a"), None))), "no rule stands after itself");
    assert!(invalid(two(("c", Some("b"), Some("a")))));
    assert!(invalid(two(("c", Some(".m.rule.master"), None))));
}

#[test]
fn a_rule_that_is_put_again_stays_on_or_off_and_predefined_ones_stay_what_they_are() {
    let world = World::new();
    let ada = world.user("ada", UserKind::Plain, "ADA").user_id;
    let change = |change: PushRuleChange| {
        world.run(|cx| change_push_rules(cx, &ChangePushRules { user_id: ada.clone(), change: change.clone() }))
    };
    let put = |name: &str, after: Option<&str>| {
        change(PushRuleChange::Put { rule: sender_rule(name), after: after.map(|name| format!("@{name}:x")), before: None })
    };
    put("a", None).expect("put");
    put("b", None).expect("put");
    change(PushRuleChange::Enabled { kind: RuleKind::Sender, rule_id: "@a:x".to_owned(), enabled: false }).expect("off");
    put("a", None).expect("put again");
    put("a", Some("b")).expect("moved");
    let rules = world.read(|cx| push_rules(cx, &ada)).expect("reads");
    assert!(!rules.get(RuleKind::Sender, "@a:x").expect("there").enabled());

    let master = PredefinedOverrideRuleId::Master.to_string();
    let mine = NewPushRule::Override(NewConditionalPushRule::new(master.clone(), vec![], vec![]));
    assert!(matches!(change(PushRuleChange::Put { rule: mine, after: None, before: None }), Err(Reject::InvalidParam(_))));
    let slash = NewPushRule::Override(NewConditionalPushRule::new("a/b".to_owned(), vec![], vec![]));
    assert!(matches!(change(PushRuleChange::Put { rule: slash, after: None, before: None }), Err(Reject::InvalidParam(_))));
    let own = NewPushRule::Override(NewConditionalPushRule::new("own".to_owned(), vec![], vec![Action::Notify]));
    change(PushRuleChange::Put { rule: own, after: None, before: None }).expect("put");
    change(PushRuleChange::Enabled { kind: RuleKind::Override, rule_id: master.clone(), enabled: true }).expect("on");
    let actions =
        PushRuleChange::Actions { kind: RuleKind::Override, rule_id: master.clone(), actions: vec![Action::Notify] };
    change(actions).expect("set");
    let rules = world.read(|cx| push_rules(cx, &ada)).expect("reads");
    let first: Vec<_> = rules.override_.iter().take(3).map(|rule| (&*rule.rule_id, rule.enabled)).collect();
    assert_eq!(first, [(".m.rule.master", true), ("own", true), (".m.rule.suppress_notices", true)]);
    for missing in [
        PushRuleChange::Enabled { kind: RuleKind::Room, rule_id: "!none:x".to_owned(), enabled: true },
        PushRuleChange::Actions { kind: RuleKind::Content, rule_id: "none".to_owned(), actions: vec![] },
        PushRuleChange::Delete { kind: RuleKind::Underride, rule_id: "none".to_owned() },
    ] {
        assert!(matches!(change(missing), Err(Reject::NotFound(_))));
    }
}
