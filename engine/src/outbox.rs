//! What goes to application services: queued by the batch that makes it, sent by a worker after the commit, at least once and
//! under one transaction id however often it is tried
//! ([spec v1.19, Application Service API § Pushing events](https://spec.matrix.org/v1.19/application-service-api/#pushing-events);
//! messages to devices and key counts as in MSC4203 and MSC3202).

use std::collections::{BTreeMap, BTreeSet};

use journal::{Name, Stamp, Timestamp, Topic};
use ruma::{
    DeviceId, OwnedDeviceId, OwnedUserId, RoomId, UserId,
    events::{
        StateEventType, TimelineEventType, room::history_visibility::HistoryVisibility, room::member::MembershipState,
    },
};
use serde_json::value::RawValue;

use crate::{
    Appservice, Cx, Decided, Decision, Draft, MEGOLM_ROTATION_MS, Stop, class, keys,
    receipts::READ,
    room::{self, ClientEvent, Pdu},
    tables::{
        self, AppserviceEventRow, AppserviceReceiptRow, AppserviceToDeviceRow, AppserviceTransactionRow, MemberRow,
        OpenTransaction, ReceiptRow, ToDeviceRow,
    },
};

mod ephemeral;
#[cfg(test)]
mod tests;

pub use ephemeral::{ephemeral_events, presence_topics, typing_topics};

/// Events, messages, receipts and device lists in one transaction, each.
pub const TRANSACTION_ITEMS_MAX: usize = 100;

/// Users of a service whose key counts go into one transaction.
const COUNTED_USERS_MAX: usize = 100;

/// Whom to wake when something is queued for a service.
#[must_use]
pub fn topic(cx: &Cx<'_>, service: &str) -> Topic {
    Topic(cx.name(&format!("appservice/{service}")))
}

fn services<'a>(cx: &Cx<'a>) -> impl Iterator<Item = (&'a str, &'a Appservice)> + use<'a> {
    // A service without a URL wants to be sent nothing.
    cx.server
        .appservices
        .iter()
        .filter(|(_, service)| service.registration.url.is_some())
        .map(|(id, service)| (id.as_str(), service))
}

/// Whether a service is sent messages to devices, key counts, device lists and receipts of its users.
const fn takes_ephemeral(service: &Appservice) -> bool {
    service.registration.receive_ephemeral
}

/// Queues an appended event for each service whose namespaces hold the room, one of its aliases, the sender, the user a
/// membership event is about, or somebody in the room. Somebody who is only invited counts if invited people may read it.
/// `members` are the room's, with what the draft has written.
///
/// # Errors
/// When the store cannot be read.
pub fn event_appended(draft: &mut Draft<'_>, room_id: &RoomId, pdu: &Pdu, members: &[MemberRow]) -> Result<(), Stop> {
    let cx = draft.cx();
    for (id, service) in services(&cx) {
        if !is_interested(&cx, service, room_id, pdu, members)? {
            continue;
        }
        let stamp = draft.next_stamp();
        let row = AppserviceEventRow { room_id: room_id.to_owned(), event_id: pdu.event_id.clone() };
        tables::APPSERVICE_EVENTS.put(&mut draft.batch, &(cx.name(id), stamp), &row, cx.text_class(), cx.text_expiry());
        draft.batch.wake(topic(&cx, id));
    }
    Ok(())
}

