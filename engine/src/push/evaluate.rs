//! Judging one event by many users' rules: what is the same for all of them is worked out once, and users who have not
//! changed their rules cost no ruleset.

use std::{
    cell::OnceCell,
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use journal::ReadError;
use ruma::{
    events::{TimelineEventType, room::power_levels::RoomPowerLevels},
    push::{
        Action, FlattenedJson, HighlightTweakValue, PushConditionPowerLevelsCtx, PushConditionRoomCtx, Ruleset,
        SoundTweakValue, Tweak,
    },
    serde::Raw,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Occasion, Recipient, Verdict, default_ruleset};
use crate::{Cx, Stop, room, tables};

/// An event, ready to be judged.
pub(super) struct Judge<'a> {
    cx: &'a Cx<'a>,
    occasion: &'a Occasion<'a>,
    content: Content,
    flat: OnceCell<Option<FlattenedJson>>,
    power_levels: OnceCell<Option<PushConditionPowerLevelsCtx>>,
}

/// What the predefined rules look at. Fields of another type count as absent, as they do for the rules.
#[derive(Debug, Default, Deserialize)]
struct Content {
    #[serde(default, deserialize_with = "lenient")]
    body: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    msgtype: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    membership: Option<String>,
    #[serde(default, rename = "m.relates_to", deserialize_with = "lenient")]
    relates_to: Option<RelatesTo>,
    #[serde(default, rename = "m.mentions")]
    mentions: Option<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
struct RelatesTo {
    #[serde(default, deserialize_with = "lenient")]
    rel_type: Option<String>,
}

fn lenient<'de, D: serde::Deserializer<'de>, T: serde::de::DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).ok())
}

impl<'a> Judge<'a> {
    pub(super) fn new(cx: &'a Cx<'a>, occasion: &'a Occasion<'a>) -> Self {
        let content = serde_json::from_str(occasion.pdu.content.get()).unwrap_or_default();
        Self { cx, occasion, content, flat: OnceCell::new(), power_levels: OnceCell::new() }
    }

    /// How the event notifies the recipient; `None` when it does not.
    pub(super) fn verdict(&self, recipient: &Recipient<'_>) -> Result<Option<Verdict>, ReadError> {
        let custom = self.custom_rules(recipient)?;
        let verdict = match custom {
            Some(rules) => self.by_rules(&rules, recipient)?,
            None if self.may_name(recipient) => self.by_rules(&default_ruleset(recipient.user_id), recipient)?,
            None => self.by_default(recipient)?,
        };
        // Asked last: most events notify nobody who would have to be asked.
        if verdict.is_some() && room::ignored_users(self.cx, recipient.user_id)?.contains(&self.occasion.pdu.sender) {
            return Ok(None);
        }
        Ok(verdict)
    }

    fn custom_rules(&self, recipient: &Recipient<'_>) -> Result<Option<Ruleset>, ReadError> {
        #[derive(Deserialize)]
        struct PushRules {
            global: Ruleset,
        }
        let key = (self.cx.user(recipient.user_id), self.cx.name("m.push_rules"));
        let Some(row) = tables::ACCOUNT_DATA.get(self.cx.view, &key)? else { return Ok(None) };
        Ok(serde_json::from_str::<PushRules>(row.value.content.get()).ok().map(|rules| rules.global))
    }

    /// Whether the rules that look for a name in the text could match: never less often than they do.
    fn may_name(&self, recipient: &Recipient<'_>) -> bool {
        let Some(body) = self.content.body.as_ref().filter(|_| self.content.mentions.is_none()) else { return false };
        let body = body.to_lowercase();
        let display_name = recipient.display_name.unwrap_or_default().to_lowercase();
        // In rules a name is a pattern: with a wildcard in it, only the rules themselves can tell.
        display_name.contains(['*', '?'])
            || (!display_name.is_empty() && body.contains(&display_name))
            || body.contains(&recipient.user_id.localpart().to_lowercase())
            || body.contains("@room")
    }

    /// The predefined rules, read off: the same answer as [`default_ruleset`] gives, as a test holds.
    fn by_default(&self, recipient: &Recipient<'_>) -> Result<Option<Verdict>, ReadError> {
        let pdu = self.occasion.pdu;
        let loud = |highlight| Some(Verdict::new(highlight, Some(SoundTweakValue::Default)));
        let quiet = |highlight| Some(Verdict::new(highlight, None));
        let is_state = |key: &str| pdu.state_key.as_deref() == Some(key);
        let content = &self.content;
        if content.msgtype.as_deref() == Some("m.notice") {
            return Ok(None);
        }
        if pdu.event_type == TimelineEventType::RoomMember {
            let for_me = content.membership.as_deref() == Some("invite") && is_state(recipient.user_id.as_str());
            return Ok(if for_me { loud(false) } else { None });
        }
        if self.mentions_user(recipient.user_id.as_str()) {
            return Ok(loud(true));
        }
        if self.mentions_room() && self.may_notify_room()? {
            return Ok(quiet(true));
        }
        let edit = content.relates_to.as_ref().is_some_and(|relation| relation.rel_type.as_deref() == Some("m.replace"));
        Ok(match &pdu.event_type {
            TimelineEventType::RoomTombstone if is_state("") => quiet(true),
            TimelineEventType::Reaction => None,
            _ if edit => None,
            TimelineEventType::CallInvite => Some(Verdict::new(false, Some("ring".into()))),
            event_type if notifies(event_type) && self.occasion.joined_count == 2 => loud(false),
            event_type if notifies(event_type) => quiet(false),
            _ => None,
        })
    }

