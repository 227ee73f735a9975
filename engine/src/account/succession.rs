//! What a user takes along into a room that replaces another one: push rules, tags, and whether it is a direct chat
//! ([spec v1.19, § Room upgrades](https://spec.matrix.org/v1.19/client-server-api/#room-upgrades)).
//!
//! The old room keeps its own. What the user has already set for the new room is left as it is, so that coming back to it
//! later brings nothing back.

use ruma::{
    RoomId, UserId,
    push::{ConditionalPushRule, NewConditionalPushRule, NewPushRule, NewSimplePushRule, PushCondition, Ruleset},
};
use serde_json::{Map, Value, value::to_raw_value};

use super::{
    ACCOUNT_DATA_BYTES_MAX,
    data::{self, NewAccountData, put_account_data},
    push_rules,
};
use crate::{Draft, Stop, tables};

/// The type of the list of direct chats.
const DIRECT: &str = "m.direct";

/// Drafts for `user_id`, who comes into the room `to`, what they had set for the room `from` that it replaces.
///
/// # Errors
/// [`Stop::Read`].
pub(crate) fn carry_over(draft: &mut Draft<'_>, user_id: &UserId, from: &RoomId, to: &RoomId) -> Result<(), Stop> {
    carry_rules(draft, user_id, from, to)?;
    carry_tags(draft, user_id, from, to)?;
    carry_direct(draft, user_id, from, to)
}

fn carry_tags(draft: &mut Draft<'_>, user_id: &UserId, from: &RoomId, to: &RoomId) -> Result<(), Stop> {
    let cx = draft.cx();
    let tags = data::tags(&cx, user_id, from)?;
    if !tags.is_empty() && data::tags(&cx, user_id, to)?.is_empty() {
        data::put_tags(draft, user_id, to, tags)?;
    }
    Ok(())
}

fn carry_direct(draft: &mut Draft<'_>, user_id: &UserId, from: &RoomId, to: &RoomId) -> Result<(), Stop> {
    let cx = draft.cx();
    let key = (cx.user(user_id), cx.name(DIRECT));
    let Some(row) = tables::ACCOUNT_DATA.get(cx.view, &key)? else { return Ok(()) };
    let Ok(mut chats) = serde_json::from_str::<Map<String, Value>>(row.value.content.get()) else { return Ok(()) };
    let mut changed = false;
    for rooms in chats.values_mut().filter_map(Value::as_array_mut) {
        let listed = |room_id: &RoomId| rooms.iter().any(|listed| listed.as_str() == Some(room_id.as_str()));
        if listed(from) && !listed(to) {
            rooms.push(Value::from(to.as_str()));
            changed = true;
        }
    }
    let Some(content) = to_raw_value(&chats).ok().filter(|content| changed && content.get().len() <= ACCOUNT_DATA_BYTES_MAX)
    else {
        return Ok(());
    };
    tables::ACCOUNT_DATA.require(&mut draft.batch, &key, Some(row.version));
    let data = NewAccountData { user_id: user_id.to_owned(), room_id: None, event_type: DIRECT.to_owned(), content };
    put_account_data(draft, &data);
    Ok(())
}

fn carry_rules(draft: &mut Draft<'_>, user_id: &UserId, from: &RoomId, to: &RoomId) -> Result<(), Stop> {
    let cx = draft.cx();
    let key = (cx.user(user_id), cx.name(push_rules::TYPE));
    // Somebody who never changed a rule has none that names a room.
    let Some(row) = tables::ACCOUNT_DATA.get(cx.view, &key)? else { return Ok(()) };
    let mut rules = push_rules::push_rules(&cx, user_id)?;
    let mut changed = false;
    for Copied { rule, after, enabled } in copies(&rules, from, to) {
        let (kind, rule_id) = (rule.kind(), rule.rule_id().to_owned());
        let free = rules.iter().count() < push_rules::RULES_MAX && rules.get(kind.clone(), &rule_id).is_none();
        if free && rules.insert(rule, Some(&after), None).is_ok() {
            changed |= rules.set_enabled(kind, &rule_id, enabled).is_ok();
        }
    }
    if changed {
        push_rules::put_rules(draft, user_id, &rules, Some(row.version));
    }
    Ok(())
}

/// A rule for the new room, to stand just below the one for the old room.
struct Copied {
    rule: NewPushRule,
    after: String,
    enabled: bool,
}

/// The user's rules that name the room `from`, naming the room `to`.
fn copies(rules: &Ruleset, from: &RoomId, to: &RoomId) -> Vec<Copied> {
    let room = rules.room.iter().filter(|rule| *rule.rule_id == *from).map(|rule| Copied {
        rule: NewPushRule::Room(NewSimplePushRule::new(to.to_owned(), rule.actions.clone())),
        after: rule.rule_id.to_string(),
        enabled: rule.enabled,
    });
    let above = rules.override_.iter().filter_map(|rule| conditional(rule, from, to, NewPushRule::Override));
    let below = rules.underride.iter().filter_map(|rule| conditional(rule, from, to, NewPushRule::Underride));
    room.chain(above).chain(below).collect()
}

fn conditional(
    rule: &ConditionalPushRule,
    from: &RoomId,
    to: &RoomId,
    wrap: fn(NewConditionalPushRule) -> NewPushRule,
) -> Option<Copied> {
    let new = wrap(renamed(rule, from, to)?);
    Some(Copied { rule: new, after: rule.rule_id.clone(), enabled: rule.enabled })
}

/// The rule with its conditions on the room `from` turned to the room `to`; `None` when it has no such condition.
fn renamed(rule: &ConditionalPushRule, from: &RoomId, to: &RoomId) -> Option<NewConditionalPushRule> {
    let mut conditions = rule.conditions.clone();
    let mut names_it = false;
    for condition in &mut conditions {
        if let PushCondition::EventMatch(data) = condition
            && data.key == "room_id"
            && data.pattern == from.as_str()
        {
            to.as_str().clone_into(&mut data.pattern);
            names_it = true;
        }
    }
    let rule_id = if rule.rule_id.contains(from.as_str()) {
        rule.rule_id.replace(from.as_str(), to.as_str())
    } else {
        format!("{} {to}", rule.rule_id)
    };
    names_it.then(|| NewConditionalPushRule::new(rule_id, conditions, rule.actions.clone()))
}
