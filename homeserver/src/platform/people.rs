//! Hosts, sessions with their participants, and letting them in.

use engine::account::Secret;
use engine::platform::{self, Invitee as NewInvitee, ListedSession, PutHost, PutSession};
use engine::tables::{HostRow, Scope};
use engine::{Cx, Reject, Stop, erase};
use http::Method;
use identity::Role;
use journal::{Name, Timestamp};
use ruma::OwnedUserId;

use super::calls::{Call, Calls, Declared};
use super::newcomers::{self, Newcomers};
use super::page;
use super::schema::Handed;
use super::types::{
    Host, HostBody, Hosts, HostsQuery, Invitee, InviteeBody, LoginToken, LoginTokenBody, Nothing, Session, SessionBody,
    SessionItem, Sessions, SessionsQuery,
};
use crate::app::App;
use crate::http::ApiError;
use crate::workers::{erasure, names};

/// Sessions of a host that is deleted, ended together.
const SESSIONS_TOGETHER: usize = 100;

/// These calls.
pub fn calls(calls: Calls) -> Calls {
    let (read, write) = (Some(Scope::Read), Some(Scope::Provision));
    let (host, session) = ("/hosts/{host}", "/sessions/{session}");
    calls
        .call(Method::GET, "/hosts", Declared { id: "list_hosts", summary: "Hosts.", scope: read }, list_hosts)
        .call(
            Method::PUT,
            host,
            Declared { id: "put_host", summary: "Makes a host, or changes the name or account.", scope: write },
            put_host,
        )
        .call(Method::GET, host, Declared { id: "get_host", summary: "A host.", scope: read }, get_host)
        .call(
            Method::DELETE,
            host,
            Declared { id: "delete_host", summary: "Ends a host's sessions, and deletes the host.", scope: write },
            delete_host,
        )
        .call(Method::GET, "/sessions", Declared { id: "list_sessions", summary: "Sessions.", scope: read }, list_sessions)
        .call(
            Method::PUT,
            session,
            Declared { id: "put_session", summary: "Makes, changes or moves a session.", scope: write },
            put_session,
        )
        .call(Method::GET, session, Declared { id: "get_session", summary: "A session.", scope: read }, get_session)
        .call(
            Method::POST,
            "/sessions/{session}/end",
            Declared { id: "end_session", summary: "Ends a session now: its participants are logged out.", scope: write },
            end_session,
        )
        .call(
            Method::DELETE,
            session,
            Declared {
                id: "delete_session",
                summary: "Ends a session and erases its participants now, instead of when what they wrote has expired.",
                scope: Some(Scope::Erase),
            },
            delete_session,
        )
        .call(
            Method::POST,
            "/users/{user_id}/erase",
            Declared {
                id: "erase_user",
                summary: "Erases a host or participant now: known to nobody, and what they wrote goes with them.",
                scope: Some(Scope::Erase),
            },
            erase_user,
        )
        .call(
            Method::POST,
            "/login_tokens",
            Declared { id: "create_login_token", summary: "A login token for one page.", scope: Some(Scope::Login) },
            create_login_token,
        )
}

fn host(row: HostRow, recovery_key: Option<Handed>) -> Host {
    let HostRow { host, user_id, organization, account, display_name } = row;
    Host { host, user_id, organization, account, display_name, recovery_key }
}

async fn list_hosts(app: App, call: Call<Nothing, HostsQuery>) -> Result<Hosts, ApiError> {
    let ask = page(call.query.after, call.query.limit);
    let found = app.read(|cx| match &call.query.organization {
        Some(organization) => platform::hosts_of(cx, organization, &ask),
        None => Ok(platform::hosts(cx, &ask)?),
    })?;
    Ok(Hosts { items: found.items.into_iter().map(|row| host(row, None)).collect(), next: found.next })
}

