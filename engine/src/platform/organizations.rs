//! Organizations and their accounts.

use std::collections::BTreeMap;

use journal::{Name, ReadError};

use super::check_text;
use crate::{
    Cx, Decided, Decision, Draft, Reject, Stop,
    account::profile,
    policy,
    tables::{self, HostRow, OrganizationAccountRow, OrganizationRow},
};

/// Operations, and hosts looked at, of one batch that names them anew; with the last one's, who may be in a hundred rooms, far fewer
/// than a batch may hold.
const NAMES_OPS_MAX: usize = 4_000;

/// Before all names.
pub(super) const FIRST: Name = Name::from_bytes([0; 16]);

/// `PUT /organizations/{organization}`
#[derive(Clone, Debug)]
pub struct PutOrganization {
    /// The platform's id.
    pub organization: String,
    /// What people call it.
    pub name: String,
}

/// Makes or renames an organization.
///
/// # Errors
/// `M_INVALID_PARAM` for an empty or long text.
pub fn put_organization(cx: &Cx<'_>, command: &PutOrganization) -> Decided<()> {
    check_text("organization", &command.organization)?;
    check_text("name", &command.name)?;
    let row = OrganizationRow { organization: command.organization.clone(), name: command.name.clone() };
    let key = (cx.name(&command.organization),);
    if tables::ORGANIZATIONS.get(cx.view, &key)?.is_some_and(|known| known.value == row) {
        return Ok(Decision::Done(()));
    }
    let mut draft = Draft::new(*cx);
    tables::ORGANIZATIONS.put(&mut draft.batch, &key, &row);
    Ok(draft.commit(()))
}

/// `PUT /organizations/{organization}/accounts/{account}`
#[derive(Clone, Debug)]
pub struct PutOrganizationAccount {
    /// The organization.
    pub organization: String,
    /// The platform's id of the account.
    pub account: String,
    /// What people call it.
    pub name: String,
    /// Whether its hosts and their participants may chat; `None` leaves it as it is (on for a new account).
    pub chat_enabled: Option<bool>,
    /// Bytes that each of them may upload in any 24 hours; `None` leaves it as it is (the server's for a new account).
    pub upload_per_day: Option<u64>,
    /// Milliseconds for which the text of each of them is kept (D11): L, or one of [`crate::LONGER`] times as long. `None` leaves it
    /// as it is (L for a new account). What has been said keeps its time.
    pub text_retention: Option<u64>,
}

/// Makes or changes an account. With its second account an organization becomes an enterprise: from then on the names of all
/// its hosts are followed by their account's (F2); [`continue_hosts`] names those whom this batch has no place for.
///
/// # Errors
/// `M_NOT_FOUND` without the organization, `M_INVALID_PARAM` for an empty or long text, or a retention that is not allowed.
pub fn put_organization_account(cx: &Cx<'_>, command: &PutOrganizationAccount) -> Decided<OrganizationAccountRow> {
    check_text("account", &command.account)?;
    check_text("name", &command.name)?;
    command.text_retention.map_or(Ok(()), |asked_ms| policy::check_text_retention(cx, asked_ms))?;
    let organization = cx.name(&command.organization);
    let known_organization = tables::ORGANIZATIONS.get(cx.view, &(organization,))?;
    let known_organization =
        known_organization.ok_or_else(|| Reject::not_found("there is no such organization; put it first"))?;
    let key = (organization, cx.name(&command.account));
    let known = tables::ORGANIZATION_ACCOUNTS.get(cx.view, &key)?;
    let row = OrganizationAccountRow {
        organization: command.organization.clone(),
        account: command.account.clone(),
        name: command.name.clone(),
        chat_enabled: command.chat_enabled.unwrap_or(known.as_ref().is_none_or(|row| row.value.chat_enabled)),
        upload_per_day: command.upload_per_day.or_else(|| known.as_ref().and_then(|row| row.value.upload_per_day)),
        text_retention: command.text_retention.or_else(|| known.as_ref().and_then(|row| row.value.text_retention)),
    };
    if known.as_ref().is_some_and(|known| known.value == row) {
        return Ok(Decision::Done(row));
    }
    let mut draft = Draft::new(*cx);
    // Two first accounts at once must see each other: each rewrites the organization's row.
    tables::ORGANIZATIONS.require(&mut draft.batch, &(organization,), Some(known_organization.version));
    tables::ORGANIZATIONS.put(&mut draft.batch, &(organization,), &known_organization.value);
    tables::ORGANIZATION_ACCOUNTS.put(&mut draft.batch, &key, &row);
    // Whoever belongs to it learns at once whether chat is on.
    draft.batch.wake(policy::account_topic(cx, &row.organization, &row.account));
    let mut accounts = accounts(cx, organization)?;
    let count_before = accounts.len();
    let renamed = accounts.insert(row.account.clone(), row.name.clone()).is_some_and(|name| name != command.name);
    let shown = accounts.len() > 1 && (count_before < 2 || renamed);
    if shown {
        rename_hosts(&mut draft, organization, &accounts, FIRST)?;
    }
    Ok(draft.commit(row))
}

