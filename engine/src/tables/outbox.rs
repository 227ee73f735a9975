//! What waits to be sent to application services. The sender works from these rows alone (invariant 6).

use journal::{Expiring, Name, Seq, Stamp, Table};
use ruma::{OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};

use super::{ReceiptRow, ToDeviceRow};

/// `(service, stamp)`: events a service is interested in, in order; by reference, so that what is sent is what may still be
/// read. As long as the event.
pub static APPSERVICE_EVENTS: Table<(Name, Stamp), AppserviceEventRow, Expiring> =
    Table::append_only(260, "appservice_events");

/// `(service, stamp)`: messages to devices of a service's users, in order. As long as any message to a device.
pub static APPSERVICE_TO_DEVICE: Table<(Name, Stamp), AppserviceToDeviceRow, Expiring> =
    Table::append_only(261, "appservice_to_device");

/// `(service, user)`: users whose device list changed since the service was last told. One row per user at most.
pub static APPSERVICE_DEVICE_LISTS: Table<(Name, Name), OwnedUserId> = Table::lasting(262, "appservice_device_lists");

/// `(service)`: the last transaction, and whether it is still to be acknowledged. One row per service.
pub static APPSERVICE_TRANSACTIONS: Table<(Name,), AppserviceTransactionRow> =
    Table::lasting(263, "appservice_transactions");

/// `(service, stamp)`: receipts a service is interested in. As long as the receipt.
pub static APPSERVICE_RECEIPTS: Table<(Name, Stamp), AppserviceReceiptRow, Expiring> =
    Table::append_only(264, "appservice_receipts");

/// An event to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppserviceEventRow {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The event.
    pub event_id: OwnedEventId,
}

/// A message to be sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AppserviceToDeviceRow {
    /// For which user.
    pub user_id: OwnedUserId,
    /// For which device.
    pub device_id: OwnedDeviceId,
    /// The message.
    pub message: ToDeviceRow,
}

/// A receipt to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppserviceReceiptRow {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The receipt; what it is on may have expired since (D7).
    pub receipt: ReceiptRow,
}

/// Where the sending stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppserviceTransactionRow {
    /// The last transaction's number: its id. Never used again.
    pub number: u64,
    /// What it covers, until the service has acknowledged it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<OpenTransaction>,
}

/// What a transaction covers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTransaction {
    /// The last event.
    pub events: Option<Stamp>,
    /// The last message to a device.
    pub to_device: Option<Stamp>,
    /// The last receipt.
    pub receipts: Option<Stamp>,
    /// Users whose device lists changed, with the version of the row that said so: a later change is told again.
    pub device_lists: Vec<(OwnedUserId, Seq)>,
}
