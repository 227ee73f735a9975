//! Organizations, accounts, and how much there is.

use engine::platform::{self, PageRequest, PutOrganization, PutOrganizationAccount};
use engine::tables::{OrganizationAccountRow, OrganizationRow, Scope};
use http::Method;

use super::calls::{Call, Calls, Declared};
use super::page;
use super::types::{
    Account, AccountBody, Accounts, Nothing, Organization, OrganizationBody, Organizations, PageQuery, Usage, UsageQuery,
};
use crate::app::App;
use crate::http::ApiError;
use crate::workers::names;

/// These calls.
pub fn calls(calls: Calls) -> Calls {
    let one = "/organizations/{organization}";
    let account = "/organizations/{organization}/accounts/{account}";
    let (read, write) = (Some(Scope::Read), Some(Scope::Provision));
    calls
        .call(
            Method::GET,
            "/organizations",
            Declared { id: "list_organizations", summary: "All organizations.", scope: read },
            list,
        )
        .call(
            Method::PUT,
            one,
            Declared { id: "put_organization", summary: "Makes or renames an organization.", scope: write },
            put,
        )
        .call(Method::GET, one, Declared { id: "get_organization", summary: "An organization.", scope: read }, get)
        .call(
            Method::DELETE,
            one,
            Declared { id: "delete_organization", summary: "Deletes an organization without accounts.", scope: write },
            delete,
        )
        .call(
            Method::GET,
            "/organizations/{organization}/accounts",
            Declared { id: "list_accounts", summary: "The accounts of an organization.", scope: read },
            list_accounts,
        )
        .call(
            Method::PUT,
            account,
            Declared {
                id: "put_account",
                summary: "Makes or changes an account; switches its chat on or off.",
                scope: write,
            },
            put_account,
        )
        .call(Method::GET, account, Declared { id: "get_account", summary: "An account.", scope: read }, get_account)
        .call(
            Method::DELETE,
            account,
            Declared { id: "delete_account", summary: "Deletes an account without hosts.", scope: write },
            delete_account,
        )
        .call(
            Method::GET,
            "/usage",
            Declared { id: "usage", summary: "How much there is, of the server or of one organization.", scope: read },
            usage,
        )
}

fn organization(row: OrganizationRow) -> Organization {
    Organization { organization: row.organization, name: row.name }
}

async fn list(app: App, call: Call<Nothing, PageQuery>) -> Result<Organizations, ApiError> {
    let ask = page(call.query.after, call.query.limit);
    let found = app.read(|cx| Ok(platform::organizations(cx, &ask)?))?;
    Ok(Organizations { items: found.items.into_iter().map(organization).collect(), next: found.next })
}

async fn put(app: App, call: Call<OrganizationBody, Nothing>) -> Result<Organization, ApiError> {
    let command = PutOrganization { organization: call.param("organization").to_owned(), name: call.body.name.clone() };
    let answer = Organization { organization: command.organization.clone(), name: command.name.clone() };
    call.carry_out(&app, |cx| Ok(platform::put_organization(cx, &command)?.map(|()| answer.clone()))).await
}

async fn get(app: App, call: Call<Nothing, Nothing>) -> Result<Organization, ApiError> {
    app.read(|cx| platform::organization(cx, call.param("organization"))).map(organization)
}

async fn delete(app: App, call: Call<Nothing, Nothing>) -> Result<Nothing, ApiError> {
    let id = call.param("organization");
    call.carry_out(&app, |cx| Ok(platform::delete_organization(cx, id)?.map(|()| Nothing {}))).await
}

fn account(row: OrganizationAccountRow) -> Account {
    let OrganizationAccountRow { organization, account, name, chat_enabled, upload_per_day, text_retention } = row;
    Account { organization, account, name, chat_enabled, upload_per_day, text_retention }
}

async fn list_accounts(app: App, call: Call<Nothing, PageQuery>) -> Result<Accounts, ApiError> {
    let ask: PageRequest = page(call.query.after.clone(), call.query.limit);
    let found = app.read(|cx| platform::account_page(cx, call.param("organization"), &ask))?;
    Ok(Accounts { items: found.items.into_iter().map(account).collect(), next: found.next })
}

async fn put_account(app: App, call: Call<AccountBody, Nothing>) -> Result<Account, ApiError> {
    let command = PutOrganizationAccount {
        organization: call.param("organization").to_owned(),
        account: call.param("account").to_owned(),
        name: call.body.name.clone(),
        chat_enabled: call.body.chat_enabled,
        upload_per_day: call.body.upload_per_day,
        text_retention: call.body.text_retention,
    };
    let answer = call.carry_out(&app, |cx| Ok(platform::put_organization_account(cx, &command)?.map(account))).await?;
    names::name_hosts(&app, &command.organization).await?;
    Ok(answer)
}

async fn get_account(app: App, call: Call<Nothing, Nothing>) -> Result<Account, ApiError> {
    app.read(|cx| platform::account(cx, call.param("organization"), call.param("account"))).map(account)
}

async fn delete_account(app: App, call: Call<Nothing, Nothing>) -> Result<Nothing, ApiError> {
    let organization = call.param("organization");
    let decide = |cx: &engine::Cx<'_>| platform::delete_account(cx, organization, call.param("account"));
    let answer = call.carry_out(&app, |cx| Ok(decide(cx)?.map(|()| Nothing {}))).await?;
    names::name_hosts(&app, organization).await?;
    Ok(answer)
}

async fn usage(app: App, call: Call<Nothing, UsageQuery>) -> Result<Usage, ApiError> {
    let found = app.read(|cx| match &call.query.organization {
        Some(organization) => platform::usage_of(cx, organization),
        None => Ok(platform::usage(cx)?),
    })?;
    let platform::Usage { organizations, accounts, hosts, sessions, participants, uploaded_bytes } = found;
    Ok(Usage { organizations, accounts, hosts, sessions, participants, uploaded_bytes })
}