/// Organizations whose hosts have not all been named anew yet.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn organizations_to_name(cx: &Cx<'_>) -> Result<Vec<Name>, ReadError> {
    tables::HOSTS_TO_NAME.scan(cx.view, &()).map(|found| Ok(found?.0.0)).collect()
}

/// Goes on naming an organization's hosts, as its accounts are by now. Answers whether there was anything to do.
///
/// # Errors
/// [`Stop::Read`].
pub fn continue_hosts(cx: &Cx<'_>, organization: Name) -> Decided<bool> {
    let Some(from) = tables::HOSTS_TO_NAME.get(cx.view, &(organization,))? else { return Ok(Decision::Done(false)) };
    let mut draft = Draft::new(*cx);
    // Whoever changes an account meanwhile rewrites this row: then the names are decided again.
    let version = tables::ORGANIZATIONS.get(cx.view, &(organization,))?.map(|row| row.version);
    tables::ORGANIZATIONS.require(&mut draft.batch, &(organization,), version);
    rename_hosts(&mut draft, organization, &accounts(cx, organization)?, from.value)?;
    Ok(draft.commit(true))
}

/// Drafts the names of an organization's hosts, from this one on, as they are with these accounts: a batch's worth. Notes where to go on.
pub(super) fn rename_hosts(
    draft: &mut Draft<'_>,
    organization: Name,
    accounts: &BTreeMap<String, String>,
    from: Name,
) -> Result<(), Stop> {
    let cx = draft.cx();
    let known = tables::HOSTS_TO_NAME.get(cx.view, &(organization,))?;
    tables::HOSTS_TO_NAME.require(&mut draft.batch, &(organization,), known.as_ref().map(|row| row.version));
    let hosts = tables::ORGANIZATION_HOSTS.scan_from(cx.view, &(organization,), &(organization, from));
    for (looked_at, found) in hosts.enumerate() {
        let ((_, user), row) = found?;
        if looked_at > 0 && looked_at + draft.batch.ops().len() >= NAMES_OPS_MAX {
            tables::HOSTS_TO_NAME.put(&mut draft.batch, &(organization,), &user);
            return Ok(());
        }
        let user_id = row.value;
        let Some(host) = tables::HOST_USERS.get(cx.view, &(user,))? else { continue };
        profile::rename(draft, &user_id, &full_name(&host.value, accounts))?;
    }
    if known.is_some() {
        tables::HOSTS_TO_NAME.delete(&mut draft.batch, &(organization,));
    }
    Ok(())
}

/// The names of an organization's accounts, by their ids.
pub(super) fn accounts(cx: &Cx<'_>, organization: Name) -> Result<BTreeMap<String, String>, ReadError> {
    let rows = tables::ORGANIZATION_ACCOUNTS.scan(cx.view, &(organization,));
    rows.map(|row| row.map(|(_, row)| (row.value.account, row.value.name))).collect()
}

/// What a host is shown as: in an enterprise organization with the account in parentheses.
pub(super) fn full_name(host: &HostRow, accounts: &BTreeMap<String, String>) -> String {
    match accounts.get(&host.account) {
        Some(account) if accounts.len() > 1 => format!("{} ({account})", host.display_name),
        _ => host.display_name.clone(),
    }
}

/// Checks that the account is there, and makes the draft rest on it.
pub(super) fn require_account(draft: &mut Draft<'_>, organization: &str, account: &str) -> Result<(), Stop> {
    let cx = draft.cx();
    let key = (cx.name(organization), cx.name(account));
    let row = tables::ORGANIZATION_ACCOUNTS.get(cx.view, &key)?;
    let row = row.ok_or_else(|| Reject::not_found("there is no such account in this organization; put it first"))?;
    tables::ORGANIZATION_ACCOUNTS.require(&mut draft.batch, &key, Some(row.version));
    let organization = (key.0,);
    let version = tables::ORGANIZATIONS.get(cx.view, &organization)?.map(|row| row.version);
    tables::ORGANIZATIONS.require(&mut draft.batch, &organization, version);
    Ok(())
}