    fn mentions_user(&self, user_id: &str) -> bool {
        let users = self.content.mentions.as_ref().and_then(|mentions| mentions.get("user_ids")?.as_array());
        users.is_some_and(|users| users.iter().any(|user| user.as_str() == Some(user_id)))
    }

    fn mentions_room(&self) -> bool {
        self.content.mentions.as_ref().and_then(|mentions| mentions.get("room")?.as_bool()) == Some(true)
    }

    fn may_notify_room(&self) -> Result<bool, ReadError> {
        let power_levels = self.power_levels()?;
        let key = ruma::power_levels::NotificationPowerLevelsKey::Room;
        Ok(power_levels.is_some_and(|levels| levels.has_sender_notification_permission(&self.occasion.pdu.sender, &key)))
    }

    fn power_levels(&self) -> Result<Option<&PushConditionPowerLevelsCtx>, ReadError> {
        if self.power_levels.get().is_none() {
            let levels = self.read_power_levels()?;
            self.power_levels.get_or_init(|| levels.map(Into::into));
        }
        Ok(self.power_levels.get().and_then(Option::as_ref))
    }

    fn read_power_levels(&self) -> Result<Option<RoomPowerLevels>, ReadError> {
        let Ok(found) = room::get_room(self.cx, self.occasion.room_id) else { return Ok(None) };
        match room::power::power_levels(self.cx, &found) {
            Ok(levels) => Ok(Some(levels)),
            Err(Stop::Read(error)) => Err(error),
            Err(Stop::Reject(_)) => Ok(None),
        }
    }

    pub(super) fn by_rules(&self, rules: &Ruleset, recipient: &Recipient<'_>) -> Result<Option<Verdict>, ReadError> {
        let Some(flat) = self.flat() else { return Ok(None) };
        let mut context = PushConditionRoomCtx::new(
            self.occasion.room_id.to_owned(),
            ruma::UInt::new_saturating(self.occasion.joined_count),
            recipient.user_id.to_owned(),
            recipient.display_name.unwrap_or_default().to_owned(),
        );
        if let Some(levels) = self.power_levels()? {
            context = context.with_power_levels(levels.clone());
        }
        let matching = rules.iter().find(|rule| at_once(rule.applies(flat, &context)).unwrap_or(false));
        Ok(matching.and_then(|rule| verdict_of(rule.actions())))
    }

    fn flat(&self) -> Option<&FlattenedJson> {
        let flatten = || {
            let json = room::ClientEvent::new(self.occasion.pdu).in_room(self.occasion.room_id).to_raw();
            Some(FlattenedJson::from_raw(&Raw::<()>::from_json(json)))
        };
        self.flat.get_or_init(flatten).as_ref()
    }
}

/// Whether events of this type notify whoever is in the room.
fn notifies(event_type: &TimelineEventType) -> bool {
    matches!(
        event_type,
        TimelineEventType::RoomMessage
            | TimelineEventType::RoomEncrypted
            | TimelineEventType::UnstablePollStart
            | TimelineEventType::UnstablePollEnd
    )
}

fn verdict_of(actions: &[Action]) -> Option<Verdict> {
    let mut verdict = Verdict::new(false, None);
    let mut notify = false;
    for action in actions {
        match action {
            Action::Notify => notify = true,
            Action::SetTweak(Tweak::Highlight(HighlightTweakValue::Yes)) => verdict.highlight = true,
            Action::SetTweak(Tweak::Sound(sound)) => verdict.sound = Some(sound.clone()),
            Action::SetTweak(Tweak::Highlight(_)) => verdict.highlight = false,
            Action::SetTweak(tweak) => {
                let value = tweak.value().and_then(|value| serde_json::from_str(value.get()).ok());
                verdict.others.insert(tweak.set_tweak().to_owned(), value.unwrap_or_default());
            }
            _ => {}
        }
    }
    notify.then_some(verdict)
}

/// The value of a future that has nothing to wait for: ruma's conditions are async only for subscriptions to threads,
/// which are not asked for here.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
