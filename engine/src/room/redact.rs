//! Redactions ([spec v1.19, § Redactions](https://spec.matrix.org/v1.19/client-server-api/#redactions)).

use journal::Stamp;
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedTransactionId,
    OwnedUserId,
    events::{TimelineEventType, room::power_levels::UserPowerLevel},
};

use super::{NewEvent, Pdu, Room, RoomDraft, StoredEvent, get_event, get_room_for, power, send::Transaction};
use crate::{
    Cx, Decided, Decision, Draft, Reject, Stop, policy,
    tables::{self, SentBy, StateRow, TimelineRow},
    timeline::search,
};

/// `PUT /rooms/{roomId}/redact/{eventId}/{txnId}`.
#[derive(Debug)]
pub struct RedactEvent {
    /// Who redacts.
    pub sender: OwnedUserId,
    /// From which device.
    pub device_id: Option<OwnedDeviceId>,
    /// The room.
    pub room_id: OwnedRoomId,
    /// The event that is to be redacted.
    pub event_id: OwnedEventId,
    /// What makes a repeated request the same request.
    pub txn_id: OwnedTransactionId,
    /// Why.
    pub reason: Option<String>,
}

/// Redacts an event: its content is gone from every answer when this is committed.
///
/// # Errors
/// `M_NOT_FOUND` for an event that is unknown or has expired, `M_FORBIDDEN`.
pub fn redact_event(cx: &Cx<'_>, command: &RedactEvent) -> Decided<OwnedEventId> {
    let endpoint = format!("redact {} {} {}", command.room_id, command.event_id, command.txn_id);
    let transaction = Transaction::new(cx, &command.sender, command.device_id.as_deref(), &endpoint);
    if let Some(event_id) = transaction.done(cx)? {
        return Ok(Decision::Done(event_id));
    }
    let room = get_room_for(cx, &command.room_id, &command.sender)?;
    let mut content = CanonicalJsonObject::new();
    content.extend(command.reason.clone().map(|reason| ("reason".to_owned(), CanonicalJsonValue::String(reason))));
    let event = NewEvent {
        transaction: Some(SentBy { device: transaction.device(), txn_id: command.txn_id.to_string() }),
        ..NewEvent::message(&command.sender, TimelineEventType::RoomRedaction, content)
    };
    let mut draft = Draft::new(*cx);
    let event_id = append_redaction(cx, &mut draft, room, event, &command.event_id)?;
    transaction.record(&mut draft, &event_id);
    Ok(draft.commit(event_id))
}

/// Appends the redaction `event` of `target`, and takes the target's content away.
pub(super) fn append_redaction(
    cx: &Cx<'_>,
    draft: &mut Draft<'_>,
    room: Room,
    mut event: NewEvent,
    target: &EventId,
) -> Result<OwnedEventId, Stop> {
    let stored =
        get_event(cx, &room.room_id, target)?.ok_or_else(|| Reject::not_found("there is no such event in this room"))?;
    policy::may_redact(cx, &event.sender, &stored.row.pdu.sender, &room.room_id)?;
    check_allowed(cx, &room, &event.sender, &stored)?;
    if room.rules.redaction.content_field_redacts {
        event.content.insert("redacts".to_owned(), CanonicalJsonValue::String(target.to_string()));
    } else {
        event.content.remove("redacts");
        event.redacts = Some(target.to_owned());
    }
    let mut room = RoomDraft::open(draft, room)?;
    let event_id = room.append(event)?;
    let redaction = room.last_appended();
    apply(&mut room, stored, redaction)?;
    room.finish();
    Ok(event_id)
}

/// One may redact one's own events, and with the power to redact everybody's.
fn check_allowed(cx: &Cx<'_>, room: &Room, sender: &ruma::UserId, target: &StoredEvent) -> Result<(), Stop> {
    if target.row.pdu.event_type == TimelineEventType::RoomCreate {
        return Err(Reject::forbidden("a room's first event cannot be redacted").into());
    }
    let levels = power::power_levels(cx, room)?;
    if target.row.pdu.sender != sender && levels.for_user(sender) < UserPowerLevel::Int(levels.redact) {
        return Err(Reject::forbidden("you may redact only your own messages in this room").into());
    }
    Ok(())
}

