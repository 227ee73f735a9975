//! What the platform has put, one by one and page by page.

use std::collections::BTreeMap;

use journal::{Key, Name, ReadError, Row};
use ruma::UserId;

use crate::{
    Cx, Reject, Stop,
    tables::{self, HostRow, OrganizationAccountRow, OrganizationRow, ParticipantRow, SessionRow},
};

/// Items of one page at most.
pub const PAGE_MAX: usize = 1_000;

/// Which page is wanted.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// The id of the last item of the page before.
    pub after: Option<String>,
    /// Items wanted.
    pub limit: usize,
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, in an order that stays.
    pub items: Vec<T>,
    /// What comes after them: the last item's id; `None` at the end.
    pub next: Option<String>,
}

/// Takes a page out of a scan that starts at `after`.
fn page<K: Key + PartialEq, V>(
    scan: impl Iterator<Item = Result<(K, Row<V>), ReadError>>,
    after: Option<&K>,
    limit: usize,
    id: impl Fn(&V) -> String,
) -> Result<Page<V>, ReadError> {
    let limit = limit.clamp(1, PAGE_MAX);
    let mut items = Vec::new();
    for found in scan {
        let (key, row) = found?;
        if Some(&key) == after {
            continue;
        }
        if items.len() == limit {
            let next = items.last().map(id);
            return Ok(Page { items, next });
        }
        items.push(row.value);
    }
    Ok(Page { items, next: None })
}

const FIRST: Name = Name::from_bytes([0; 16]);

/// An organization.
///
/// # Errors
/// `M_NOT_FOUND`.
pub fn organization(cx: &Cx<'_>, organization: &str) -> Result<OrganizationRow, Stop> {
    let row = tables::ORGANIZATIONS.get(cx.view, &(cx.name(organization),))?;
    Ok(row.ok_or_else(|| Reject::not_found("there is no such organization"))?.value)
}

/// All organizations.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn organizations(cx: &Cx<'_>, ask: &PageRequest) -> Result<Page<OrganizationRow>, ReadError> {
    let after = ask.after.as_deref().map(|after| (cx.name(after),));
    let scan = tables::ORGANIZATIONS.scan_from(cx.view, &(), &after.unwrap_or((FIRST,)));
    page(scan, after.as_ref(), ask.limit, |row| row.organization.clone())
}

/// An account.
///
/// # Errors
/// `M_NOT_FOUND`.
pub fn account(cx: &Cx<'_>, organization: &str, account: &str) -> Result<OrganizationAccountRow, Stop> {
    let row = tables::ORGANIZATION_ACCOUNTS.get(cx.view, &(cx.name(organization), cx.name(account)))?;
    Ok(row.ok_or_else(|| Reject::not_found("there is no such account in this organization"))?.value)
}

/// The accounts of an organization.
///
/// # Errors
/// `M_NOT_FOUND` without the organization.
pub fn account_page(cx: &Cx<'_>, of: &str, ask: &PageRequest) -> Result<Page<OrganizationAccountRow>, Stop> {
    organization(cx, of)?;
    let name = cx.name(of);
    let after = ask.after.as_deref().map(|after| (name, cx.name(after)));
    let scan = tables::ORGANIZATION_ACCOUNTS.scan_from(cx.view, &(name,), &after.unwrap_or((name, FIRST)));
    Ok(page(scan, after.as_ref(), ask.limit, |row| row.account.clone())?)
}

/// The host of that id.
///
/// # Errors
/// `M_NOT_FOUND`.
pub fn host_row(cx: &Cx<'_>, host: &str) -> Result<HostRow, Stop> {
    Ok(super::host(cx, host)?.ok_or_else(|| Reject::not_found("there is no such host"))?)
}

/// All hosts.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn hosts(cx: &Cx<'_>, ask: &PageRequest) -> Result<Page<HostRow>, ReadError> {
    let after = ask.after.as_deref().map(|after| (cx.name(after),));
    let scan = tables::HOSTS.scan_from(cx.view, &(), &after.unwrap_or((FIRST,)));
    page(scan, after.as_ref(), ask.limit, |row| row.host.clone())
}

