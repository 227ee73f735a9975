//! The platform API, `/_vestibule/v1`: the back end of the application that Vestibule runs beside puts its organizations,
//! accounts, hosts and sessions here, and gets login tokens for their pages.
//!
//! Bearer keys from `vestibule keys create`; `PUT`s are idempotent; errors are problem details (RFC 9457).

use std::collections::BTreeMap;

use engine::account::{Secret, profile};
use engine::platform::{self, Invitee, NewcomerRecords, PutHost, PutOrganization, PutOrganizationAccount, PutSession};
use http::Method;
use journal::{Name, Timestamp};
use ruma::{OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes, json_response};
use crate::newcomer;

/// Random characters of a provisioned user's name: 80 bits. It tells nothing of the person.
const LOCALPART_LENGTH: usize = 16;

/// The platform API's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    let put = |routes: Routes, path: &str| (routes, format!("/_vestibule/v1{path}"));
    let (routes, path) = put(routes, "/organizations/{organization}");
    let routes = routes.raw(Method::PUT, &path, Access::Platform, put_organization);
    let (routes, path) = put(routes, "/organizations/{organization}/accounts/{account}");
    let routes = routes.raw(Method::PUT, &path, Access::Platform, put_account);
    let (routes, path) = put(routes, "/hosts/{host}");
    let routes = routes.raw(Method::PUT, &path, Access::Platform, put_host);
    let (routes, path) = put(routes, "/sessions/{session}");
    let routes = routes.raw(Method::PUT, &path, Access::Platform, put_session);
    let (routes, path) = put(routes, "/login_tokens");
    routes.raw(Method::POST, &path, Access::Platform, post_login_token)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrganizationBody {
    name: String,
}

