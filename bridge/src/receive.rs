//! What a transaction means to the bridge.

use appservice::Transaction;
use ruma::{UserId, events::AnyTimelineEvent, serde::Raw};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    clock::Millis,
    store::{Membership, RoomChange, WaitingEvent},
};

/// What follows from a transaction, to be written at once.
#[derive(Debug, Default)]
pub struct Consequences {
    /// Facts about rooms.
    pub changes: Vec<RoomChange>,
    /// Messages to be read.
    pub events: Vec<WaitingEvent>,
    /// Event ids that were taken back.
    pub redacted: Vec<String>,
}

#[derive(Deserialize)]
struct Envelope {
    event_id: String,
    room_id: String,
    sender: String,
    #[serde(rename = "type")]
    event_type: String,
    origin_server_ts: Millis,
    state_key: Option<String>,
    content: Box<RawValue>,
    redacts: Option<String>,
}

#[derive(Deserialize)]
struct Member {
    membership: String,
    displayname: Option<String>,
}

/// Works out what a transaction's events mean to the user `own`.
pub fn consequences(transaction: &Transaction, own: &UserId, received_ms: Millis) -> Consequences {
    of_events(&transaction.events, own, received_ms)
}

/// The same for events that came another way.
pub fn of_events(events: &[Raw<AnyTimelineEvent>], own: &UserId, received_ms: Millis) -> Consequences {
    let mut consequences = Consequences::default();
    for event in events {
        consequences.add(event, own, received_ms);
    }
    consequences
}

impl Consequences {
    fn add(&mut self, event: &Raw<AnyTimelineEvent>, own: &UserId, received_ms: Millis) {
        // An event of no known shape can't be for us; the homeserver must not be made to send it for ever.
        let Ok(envelope) = serde_json::from_str::<Envelope>(event.json().get()) else { return };
        if envelope.state_key.is_some() {
            self.changes.extend(state_change(
                &envelope.room_id,
                &envelope.event_type,
                envelope.state_key.as_deref().unwrap_or_default(),
                &envelope.content,
                own,
            ));
            return;
        }
        if envelope.sender == own.as_str() {
            return;
        }
        match envelope.event_type.as_str() {
            "m.room.encrypted" | "m.room.message" => self.events.push(WaitingEvent {
                event_id: envelope.event_id,
                room_id: envelope.room_id,
                sender: envelope.sender,
                // The homeserver's time, but nothing from the future: content never lives longer for it.
                at_ms: envelope.origin_server_ts.clamp(0, received_ms),
                received_ms,
                json: event.json().get().to_owned(),
            }),
            "m.room.redaction" => self.redacted.extend(redacted_event(envelope.redacts, &envelope.content)),
            _ => {}
        }
    }
}

/// The rooms whose typing a transaction tells of, and whether anybody but `own` types there.
pub fn typing(transaction: &Transaction, own: &UserId) -> Vec<(String, bool)> {
    #[derive(Deserialize)]
    struct Typing {
        #[serde(rename = "type")]
        event_type: String,
        room_id: String,
        content: Users,
    }
    #[derive(Deserialize)]
    struct Users {
        user_ids: Vec<String>,
    }
    let events = transaction.ephemeral.iter().filter_map(|event| serde_json::from_str::<Typing>(event.get()).ok());
    let typing = events.filter(|event| event.event_type == "m.typing");
    typing.map(|event| (event.room_id, event.content.user_ids.iter().any(|user_id| user_id != own.as_str()))).collect()
}

/// The event a redaction names: in its content since room version 11, beside it before.
fn redacted_event(beside: Option<String>, content: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Redaction {
        redacts: Option<String>,
    }
    serde_json::from_str::<Redaction>(content.get()).ok().and_then(|redaction| redaction.redacts).or(beside)
}

