//! What the platform's webhook is told: a message waits for somebody who is not there, somebody is there for the first time, a
//! session's chat has ended. Never what was said.

use journal::{Class, Name, ReadError, Timestamp, Topic};
use ruma::{OwnedUserId, UserId, events::room::member::MembershipState};

use crate::{
    Cx, Decided, Decision, Draft, class,
    room::Pdu,
    tables::{self, MemberRow, UserKind, WaitingRow, WebhookEventRow, WebhookUser},
};

pub use crate::tables::WebhookEvent;

/// What wakes the worker that tells: the topic is this text's name.
pub const WEBHOOKS_TOPIC: &str = "webhook events";

/// An event that has not been told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its place in the queue.
    pub place: (u64, Name),
    /// The event.
    pub row: WebhookEventRow,
}

fn queue(draft: &mut Draft<'_>, unique: &str, event: WebhookEvent) {
    let cx = draft.cx();
    let name = cx.name(&format!("webhook event {unique}"));
    let id = name.as_bytes().iter().fold("evt_".to_owned(), |id, byte| format!("{id}{byte:02x}"));
    let row = WebhookEventRow { id, at: cx.now(), event };
    let expires = cx.now().plus_ms(cx.server.retention_ms);
    tables::WEBHOOK_EVENTS.put(&mut draft.batch, &(cx.now().as_ms(), name), &row, class::OUTBOX, expires);
    draft.batch.wake(Topic(cx.name(WEBHOOKS_TOPIC)));
}

/// A user in the platform's words; `None` for whoever is none of its users.
fn webhook_user(cx: &Cx<'_>, user_id: &UserId) -> Result<Option<WebhookUser>, ReadError> {
    let name = (cx.user(user_id),);
    let user = WebhookUser { user_id: user_id.to_owned(), host: None, session: None, invitee: None };
    Ok(match tables::USERS.get(cx.view, &name)?.map(|row| row.value.kind) {
        Some(UserKind::Host) => {
            tables::HOST_USERS.get(cx.view, &name)?.map(|row| WebhookUser { host: Some(row.value.host), ..user })
        }
        Some(UserKind::Participant) => tables::PARTICIPANTS.get(cx.view, &name)?.map(|row| WebhookUser {
            session: Some(row.value.session),
            invitee: Some(row.value.invitee),
            ..user
        }),
        _ => None,
    })
}

/// Drafts what a message makes known: for each host or participant in the room whom none has waited for since they were there
/// last. Whether they are there now is for the worker to see. That it is waiting ends with the message.
pub(crate) fn message_appended(
    draft: &mut Draft<'_>,
    pdu: &Pdu,
    members: &[MemberRow],
    (class, expires): (Class, Timestamp),
) -> Result<(), ReadError> {
    let cx = draft.cx();
    let event_type = pdu.event_type.to_string();
    if !cx.server.webhooks || pdu.state_key.is_some() || !matches!(&*event_type, "m.room.message" | "m.room.encrypted") {
        return Ok(());
    }
    for member in members {
        let reached = matches!(member.membership, MembershipState::Join | MembershipState::Invite);
        let key = (cx.user(&member.user_id),);
        if !reached || member.user_id == pdu.sender || tables::WAITING.exists(cx.view, &key)? {
            continue;
        }
        let Some(user) = webhook_user(&cx, &member.user_id)? else { continue };
        let row = WaitingRow { user_id: member.user_id.clone() };
        tables::WAITING.put(&mut draft.batch, &key, &row, class, expires);
        queue(draft, &format!("{} {}", pdu.event_id, member.user_id), WebhookEvent::MessageWaiting(user));
    }
    Ok(())
}

/// Drafts that a user is there for the first time.
pub(crate) fn first_online(draft: &mut Draft<'_>, user_id: &UserId) -> Result<(), ReadError> {
    let cx = draft.cx();
    if cx.server.webhooks
        && let Some(user) = webhook_user(&cx, user_id)?
    {
        queue(draft, &format!("first {user_id}"), WebhookEvent::UserFirstOnline(user));
    }
    Ok(())
}

/// Drafts that a session's chat has ended.
pub(super) fn session_ended(draft: &mut Draft<'_>, session: &str) {
    let cx = draft.cx();
    if cx.server.webhooks {
        let unique = format!("ended {} {session}", cx.now().as_ms());
        queue(draft, &unique, WebhookEvent::SessionChatEnded { session: session.to_owned() });
    }
}

/// The events that have not been told, oldest first.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn untold(cx: &Cx<'_>, limit: usize) -> Result<Vec<Waiting>, ReadError> {
    let events = tables::WEBHOOK_EVENTS.scan(cx.view, &()).take(limit);
    events.map(|found| found.map(|(place, row)| Waiting { place, row: row.value })).collect()
}

/// Takes an event out of the queue.
///
/// # Errors
/// None of its own.
pub fn told(cx: &Cx<'_>, place: (u64, Name)) -> Decided<()> {
    let mut draft = Draft::new(*cx);
    tables::WEBHOOK_EVENTS.delete(&mut draft.batch, &place);
    Ok(draft.commit(()))
}

/// Whether the platform has heard, or will, that a message waits for the user.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn is_waited_for(cx: &Cx<'_>, user_id: &UserId) -> Result<bool, ReadError> {
    tables::WAITING.exists(cx.view, &(cx.user(user_id),))
}

/// The user has been there: the next message that waits for them is told again.
///
/// # Errors
/// [`crate::Stop::Read`].
pub fn been_there(cx: &Cx<'_>, user_id: &OwnedUserId) -> Decided<()> {
    if !is_waited_for(cx, user_id)? {
        return Ok(Decision::Done(()));
    }
    let mut draft = Draft::new(*cx);
    tables::WAITING.delete(&mut draft.batch, &(cx.user(user_id),));
    Ok(draft.commit(()))
}