fn is_interested(
    cx: &Cx<'_>,
    service: &Appservice,
    room_id: &RoomId,
    pdu: &Pdu,
    members: &[MemberRow],
) -> Result<bool, Stop> {
    let wants = &service.interest;
    if wants.room(room_id) || wants.user(&pdu.sender) {
        return Ok(true);
    }
    if pdu.event_type == TimelineEventType::RoomMember
        && let Some(target) = pdu.state_key.as_deref().and_then(|key| <&UserId>::try_from(key).ok())
        && wants.user(target)
    {
        return Ok(true);
    }
    let has = |membership: &MembershipState| {
        members.iter().any(|member| member.membership == *membership && wants.user(&member.user_id))
    };
    if has(&MembershipState::Join) {
        return Ok(true);
    }
    if has(&MembershipState::Invite) {
        let visibility = room::state_event(cx, room_id, &StateEventType::RoomHistoryVisibility, "")?;
        let visibility = visibility.and_then(|event| event.content_field::<HistoryVisibility>("history_visibility"));
        if visibility != Some(HistoryVisibility::Joined) {
            return Ok(true);
        }
    }
    for found in tables::ROOM_ALIASES.scan(cx.view, &(cx.room(room_id),)) {
        if wants.alias(found?.1.value.as_str()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Queues a message to a device for the service that plays its user; `false` when there is none that takes them, and the
/// message belongs into the device's own queue.
pub fn to_device_queued(draft: &mut Draft<'_>, user_id: &UserId, device_id: &DeviceId, message: &ToDeviceRow) -> bool {
    let cx = draft.cx();
    let Some((id, _)) =
        services(&cx).find(|(_, service)| takes_ephemeral(service) && service.interest.user_exclusive(user_id))
    else {
        return false;
    };
    let stamp = draft.next_stamp();
    let row =
        AppserviceToDeviceRow { user_id: user_id.to_owned(), device_id: device_id.to_owned(), message: message.clone() };
    let expires = cx.text_expiry().plus_ms(MEGOLM_ROTATION_MS);
    tables::APPSERVICE_TO_DEVICE.put(&mut draft.batch, &(cx.name(id), stamp), &row, class::TO_DEVICE, expires);
    draft.batch.wake(topic(&cx, id));
    true
}

/// Notes for each service with a user among `told` that `user_id`'s devices changed.
pub fn device_list_changed(draft: &mut Draft<'_>, user_id: &UserId, told: &BTreeSet<OwnedUserId>) {
    let cx = draft.cx();
    for (id, service) in services(&cx) {
        if takes_ephemeral(service) && told.iter().any(|user_id| service.interest.user(user_id)) {
            let key = (cx.name(id), cx.user(user_id));
            tables::APPSERVICE_DEVICE_LISTS.put(&mut draft.batch, &key, &user_id.to_owned());
            draft.batch.wake(topic(&cx, id));
        }
    }
}

fn watches(service: &Appservice, room_id: &RoomId, members: &[MemberRow]) -> bool {
    service.interest.room(room_id) || members.iter().any(|member| service.interest.user(&member.user_id))
}

/// Queues a read receipt for each service that may know of it: a public one for those that watch the room or have a user
/// among its joined `members`, a private one for those whose user it is of. It lives as long as what it is on.
pub fn receipt_written(
    draft: &mut Draft<'_>,
    room_id: &RoomId,
    receipt: &ReceiptRow,
    expires: Timestamp,
    members: &[MemberRow],
) {
    let cx = draft.cx();
    for (id, service) in services(&cx) {
        let interested = match receipt.receipt_type.as_str() {
            READ => watches(service, room_id, members),
            _ => service.interest.user(&receipt.user_id),
        };
        if takes_ephemeral(service) && interested {
            let stamp = draft.next_stamp();
            let row = AppserviceReceiptRow { room_id: room_id.to_owned(), receipt: receipt.clone() };
            tables::APPSERVICE_RECEIPTS.put(&mut draft.batch, &(cx.name(id), stamp), &row, cx.text_class(), expires);
            draft.batch.wake(topic(&cx, id));
        }
    }
}

/// The transaction a service has to be sent next: the one it has not acknowledged, or a new one over what is queued.
/// `None` when nothing is, and there is nothing `unqueued` to be told either.
///
/// # Errors
/// When the store cannot be read.
pub fn open_transaction(cx: &Cx<'_>, service: &str, unqueued: bool) -> Decided<Option<u64>> {
    let name = cx.name(service);
    let row = tables::APPSERVICE_TRANSACTIONS.get(cx.view, &(name,))?;
    if let Some(number) = row.as_ref().filter(|row| row.value.open.is_some()).map(|row| row.value.number) {
        return Ok(Decision::Done(Some(number)));
    }
    let open = OpenTransaction {
        events: last_of(tables::APPSERVICE_EVENTS.scan(cx.view, &(name,)))?,
        to_device: last_of(tables::APPSERVICE_TO_DEVICE.scan(cx.view, &(name,)))?,
        receipts: last_of(tables::APPSERVICE_RECEIPTS.scan(cx.view, &(name,)))?,
        device_lists: tables::APPSERVICE_DEVICE_LISTS
            .scan(cx.view, &(name,))
            .take(TRANSACTION_ITEMS_MAX)
            .map(|found| found.map(|(_, row)| (row.value, row.version)))
            .collect::<Result<_, _>>()?,
    };
    if open == OpenTransaction::default() && !unqueued {
        return Ok(Decision::Done(None));
    }
    let mut draft = Draft::new(*cx);
    let number = row.as_ref().map_or(1, |row| row.value.number.saturating_add(1));
    tables::APPSERVICE_TRANSACTIONS.require(&mut draft.batch, &(name,), row.map(|row| row.version));
    tables::APPSERVICE_TRANSACTIONS.put(&mut draft.batch, &(name,), &AppserviceTransactionRow { number, open: Some(open) });
    Ok(draft.commit(Some(number)))
}

fn last_of<V: serde::de::DeserializeOwned>(rows: journal::Scan<'_, (Name, Stamp), V>) -> Result<Option<Stamp>, Stop> {
    let mut last = None;
    for found in rows.take(TRANSACTION_ITEMS_MAX) {
        last = Some(found?.0.1);
    }
    Ok(last)
}

/// What a transaction holds now: what has expired since it was opened is no longer in it.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    /// Events in the form for clients.
    pub events: Vec<Box<RawValue>>,
    /// Messages to devices.
    pub to_device: Vec<AppserviceToDeviceRow>,
    /// Receipts.
    pub receipts: Vec<AppserviceReceiptRow>,
    /// Users whose device lists changed.
    pub device_lists: Vec<OwnedUserId>,
    /// One-time keys left, by user and device of the service.
    pub one_time_key_counts: BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, keys::Counts>>,
    /// Unused fallback keys' algorithms, likewise.
    pub unused_fallback_key_types: BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, Vec<String>>>,
}

/// Reads the open transaction `number`; `None` when it is no longer open.
///
/// # Errors
/// When the store cannot be read.
pub fn read_transaction(cx: &Cx<'_>, service: &str, number: u64) -> Result<Option<Transaction>, Stop> {
    let name = cx.name(service);
    let row = tables::APPSERVICE_TRANSACTIONS.get(cx.view, &(name,))?.map(|row| row.value);
    let Some(open) = row.filter(|row| row.number == number).and_then(|row| row.open) else { return Ok(None) };
    let mut transaction = Transaction {
        device_lists: open.device_lists.iter().map(|(user_id, _)| user_id.clone()).collect(),
        ..Transaction::default()
    };
    for row in up_to(tables::APPSERVICE_EVENTS.scan(cx.view, &(name,)), open.events)? {
        if let Some(event) = room::get_event(cx, &row.room_id, &row.event_id)? {
            transaction.events.push(ClientEvent::of_row(&event.row, cx.now()).in_room(&row.room_id).to_raw());
        }
    }
    transaction.to_device = up_to(tables::APPSERVICE_TO_DEVICE.scan(cx.view, &(name,)), open.to_device)?;
    for row in up_to(tables::APPSERVICE_RECEIPTS.scan(cx.view, &(name,)), open.receipts)? {
        if room::get_event(cx, &row.room_id, &row.receipt.event_id)?.is_some() {
            transaction.receipts.push(row);
        }
    }
    if let Some(service) = cx.server.appservices.get(service).filter(|service| takes_ephemeral(service)) {
        count_keys(cx, service, &mut transaction)?;
    }
    Ok(Some(transaction))
}

fn up_to<V: serde::de::DeserializeOwned>(
    rows: journal::Scan<'_, (Name, Stamp), V>,
    last: Option<Stamp>,
) -> Result<Vec<V>, Stop> {
    let mut values = Vec::new();
    let Some(last) = last else { return Ok(values) };
    for found in rows {
        let ((_, stamp), row) = found?;
        if stamp > last {
            break;
        }
        values.push(row.value);
    }
    Ok(values)
}

/// Counts the keys of the service's own user and of the users that messages of the transaction are for: those whose keys
/// may have been used.
fn count_keys(cx: &Cx<'_>, service: &Appservice, transaction: &mut Transaction) -> Result<(), Stop> {
    let mut users = BTreeSet::from([service.user_id.clone()]);
    users.extend(transaction.to_device.iter().map(|row| row.user_id.clone()));
    users.extend(transaction.device_lists.iter().filter(|user_id| service.interest.user(user_id)).cloned());
    for user_id in users.into_iter().take(COUNTED_USERS_MAX) {
        for found in tables::DEVICE_KEYS.scan(cx.view, &(cx.user(&user_id),)) {
            let device_id = found?.1.value.device_id;
            let counts = keys::one_time_key_counts(cx, &user_id, &device_id)?;
            transaction.one_time_key_counts.entry(user_id.clone()).or_default().insert(device_id.clone(), counts);
            let unused = keys::unused_fallback_key_types(cx, &user_id, &device_id)?;
            transaction.unused_fallback_key_types.entry(user_id.clone()).or_default().insert(device_id, unused);
        }
    }
    Ok(())
}

/// Closes transaction `number`, which the service has acknowledged: what it covered is deleted, its id never used again.
///
/// # Errors
/// When the store cannot be read.
pub fn close_transaction(cx: &Cx<'_>, service: &str, number: u64) -> Decided<()> {
    let name = cx.name(service);
    let Some(row) = tables::APPSERVICE_TRANSACTIONS.get(cx.view, &(name,))? else { return Ok(Decision::Done(())) };
    if row.value.number != number {
        return Ok(Decision::Done(()));
    }
    let Some(open) = row.value.open else { return Ok(Decision::Done(())) };
    let mut draft = Draft::new(*cx);
    tables::APPSERVICE_TRANSACTIONS.require(&mut draft.batch, &(name,), Some(row.version));
    tables::APPSERVICE_TRANSACTIONS.put(&mut draft.batch, &(name,), &AppserviceTransactionRow { number, open: None });
    for key in keys_up_to(tables::APPSERVICE_EVENTS.scan(cx.view, &(name,)), open.events)? {
        tables::APPSERVICE_EVENTS.delete(&mut draft.batch, &key);
    }
    for key in keys_up_to(tables::APPSERVICE_TO_DEVICE.scan(cx.view, &(name,)), open.to_device)? {
        tables::APPSERVICE_TO_DEVICE.delete(&mut draft.batch, &key);
    }
    for key in keys_up_to(tables::APPSERVICE_RECEIPTS.scan(cx.view, &(name,)), open.receipts)? {
        tables::APPSERVICE_RECEIPTS.delete(&mut draft.batch, &key);
    }
    for (user_id, version) in open.device_lists {
        let key = (name, cx.user(&user_id));
        let told = tables::APPSERVICE_DEVICE_LISTS.get(cx.view, &key)?.map(|row| row.version);
        if told == Some(version) {
            tables::APPSERVICE_DEVICE_LISTS.require(&mut draft.batch, &key, told);
            tables::APPSERVICE_DEVICE_LISTS.delete(&mut draft.batch, &key);
        }
    }
    Ok(draft.commit(()))
}

fn keys_up_to<V: serde::de::DeserializeOwned>(
    rows: journal::Scan<'_, (Name, Stamp), V>,
    last: Option<Stamp>,
) -> Result<Vec<(Name, Stamp)>, Stop> {
    let mut keys = Vec::new();
    let Some(last) = last else { return Ok(keys) };
    for found in rows {
        let (key, _) = found?;
        if key.1 > last {
            break;
        }
        keys.push(key);
    }
    Ok(keys)
}
