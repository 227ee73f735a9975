//! What goes in and out of the platform API.

use std::collections::BTreeMap;

use identity::{DehydratedDevice, Identity, Object};
use ruma::OwnedUserId;

use super::schema::{Handed, described, schema_of};

described! {
    /// Nothing.
    Nothing {}
}

described! {
    /// An organization: the tenant. Its hosts may chat with each other.
    Organization {
        /// The platform's id.
        organization: String,
        /// What people call it.
        name: String,
    }
}

described! {
    /// What an organization is to be.
    OrganizationBody {
        /// What people call it.
        name: String,
    }
}

described! {
    /// Organizations.
    Organizations {
        /// The page, in an order that stays.
        items: Vec<Organization>,
        /// What to ask for the next page with, as `after`. Absent on the last page.
        next: Option<String>,
    }
}

described! {
    /// A part of an organization. With two or more, a host's name is followed by its account in parentheses.
    Account {
        /// The organization.
        organization: String,
        /// The platform's id of the account.
        account: String,
        /// What people call it.
        name: String,
        /// Whether its hosts and their participants may chat. Support can be reached in any case.
        chat_enabled: bool,
        /// Bytes that each of them may upload in any 24 hours. Absent: as the server's configuration says.
        upload_per_day: Option<u64>,
        /// How long their text is kept, in milliseconds. Absent: as long as the server's configuration says, as files are in any
        /// case.
        text_retention: Option<u64>,
    }
}

described! {
    /// What an account is to be.
    AccountBody {
        /// What people call it.
        name: String,
        /// Whether its hosts and their participants may chat; left as it is if absent, and on for a new account.
        chat_enabled: Option<bool>,
        /// Bytes that each of them may upload in any 24 hours; left as it is if absent.
        upload_per_day: Option<u64>,
        /// How long their text is kept, in milliseconds: 1, 2, 3, 4, 5, 6, 7, 14 or 30 times `retention.lifetime`; left as it is if
        /// absent. It counts for what is said from then on, in rooms in which everybody's account keeps text that long. Files are
        /// not kept longer.
        text_retention: Option<u64>,
    }
}

described! {
    /// Accounts of an organization.
    Accounts {
        /// The page, in an order that stays.
        items: Vec<Account>,
        /// What to ask for the next page with, as `after`. Absent on the last page.
        next: Option<String>,
    }
}

described! {
    /// A host: somebody who may start chats.
    Host {
        /// The platform's id.
        host: String,
        /// The Matrix user.
        user_id: OwnedUserId,
        /// The organization.
        organization: String,
        /// The account.
        account: String,
        /// The name, without the account.
        display_name: String,
        /// What opens the host's encrypted identity. Only in the answer to the request that made host and identity: keep it.
        recovery_key: Option<Handed>,
    }
}

described! {
    /// What a host is to be.
    HostBody {
        /// The organization. It stays once the host is made.
        organization: String,
        /// The account.
        account: String,
        /// The name, without the account.
        display_name: String,
        /// The host's encrypted identity, if the platform makes it itself: then the server never has what opens it. Used when the host is
        /// made; of a host who is there, it may be repeated.
        identity: Option<Identity>,
    }
}

described! {
    /// Hosts.
    Hosts {
        /// The page, in an order that stays.
        items: Vec<Host>,
        /// What to ask for the next page with, as `after`. Absent on the last page.
        next: Option<String>,
    }
}

described! {
    /// Somebody invited to a session.
    Invitee {
        /// The platform's id, unique in the session.
        id: String,
        /// The Matrix user.
        user_id: OwnedUserId,
        /// What the host sees.
        display_name: Option<String>,
        /// What opens the invitee's encrypted identity. Only in the answer to the request that made invitee and identity: keep it.
        recovery_key: Option<Handed>,
    }
}

described! {
    /// A session: a planned visit of one host and the host's invitees.
    Session {
        /// The platform's id.
        session: String,
        /// The platform's id of the host. Absent when the host has been deleted.
        host: Option<String>,
        /// When it is over, in milliseconds since 1970. Its participants are then logged out.
        ends_at: u64,
        /// Whether its participants have been logged out.
        ended: bool,
        /// Who is invited. Invitees of one session don't see each other.
        invitees: Vec<Invitee>,
    }
}

described! {
    /// Somebody to invite.
    InviteeBody {
        /// The platform's id, unique in the session.
        id: String,
        /// What the host sees.
        display_name: String,
        /// The invitee's encrypted identity, if the platform makes it itself: then the server never has what opens it. Used when the
        /// invitee is made; of an invitee who is there, it may be repeated.
        identity: Option<Identity>,
    }
}

