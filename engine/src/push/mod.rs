//! Push rules: whom an event notifies
//! ([spec v1.19, Client-Server API § Push notifications](https://spec.matrix.org/v1.19/client-server-api/#push-notifications)).
//!
//! Rules are judged when the event is sent, in the same batch: unread counts are rows, and forget with the event (D7).

mod defaults;
mod evaluate;
mod gateway;
mod notification;
mod polls;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use journal::{Class, ReadError, Stamp, Timestamp};
use ruma::{OwnedUserId, RoomId, UserId, events::TimelineEventType, push::SoundTweakValue};
use serde_json::Value;

pub use defaults::default_ruleset;
use evaluate::Judge;
pub(crate) use gateway::count_fell;
pub use gateway::{Call, Push, RowId, done, due, reject, topic, waiting};
pub use notification::{Counts, counts};

use crate::{Draft, receipts, room::Pdu, tables, tables::NotificationRow};

/// Somebody an event may notify: a member who is in the room, or the user that it invites.
#[derive(Clone, Copy, Debug)]
pub struct Recipient<'a> {
    /// The user.
    pub user_id: &'a UserId,
    /// The display name in the room, for rules that look for it.
    pub display_name: Option<&'a str>,
}

/// The event and where it was sent.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// The room.
    pub room_id: &'a RoomId,
    /// How many members are in the room, once the event has happened.
    pub joined_count: u64,
    /// The event.
    pub pdu: &'a Pdu,
    /// Its stamp.
    pub stamp: Stamp,
    /// The retention class of its row.
    pub class: Class,
    /// When it expires: so does what is noted of it.
    pub expires: Timestamp,
}

/// Somebody an event notifies, and how loudly: what a pusher is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notified {
    /// The user.
    pub user_id: OwnedUserId,
    /// How loudly.
    pub verdict: Verdict,
}

/// What a user's rules say of an event that notifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is highlighted (a mention).
    pub highlight: bool,
    /// The sound to play, if any.
    pub sound: Option<SoundTweakValue>,
    /// What else the rules say to set, for the client alone to understand.
    pub others: BTreeMap<String, Value>,
}

impl Verdict {
    /// With what the predefined rules may set.
    const fn new(highlight: bool, sound: Option<SoundTweakValue>) -> Self {
        Self { highlight, sound, others: BTreeMap::new() }
    }

    /// As a push gateway is told.
    fn tweaks(&self) -> BTreeMap<String, Value> {
        let mut tweaks = self.unlit_tweaks();
        if self.highlight {
            tweaks.insert("highlight".to_owned(), Value::Bool(true));
        }
        tweaks
    }

    /// All of them but the highlight.
    fn unlit_tweaks(&self) -> BTreeMap<String, Value> {
        let mut tweaks = self.others.clone();
        if let Some(sound) = &self.sound {
            tweaks.insert("sound".to_owned(), sound.as_str().into());
        }
        tweaks
    }
}

/// Judges the event by each recipient's rules and writes a `NOTIFICATIONS` row for those it notifies, queues it for their push
/// gateways, and notes when it stops to count (D7). The sender is never notified, nor anybody who ignores the sender. Wake-ups
/// are the caller's: it tells all members anyway.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn notify_members(
    draft: &mut Draft<'_>,
    occasion: &Occasion<'_>,
    recipients: &[Recipient<'_>],
) -> Result<Vec<Notified>, ReadError> {
    let cx = draft.cx();
    let judge = Judge::new(&cx, occasion);
    let thread = crate::room::relation_of(occasion.pdu).filter(|relation| relation.rel_type == "m.thread");
    let row = NotificationRow {
        event_id: occasion.pdu.event_id.clone(),
        highlight: false,
        thread: thread.map(|relation| relation.event_id),
        call: occasion.pdu.event_type == TimelineEventType::CallInvite,
        tweaks: BTreeMap::new(),
    };
    let mut notified = Vec::new();
    for recipient in recipients.iter().filter(|recipient| recipient.user_id != occasion.pdu.sender) {
        let Some(verdict) = judge.verdict(recipient)? else { continue };
        let row = NotificationRow { highlight: verdict.highlight, tweaks: verdict.unlit_tweaks(), ..row.clone() };
        let key = (cx.user(recipient.user_id), cx.room(occasion.room_id), occasion.stamp);
        tables::NOTIFICATIONS.put(&mut draft.batch, &key, &row, occasion.class, occasion.expires);
        gateway::event_notified(draft, occasion, recipient.user_id, &verdict)?;
        notified.push(Notified { user_id: recipient.user_id.to_owned(), verdict });
    }
    let users: Vec<_> = notified.iter().map(|notified| notified.user_id.clone()).collect();
    receipts::counts_from(draft, occasion, row.thread, users);
    Ok(notified)
}