/// The hosts of an organization.
///
/// # Errors
/// `M_NOT_FOUND` without the organization.
pub fn hosts_of(cx: &Cx<'_>, of: &str, ask: &PageRequest) -> Result<Page<HostRow>, Stop> {
    organization(cx, of)?;
    let name = cx.name(of);
    let after = match &ask.after {
        Some(after) => super::host(cx, after)?.map(|row| (name, cx.user(&row.user_id))),
        None => None,
    };
    if ask.after.is_some() && after.is_none() {
        return Err(Reject::invalid_param("the host that the page before ended with is gone: begin again").into());
    }
    let scan = tables::ORGANIZATION_HOSTS.scan_from(cx.view, &(name,), &after.unwrap_or((name, FIRST)));
    let mut users = page(scan, after.as_ref(), ask.limit, ToString::to_string)?;
    let mut items = Vec::new();
    for user_id in &users.items {
        items.extend(tables::HOST_USERS.get(cx.view, &(cx.user(user_id),))?.map(|row| row.value));
    }
    users.next = users.next.and(items.last().map(|row: &HostRow| row.host.clone()));
    Ok(Page { items, next: users.next })
}

/// A session, with its participants by the platform's ids and their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The session.
    pub row: SessionRow,
    /// The platform's id of its host; `None` when the host is gone.
    pub host: Option<String>,
    /// Its participants.
    pub invitees: Vec<(ParticipantRow, Option<String>)>,
}

/// A session.
///
/// # Errors
/// `M_NOT_FOUND`.
pub fn session(cx: &Cx<'_>, session: &str) -> Result<Session, Stop> {
    let row = tables::SESSIONS.get(cx.view, &(cx.name(session),))?;
    let row = row.ok_or_else(|| Reject::not_found("there is no such session"))?.value;
    let host = host_of(cx, &row)?;
    let mut invitees = Vec::new();
    let participants: BTreeMap<_, _> = super::participants(cx, session)?;
    for participant in participants.into_values() {
        let name = crate::account::profile::member_profile(cx, &participant.user_id)?.display_name;
        invitees.push((participant, name));
    }
    Ok(Session { row, host, invitees })
}

/// The platform's id of a session's host; `None` when the host is gone.
fn host_of(cx: &Cx<'_>, session: &SessionRow) -> Result<Option<String>, ReadError> {
    Ok(tables::HOST_USERS.get(cx.view, &(cx.user(&session.host),))?.map(|row| row.value.host))
}

/// A session as a list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSession {
    /// The session.
    pub row: SessionRow,
    /// The platform's id of its host; `None` when the host is gone.
    pub host: Option<String>,
    /// How many participants it has: [`super::INVITEES_MAX`] with one `PUT`, those left out by a later one included.
    pub invitees: u64,
}

fn listed(cx: &Cx<'_>, sessions: Vec<SessionRow>) -> Result<Vec<ListedSession>, ReadError> {
    let listed = sessions.into_iter().map(|row| {
        let invitees = tables::SESSION_INVITEES.count(cx.view, &(cx.name(&row.session),))?;
        Ok(ListedSession { host: host_of(cx, &row)?, invitees, row })
    });
    listed.collect()
}

/// All sessions, those that are over included while they are known.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn sessions(cx: &Cx<'_>, ask: &PageRequest) -> Result<Page<ListedSession>, ReadError> {
    let after = ask.after.as_deref().map(|after| (cx.name(after),));
    let scan = tables::SESSIONS.scan_from(cx.view, &(), &after.unwrap_or((FIRST,)));
    let rows = page(scan, after.as_ref(), ask.limit, |row| row.session.clone())?;
    Ok(Page { items: listed(cx, rows.items)?, next: rows.next })
}

/// The sessions of a host.
///
/// # Errors
/// `M_NOT_FOUND` without the host.
pub fn sessions_of(cx: &Cx<'_>, host: &str, ask: &PageRequest) -> Result<Page<ListedSession>, Stop> {
    let user = cx.user(&host_row(cx, host)?.user_id);
    let after = ask.after.as_deref().map(|after| (user, cx.name(after)));
    let scan = tables::HOST_SESSIONS.scan_from(cx.view, &(user,), &after.unwrap_or((user, FIRST)));
    let ids = page(scan, after.as_ref(), ask.limit, Clone::clone)?;
    let mut items = Vec::new();
    for id in &ids.items {
        items.extend(tables::SESSIONS.get(cx.view, &(cx.name(id),))?.map(|row| row.value));
    }
    Ok(Page { items: listed(cx, items)?, next: ids.next })
}

/// The sessions of a host's user that have not been ended, a few.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn open_sessions(cx: &Cx<'_>, user_id: &UserId, limit: usize) -> Result<Vec<String>, ReadError> {
    let mut open = Vec::new();
    for found in tables::HOST_SESSIONS.scan(cx.view, &(cx.user(user_id),)) {
        let id = found?.1.value;
        if tables::SESSIONS.get(cx.view, &(cx.name(&id),))?.is_some_and(|row| !row.value.ended) {
            open.push(id);
        }
        if open.len() == limit {
            break;
        }
    }
    Ok(open)
}
