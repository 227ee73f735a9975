//! The platform that runs Vestibule beside its own application: it names organizations, accounts, hosts and sessions, and
//! lets their people in. Every `put_*` is idempotent: the same request twice changes nothing the second time.

mod hosts;
mod idempotency;
mod lists;
mod me;
mod newcomer;
mod organizations;
mod platform_keys;
mod removal;
mod sessions;
mod usage;
pub mod webhooks;

#[cfg(test)]
pub(crate) mod tests;

pub use hosts::{Host, PutHost, create_login_token, host, put_host, require_provisioned};
pub use idempotency::{ANSWER_MS, Repeatable, answered, remember};
pub use lists::{
    ListedSession, PAGE_MAX, Page, PageRequest, Session, account, account_page, host_row, hosts, hosts_of, open_sessions,
    organization, organizations, session, sessions, sessions_of,
};
pub use me::{Inviter, Me, Role, me};
pub use newcomer::{NewUser, NewcomerRecords};
pub use organizations::{
    PutOrganization, PutOrganizationAccount, continue_hosts, organizations_to_name, put_organization,
    put_organization_account,
};
pub use platform_keys::{CreatePlatformKey, check_platform_key, create_platform_key, platform_keys, revoke_platform_key};
pub use removal::{delete_account, delete_host, delete_organization, delete_session};
pub(crate) use removal::{forget_session, forget_user};
pub(crate) use sessions::close_session;
pub use sessions::{
    INVITEES_MAX, Invitee, PutSession, SESSIONS_TOPIC, SessionPut, due_sessions, end_session, next_due, participants,
    put_session,
};
pub use usage::{Usage, usage, usage_of};

use crate::Reject;

/// Bytes of the platform's ids and of names.
const TEXT_BYTES_MAX: usize = 255;

/// A text of the platform's: an id or a name.
fn check_text(what: &str, text: &str) -> Result<(), Reject> {
    if text.trim().is_empty() || text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(Reject::InvalidParam(format!("`{what}` has between 1 and 255 bytes, and no control characters").into()));
    }
    Ok(())
}
