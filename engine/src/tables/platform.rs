//! The platform's side: organizations, accounts, hosts, sessions with their participants, and the keys of its interface.
//!
//! The platform's own ids stand in values only; keys hold their hashes.

use journal::{Name, Table, Timestamp};
use ruma::{OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};

/// `(organization)`. Written by the platform.
pub static ORGANIZATIONS: Table<(Name,), OrganizationRow> = Table::lasting(220, "organizations");

/// `(organization, account)`. Written by the platform.
pub static ORGANIZATION_ACCOUNTS: Table<(Name, Name), OrganizationAccountRow> = Table::lasting(221, "organization_accounts");

/// `(host)`: the platform's id of a host. Written by the platform.
pub static HOSTS: Table<(Name,), HostRow> = Table::lasting(222, "hosts");

/// `(user)`: the same by Matrix user. Read by the policy.
pub static HOST_USERS: Table<(Name,), HostRow> = Table::lasting(223, "host_users");

/// `(organization, user)`: the hosts of an organization: their directory.
pub static ORGANIZATION_HOSTS: Table<(Name, Name), OwnedUserId> = Table::lasting(224, "organization_hosts");

/// `(session)`. Written by the platform.
pub static SESSIONS: Table<(Name,), SessionRow> = Table::lasting(225, "sessions");

/// `(session, invitee)`: the participants of a session.
pub static SESSION_INVITEES: Table<(Name, Name), ParticipantRow> = Table::lasting(226, "session_invitees");

/// `(user)`: the same by Matrix user. Read by the policy, and whenever a participant's token is used.
pub static PARTICIPANTS: Table<(Name,), ParticipantRow> = Table::lasting(227, "participants");

/// `(end, session)`: sessions that have not been ended yet, in the order of their ends.
pub static SESSIONS_DUE: Table<(u64, Name), String> = Table::lasting(228, "sessions_due");

/// `(key)`: keys of the platform interface, hashed.
pub static PLATFORM_KEYS: Table<(Name,), PlatformKeyRow> = Table::lasting(229, "platform_keys");

/// `(participant, other)`: the one live room of a participant with the inviter, or with support.
pub static PAIR_ROOMS: Table<(Name, Name), OwnedRoomId> = Table::lasting(230, "pair_rooms");

/// `(organization)`: the host with whom the naming of its hosts goes on, while it takes more than one batch.
pub static HOSTS_TO_NAME: Table<(Name,), Name> = Table::lasting(232, "hosts_to_name");

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationRow {
    /// The platform's id.
    pub organization: String,
    /// What people call it.
    pub name: String,
}

/// A part of an organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationAccountRow {
    /// The organization.
    pub organization: String,
    /// The platform's id.
    pub account: String,
    /// What people call it.
    pub name: String,
    /// Whether its hosts and their participants may chat (F12).
    pub chat_enabled: bool,
    /// Bytes that each of them may upload in any 24 hours; `None`: as the server's configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_per_day: Option<u64>,
    /// Milliseconds for which the text of each of them is kept (D11); `None`: L.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_retention: Option<u64>,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRow {
    /// The platform's id.
    pub host: String,
    /// The Matrix user.
    pub user_id: OwnedUserId,
    /// The organization.
    pub organization: String,
    /// The account.
    pub account: String,
    /// The name without the account.
    pub display_name: String,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// The platform's id.
    pub session: String,
    /// The host's Matrix user.
    pub host: OwnedUserId,
    /// When it is over.
    pub ends_at: Timestamp,
    /// Whether its participants have been logged out.
    pub ended: bool,
    /// When they are erased (D5), once that is planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erase_at: Option<Timestamp>,
}

/// A participant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantRow {
    /// The platform's id of the invitee.
    pub invitee: String,
    /// The Matrix user.
    pub user_id: OwnedUserId,
    /// The session.
    pub session: String,
    /// Who invited them.
    pub inviter: OwnedUserId,
    /// When the session is over, and with it every token.
    pub ends_at: Timestamp,
}

/// A key of the platform interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformKeyRow {
    /// Its public name, for lists and the audit trail.
    pub id: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created: Timestamp,
    /// From when it opens nothing; `None`: when it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// What a key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All of the following: the platform's back end.
    Platform,
    /// Look at organizations, accounts, hosts, sessions and usage.
    Read,
    /// Put, end and delete them.
    Provision,
    /// Make login tokens.
    Login,
    /// Erase users at once.
    Erase,
    /// Read the audit trail.
    Audit,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Platform, Self::Read, Self::Provision, Self::Login, Self::Erase, Self::Audit];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Read => "read",
            Self::Provision => "provision",
            Self::Login => "login",
            Self::Erase => "erase",
            Self::Audit => "audit",
        }
    }
}