/// The fact a state event states, if the bridge cares for it.
pub fn state_change(
    room_id: &str,
    event_type: &str,
    state_key: &str,
    content: &RawValue,
    own: &UserId,
) -> Option<RoomChange> {
    #[derive(Deserialize)]
    struct HistoryVisibility {
        history_visibility: String,
    }
    #[derive(Deserialize)]
    struct Retention {
        max_lifetime: Option<Millis>,
    }
    let room_id = room_id.to_owned();
    match event_type {
        "m.room.member" => {
            let member: Member = serde_json::from_str(content.get()).ok()?;
            if state_key != own.as_str() {
                let (user_id, display_name) = (state_key.to_owned(), member.displayname);
                return Some(RoomChange::Member { room_id, user_id, membership: member.membership, display_name });
            }
            let membership = match member.membership.as_str() {
                "invite" => Membership::Invite,
                "join" => Membership::Join,
                _ => Membership::Leave,
            };
            Some(RoomChange::Own { room_id, membership })
        }
        "m.room.encryption" => Some(RoomChange::Encryption { room_id, content: content.get().to_owned() }),
        "m.room.history_visibility" => {
            let content: HistoryVisibility = serde_json::from_str(content.get()).ok()?;
            Some(RoomChange::HistoryVisibility { room_id, history_visibility: content.history_visibility })
        }
        "m.room.retention" => {
            let content: Retention = serde_json::from_str(content.get()).ok()?;
            Some(RoomChange::Lifetime { room_id, lifetime_ms: content.max_lifetime })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;
    use serde_json::{Value, json};

    use super::*;

    fn what_follows(events: &Value) -> Consequences {
        let transaction = Transaction::parse(json!({ "events": events }).to_string().as_bytes()).unwrap();
        consequences(&transaction, user_id!("@support:x"), 5000)
    }

    fn event(event_type: &str, sender: &str, state_key: Option<&str>, content: &Value) -> Value {
        let mut event = json!({"event_id": "$e", "room_id": "!r", "sender": sender, "type": event_type,
            "origin_server_ts": 4000, "content": content});
        if let Some(state_key) = state_key {
            event["state_key"] = json!(state_key);
        }
        event
    }

    #[test]
    fn an_invitation_of_support_is_its_own_change_and_of_others_theirs() {
        let invited = json!({"membership": "invite", "displayname": "Ada"});
        let follows = what_follows(&json!([
            event("m.room.member", "@a:x", Some("@support:x"), &invited),
            event("m.room.member", "@a:x", Some("@a:x"), &invited),
        ]));
        assert!(matches!(follows.changes[0], RoomChange::Own { membership: Membership::Invite, .. }));
        let RoomChange::Member { display_name, .. } = &follows.changes[1] else { unreachable!() };
        assert_eq!(display_name.as_deref(), Some("Ada"));
    }

    #[test]
    fn what_support_wrote_itself_is_not_read_and_time_can_not_be_ahead() {
        let content = json!({"algorithm": "m.megolm.v1.aes-sha2"});
        let mut early = event("m.room.encrypted", "@a:x", None, &content);
        early["origin_server_ts"] = json!(9_000_000);
        let follows = what_follows(&json!([event("m.room.encrypted", "@support:x", None, &content), early]));
        assert_eq!(follows.events.len(), 1);
        assert_eq!(follows.events[0].at_ms, 5000);
    }

    #[test]
    fn a_redaction_names_its_event_in_either_place() {
        let mut old = event("m.room.redaction", "@a:x", None, &json!({}));
        old["redacts"] = json!("$old");
        let new = event("m.room.redaction", "@a:x", None, &json!({"redacts": "$new"}));
        assert_eq!(what_follows(&json!([old, new])).redacted, ["$old", "$new"]);
    }

    #[test]
    fn typing_is_told_of_others_only() {
        let event = |user_ids: Value| json!({"type": "m.typing", "room_id": "!r", "content": {"user_ids": user_ids}});
        let body = json!({"events": [], "ephemeral": [
            event(json!(["@support:x", "@a:x"])), event(json!(["@support:x"])), event(json!([])),
            {"type": "m.presence", "sender": "@a:x", "content": {"presence": "online"}}, {"type": "m.typing"},
        ]});
        let transaction = Transaction::parse(body.to_string().as_bytes()).unwrap();
        let told: Vec<bool> = typing(&transaction, user_id!("@support:x")).into_iter().map(|(_, typing)| typing).collect();
        assert_eq!(told, [true, false, false]);
    }

    #[test]
    fn an_event_of_no_known_shape_is_passed_over() {
        let follows = what_follows(&json!([{"type": 3}, event("m.room.encryption", "@a:x", Some(""), &json!({}))]));
        assert_eq!(follows.changes.len(), 1);
    }
}