async fn put_host(app: App, call: Call<HostBody, Nothing>) -> Result<Host, ApiError> {
    let id = call.param("host").to_owned();
    let HostBody { organization, account, display_name, identity } = call.body.clone();
    let given = identity.as_ref().map(newcomers::given).transpose()?;
    let known = app.read(|cx| Ok(platform::host(cx, &id)?))?;
    let new = usize::from(known.is_none() && given.is_none());
    let mut newcomers = Newcomers::make(&app, Role::Host, new).await?;
    let command = PutHost {
        host: id.clone(),
        organization: organization.clone(),
        account: account.clone(),
        display_name: display_name.clone(),
        new_user: given.or_else(|| newcomers.take()),
    };
    let answer: Host = call
        .carry_out(&app, |cx| {
            Ok(platform::put_host(cx, &command)?.map(|put| {
                let row = HostRow {
                    host: id.clone(),
                    user_id: put.user_id.clone(),
                    organization: organization.clone(),
                    account: account.clone(),
                    display_name: display_name.clone(),
                };
                let recovery_key = newcomers.recovery_key(&put.user_id, put.made);
                host(row, recovery_key)
            }))
        })
        .await?;
    names::tell_rooms(&app, &answer.user_id).await?;
    Ok(answer)
}

async fn get_host(app: App, call: Call<Nothing, Nothing>) -> Result<Host, ApiError> {
    app.read(|cx| platform::host_row(cx, call.param("host"))).map(|row| host(row, None))
}

async fn delete_host(app: App, call: Call<Nothing, Nothing>) -> Result<Nothing, ApiError> {
    if let Some(answer) = call.answered(&app)? {
        return Ok(answer);
    }
    let id = call.param("host");
    loop {
        let open = app.read(|cx| {
            let row = platform::host_row(cx, id)?;
            Ok(platform::open_sessions(cx, &row.user_id, SESSIONS_TOGETHER)?)
        })?;
        if open.is_empty() {
            break;
        }
        for session in open {
            app.run(|cx| platform::end_session(cx, &session)).await?;
        }
    }
    call.carry_out(&app, |cx| Ok(platform::delete_host(cx, id)?.map(|_| Nothing {}))).await
}

fn session_item(ListedSession { row, host, invitees }: ListedSession) -> SessionItem {
    SessionItem { session: row.session, host, invitees, ends_at: row.ends_at.as_ms(), ended: row.ended }
}

async fn list_sessions(app: App, call: Call<Nothing, SessionsQuery>) -> Result<Sessions, ApiError> {
    let ask = page(call.query.after, call.query.limit);
    let found = app.read(|cx| match &call.query.host {
        Some(host) => platform::sessions_of(cx, host, &ask),
        None => Ok(platform::sessions(cx, &ask)?),
    })?;
    Ok(Sessions { items: found.items.into_iter().map(session_item).collect(), next: found.next })
}

async fn put_session(app: App, call: Call<SessionBody, Nothing>) -> Result<Session, ApiError> {
    let id = call.param("session").to_owned();
    let known = app.read(|cx| Ok(platform::participants(cx, &id)?))?;
    let SessionBody { host, invitees, ends_at } = call.body.clone();
    if invitees.len() > platform::INVITEES_MAX {
        return Err(Reject::invalid_param("a session has at most 200 invitees").into());
    }
    let needs_one = |invitee: &InviteeBody| invitee.identity.is_none() && !known.contains_key(&invitee.id);
    let new = invitees.iter().filter(|invitee| needs_one(invitee)).count();
    let mut newcomers = Newcomers::make(&app, Role::Participant, new).await?;
    let invitees = invitees.into_iter().map(|invitee| {
        let new_user = if needs_one(&invitee) { newcomers.take() } else { None };
        let InviteeBody { id, display_name, identity } = invitee;
        let given = identity.as_ref().map(newcomers::given).transpose()?;
        Ok::<_, Reject>(NewInvitee { id, display_name, new_user: given.or(new_user) })
    });
    let invitees = invitees.collect::<Result<_, _>>()?;
    let command = PutSession { session: id.clone(), host: host.clone(), invitees, ends_at: Timestamp::from_ms(ends_at) };
    let answer: Session = call
        .carry_out(&app, |cx| {
            Ok(platform::put_session(cx, &command)?.map(|put| {
                let invitees = command.invitees.iter().filter_map(|invitee| {
                    let (user_id, made) = put.participants.get(&invitee.id)?;
                    Some(Invitee {
                        id: invitee.id.clone(),
                        user_id: user_id.clone(),
                        display_name: Some(invitee.display_name.clone()),
                        recovery_key: newcomers.recovery_key(user_id, *made),
                    })
                });
                let invitees = invitees.collect();
                Session { session: id.clone(), host: Some(host.clone()), ends_at, ended: false, invitees }
            }))
        })
        .await?;
    for invitee in &answer.invitees {
        names::tell_rooms(&app, &invitee.user_id).await?;
    }
    Ok(answer)
}

