//! What push gateways are to be told: queued by the batch that makes it, for each gateway that a user's pushers call, and sent
//! by a worker after the commit, at least once
//! ([spec v1.19, Push Gateway API](https://spec.matrix.org/v1.19/push-gateway-api/)).

use std::collections::BTreeSet;

use journal::{Name, ReadError, Seq, Stamp, Topic};
use ruma::{OwnedUserId, UserId};
use serde_json::value::RawValue;

use super::{
    Occasion, Verdict,
    notification::{self, Target},
};
use crate::{
    Cx, Decided, Draft, account,
    tables::{self, PushEventRow},
};

/// Whom to wake when something is queued for any gateway.
#[must_use]
pub fn topic(cx: &Cx<'_>) -> Topic {
    Topic(cx.name("push gateways"))
}

/// The gateways that the user's pushers call, by their names in keys.
fn gateways_of(cx: &Cx<'_>, user_id: &UserId) -> Result<BTreeSet<Name>, ReadError> {
    Ok(account::http_pushers(cx, user_id)?.iter().map(|pusher| cx.name(&pusher.url)).collect())
}

/// Queues an event that notifies a user for each of the user's gateways. It lives as long as the event.
pub(super) fn event_notified(
    draft: &mut Draft<'_>,
    occasion: &Occasion<'_>,
    user_id: &UserId,
    verdict: &Verdict,
) -> Result<(), ReadError> {
    let cx = draft.cx();
    for gateway in gateways_of(&cx, user_id)? {
        let row = PushEventRow {
            user_id: user_id.to_owned(),
            room_id: occasion.room_id.to_owned(),
            event_id: occasion.pdu.event_id.clone(),
            tweaks: verdict.tweaks(),
        };
        let key = (gateway, draft.next_stamp());
        tables::PUSH_EVENTS.put(&mut draft.batch, &key, &row, occasion.class, occasion.expires);
        draft.batch.wake(topic(&cx));
    }
    Ok(())
}

/// Queues for each of the user's gateways that the user's unread count has fallen.
pub(crate) fn count_fell(draft: &mut Draft<'_>, user_id: &UserId) -> Result<(), ReadError> {
    let cx = draft.cx();
    for gateway in gateways_of(&cx, user_id)? {
        let key = (gateway, cx.user(user_id));
        tables::PUSH_COUNTS.put(&mut draft.batch, &key, &user_id.to_owned(), cx.text_class(), cx.text_expiry());
        draft.batch.wake(topic(&cx));
    }
    Ok(())
}

/// The gateways for which something is queued.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn waiting(cx: &Cx<'_>) -> Result<BTreeSet<Name>, ReadError> {
    /// No name is greater, and a row of this one is not passed over: it is only looked at more than once.
    const LAST: Name = Name::from_bytes([u8::MAX; 16]);
    let mut gateways = BTreeSet::new();
    let mut found = tables::PUSH_EVENTS.scan(cx.view, &()).next().transpose()?;
    while let Some(((gateway, _), _)) = found {
        gateways.insert(gateway);
        let mut rest = tables::PUSH_EVENTS.scan_from(cx.view, &(), &(gateway, Stamp::MAX));
        found = rest.find(|row| !matches!(row, Ok(((same, _), _)) if *same == gateway)).transpose()?;
    }
    let mut found = tables::PUSH_COUNTS.scan(cx.view, &()).next().transpose()?;
    while let Some(((gateway, _), _)) = found {
        gateways.insert(gateway);
        let mut rest = tables::PUSH_COUNTS.scan_from(cx.view, &(), &(gateway, LAST));
        found = rest.find(|row| !matches!(row, Ok(((same, _), _)) if *same == gateway)).transpose()?;
    }
    Ok(gateways)
}

/// One thing to tell a gateway.
#[derive(Clone, Debug)]
pub struct Push {
    /// Which row it comes from, for [`done`].
    pub row: RowId,
    /// Whom it is for.
    pub user_id: OwnedUserId,
    /// The calls it takes: one, or two when the user's devices want different forms; none when it has become moot.
    pub calls: Vec<Call>,
}

/// A row of a gateway's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowId {
    /// An event.
    Event(Stamp),
    /// A user whose count has fallen, and the version of the row that says so: a later fall is told again.
    Count(Name, Seq),
}

/// One `POST /_matrix/push/v1/notify`.
#[derive(Clone, Debug)]
pub struct Call {
    /// Where to.
    pub url: String,
    /// The body.
    pub body: Box<RawValue>,
    /// The application and key of each device in it.
    pub devices: Vec<(String, String)>,
}

impl Push {
    /// Where in the queue of events it stands.
    #[must_use]
    pub const fn stamp(&self) -> Option<Stamp> {
        match self.row {
            RowId::Event(stamp) => Some(stamp),
            RowId::Count(..) => None,
        }
    }
}

/// The next things to tell a gateway, in order: `limit` at most, of the events those at or after `from`. What the user has read, may no longer see or has no pusher
/// for any more takes no call.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn due(cx: &Cx<'_>, gateway: Name, from: Stamp, limit: usize) -> Result<Vec<Push>, ReadError> {
    let mut pushes = Vec::new();
    for found in tables::PUSH_EVENTS.scan_from(cx.view, &(gateway,), &(gateway, from)).take(limit) {
        let ((_, stamp), row) = found?;
        let target = Target { gateway, user_id: &row.value.user_id };
        let calls = notification::of_event(cx, &target, &row.value)?;
        pushes.push(Push { row: RowId::Event(stamp), user_id: row.value.user_id, calls });
    }
    for found in tables::PUSH_COUNTS.scan(cx.view, &(gateway,)).take(limit.saturating_sub(pushes.len())) {
        let ((_, user), row) = found?;
        // An event that is sent at the same time tells the count as well.
        let told = pushes.iter().any(|push| push.user_id == row.value && !push.calls.is_empty());
        let target = Target { gateway, user_id: &row.value };
        let calls = if told { Vec::new() } else { notification::of_counts(cx, &target)? };
        pushes.push(Push { row: RowId::Count(user, row.version), user_id: row.value, calls });
    }
    Ok(pushes)
}

/// Removes what a gateway has been told, or never will be.
///
/// # Errors
/// When the store cannot be read.
pub fn done(cx: &Cx<'_>, gateway: Name, rows: &[RowId]) -> Decided<()> {
    let mut draft = Draft::new(*cx);
    for row in rows {
        match *row {
            RowId::Event(stamp) => tables::PUSH_EVENTS.delete(&mut draft.batch, &(gateway, stamp)),
            RowId::Count(user, version) => {
                let key = (gateway, user);
                if tables::PUSH_COUNTS.get(cx.view, &key)?.is_some_and(|row| row.version == version) {
                    tables::PUSH_COUNTS.require(&mut draft.batch, &key, Some(version));
                    tables::PUSH_COUNTS.delete(&mut draft.batch, &key);
                }
            }
        }
    }
    Ok(draft.commit(()))
}

/// Deletes the pushers whose keys a gateway rejected in its answer to `call`: keys that it was not sent are not its to reject.
///
/// # Errors
/// When the store cannot be read.
pub fn reject(cx: &Cx<'_>, call: &Call, rejected: &[String]) -> Decided<()> {
    let mut draft = Draft::new(*cx);
    for (app_id, pushkey) in call.devices.iter().filter(|(_, pushkey)| rejected.contains(pushkey)) {
        account::delete_rejected(&mut draft, app_id, pushkey, &call.url)?;
    }
    Ok(draft.commit(()))
}