/// `PUT /organizations/{organization}`
async fn put_organization(app: App, request: RawRequest) -> Answer {
    let body: OrganizationBody = request.json()?;
    let command = PutOrganization { organization: request.param("organization").to_owned(), name: body.name };
    app.run(|cx| platform::put_organization(cx, &command)).await?;
    Ok(json_response(&json!({ "organization": command.organization, "name": command.name })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountBody {
    name: String,
    #[serde(default)]
    chat_enabled: Option<bool>,
}

/// `PUT /organizations/{organization}/accounts/{account}`
async fn put_account(app: App, request: RawRequest) -> Answer {
    let body: AccountBody = request.json()?;
    let command = PutOrganizationAccount {
        organization: request.param("organization").to_owned(),
        account: request.param("account").to_owned(),
        name: body.name,
        chat_enabled: body.chat_enabled,
    };
    let unfinished = app.run(|cx| platform::put_organization_account(cx, &command)).await?;
    tell_rooms(&app, unfinished).await?;
    Ok(json_response(&json!({
        "organization": command.organization, "account": command.account, "name": command.name,
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostBody {
    organization: String,
    account: String,
    display_name: String,
}

/// `PUT /hosts/{host}`. The recovery key is in the answer that made the host, and in no other.
async fn put_host(app: App, request: RawRequest) -> Answer {
    let body: HostBody = request.json()?;
    let host = request.param("host").to_owned();
    let mut newcomers = match app.read(|cx| Ok(platform::host(cx, &host)?))? {
        Some(_) => Newcomers::default(),
        None => Newcomers::make(&app, "h_", 1).await?,
    };
    let command = PutHost {
        host,
        organization: body.organization,
        account: body.account,
        display_name: body.display_name,
        new_user: newcomers.take(),
    };
    let put = app.run(|cx| platform::put_host(cx, &command)).await?;
    tell_rooms(&app, put.next.into_iter().map(|next| (put.user_id.clone(), next)).collect()).await?;
    let mut answer = json!({ "user_id": put.user_id });
    newcomers.hand_out(&mut answer, &put.user_id, put.made);
    Ok(json_response(&answer))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionBody {
    host: String,
    invitees: Vec<InviteeBody>,
    /// Milliseconds since the Unix epoch.
    ends_at: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InviteeBody {
    id: String,
    display_name: String,
}

/// `PUT /sessions/{session}`. Each invitee's recovery key is in the answer that made them, and in no other.
async fn put_session(app: App, request: RawRequest) -> Answer {
    let body: SessionBody = request.json()?;
    let session = request.param("session").to_owned();
    let known = app.read(|cx| Ok(platform::participants(cx, &session)?))?;
    if body.invitees.len() > platform::INVITEES_MAX {
        return Err(engine::Reject::invalid_param("a session has at most 200 invitees").into());
    }
    let new = body.invitees.iter().filter(|invitee| !known.contains_key(&invitee.id)).count();
    let mut newcomers = Newcomers::make(&app, "p_", new).await?;
    let invitees = body.invitees.into_iter().map(|InviteeBody { id, display_name }| {
        let new_user = if known.contains_key(&id) { None } else { newcomers.take() };
        Invitee { id, display_name, new_user }
    });
    let invitees = invitees.collect();
    let command = PutSession { session, host: body.host, invitees, ends_at: Timestamp::from_ms(body.ends_at) };
    let put = app.run(|cx| platform::put_session(cx, &command)).await?;
    tell_rooms(&app, put.unfinished).await?;
    let mut answers = Vec::new();
    for invitee in &command.invitees {
        if let Some((user_id, made)) = put.participants.get(&invitee.id) {
            let mut answer = json!({ "id": invitee.id, "user_id": user_id });
            newcomers.hand_out(&mut answer, user_id, *made);
            answers.push(answer);
        }
    }
    Ok(json_response(&json!({ "invitees": answers })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginTokenBody {
    user_id: OwnedUserId,
}

/// `POST /login_tokens`
async fn post_login_token(app: App, request: RawRequest) -> Answer {
    let body: LoginTokenBody = request.json()?;
    let token = Secret::new(app.entropy.token("vsl_"));
    let expires_in_ms = app.run(|cx| platform::create_login_token(cx, &body.user_id, &token)).await?;
    Ok(json_response(&json!({ "login_token": token.expose(), "expires_in_ms": expires_in_ms })))
}

/// Goes on telling rooms of new names until all know.
async fn tell_rooms(app: &App, unfinished: BTreeMap<OwnedUserId, Name>) -> Result<(), ApiError> {
    for (user_id, after) in unfinished {
        let mut next = Some(after);
        while let Some(after) = next {
            next = app.run(|cx| profile::continue_rooms(cx, &user_id, after)).await?;
        }
    }
    Ok(())
}

/// Identities that have been made and are waiting for a use, and the keys to those in use.
#[derive(Default)]
struct Newcomers {
    waiting: Vec<(OwnedUserId, NewcomerRecords)>,
    recovery_keys: BTreeMap<OwnedUserId, Secret>,
}

impl Newcomers {
    async fn make(app: &App, prefix: &str, count: usize) -> Result<Self, ApiError> {
        let mut user_ids = Vec::new();
        for _ in 0..count {
            let localpart = format!("{prefix}{}", app.entropy.id(LOCALPART_LENGTH));
            user_ids.push(UserId::parse_with_server_name(localpart, &app.server.name).map_err(ApiError::internal)?);
        }
        let mut newcomers = Self::default();
        for (user_id, made) in user_ids.clone().into_iter().zip(newcomer::provision_all(app, user_ids).await?) {
            newcomers.recovery_keys.insert(user_id.clone(), made.recovery_key);
            newcomers.waiting.push((user_id, made.records));
        }
        Ok(newcomers)
    }

    fn take(&mut self) -> Option<(OwnedUserId, NewcomerRecords)> {
        self.waiting.pop()
    }

    /// Puts the recovery key into the answer if the user was made now, by this request.
    fn hand_out(&mut self, answer: &mut Value, user_id: &UserId, made: bool) {
        if let Some(key) = self.recovery_keys.remove(user_id).filter(|_| made) {
            answer["recovery_key"] = key.expose().into();
        }
    }
}