fn apply(room: &mut RoomDraft<'_, '_>, stored: StoredEvent, redaction: Option<Pdu>) -> Result<(), Stop> {
    let cx = room.cx();
    let original = &stored.row.pdu;
    let redacted = original.redacted(&room.room.rules);
    let name = room.room.name;
    if let Some(state_key) = original.state_key.as_deref() {
        let key = (name, cx.name(&original.event_type.to_string()), cx.name(state_key));
        if let Some(current) = tables::STATE.get(cx.view, &key)?.filter(|row| row.value.pdu.event_id == original.event_id) {
            let row = StateRow {
                rewritten: Some(current.value.stamp(current.version)),
                index: current.value.index,
                pdu: redacted.clone(),
            };
            tables::STATE.require(&mut room.draft.batch, &key, Some(current.version));
            tables::STATE.put(&mut room.draft.batch, &key, &row);
            let picture = crate::media::picture_of(original);
            crate::media::picture_changed(room.draft, name, &original.sender, picture.as_deref(), None)?;
            if original.event_type == TimelineEventType::RoomMember {
                redact_member(room, state_key)?;
            }
        }
    }
    if let Some(stamp) = stored.stamp {
        redact_replaced(room, original, &redacted, stamp)?;
    }
    if let Some(parent) = super::relation_of(original)
        && let Some(stamp) = stored.stamp
    {
        tables::RELATIONS.delete(&mut room.draft.batch, &(name, cx.event(&parent.event_id), stamp));
    }
    let Some(stamp) = stored.stamp else { return Ok(()) };
    search::forget(&mut room.draft.batch, &cx, (&room.room.room_id, stamp), original);
    for member in room.members()? {
        tables::NOTIFICATIONS.delete(&mut room.draft.batch, &(cx.user(&member.user_id), name, stamp));
    }
    // An event that only the current state still holds has no place in the timeline any more.
    if stored.expires != journal::Timestamp::NEVER {
        let row = TimelineRow { pdu: redacted, redacted_because: redaction.map(Box::new), replaces: None, ..stored.row };
        tables::TIMELINE.delete(&mut room.draft.batch, &(name, stamp));
        tables::TIMELINE.put(&mut room.draft.batch, &(name, stamp), &row, cx.class_until(stored.expires), stored.expires);
    }
    Ok(())
}

/// State that has been replaced is also in the history of state, and in the event that replaced it, as what was before.
fn redact_replaced(room: &mut RoomDraft<'_, '_>, original: &Pdu, redacted: &Pdu, stamp: Stamp) -> Result<(), Stop> {
    let Some(state_key) = original.state_key.as_deref() else { return Ok(()) };
    let cx = room.cx();
    let key = (room.room.name, cx.name(&original.event_type.to_string()), cx.name(state_key));
    let at = (key.0, key.1, key.2, stamp);
    let Some(replaced) = tables::STATE_HISTORY.get(cx.view, &at)? else { return Ok(()) };
    tables::STATE_HISTORY.delete(&mut room.draft.batch, &at);
    tables::STATE_HISTORY.put(&mut room.draft.batch, &at, redacted, cx.class_until(replaced.expires), replaced.expires);
    let after = (key.0, key.1, key.2, stamp.next());
    let successor = match tables::STATE_HISTORY.scan_from(cx.view, &key, &after).next().transpose()? {
        Some(((_, _, _, successor), _)) => Some(successor),
        None => tables::STATE.get(cx.view, &key)?.map(|row| row.value.stamp(row.version)),
    };
    let Some(successor) = successor.map(|successor| (key.0, successor)) else { return Ok(()) };
    if let Some(row) = tables::TIMELINE.get(cx.view, &successor)?
        && row.value.replaces.as_ref().is_some_and(|before| before.event_id == original.event_id)
    {
        let after = TimelineRow { replaces: Some(Box::new(redacted.clone())), ..row.value };
        tables::TIMELINE.delete(&mut room.draft.batch, &successor);
        tables::TIMELINE.put(&mut room.draft.batch, &successor, &after, cx.class_until(row.expires), row.expires);
    }
    Ok(())
}

/// A redacted member event keeps the membership and loses the name and picture.
fn redact_member(room: &mut RoomDraft<'_, '_>, user_id: &str) -> Result<(), Stop> {
    let cx = room.cx();
    let key = (room.room.name, cx.name(user_id));
    if let Some(mut row) = tables::MEMBERS.get(cx.view, &key)? {
        row.value.display_name = None;
        row.value.avatar_url = None;
        tables::MEMBERS.put(&mut room.draft.batch, &key, &row.value);
    }
    Ok(())
}
