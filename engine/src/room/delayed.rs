//! Events that are sent later, unless they are cancelled or put off before
//! ([MSC4140](https://github.com/matrix-org/matrix-spec-proposals/pull/4140)): how a call learns that somebody has gone silently.

use journal::{Batch, Name, ReadError, Timestamp, Topic};
use ruma::{OwnedRoomId, OwnedTransactionId, UserId, events::room::member::MembershipState};
use serde_json::value::RawValue;

use super::{
    membership_of,
    send::{SendEvent, SendState, Transaction, parse_content, send_event, send_state},
    state_event,
};
use crate::{
    Cx, Decided, Decision, Draft, Reject, Requester, Stop, due, policy,
    tables::{self, DelayedRow},
};

#[cfg(test)]
mod tests;

/// What wakes the worker that sends them: the topic is this text's name.
pub const DELAYED_TOPIC: &str = "delayed events due";

/// Events that one user may have waiting.
pub const DELAYED_MAX: u64 = 100;

/// The share of L for which an event may wait at most.
const DELAY_SHARE: u64 = 2;

/// The share of L before its end at which an event is sent, however often it was restarted: its content must not go unsent.
const MARGIN_SHARE: u64 = 100;

/// `PUT …/send/…` and `PUT …/state/…` with a delay.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Who sends it.
    pub requester: Requester,
    /// The room.
    pub room_id: OwnedRoomId,
    /// Its type.
    pub event_type: String,
    /// Present for state.
    pub state_key: Option<String>,
    /// For messages: what makes a repeated request the same request.
    pub txn_id: Option<OwnedTransactionId>,
    /// Its content, as sent.
    pub content: Box<RawValue>,
    /// How long it waits.
    pub delay_ms: u64,
    /// A random name for it, that nobody can guess.
    pub delay_id: String,
}

/// What can be done to an event that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelayedAction {
    /// It is never sent.
    Cancel,
    /// It waits its whole delay again.
    Restart,
    /// It is sent now.
    Send,
}

/// Has an event wait. A repeated transaction answers the id that it got. Whether it is allowed is asked again when it is sent.
///
/// # Errors
/// `M_FORBIDDEN`, `M_BAD_JSON`; `M_MAX_DELAY_EXCEEDED` and `M_MAX_DELAYED_EVENTS_EXCEEDED` of the proposal.
pub fn schedule(cx: &Cx<'_>, command: &Schedule) -> Decided<String> {
    let user_id = &command.requester.user_id;
    let transaction = command.txn_id.as_ref().map(|txn_id| {
        let endpoint = format!("delay {} {} {txn_id}", command.room_id, command.event_type);
        Transaction::new(cx, user_id, command.requester.device_id.as_deref(), &endpoint)
    });
    if let Some(transaction) = &transaction
        && let Some(delay_id) = transaction.delayed(cx)?
    {
        return Ok(Decision::Done(delay_id));
    }
    policy::may_send(cx, user_id, &command.room_id)?;
    if membership_of(cx, &command.room_id, user_id)? != Some(MembershipState::Join) {
        return Err(Reject::forbidden("you are not in this room").into());
    }
    parse_content(&command.content)?;
    let max_delay_ms = cx.server.retention_ms / DELAY_SHARE;
    if command.delay_ms > max_delay_ms {
        return Err(Reject::MaxDelayExceeded { max_delay_ms }.into());
    }
    if tables::USER_DELAYED_EVENTS.count(cx.view, &(cx.user(user_id),))? >= DELAYED_MAX {
        return Err(Reject::MaxDelayedEventsExceeded.into());
    }
    let now = cx.now();
    let row = DelayedRow {
        delay_id: command.delay_id.clone(),
        user_id: user_id.clone(),
        device_id: command.requester.device_id.clone(),
        room_id: command.room_id.clone(),
        event_type: command.event_type.clone(),
        state_key: command.state_key.clone(),
        content: command.content.clone(),
        delay_ms: command.delay_ms,
        received: now,
        running_since: now,
        due: now.plus_ms(command.delay_ms),
    };
    let mut draft = Draft::new(*cx);
    put(&mut draft, &row);
    if let Some(transaction) = &transaction {
        transaction.record_delayed(&mut draft, &row.delay_id);
    }
    Ok(draft.commit(row.delay_id))
}

/// Cancels, restarts or sends an event that waits. Knowing its id is enough.
///
/// # Errors
/// `M_NOT_FOUND`; why the room or policy does not allow it to be sent.
pub fn act(cx: &Cx<'_>, delay_id: &str, action: DelayedAction) -> Decided<()> {
    let row = waiting(cx, delay_id)?.ok_or_else(|| Reject::not_found("no such event waits to be sent"))?;
    match action {
        DelayedAction::Send => send(cx, &row),
        DelayedAction::Cancel => {
            let mut draft = Draft::new(*cx);
            take_out(cx, &mut draft.batch, &row)?;
            Ok(draft.commit(()))
        }
        DelayedAction::Restart => {
            let mut draft = Draft::new(*cx);
            take_out(cx, &mut draft.batch, &row)?;
            let latest = expiry(cx, &row).minus_ms(cx.server.retention_ms / MARGIN_SHARE);
            let due = cx.now().plus_ms(row.delay_ms).min(latest);
            put(&mut draft, &DelayedRow { running_since: cx.now(), due, ..row });
            Ok(draft.commit(()))
        }
    }
}

