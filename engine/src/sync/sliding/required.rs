//! Which state of a room is wanted.

use std::collections::BTreeSet;

use serde::Deserialize;

/// The type of member events.
pub(super) const MEMBER: &str = "m.room.member";

/// State that is wanted
/// ([MSC4186 § `RequiredStateRequest`](https://github.com/matrix-org/matrix-spec-proposals/pull/4186)).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequiredState {
    /// What any of these matches.
    pub include: BTreeSet<Element>,
    /// But what any of these matches.
    pub exclude: BTreeSet<Element>,
    /// Members as they are seen in the timeline, and not those that an element without a state key matches.
    pub lazy_members: bool,
}

/// A pattern of types and state keys; what is left out matches any.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Element {
    /// The type.
    #[serde(default, rename = "type")]
    pub event_type: Option<String>,
    /// The state key.
    #[serde(default)]
    pub state_key: Option<String>,
}

impl Element {
    fn matches(&self, event_type: &str, state_key: &str) -> bool {
        let fits = |wanted: &Option<String>, given: &str| wanted.as_deref().is_none_or(|wanted| wanted == given);
        fits(&self.event_type, event_type) && fits(&self.state_key, state_key)
    }
}

impl RequiredState {
    /// Whether a piece of state is wanted, whoever is seen in the timeline.
    #[must_use]
    pub fn includes(&self, event_type: &str, state_key: &str) -> bool {
        let lazy = self.lazy_members && event_type == MEMBER;
        let included = |element: &Element| element.matches(event_type, state_key) && !(lazy && element.state_key.is_none());
        self.include.iter().any(included) && !self.exclude.iter().any(|element| element.matches(event_type, state_key))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn required(include: Value, exclude: Value, lazy_members: bool) -> RequiredState {
        let elements = |value: Value| serde_json::from_value(value).expect("elements");
        RequiredState { include: elements(include), exclude: elements(exclude), lazy_members }
    }

    #[test]
    fn the_examples_of_the_proposal() {
        let two = json!([{ "type": "m.room.create", "state_key": "" }, { "type": "m.room.power_levels", "state_key": "" }]);
        let create = json!([{ "type": "m.room.create", "state_key": "" }]);
        let me = json!([{}, { "type": "m.room.member", "state_key": "@me:t" }]);
        // What is wanted, and whether: the create event, the power levels, a topic under another key, me, you.
        let cases = [
            (required(json!([]), json!([]), false), [false, false, false, false, false]),
            (required(two, json!([]), false), [true, true, false, false, false]),
            (required(json!([{}]), create, false), [false, true, true, true, true]),
            (required(json!([{}]), json!([]), true), [true, true, true, false, false]),
            (required(me, json!([]), true), [true, true, true, true, false]),
            (required(json!([{ "state_key": "@me:t" }]), json!([]), true), [false, false, false, true, false]),
            (required(json!([{ "type": "m.room.member" }]), json!([]), false), [false, false, false, true, true]),
            (required(json!([{ "type": "m.room.member" }]), json!([]), true), [false, false, false, false, false]),
            (required(json!([{}]), json!([{ "state_key": "@me:t" }]), false), [true, true, true, false, true]),
        ];
        let state = [
            ("m.room.create", ""),
            ("m.room.power_levels", ""),
            ("m.room.topic", "other"),
            ("m.room.member", "@me:t"),
            ("m.room.member", "@you:t"),
        ];
        for (required, expected) in cases {
            assert_eq!(state.map(|(event_type, key)| required.includes(event_type, key)), expected, "{required:?}");
        }
    }
}
