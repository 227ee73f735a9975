//! End-to-end encryption: public keys and signatures, key backup, dehydrated devices, messages to devices.
//!
//! Nothing here is secret to the server except by encryption: private parts come in encrypted or not at all.

use std::collections::BTreeSet;

use journal::{Expiring, Name, Stamp, Table, Timestamp};
use ruma::{CanonicalJsonObject, CanonicalJsonValue, OwnedDeviceId, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// `(user, device)`: a device's identity keys as the device signed them. Written by `/keys/upload`; one per device.
pub static DEVICE_KEYS: Table<(Name, Name), DeviceKeysRow> = Table::lasting(100, "device_keys");

/// `(user, device, algorithm, stamp)`: one-time keys in the order they were uploaded, which is the order they are handed
/// out in (MSC4225). At most [`crate::keys::ONE_TIME_KEYS_MAX`] per device.
pub static ONE_TIME_KEYS: Table<(Name, Name, Name, Stamp), OneTimeKeyRow> = Table::lasting(101, "one_time_keys");

/// `(user, device)`: rewritten by every upload of one-time keys and guarded by it, so that two uploads at once don't store
/// one key twice. One per device.
pub static ONE_TIME_KEY_UPLOADS: Table<(Name, Name), ()> = Table::lasting(102, "one_time_key_uploads");

/// `(user, device, algorithm)`: the key handed out when no one-time key is left. One per device and algorithm.
pub static FALLBACK_KEYS: Table<(Name, Name, Name), FallbackKeyRow> = Table::lasting(103, "fallback_keys");

/// `(user, usage)`: cross-signing keys, see [`SigningKeyUsage`]. Three per user at most.
pub static SIGNING_KEYS: Table<(Name, u8), SigningKeyRow> = Table::lasting(104, "signing_keys");

/// `(signer, target user, target key, signing key)`: signatures uploaded after the key they are on. A user signs own
/// devices, the own master key, and the master keys of people they verified: bounded by those.
pub static SIGNATURES: Table<(Name, Name, Name, Name), SignatureRow> = Table::lasting(105, "signatures");

/// `(user, device)`: the keys of a device that has been deleted, as long as messages from it can be read, see
/// [`crate::keys::query`]. Gone with the to-device messages it may have sent: as long as the user's account keeps text, and an hour.
pub static RETIRED_DEVICE_KEYS: Table<(Name, Name), DeviceKeysRow, Expiring> = Table::expiring(106, "retired_device_keys");

/// `(user)`: the last backup version given out, so that none is given twice. One per user.
pub static BACKUP_COUNTERS: Table<(Name,), u64> = Table::lasting(110, "backup_counters");

/// `(user, version)`: key backups. Written by every change of a key in it, which it counts.
pub static BACKUPS: Table<(Name, u64), BackupRow> = Table::lasting(111, "backups");

/// `(user, version, room, session)`: backed-up room keys, encrypted by the client.
pub static BACKUP_KEYS: Table<(Name, u64, Name, Name), BackupKeyRow> = Table::lasting(112, "backup_keys");

/// `(room, Megolm session)`: that a readable message is encrypted with the session; as long as the last one, up to an hour
/// more (D9).
pub static MEGOLM_SESSIONS: Table<(Name, Name), (), Expiring> = Table::expiring(113, "megolm_sessions");

/// `(user)`: the dehydrated device (MSC3814). One per user; a participant's is never replaced, a host's when its inbox is empty.
pub static DEHYDRATED_DEVICES: Table<(Name,), DehydratedDeviceRow> = Table::lasting(120, "dehydrated_devices");

/// `(user, device, stamp)`: messages to a device. Deleted when a later `/sync` acknowledges them, else gone L and the
/// Megolm rotation period after they were sent (D8); where both accounts keep text for longer than L, as long as that and the period.
pub static TO_DEVICE: Table<(Name, Name, Stamp), ToDeviceRow, Expiring> = Table::append_only(130, "to_device");

/// A device's identity keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceKeysRow {
    /// The device.
    pub device_id: OwnedDeviceId,
    /// The object as uploaded, unknown fields and all, without `unsigned`.
    pub keys: CanonicalJsonObject,
}

/// A one-time key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneTimeKeyRow {
    /// `algorithm:id`
    pub key_id: String,
    /// The key as uploaded.
    pub key: CanonicalJsonValue,
}

/// A fallback key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FallbackKeyRow {
    /// `algorithm:id`
    pub key_id: String,
    /// The key as uploaded.
    pub key: CanonicalJsonValue,
    /// Whether it has been handed out.
    pub used: bool,
}

/// What a cross-signing key signs. Stored in keys: append, never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum SigningKeyUsage {
    /// The other two, and nothing else.
    Master = 1,
    /// The user's own devices.
    SelfSigning = 2,
    /// Other users' master keys.
    UserSigning = 3,
}

/// A cross-signing key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeyRow {
    /// The object as uploaded.
    pub key: CanonicalJsonObject,
}

/// A signature that was uploaded after the key it is on. It has been verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureRow {
    /// The key it is on: a device id, or the unpadded base64 of a master key.
    pub target: String,
    /// `ed25519:id` of the key it was made with.
    pub key_id: String,
    /// The signature, unpadded base64.
    pub signature: String,
}

/// A key backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackupRow {
    /// `algorithm`
    pub algorithm: String,
    /// `auth_data`
    pub auth_data: Box<RawValue>,
    /// How many keys it holds.
    pub count: u64,
    /// Raised by every change of a key in it.
    pub etag: u64,
}

/// A backed-up room key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackupKeyRow {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The Megolm session.
    pub session_id: String,
    /// When it was written.
    pub written: Timestamp,
    /// The object as uploaded.
    pub data: Box<RawValue>,
}

/// A dehydrated device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DehydratedDeviceRow {
    /// Its device id.
    pub device_id: OwnedDeviceId,
    /// What people see it called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Algorithm, pickle and nonce: only the user can open it.
    pub device_data: Box<RawValue>,
}

/// A message to a device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ToDeviceRow {
    /// Who sent it.
    pub sender: OwnedUserId,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its content.
    pub content: Box<RawValue>,
}

/// The parts of [`SIGNING_KEYS`]' key, in the order they depend on each other.
impl SigningKeyUsage {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Master, Self::SelfSigning, Self::UserSigning];

    /// As it stands in `usage`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::SelfSigning => "self_signing",
            Self::UserSigning => "user_signing",
        }
    }
}

/// Users whose device lists changed, or can no longer be followed, between two stamps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceLists {
    /// Query their keys again.
    pub changed: BTreeSet<OwnedUserId>,
    /// Stop following them.
    pub left: BTreeSet<OwnedUserId>,
}
