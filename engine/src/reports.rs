//! Reports of users to the operator
//! ([spec v1.19, § Reporting content](https://spec.matrix.org/v1.19/client-server-api/#reporting-content)).
//!
//! Rooms and users are not looked up: the answer is the same whether or not they exist, as is the time it takes.

use ruma::events::room::member::MembershipState;

pub use crate::tables::{ReportRow, Reported};
use crate::{Cx, Decided, Draft, Reject, Requester, Stop, room, tables, timeline};

/// Reports of one user that are kept.
pub const REPORTS_MAX: u64 = 100;

/// Bytes of a reason, and of an id in a report.
const REASON_BYTES_MAX: usize = 4_096;
const ID_BYTES_MAX: usize = 255;

/// How long a user waits who has reported as much as is kept.
const RETRY_MS: u64 = 60_000;

/// `POST …/report`.
#[derive(Clone, Debug)]
pub struct Report {
    /// Who reports.
    pub reporter: Requester,
    /// What.
    pub reported: Reported,
    /// Why; may be empty.
    pub reason: String,
}

/// Keeps a report for the operator.
///
/// # Errors
/// `M_NOT_FOUND` for an event that the reporter does not see, or in a room they are not in; `M_TOO_LARGE` for a reason;
/// `M_LIMIT_EXCEEDED` after [`REPORTS_MAX`].
pub fn report(cx: &Cx<'_>, command: &Report) -> Decided<()> {
    let reporter = &command.reporter.user_id;
    if command.reason.len() > REASON_BYTES_MAX {
        return Err(Reject::TooLarge("a reason has at most 4,096 bytes; say it in fewer words".into()).into());
    }
    check_reported(cx, command)?;
    if tables::REPORTS.count(cx.view, &(cx.user(reporter),))? >= REPORTS_MAX {
        return Err(Reject::LimitExceeded { retry_after_ms: RETRY_MS }.into());
    }
    let mut draft = Draft::new(*cx);
    let row = ReportRow {
        reporter: reporter.clone(),
        reported: command.reported.clone(),
        reason: command.reason.clone(),
        at: cx.now(),
    };
    let key = (cx.user(reporter), draft.next_stamp());
    tables::REPORTS.put(&mut draft.batch, &key, &row, cx.text_class(), cx.text_expiry());
    Ok(draft.commit(()))
}

fn check_reported(cx: &Cx<'_>, command: &Report) -> Result<(), Stop> {
    let known = |id: &str| id.len() <= ID_BYTES_MAX;
    let no_event = || Reject::not_found("there is no such event, or you are not in its room");
    match &command.reported {
        Reported::Room { room_id } if known(room_id.as_str()) => Ok(()),
        Reported::User { user_id } if known(user_id.as_str()) => Ok(()),
        Reported::Room { .. } | Reported::User { .. } => Err(Reject::not_found("there is nothing of that name").into()),
        Reported::Event { room_id, event_id } => {
            let membership = room::membership_of(cx, room_id, &command.reporter.user_id)?;
            if membership != Some(MembershipState::Join) {
                return Err(no_event().into());
            }
            timeline::event(cx, &command.reporter, room_id, event_id).map(drop).map_err(|stop| match stop {
                Stop::Reject(_) => no_event().into(),
                stop @ Stop::Read(_) => stop,
            })
        }
    }
}

/// All reports, oldest first: for the operator.
///
/// # Errors
/// [`Stop::Read`].
pub fn reports(cx: &Cx<'_>) -> Result<Vec<ReportRow>, Stop> {
    let rows: Result<Vec<_>, _> = tables::REPORTS.scan(cx.view, &()).map(|row| row.map(|(_, row)| row.value)).collect();
    let mut rows = rows?;
    rows.sort_by_key(|row| row.at);
    Ok(rows)
}

#[cfg(test)]
mod tests;
