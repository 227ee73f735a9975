//! How much there is of what.

use journal::ReadError;

use super::lists;
use crate::{Cx, Stop, media, tables};

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Organizations.
    pub organizations: u64,
    /// Accounts.
    pub accounts: u64,
    /// Hosts.
    pub hosts: u64,
    /// Sessions that are not over.
    pub sessions: u64,
    /// Participants that there are still, those of sessions that are over included.
    pub participants: u64,
    /// Bytes of files uploaded in the last 24 hours.
    pub uploaded_bytes: u64,
}

/// Of the whole server; uploads of plain users count as well.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn usage(cx: &Cx<'_>) -> Result<Usage, ReadError> {
    let mut uploaded_bytes = 0_u64;
    for found in tables::UPLOADS.scan(cx.view, &()) {
        let row = found?.1.value;
        if row.at.plus_ms(media::DAY_MS) > cx.now() {
            uploaded_bytes = uploaded_bytes.saturating_add(row.size);
        }
    }
    Ok(Usage {
        organizations: tables::ORGANIZATIONS.count(cx.view, &())?,
        accounts: tables::ORGANIZATION_ACCOUNTS.count(cx.view, &())?,
        hosts: tables::HOSTS.count(cx.view, &())?,
        sessions: tables::SESSIONS_DUE.count(cx.view, &())?,
        participants: tables::PARTICIPANTS.count(cx.view, &())?,
        uploaded_bytes,
    })
}

/// Of one organization.
///
/// # Errors
/// `M_NOT_FOUND`.
pub fn usage_of(cx: &Cx<'_>, organization: &str) -> Result<Usage, Stop> {
    lists::organization(cx, organization)?;
    let name = cx.name(organization);
    let mut usage =
        Usage { organizations: 1, accounts: tables::ORGANIZATION_ACCOUNTS.count(cx.view, &(name,))?, ..Usage::default() };
    for found in tables::ORGANIZATION_HOSTS.scan(cx.view, &(name,)) {
        let host = found?.1.value;
        usage.hosts += 1;
        usage.uploaded_bytes = usage.uploaded_bytes.saturating_add(media::uploaded(cx, &host)?);
        for found in tables::HOST_SESSIONS.scan(cx.view, &(cx.user(&host),)) {
            let session = cx.name(&found?.1.value);
            let open = tables::SESSIONS.get(cx.view, &(session,))?.is_some_and(|row| !row.value.ended);
            usage.sessions += u64::from(open);
            for found in tables::SESSION_INVITEES.scan(cx.view, &(session,)) {
                usage.participants += 1;
                let participant = found?.1.value.user_id;
                usage.uploaded_bytes = usage.uploaded_bytes.saturating_add(media::uploaded(cx, &participant)?);
            }
        }
    }
    Ok(usage)
}
