//! Sessions and their participants.

use std::collections::{BTreeMap, BTreeSet};

use journal::{ReadError, Timestamp, Topic};
use ruma::OwnedUserId;

use super::{NewUser, check_text, hosts, newcomer, webhooks};
use crate::{
    Cx, Decided, Decision, Draft, Reject, Stop,
    account::{self, Directory, profile},
    due, erase, policy,
    tables::{self, ParticipantRow, SessionRow, UserKind},
};

/// What wakes the worker that ends sessions: the topic is this text's name.
pub const SESSIONS_TOPIC: &str = "sessions due";

/// Participants of one session: each is some twenty rows of one batch.
pub const INVITEES_MAX: usize = 200;

/// How far ahead a session may end: whatever is longer is no session.
const AHEAD_MS_MAX: u64 = 400 * 24 * 3_600_000;

/// Somebody invited to a session.
#[derive(Clone, Debug)]
pub struct Invitee {
    /// The platform's id, unique in the session.
    pub id: String,
    /// What the host sees.
    pub display_name: String,
    /// Who the invitee is to be: used if the invitee is new.
    pub new_user: Option<NewUser>,
}

/// `PUT /sessions/{session}`: the whole of it; invitees who are left out are out.
#[derive(Clone, Debug)]
pub struct PutSession {
    /// The platform's id.
    pub session: String,
    /// The platform's id of the host.
    pub host: String,
    /// Who is invited.
    pub invitees: Vec<Invitee>,
    /// When it is over.
    pub ends_at: Timestamp,
}

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionPut {
    /// The participants by the platform's ids: who they are, and whether they were made now.
    pub participants: BTreeMap<String, (OwnedUserId, bool)>,
}

/// The participants of a session by the platform's ids.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn participants(cx: &Cx<'_>, session: &str) -> Result<BTreeMap<String, ParticipantRow>, ReadError> {
    let rows = tables::SESSION_INVITEES.scan(cx.view, &(cx.name(session),));
    rows.map(|row| row.map(|(_, row)| (row.value.invitee.clone(), row.value))).collect()
}

/// Makes or changes a session. Moved to another time, it keeps its chats; moved to another host, its participants leave those with
/// the host before.
///
/// # Errors
/// `M_NOT_FOUND` without the host, `M_INVALID_PARAM` for a host of another organization, an end that is past or too far, an invitee named twice, too
/// many; `M_FORBIDDEN` for a session that is over; for identities that the platform made as [`NewUser`] says.
pub fn put_session(cx: &Cx<'_>, command: &PutSession) -> Decided<SessionPut> {
    check(cx, command)?;
    let host_key = (cx.name(&command.host),);
    let host = tables::HOSTS.get(cx.view, &host_key)?;
    let host = host.ok_or_else(|| Reject::not_found("there is no such host; put it first"))?;
    let key = (cx.name(&command.session),);
    let known = tables::SESSIONS.get(cx.view, &key)?;
    if let Some(known) = &known {
        let organization =
            tables::HOST_USERS.get(cx.view, &(cx.user(&known.value.host),))?.map(|row| row.value.organization);
        if organization.is_some_and(|organization| organization != host.value.organization) {
            return Err(Reject::invalid_param("a session stays in its organization; put another session").into());
        }
        if known.value.ended {
            return Err(Reject::forbidden("this session is over; put another one").into());
        }
    } else if command.ends_at <= cx.now() {
        return Err(Reject::invalid_param("`ends_at` is past").into());
    }
    let mut draft = Draft::new(*cx);
    tables::HOSTS.require(&mut draft.batch, &host_key, Some(host.version));
    let host = host.value;
    tables::SESSIONS.require(&mut draft.batch, &key, known.as_ref().map(|row| row.version));
    let (session, host_id) = (command.session.clone(), host.user_id.clone());
    let row = SessionRow { session, host: host_id, ends_at: command.ends_at, ended: false, erase_at: None };
    // Rewritten even if it is the same: two requests at once must not make one invitee twice.
    put_row(&mut draft, known.as_ref().map(|row| row.value.ends_at), &row);
    let moved_from = known.as_ref().map(|known| known.value.host.clone()).filter(|before| *before != host.user_id);
    if let Some(before) = &moved_from {
        tables::HOST_SESSIONS.delete(&mut draft.batch, &(cx.user(before), key.0));
    }
    tables::HOST_SESSIONS.put(&mut draft.batch, &(cx.user(&host.user_id), key.0), &command.session);
    let before = participants(cx, &command.session)?;
    let mut put = SessionPut::default();
    let mut changed = known.is_none_or(|known| known.value != row);
    for invitee in &command.invitees {
        changed |= put_invitee(&mut draft, &row, invitee, before.get(&invitee.id), &mut put)?;
    }
    if let Some(former) = &moved_from {
        // The chats with the host before end; each participant has one with the new host as soon as one of them begins it.
        for participant in before.values() {
            account::leave_with(&mut draft, &participant.user_id, former)?;
        }
    }
    for (id, left_out) in &before {
        if !put.participants.contains_key(id) && left_out.ends_at > cx.now() {
            let out = ParticipantRow { ends_at: cx.now().min(left_out.ends_at), ..left_out.clone() };
            changed |= put_participant(&mut draft, &out)?;
            account::delete_all_devices_but(&mut draft, &out.user_id, None)?;
        }
    }
    if changed { Ok(draft.commit(put)) } else { Ok(Decision::Done(put)) }
}