schema_of! {
    /// An encrypted identity as `vestibule identity` prints it: public keys, and private ones that only the recovery key opens.
    Identity {
        /// A random Matrix user of this server that nobody has or had: `@h_` or, of an invitee, `@p_`, 16 letters and digits, and the
        /// server's name.
        user_id: String,
        /// The master key.
        master_key: Object,
        /// The self-signing key, signed by the master key.
        self_signing_key: Object,
        /// The user-signing key, signed by the master key.
        user_signing_key: Object,
        /// The device that receives until the user has one (MSC3814).
        dehydrated_device: DehydratedDevice,
        /// Secret storage: account data by its types.
        account_data: BTreeMap<String, Object>,
    }
}

schema_of! {
    /// A device that waits on the server, locked by a key that secret storage holds.
    DehydratedDevice {
        /// Its id: its Curve25519 key, in unpadded base64.
        device_id: String,
        /// Algorithm, pickle, nonce.
        device_data: Object,
        /// Its public keys, signed by itself and by the self-signing key, with `"dehydrated": true`.
        device_keys: Object,
        /// One key by its id, signed by the device, with `"fallback": true`.
        fallback_keys: BTreeMap<String, Object>,
    }
}

described! {
    /// What a session is to be. Invitees who are left out are logged out.
    SessionBody {
        /// The platform's id of the host. Another host of the organization may take over: chats with the host before end.
        host: String,
        /// Who is invited.
        invitees: Vec<InviteeBody>,
        /// When it is over, in milliseconds since 1970.
        ends_at: u64,
    }
}

described! {
    /// A session in a list.
    SessionItem {
        /// The platform's id.
        session: String,
        /// The platform's id of the host. Absent when the host has been deleted.
        host: Option<String>,
        /// How many are invited, those who were left out later included while they are not erased.
        invitees: u64,
        /// When it is over, in milliseconds since 1970.
        ends_at: u64,
        /// Whether its participants have been logged out.
        ended: bool,
    }
}

described! {
    /// Sessions.
    Sessions {
        /// The page, in an order that stays.
        items: Vec<SessionItem>,
        /// What to ask for the next page with, as `after`. Absent on the last page.
        next: Option<String>,
    }
}

described! {
    /// Who is to log in.
    LoginTokenBody {
        /// A host's or a participant's Matrix user.
        user_id: OwnedUserId,
    }
}

described! {
    /// Lets one page log in, once.
    LoginToken {
        /// For `POST /_matrix/client/v3/login` with the type `m.login.token`.
        login_token: Handed,
        /// How long it can be used.
        expires_in_ms: u64,
    }
}

described! {
    /// How much there is.
    Usage {
        /// Organizations.
        organizations: u64,
        /// Accounts.
        accounts: u64,
        /// Hosts.
        hosts: u64,
        /// Sessions that are not over.
        sessions: u64,
        /// Participants that there are still, those of sessions that are over included.
        participants: u64,
        /// Bytes of files uploaded in the last 24 hours.
        uploaded_bytes: u64,
    }
}

described! {
    /// Who did what, and when. Never what was said.
    AuditEntry {
        /// When, in milliseconds since 1970.
        at: u64,
        /// `key`: a key of this interface; `operator`: somebody at the server's terminal; `user`: somebody who signed in.
        by: String,
        /// The key's id, or the user. Absent for the operator.
        id: Option<String>,
        /// Which call, such as `PUT /hosts/{host}`, `login m.login.token` or the operator's `keys create`.
        action: String,
        /// What it was about: ids, in the order of the action's places; a new key's id is followed by its scopes.
        objects: Vec<String>,
        /// The status that was answered.
        status: u16,
    }
}

described! {
    /// The audit trail, oldest first.
    Audit {
        /// The page.
        items: Vec<AuditEntry>,
        /// What to ask for the next page with, as `after`. Absent on the last page.
        next: Option<String>,
    }
}

described! {
    /// Whether the server can read its journal.
    Health {
        /// `ok`; anything else comes as an error.
        status: String,
    }
}

described! {
    /// Which page.
    PageQuery {
        /// The `next` of the page before.
        after: Option<String>,
        /// Items wanted: 100 unless said, 1,000 at most.
        limit: Option<u64>,
    }
}

described! {
    /// Which hosts.
    HostsQuery {
        /// Only those of this organization.
        organization: Option<String>,
        /// The `next` of the page before.
        after: Option<String>,
        /// Items wanted: 100 unless said, 1,000 at most.
        limit: Option<u64>,
    }
}

described! {
    /// Which sessions.
    SessionsQuery {
        /// Only those of this host.
        host: Option<String>,
        /// The `next` of the page before.
        after: Option<String>,
        /// Items wanted: 100 unless said, 1,000 at most.
        limit: Option<u64>,
    }
}

described! {
    /// Whose usage.
    UsageQuery {
        /// Only of this organization.
        organization: Option<String>,
    }
}
