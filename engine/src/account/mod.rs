//! Accounts: who a request comes from, and what belongs to a user alone.

mod authenticate;
mod data;
mod devices;
mod directory;
mod filters;
mod forget;
mod login;
mod moderation;
mod openid;
mod push_rules;
mod pushers;
mod rooms;
mod succession;
mod tokens;
mod uia;
mod users;

pub mod profile;

#[cfg(test)]
mod tests;

use std::fmt;

use ruma::OwnedDeviceId;
use serde::{Deserialize, Serialize};

pub use authenticate::{Authenticated, Credentials, authenticate, check_requester};
pub use data::{
    NewAccountData, account_data, all_account_data, all_room_account_data, delete_tag, deletion, is_deleted,
    is_server_controlled, put_account_data, put_tag, room_account_data, set_account_data, tags,
};
pub(crate) use devices::delete_all_but as delete_all_devices_but;
pub use devices::{
    DeleteDevices, UpdateDevice, delete_device, delete_devices, device, device_id_exists, devices, logout, logout_all,
    update_device,
};
pub(crate) use directory::Directory;
pub use directory::{Found, Search, search};
pub use filters::{filter, put_filter};
pub(crate) use forget::{Gone, forget};
pub use login::{Login, LoginProof, NewDevice, Session, create_login_token, login};
pub use moderation::{Moderate, Restriction, is_admin, is_restricted, moderate, set_admin, users, whois};
pub use openid::{OPENID_TOKEN_MS, create_openid_token, openid_user};
pub use push_rules::{ChangePushRules, PushRuleChange, change_push_rules, push_rules};
pub(crate) use pushers::{HttpPusher, delete_rejected, http_pushers};
pub use pushers::{Pushers, SetPusher, pushers, set_pusher};
pub(crate) use rooms::{leave as leave_room, leave_with};
pub(crate) use succession::carry_over;
pub use tokens::{Refresh, confirm_tokens, refresh};
pub use uia::{UIA_GRACE_MS, has_fresh_login, is_uia_session, start_uia};
pub use users::{
    ChangePassword, Deactivate, Register, change_password, check_available, deactivate, ensure_senders, is_deactivated,
    local_user_id, password_hash, register, user,
};
pub(crate) use users::{check_provisioned, close, put_user};

/// Devices of one user: more than people have, few enough to be queried together.
pub const DEVICES_MAX: usize = 100;

/// Devices of a participant: every tab that does not keep its store makes one.
pub const PARTICIPANT_DEVICES_MAX: usize = 8;

/// How long an access token lives that comes with a refresh token.
pub const ACCESS_TOKEN_MS: u64 = 300_000;

/// How long a one-time login token lives.
pub const LOGIN_TOKEN_MS: u64 = 60_000;

/// Filters of one user: clients use a handful.
pub const FILTERS_MAX: u64 = 200;

/// Types of account data of one user, and of one user in one room.
pub const ACCOUNT_DATA_MAX: u64 = 1_000;

/// Bytes of one piece of account data: `m.direct` of a busy account fits many times over.
pub const ACCOUNT_DATA_BYTES_MAX: usize = 256 * 1024;

/// A token or another secret on its way in. It never shows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    #[must_use]
    pub const fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Random tokens for a device: the caller makes them, the store keeps only their hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTokens {
    /// The access token.
    pub access_token: Secret,
    /// A refresh token, if the client can refresh.
    pub refresh_token: Option<Secret>,
}

/// Names the device that is logged in to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceChoice {
    /// The client's choice: a known device is logged in to again.
    pub wanted: Option<OwnedDeviceId>,
    /// A random id, if the client has none.
    pub random: OwnedDeviceId,
}
