//! The rules for polls (MSC3930), under the names that clients look for.

use ruma::push::{
    Action, ConditionalPushRule, ConditionalPushRuleInit, EventMatchConditionData, PushCondition,
    RoomMemberCountConditionData, RoomMemberCountIs, Ruleset, SoundTweakValue, Tweak,
};

/// A poll.
const START: &str = "org.matrix.msc3381.poll.start";
/// Its end.
const END: &str = "org.matrix.msc3381.poll.end";
/// Somebody's answer.
const RESPONSE: &str = "org.matrix.msc3381.poll.response";

/// Adds the rules: a poll and its end notify as messages do, answers don't.
pub(super) fn add(rules: &mut Ruleset) {
    rules.override_.insert(rule("poll_response", Vec::new(), vec![of_type(RESPONSE)]));
    for (name, event_type) in [("poll_start", START), ("poll_end", END)] {
        let loud = vec![Action::Notify, Action::SetTweak(Tweak::Sound(SoundTweakValue::Default))];
        let for_two =
            PushCondition::RoomMemberCount(RoomMemberCountConditionData::new(RoomMemberCountIs::from(ruma::uint!(2))));
        rules.underride.insert(rule(&format!("{name}_one_to_one"), loud, vec![for_two, of_type(event_type)]));
        rules.underride.insert(rule(name, vec![Action::Notify], vec![of_type(event_type)]));
    }
}

fn of_type(event_type: &str) -> PushCondition {
    PushCondition::EventMatch(EventMatchConditionData::new("type".to_owned(), event_type.to_owned()))
}

fn rule(name: &str, actions: Vec<Action>, conditions: Vec<PushCondition>) -> ConditionalPushRule {
    let rule_id = format!(".org.matrix.msc3930.rule.{name}");
    ConditionalPushRuleInit { actions, default: true, enabled: true, rule_id, conditions }.into()
}
