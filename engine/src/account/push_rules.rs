//! A user's push rules ([spec v1.19, § Push rules](https://spec.matrix.org/v1.19/client-server-api/#push-rules)): the server's
//! defaults until the user changes something; then the whole ruleset is account data of type `m.push_rules`.

#[cfg(test)]
mod tests;

use journal::{ReadError, Seq};
use ruma::{
    OwnedUserId, UserId,
    push::{Action, InsertPushRuleError, NewPushRule, RemovePushRuleError, RuleKind, Ruleset},
};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::data::{NewAccountData, put_account_data};
use crate::{Cx, Decided, Draft, Reject, Stop, push, tables};

/// The type of the account data.
pub(super) const TYPE: &str = "m.push_rules";

/// Rules of one user, the defaults among them.
pub(super) const RULES_MAX: usize = 1_000;

#[derive(Serialize, Deserialize)]
struct Content {
    global: Ruleset,
}

/// The user's rules.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn push_rules(cx: &Cx<'_>, user_id: &UserId) -> Result<Ruleset, ReadError> {
    let row = tables::ACCOUNT_DATA.get(cx.view, &(cx.user(user_id), cx.name(TYPE)))?;
    let stored = row.and_then(|row| serde_json::from_str::<Content>(row.value.content.get()).ok());
    Ok(stored.map_or_else(|| push::default_ruleset(user_id), |content| content.global))
}

/// The rules as account data.
pub(super) fn content(rules: &Ruleset) -> Box<RawValue> {
    let content = Content { global: rules.clone() };
    to_raw_value(&content).unwrap_or_else(|error| unreachable!("push rules cannot be written: {error}"))
}

/// One change to the rules.
#[derive(Clone, Debug)]
pub enum PushRuleChange {
    /// A new rule, or a new form of a known one.
    Put {
        /// The rule.
        rule: NewPushRule,
        /// Just below this rule.
        after: Option<String>,
        /// Just above this rule.
        before: Option<String>,
    },
    /// A rule goes.
    Delete {
        /// Its kind.
        kind: RuleKind,
        /// Its id.
        rule_id: String,
    },
    /// What it does.
    Actions {
        /// Its kind.
        kind: RuleKind,
        /// Its id.
        rule_id: String,
        /// What it does from now on.
        actions: Vec<Action>,
    },
    /// Whether it is looked at.
    Enabled {
        /// Its kind.
        kind: RuleKind,
        /// Its id.
        rule_id: String,
        /// Whether it is.
        enabled: bool,
    },
}

/// The calls that change a rule.
#[derive(Clone, Debug)]
pub struct ChangePushRules {
    /// Whose.
    pub user_id: OwnedUserId,
    /// What.
    pub change: PushRuleChange,
}

/// Changes the rules.
///
/// # Errors
/// `M_NOT_FOUND` for an unknown rule, `M_INVALID_PARAM` for a rule that cannot stand where it should.
pub fn change_push_rules(cx: &Cx<'_>, command: &ChangePushRules) -> Decided<()> {
    let key = (cx.user(&command.user_id), cx.name(TYPE));
    let version = tables::ACCOUNT_DATA.get(cx.view, &key)?.map(|row| row.version);
    let mut rules = push_rules(cx, &command.user_id)?;
    apply(&mut rules, command.change.clone())?;
    if rules.iter().count() > RULES_MAX {
        return Err(Reject::forbidden("you have 1,000 push rules; delete one first").into());
    }
    let mut draft = Draft::new(*cx);
    put_rules(&mut draft, &command.user_id, &rules, version);
    Ok(draft.commit(()))
}

/// Drafts the rules, in place of those whose row has `version`.
pub(super) fn put_rules(draft: &mut Draft<'_>, user_id: &UserId, rules: &Ruleset, version: Option<Seq>) {
    let cx = draft.cx();
    tables::ACCOUNT_DATA.require(&mut draft.batch, &(cx.user(user_id), cx.name(TYPE)), version);
    let data =
        NewAccountData { user_id: user_id.to_owned(), room_id: None, event_type: TYPE.to_owned(), content: content(rules) };
    put_account_data(draft, &data);
}

fn apply(rules: &mut Ruleset, change: PushRuleChange) -> Result<(), Stop> {
    let unknown = |_| Reject::not_found("there is no such push rule");
    match change {
        PushRuleChange::Put { rule, after, before } => put(rules, rule, after.as_deref(), before.as_deref())?,
        PushRuleChange::Delete { kind, rule_id } => rules.remove(kind, rule_id).map_err(|error| match error {
            RemovePushRuleError::ServerDefault => {
                Reject::invalid_param("a predefined rule can be switched off, not deleted")
            }
            _ => Reject::not_found("there is no such push rule"),
        })?,
        PushRuleChange::Actions { kind, rule_id, actions } => rules.set_actions(kind, rule_id, actions).map_err(unknown)?,
        PushRuleChange::Enabled { kind, rule_id, enabled } => rules.set_enabled(kind, rule_id, enabled).map_err(unknown)?,
    }
    Ok(())
}

fn put(rules: &mut Ruleset, rule: NewPushRule, after: Option<&str>, before: Option<&str>) -> Result<(), Stop> {
    let (kind, rule_id) = (rule.kind(), rule.rule_id().to_owned());
    let unknown = || Reject::Unknown("there is no other rule of the id in `before` or `after`".into());
    if [after, before].contains(&Some(&*rule_id)) {
        return Err(unknown().into());
    }
    let known = rules.get(kind.clone(), &rule_id).map(ruma::push::AnyPushRuleRef::enabled);
    // A rule that is moved is put in anew: places are counted without it.
    if known.is_some() && (after.is_some() || before.is_some()) {
        rules.remove(kind.clone(), &rule_id).map_err(|_| Reject::invalid_param("a predefined rule cannot be replaced"))?;
    }
    rules.insert(rule, after, before).map_err(|error| match error {
        InsertPushRuleError::UnknownRuleId => unknown(),
        other => Reject::invalid_param(format!("this push rule is refused: {other}")),
    })?;
    if let Some(enabled) = known {
        rules.set_enabled(kind, &rule_id, enabled).map_err(|_| Reject::not_found("there is no such push rule"))?;
    }
    Ok(())
}
