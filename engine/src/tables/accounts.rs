//! Accounts: users, devices, tokens, and what belongs to a user alone.
//!
//! Tokens are keys only as keyed hashes: whoever reads the store cannot use them.

use std::collections::BTreeMap;

use journal::{Expiring, Name, Table, Timestamp};
use ruma::{OwnedDeviceId, OwnedMxcUri, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

/// `(user)`. Written at registration or provisioning; one per user. Kept after deactivation, so that an id is never used again.
pub static USERS: Table<(Name,), UserRow> = Table::lasting(50, "users");

/// `(user, device)`. Written at login; at most [`crate::account::DEVICES_MAX`] per user.
pub static DEVICES: Table<(Name, Name), DeviceRow> = Table::lasting(51, "devices");

/// `(access token)`. Two per device at most: the one in use and the one it replaces. An access token that has run out
/// stays until it is replaced, so that the client is told to refresh instead of to wipe its store.
pub static ACCESS_TOKENS: Table<(Name,), AccessTokenRow> = Table::lasting(52, "access_tokens");

/// `(refresh token)`. Two per device at most.
pub static REFRESH_TOKENS: Table<(Name,), RefreshTokenRow> = Table::lasting(53, "refresh_tokens");

/// `(user, device, token)`: the tokens of a device, of both kinds, so that they end with it.
pub static DEVICE_TOKENS: Table<(Name, Name, Name), TokenKind> = Table::lasting(54, "device_tokens");

/// `(login token)`: one-time `m.login.token`s. A minute, and deleted by the batch that uses it.
pub static LOGIN_TOKENS: Table<(Name,), LoginTokenRow, Expiring> = Table::expiring(55, "login_tokens");

/// `(session)`: interactive authentication that has been asked for. Minutes.
pub static UIA_SESSIONS: Table<(Name,), UiaSessionRow, Expiring> = Table::expiring(56, "uia_sessions");

/// `(user, filter)`: filters, named by their content, so that the same one is stored once. At most
/// [`crate::account::FILTERS_MAX`] per user.
pub static FILTERS: Table<(Name, Name), Box<RawValue>> = Table::lasting(57, "filters");

/// `(user, event type)`: global account data, push rules included. At most [`crate::account::ACCOUNT_DATA_MAX`] per user.
pub static ACCOUNT_DATA: Table<(Name, Name), AccountDataRow> = Table::lasting(58, "account_data");

/// `(user, room, event type)`: account data of a room, tags included; also that the session of whom a host talks with there is over,
/// which the server writes. Bounded as [`ACCOUNT_DATA`], per room; gone with it.
pub static ROOM_ACCOUNT_DATA: Table<(Name, Name, Name), RoomAccountDataRow> = Table::lasting(59, "room_account_data");

/// `(user)`: the profile. One per user, 64 KiB at most (MSC4133).
pub static PROFILES: Table<(Name,), ProfileRow> = Table::lasting(60, "profiles");

/// `(user)`: the room after which the telling of a new name or avatar goes on, while it takes more than one batch.
pub static ROOMS_TO_TELL: Table<(Name,), RoomsToTellRow> = Table::lasting(231, "rooms_to_tell");

/// `(user, app id and push key)`: where a user wants to be notified. Gone with the device that set it.
pub static PUSHERS: Table<(Name, Name), PusherRow> = Table::lasting(61, "pushers");

/// `(app id and push key, user)`: the same from the other side: a pusher set without `append` replaces other users'.
pub static PUSHER_USERS: Table<(Name, Name), OwnedUserId> = Table::lasting(62, "pusher_users");

/// What a user is to the policy (DESIGN.md, "Who may do what").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserKind {
    /// Registered or made by the operator: belongs to no organization.
    Plain,
    /// Provisioned: belongs to an account of an organization.
    Host,
    /// Provisioned for one session and one inviter.
    Participant,
    /// Made by an application service.
    Appservice,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    /// The id.
    pub user_id: OwnedUserId,
    /// What the user is.
    pub kind: UserKind,
    /// The password's argon2 hash in PHC form; `None`: no login by password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
    /// Whether the account has been closed.
    #[serde(default)]
    pub deactivated: bool,
    /// Whether a host or participant has been here: signed in at least once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub been_here: bool,
    /// Whether the user wanted the messages gone with the account, as far as nobody has read them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub erased: bool,
    /// Whether the user is a server administrator.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub admin: bool,
    /// Whether the account can be used for nothing but to log out
    /// ([spec v1.19, § Account locking](https://spec.matrix.org/v1.19/client-server-api/#account-locking)).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub locked: bool,
    /// Whether the account can only read, and clear up after itself
    /// ([spec v1.19, § Account suspension](https://spec.matrix.org/v1.19/client-server-api/#account-suspension)).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// When it was made.
    pub created: Timestamp,
}

impl UserRow {
    /// A user who was just made.
    #[must_use]
    pub const fn new(user_id: OwnedUserId, kind: UserKind, created: Timestamp) -> Self {
        Self {
            user_id,
            kind,
            password_hash: None,
            deactivated: false,
            been_here: false,
            erased: false,
            admin: false,
            locked: false,
            suspended: false,
            created,
        }
    }
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRow {
    /// The id.
    pub device_id: OwnedDeviceId,
    /// What the user calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The last login or refresh.
    pub last_seen: Timestamp,
    /// The last time the user proved who they are on it (login, or interactive authentication).
    pub authenticated: Timestamp,
}

/// Which table a token is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// [`ACCESS_TOKENS`]
    Access,
    /// [`REFRESH_TOKENS`]
    Refresh,
}

/// An access token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessTokenRow {
    /// Whose.
    pub user_id: OwnedUserId,
    /// On which device.
    pub device_id: OwnedDeviceId,
    /// When it runs out; `None`: with the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The refresh token it was got with: valid until this access token is first used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub got_with: Option<Name>,
}

/// A refresh token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshTokenRow {
    /// Whose.
    pub user_id: OwnedUserId,
    /// On which device.
    pub device_id: OwnedDeviceId,
    /// The access token it came with.
    pub access_token: Name,
    /// The refresh token it was got with: valid until this one is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub got_with: Option<Name>,
}

/// A one-time login token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginTokenRow {
    /// Who may log in with it.
    pub user_id: OwnedUserId,
}

/// Interactive authentication that has been asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UiaSessionRow {
    /// Who has to authenticate; `None` for a registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<OwnedUserId>,
    /// For which operation: a session for one cannot be used for another.
    pub operation: String,
}

/// A piece of global account data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccountDataRow {
    /// The event type.
    pub event_type: String,
    /// The content.
    pub content: Box<RawValue>,
}

/// A piece of a room's account data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoomAccountDataRow {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The event type.
    pub event_type: String,
    /// The content.
    pub content: Box<RawValue>,
}

/// Whose rooms have not all been told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomsToTellRow {
    /// Who.
    pub user_id: OwnedUserId,
    /// The last room that was told.
    pub after: Name,
}

/// A profile ([spec v1.19, Client-Server API § Profiles](https://spec.matrix.org/v1.19/client-server-api/#profiles)).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileRow {
    /// `displayname`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// `avatar_url`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<OwnedMxcUri>,
    /// All other fields, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, Value>,
}

/// A pusher.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PusherRow {
    /// Which device set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<OwnedDeviceId>,
    /// When it was set last.
    #[serde(default)]
    pub updated: Timestamp,
    /// As the client wrote it.
    pub pusher: Box<RawValue>,
}
