//! Messages to devices: sent once per transaction, kept per device until the device has them
//! ([spec v1.19, Client-Server API § Send-to-Device messaging](https://spec.matrix.org/v1.19/client-server-api/#send-to-device-messaging)).

use std::collections::BTreeMap;

use journal::{Name, Scan, Stamp};
use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId, to_device::DeviceIdOrAllDevices};
use serde_json::value::RawValue;

use crate::{
    Cx, Decided, Decision, Draft, MEGOLM_ROTATION_MS, Reject, Requester, Stop, class, outbox, policy,
    tables::{self, ToDeviceRow, TransactionRow},
};

/// Messages of one request: a room's members have fewer devices, and a batch has to stay small.
pub const MESSAGES_PER_REQUEST_MAX: usize = 5_000;

/// `PUT /sendToDevice/{event_type}/{txn_id}`
#[derive(Clone, Debug)]
pub struct SendToDevice {
    /// Who sends.
    pub requester: Requester,
    /// The messages' type.
    pub event_type: String,
    /// The client's transaction id: a repeated request sends nothing again.
    pub txn_id: String,
    /// By user, and device or all of them: the content.
    pub messages: BTreeMap<OwnedUserId, BTreeMap<DeviceIdOrAllDevices, Box<RawValue>>>,
}

/// Queues messages. Those to unknown users and devices, and to users the sender may not see, are dropped without a word:
/// an error would make the sender's client try for ever.
///
/// # Errors
/// `M_TOO_LARGE` for more than [`MESSAGES_PER_REQUEST_MAX`] messages.
pub fn send(cx: &Cx<'_>, command: &SendToDevice) -> Decided<()> {
    let sender = &command.requester.user_id;
    let device = command.requester.device_id.as_deref().map_or_else(|| cx.name(""), |device_id| cx.device(device_id));
    let transaction = cx.name(&format!("sendToDevice/{}/{}", command.event_type, command.txn_id));
    let key = (cx.user(sender), device, transaction);
    if tables::TRANSACTIONS.exists(cx.view, &key)? {
        return Ok(Decision::Done(()));
    }
    let mut draft = Draft::new(*cx);
    tables::TRANSACTIONS.require(&mut draft.batch, &key, None);
    let row = TransactionRow::default();
    tables::TRANSACTIONS.put(&mut draft.batch, &key, &row, cx.text_class(), cx.text_expiry());

    let (mut queued, own_ms) = (0, policy::text_retention_ms(cx, sender)?);
    for (user_id, devices) in &command.messages {
        if !policy::may_see(cx, sender, user_id)? {
            continue;
        }
        let is_longer = own_ms > cx.server.retention_ms;
        let lifetime_ms = if is_longer { own_ms.min(policy::text_retention_ms(cx, user_id)?) } else { own_ms };
        for (device_id, content) in devices {
            let message =
                ToDeviceRow { sender: sender.clone(), event_type: command.event_type.clone(), content: content.clone() };
            for device_id in targets(cx, user_id, device_id)? {
                queued += 1;
                if queued > MESSAGES_PER_REQUEST_MAX {
                    return Err(Reject::TooLarge("too many messages to devices at once: send fewer".into()).into());
                }
                queue(&mut draft, (user_id, &device_id), &message, lifetime_ms);
            }
        }
    }
    Ok(draft.commit(()))
}

fn targets(cx: &Cx<'_>, user_id: &UserId, device_id: &DeviceIdOrAllDevices) -> Result<Vec<OwnedDeviceId>, Stop> {
    let user = cx.user(user_id);
    let dehydrated = tables::DEHYDRATED_DEVICES.get(cx.view, &(user,))?.map(|row| row.value.device_id);
    match device_id {
        DeviceIdOrAllDevices::DeviceId(device_id) => {
            let known =
                dehydrated.as_ref() == Some(device_id) || tables::DEVICES.exists(cx.view, &(user, cx.device(device_id)))?;
            Ok(if known { vec![device_id.clone()] } else { Vec::new() })
        }
        DeviceIdOrAllDevices::AllDevices => {
            let mut all: Vec<_> = dehydrated.into_iter().collect();
            for found in tables::DEVICES.scan(cx.view, &(user,)) {
                all.push(found?.1.value.device_id);
            }
            Ok(all)
        }
    }
}

