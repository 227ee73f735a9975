//! The rules of a user who has not changed any.

use ruma::{
    UserId,
    power_levels::NotificationPowerLevelsKey,
    push::{
        Action, ConditionalPushRule, ConditionalPushRuleInit, EventMatchConditionData, HighlightTweakValue,
        PatternedPushRule, PatternedPushRuleInit, PushCondition, Ruleset, SenderNotificationPermissionConditionData,
        SoundTweakValue, Tweak,
    },
};

/// The predefined rules
/// ([spec v1.19, § Predefined rules](https://spec.matrix.org/v1.19/client-server-api/#predefined-rules)), and the three that
/// look for names in the text: events without `m.mentions` still come from clients older than spec v1.7.
#[must_use]
pub fn default_ruleset(user_id: &UserId) -> Ruleset {
    let mut rules = Ruleset::server_default(user_id);
    // Thread subscriptions (MSC4306) are not offered.
    rules.postcontent.clear();
    let mut override_ = ruma::push::Ruleset::new().override_;
    for rule in rules.override_ {
        let is = |id: &str| rule.rule_id == id;
        let (after_user_mention, after_room_mention) = (is(".m.rule.is_user_mention"), is(".m.rule.is_room_mention"));
        override_.insert(rule);
        if after_user_mention {
            override_.insert(contains_display_name());
        }
        if after_room_mention {
            override_.insert(room_notif());
        }
    }
    rules.override_ = override_;
    rules.content.insert(contains_user_name(user_id));
    super::polls::add(&mut rules);
    rules
}

fn highlighted(sound: bool) -> Vec<Action> {
    let mut actions = vec![Action::Notify];
    if sound {
        actions.push(Action::SetTweak(Tweak::Sound(SoundTweakValue::Default)));
    }
    actions.push(Action::SetTweak(Tweak::Highlight(HighlightTweakValue::Yes)));
    actions
}

#[expect(deprecated, reason = "clients older than spec v1.7 send no m.mentions")]
fn contains_display_name() -> ConditionalPushRule {
    ConditionalPushRuleInit {
        actions: highlighted(true),
        default: true,
        enabled: true,
        rule_id: ".m.rule.contains_display_name".to_owned(),
        conditions: vec![PushCondition::ContainsDisplayName],
    }
    .into()
}

fn room_notif() -> ConditionalPushRule {
    ConditionalPushRuleInit {
        actions: highlighted(false),
        default: true,
        enabled: true,
        rule_id: ".m.rule.roomnotif".to_owned(),
        conditions: vec![
            PushCondition::EventMatch(EventMatchConditionData::new("content.body".to_owned(), "@room".to_owned())),
            PushCondition::SenderNotificationPermission(SenderNotificationPermissionConditionData::new(
                NotificationPowerLevelsKey::Room,
            )),
        ],
    }
    .into()
}

fn contains_user_name(user_id: &UserId) -> PatternedPushRule {
    PatternedPushRuleInit {
        actions: highlighted(true),
        default: true,
        enabled: true,
        rule_id: ".m.rule.contains_user_name".to_owned(),
        pattern: user_id.localpart().to_owned(),
    }
    .into()
}