fn session(cx: &Cx<'_>, id: &str) -> Result<Session, Stop> {
    let found = platform::session(cx, id)?;
    let invitees = found.invitees.into_iter().map(|(participant, display_name)| Invitee {
        id: participant.invitee,
        user_id: participant.user_id,
        display_name,
        recovery_key: None,
    });
    Ok(Session {
        session: found.row.session,
        host: found.host,
        ends_at: found.row.ends_at.as_ms(),
        ended: found.row.ended,
        invitees: invitees.collect(),
    })
}

async fn get_session(app: App, call: Call<Nothing, Nothing>) -> Result<Session, ApiError> {
    app.read(|cx| session(cx, call.param("session")))
}

async fn end_session(app: App, call: Call<Nothing, Nothing>) -> Result<Session, ApiError> {
    let id = call.param("session");
    call.carry_out(&app, |cx| {
        let before = session(cx, id)?;
        let ends_at = if before.ended { before.ends_at } else { before.ends_at.min(cx.now().as_ms()) };
        let answer = Session { ends_at, ended: true, ..before };
        Ok(platform::end_session(cx, id)?.map(|()| answer))
    })
    .await
}

async fn delete_session(app: App, call: Call<Nothing, Nothing>) -> Result<Nothing, ApiError> {
    if let Some(answer) = call.answered(&app)? {
        return Ok(answer);
    }
    let id = call.param("session");
    app.run(|cx| platform::end_session(cx, id)).await?;
    // From here on nobody is invited to it any more.
    let participants = app.read(|cx| Ok(platform::participants(cx, id)?))?;
    let mut erased = Vec::new();
    for participant in participants.into_values() {
        match app.run(|cx| erase::erase_user(cx, &participant.user_id)).await {
            // Erased before.
            Err(error) if error.errcode() == "M_NOT_FOUND" => {}
            name => erased.push(name?),
        }
    }
    let answer = call.carry_out(&app, |cx| Ok(platform::delete_session(cx, id)?.map(|()| Nothing {}))).await?;
    erasure::complete(&app, &erased).await?;
    Ok(answer)
}

async fn erase_user(app: App, call: Call<Nothing, Nothing>) -> Result<Nothing, ApiError> {
    let user_id =
        OwnedUserId::try_from(call.param("user_id")).map_err(|_| Reject::invalid_param("this is not a user id"))?;
    let (answer, erased): (Nothing, Vec<Name>) = call
        .run(&app, |cx| {
            platform::require_provisioned(cx, &user_id)?;
            Ok(erase::erase_user(cx, &user_id)?.map(|name| (Nothing {}, vec![name])))
        })
        .await?;
    // Nobody finds the user any more; what hangs on them is deleted before the answer.
    erasure::complete(&app, &erased).await?;
    Ok(answer)
}

async fn create_login_token(app: App, call: Call<LoginTokenBody, Nothing>) -> Result<LoginToken, ApiError> {
    let user_id = call.body.user_id.clone();
    call.is_about(user_id.to_string());
    let token = Secret::new(app.entropy.token("vsl_"));
    call.carry_out(&app, |cx| {
        let made = platform::create_login_token(cx, &user_id, &token)?;
        Ok(made.map(|expires_in_ms| LoginToken { login_token: Handed(token.clone()), expires_in_ms }))
    })
    .await
}