/// Puts one message into a device's queue, or, for a user of an application service that takes them, into the service's. It carries
/// the keys of what lives for `lifetime_ms`.
fn queue(draft: &mut Draft<'_>, (user_id, device_id): (&UserId, &DeviceId), message: &ToDeviceRow, lifetime_ms: u64) {
    if outbox::to_device_queued(draft, user_id, device_id, message) {
        return;
    }
    let cx = draft.cx();
    let stamp = draft.next_stamp();
    let class = cx.class_and_hour(class::TO_DEVICE, lifetime_ms);
    let expires = cx.now().plus_ms(lifetime_ms).plus_ms(MEGOLM_ROTATION_MS);
    let key = (cx.user(user_id), cx.device(device_id), stamp);
    tables::TO_DEVICE.put(&mut draft.batch, &key, message, class, expires);
    draft.wake(user_id);
}

/// Messages to a device, in order.
#[derive(Clone, Debug)]
pub struct Page {
    /// The messages.
    pub messages: Vec<ToDeviceRow>,
    /// The stamp of the last one (or where the page began): what acknowledges them.
    pub next: Stamp,
    /// Whether more are waiting up to `to`.
    pub more: bool,
}

/// Up to `limit` messages after `from`, up to and with `to`.
///
/// # Errors
/// When the store cannot be read.
pub fn read(
    cx: &Cx<'_>,
    user_id: &UserId,
    device_id: &DeviceId,
    from: Stamp,
    to: Stamp,
    limit: usize,
) -> Result<Page, Stop> {
    let (user, device): (Name, Name) = (cx.user(user_id), cx.device(device_id));
    let mut page = Page { messages: Vec::new(), next: from, more: false };
    for found in tables::TO_DEVICE.scan_from(cx.view, &(user, device), &(user, device, from.next())) {
        let ((_, _, stamp), row) = found?;
        if stamp > to {
            break;
        }
        if page.messages.len() == limit {
            page.more = true;
            break;
        }
        page.messages.push(row.value);
        page.next = stamp;
    }
    Ok(page)
}

/// What a device shows by a sync token that it has.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged<'a> {
    /// Whose device.
    pub user_id: &'a UserId,
    /// Which one.
    pub device_id: &'a DeviceId,
    /// Up to and with which stamp nothing is kept, as far as the caller knows: the store would step over what was deleted there.
    pub gone: Stamp,
    /// Up to and with which stamp it has the messages.
    pub through: Stamp,
}

impl Acknowledged<'_> {
    fn kept<'v>(&self, cx: &Cx<'v>) -> Scan<'v, (Name, Name, Stamp), ToDeviceRow> {
        let (user, device) = (cx.user(self.user_id), cx.device(self.device_id));
        tables::TO_DEVICE.scan_from(cx.view, &(user, device), &(user, device, self.gone.next()))
    }
}

/// Whether messages are still kept that the device has by now: call [`acknowledge`] if so.
///
/// # Errors
/// When the store cannot be read.
pub fn has_acknowledged(cx: &Cx<'_>, acknowledged: &Acknowledged<'_>) -> Result<bool, Stop> {
    let first = acknowledged.kept(cx).next().transpose()?;
    Ok(first.is_some_and(|((_, _, stamp), _)| stamp <= acknowledged.through))
}

/// Deletes the messages that the device has shown by its sync token that it has (D8).
///
/// # Errors
/// When the store cannot be read.
pub fn acknowledge(cx: &Cx<'_>, acknowledged: &Acknowledged<'_>) -> Decided<()> {
    let mut draft = Draft::new(*cx);
    for found in acknowledged.kept(cx) {
        let (key, _) = found?;
        // Few clients let more than a page wait; the rest goes with the next acknowledgement.
        if key.2 > acknowledged.through || draft.batch.ops().len() >= MESSAGES_PER_REQUEST_MAX {
            break;
        }
        tables::TO_DEVICE.delete(&mut draft.batch, &key);
    }
    Ok(draft.commit(()))
}