/// Sends what is due. What its room or policy no longer allows is dropped: there is nobody to tell.
///
/// # Errors
/// [`Stop::Read`].
pub fn send_due(cx: &Cx<'_>, delay_id: &str) -> Decided<()> {
    let Some(row) = waiting(cx, delay_id)?.filter(|row| row.due <= cx.now()) else { return Ok(Decision::Done(())) };
    match send(cx, &row) {
        Err(Stop::Reject(_)) => act(cx, delay_id, DelayedAction::Cancel),
        decided => decided,
    }
}

/// The user's waiting events, the next one first.
///
/// # Errors
/// [`Stop::Read`].
pub fn of_user(cx: &Cx<'_>, user_id: &UserId) -> Result<Vec<DelayedRow>, Stop> {
    let mut rows = Vec::new();
    for found in tables::USER_DELAYED_EVENTS.scan(cx.view, &(cx.user(user_id),)) {
        rows.extend(waiting(cx, &found?.1.value)?);
    }
    rows.sort_by_key(|row| row.due);
    Ok(rows)
}

/// Events that are due, in their order.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn due(cx: &Cx<'_>, limit: usize) -> Result<Vec<String>, ReadError> {
    due::due(cx, &tables::DELAYED_EVENTS_DUE, limit)
}

/// When the next event is due; `None`: none waits.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn next_due(cx: &Cx<'_>) -> Result<Option<Timestamp>, ReadError> {
    due::next(cx, &tables::DELAYED_EVENTS_DUE)
}

/// The waiting event of that id. State that somebody else has set since is not waited for any more.
fn waiting(cx: &Cx<'_>, delay_id: &str) -> Result<Option<DelayedRow>, Stop> {
    let Some(row) = tables::DELAYED_EVENTS.get(cx.view, &key(cx, delay_id))?.map(|row| row.value) else { return Ok(None) };
    let Some(state_key) = &row.state_key else { return Ok(Some(row)) };
    let current = state_event(cx, &row.room_id, &row.event_type.as_str().into(), state_key)?;
    let superseded = current.is_some_and(|current| {
        current.sender != row.user_id && u64::from(current.origin_server_ts.get()) > row.received.as_ms()
    });
    Ok((!superseded).then_some(row))
}

/// Sends the event by the same way as any other, and takes it out in the same batch.
fn send(cx: &Cx<'_>, row: &DelayedRow) -> Decided<()> {
    let over =
        tables::PARTICIPANTS.get(cx.view, &(cx.user(&row.user_id),))?.is_some_and(|row| row.value.ends_at <= cx.now());
    if over {
        return Err(Reject::forbidden("your session is over").into());
    }
    let decided = match &row.state_key {
        None => send_event(
            cx,
            &SendEvent {
                sender: row.user_id.clone(),
                device_id: row.device_id.clone(),
                room_id: row.room_id.clone(),
                event_type: row.event_type.as_str().into(),
                txn_id: row.delay_id.as_str().into(),
                content: row.content.clone(),
                timestamp: None,
            },
        ),
        Some(state_key) => send_state(
            cx,
            &SendState {
                sender: row.user_id.clone(),
                room_id: row.room_id.clone(),
                event_type: row.event_type.as_str().into(),
                state_key: state_key.clone(),
                content: row.content.clone(),
                timestamp: None,
            },
        ),
    };
    let mut batch = match decided? {
        Decision::Commit { batch, .. } => batch,
        Decision::Done(_) => Batch::new(cx.now()),
    };
    take_out(cx, &mut batch, row)?;
    Ok(Decision::Commit { batch, output: () })
}

fn put(draft: &mut Draft<'_>, row: &DelayedRow) {
    let cx = draft.cx();
    let (name, class, expires) = (cx.name(&row.delay_id), cx.text_class(), expiry(&cx, row));
    let batch = &mut draft.batch;
    tables::DELAYED_EVENTS.put(batch, &(name,), row, class, expires);
    tables::USER_DELAYED_EVENTS.put(batch, &(cx.user(&row.user_id), name), &row.delay_id, class, expires);
    tables::DELAYED_EVENTS_DUE.put(batch, &(row.due.as_ms(), name), &row.delay_id, class, expires);
    batch.wake(Topic(cx.name(DELAYED_TOPIC)));
}

/// Takes an event out of the waiting ones; of two who do at once, one is decided again.
pub(crate) fn take_out(cx: &Cx<'_>, batch: &mut Batch, row: &DelayedRow) -> Result<(), ReadError> {
    let (name,) = key(cx, &row.delay_id);
    let version = tables::DELAYED_EVENTS.get(cx.view, &(name,))?.map(|row| row.version);
    tables::DELAYED_EVENTS.require(batch, &(name,), version);
    tables::DELAYED_EVENTS.delete(batch, &(name,));
    tables::USER_DELAYED_EVENTS.delete(batch, &(cx.user(&row.user_id), name));
    tables::DELAYED_EVENTS_DUE.delete(batch, &(row.due.as_ms(), name));
    Ok(())
}

/// D1: from when the content was received, not from when it is sent.
fn expiry(cx: &Cx<'_>, row: &DelayedRow) -> Timestamp {
    row.received.plus_ms(cx.server.retention_ms)
}

fn key(cx: &Cx<'_>, delay_id: &str) -> (Name,) {
    (cx.name(delay_id),)
}