fn check(cx: &Cx<'_>, command: &PutSession) -> Result<(), Reject> {
    check_text("session", &command.session)?;
    if command.invitees.len() > INVITEES_MAX {
        return Err(Reject::invalid_param("a session has at most 200 invitees"));
    }
    if command.ends_at > cx.now().plus_ms(AHEAD_MS_MAX) {
        return Err(Reject::invalid_param("`ends_at` is more than 400 days ahead; it is in milliseconds"));
    }
    let (mut seen, mut users) = (BTreeSet::new(), BTreeSet::new());
    for invitee in &command.invitees {
        check_text("invitees.id", &invitee.id)?;
        check_text("invitees.display_name", &invitee.display_name)?;
        if !seen.insert(&invitee.id) {
            return Err(Reject::invalid_param("two invitees have the same id"));
        }
        if invitee.new_user.as_ref().is_some_and(|new| !users.insert(&new.user_id)) {
            return Err(Reject::invalid_param("two invitees have the same identity: make one for each"));
        }
    }
    Ok(())
}

/// Drafts one invitee; answers whether anything changes.
fn put_invitee(
    draft: &mut Draft<'_>,
    session: &SessionRow,
    invitee: &Invitee,
    known: Option<&ParticipantRow>,
    put: &mut SessionPut,
) -> Result<bool, Stop> {
    let user_id = newcomer::user_of(known.map(|row| &*row.user_id), invitee.new_user.as_ref())?;
    put.participants.insert(invitee.id.clone(), (user_id.clone(), known.is_none()));
    let row = ParticipantRow {
        invitee: invitee.id.clone(),
        user_id: user_id.clone(),
        session: session.session.clone(),
        inviter: session.host.clone(),
        ends_at: session.ends_at,
    };
    if let (None, Some(new)) = (known, &invitee.new_user) {
        put_participant(draft, &row)?;
        let kind = (UserKind::Participant, &Directory::Invited(session.host.clone()));
        hosts::put_provisioned(draft, new, kind, invitee.display_name.clone())?;
        Ok(true)
    } else {
        let cx = draft.cx();
        let renamed = profile::member_profile(&cx, &user_id)?.display_name.as_deref() != Some(&*invitee.display_name);
        profile::rename(draft, &user_id, &invitee.display_name)?;
        if let Some(known) = known.filter(|known| known.inviter != row.inviter) {
            let name = Some(invitee.display_name.as_str());
            Directory::Invited(known.inviter.clone()).list(draft, &row.user_id, name, None);
            Directory::Invited(row.inviter.clone()).list(draft, &row.user_id, None, name);
        }
        let moved = known != Some(&row);
        if moved {
            put_participant(draft, &row)?;
            // An open page shows who the host is: see `policy::chat_state`.
            draft.wake(&row.user_id);
        }
        Ok(renamed || moved)
    }
}

fn put_participant(draft: &mut Draft<'_>, row: &ParticipantRow) -> Result<bool, ReadError> {
    let cx = draft.cx();
    policy::tell_host(draft, row)?;
    tables::SESSION_INVITEES.put(&mut draft.batch, &(cx.name(&row.session), cx.name(&row.invitee)), row);
    tables::PARTICIPANTS.put(&mut draft.batch, &(cx.user(&row.user_id),), row);
    Ok(true)
}

/// Drafts the session's row, and when it is due; wakes the worker that ends sessions.
fn put_row(draft: &mut Draft<'_>, due_before: Option<Timestamp>, row: &SessionRow) {
    let cx = draft.cx();
    let name = cx.name(&row.session);
    if let Some(before) = due_before {
        tables::SESSIONS_DUE.delete(&mut draft.batch, &(before.as_ms(), name));
    }
    tables::SESSIONS.put(&mut draft.batch, &(name,), row);
    if !row.ended {
        tables::SESSIONS_DUE.put(&mut draft.batch, &(row.ends_at.as_ms(), name), &row.session);
    }
    draft.batch.wake(Topic(cx.name(SESSIONS_TOPIC)));
}

/// Sessions that are over and have not been ended yet, the longest overdue first.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn due_sessions(cx: &Cx<'_>, limit: usize) -> Result<Vec<String>, ReadError> {
    due::due(cx, &tables::SESSIONS_DUE, limit)
}

/// When the next session is over; `None`: none is planned.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn next_due(cx: &Cx<'_>) -> Result<Option<Timestamp>, ReadError> {
    due::next(cx, &tables::SESSIONS_DUE)
}

/// Ends a session: its participants are logged out for good, on every device. Their tokens have been worthless since the
/// moment it ended; this wakes who still waits, and frees what belongs to the devices.
///
/// # Errors
/// `M_NOT_FOUND` without the session.
pub fn end_session(cx: &Cx<'_>, session: &str) -> Decided<()> {
    let mut draft = Draft::new(*cx);
    close_session(&mut draft, session)?;
    Ok(draft.commit(()))
}

/// Drafts the end of a session, if it is not over.
///
/// # Errors
/// As [`end_session`].
pub(crate) fn close_session(draft: &mut Draft<'_>, session: &str) -> Result<(), Stop> {
    let cx = draft.cx();
    let key = (cx.name(session),);
    let known = tables::SESSIONS.get(cx.view, &key)?.ok_or_else(|| Reject::not_found("there is no such session"))?;
    if known.value.ended {
        return Ok(());
    }
    tables::SESSIONS.require(&mut draft.batch, &key, Some(known.version));
    let ends_at = known.value.ends_at.min(cx.now());
    let before = known.value.ends_at;
    let erase_at = Some(erase::due_at(&cx, &known.value, ends_at)?);
    let over = SessionRow { ends_at, ended: true, erase_at, ..known.value };
    put_row(draft, Some(before), &over);
    erase::plan(draft, &over);
    webhooks::session_ended(draft, session);
    for participant in participants(&cx, session)?.into_values() {
        let ends_at = participant.ends_at.min(cx.now());
        put_participant(draft, &ParticipantRow { ends_at, ..participant.clone() })?;
        account::delete_all_devices_but(draft, &participant.user_id, None)?;
        draft.wake(&participant.user_id);
    }
    Ok(())
}
