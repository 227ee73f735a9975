//! Erasure (D5): a user or a room goes whole, L after a session's end (or as long after it as its text is kept), or when the operator
//! says so.
//!
//! One batch makes it unfindable and notes an [`ErasureRow`]; further batches delete what hangs on it, a bounded piece each, and the
//! last one the note. A server that is killed in between goes on where it was. What remains of a user is a hash (no id is given out twice);
//! of a room, for L, what tells its members that it ended.

mod room;
mod user;

#[cfg(test)]
mod tests;

use journal::{Key, Name, Prefix, ReadError, Stamp, Table, Timestamp};
use ruma::{RoomId, UserId};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Cx, Decided, Decision, Draft, Reject, Stop, due, platform, policy,
    room::Pdu,
    tables::{self, ErasureRow, SessionRow},
    timeline::search,
};

/// Operations of one step at most: a fraction of a batch, so that requests get their turn in between.
const OPS_PER_STEP: usize = 4_000;

/// What one step did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Whether anything is left to do.
    pub more: bool,
    /// Objects of the store that no row names any more.
    pub objects: Vec<String>,
}

/// Begins to erase a user: logged out, out of all rooms, and known to nobody, from this batch on. Rooms of two go with them.
///
/// # Errors
/// `M_NOT_FOUND` for nobody; `M_FORBIDDEN` for the user of an application service, which would make it anew.
pub fn erase_user(cx: &Cx<'_>, user_id: &UserId) -> Decided<Name> {
    let mut draft = Draft::new(*cx);
    user::begin(&mut draft, user_id, true)?;
    Ok(draft.commit(cx.user(user_id)))
}

/// Begins to erase a room: nobody is in it or finds it from this batch on.
///
/// # Errors
/// `M_NOT_FOUND` when there is none, `M_TOO_LARGE` for more members than one batch holds.
pub fn erase_room(cx: &Cx<'_>, room_id: &RoomId) -> Decided<Name> {
    let mut draft = Draft::new(*cx);
    room::begin(&mut draft, room_id, None)?;
    Ok(draft.commit(cx.room(room_id)))
}

/// Begins to erase one participant of a session that is due; when none is left, the session goes. `false`: nothing is due.
///
/// # Errors
/// [`Stop::Read`].
pub fn erase_due(cx: &Cx<'_>) -> Decided<bool> {
    let Some(found) = tables::SESSIONS_TO_ERASE.scan(cx.view, &()).next().transpose()? else {
        return Ok(Decision::Done(false));
    };
    let (key, _) = found;
    if key.0 > cx.now().as_ms() {
        return Ok(Decision::Done(false));
    }
    let mut draft = Draft::new(*cx);
    if let Some(found) = tables::SESSION_INVITEES.scan(cx.view, &(key.1,)).next().transpose()? {
        let (invitee, participant) = found;
        tables::SESSION_INVITEES.delete(&mut draft.batch, &invitee);
        match user::begin(&mut draft, &participant.value.user_id, false) {
            // Erased before, by the operator.
            Ok(()) | Err(Stop::Reject(Reject::NotFound(_))) => {}
            Err(stop) => return Err(stop),
        }
    } else {
        if let Some(over) = tables::SESSIONS.get(cx.view, &(key.1,))? {
            platform::forget_session(&mut draft, &over.value);
        }
        tables::SESSIONS_TO_ERASE.delete(&mut draft.batch, &key);
    }
    Ok(draft.commit(true))
}

/// When the participants of `session` are erased, if it is over at `ends_at`: what was said in it is kept for as long as the host's
/// account says.
pub(crate) fn due_at(cx: &Cx<'_>, session: &SessionRow, ends_at: Timestamp) -> Result<Timestamp, ReadError> {
    Ok(ends_at.plus_ms(policy::text_retention_ms(cx, &session.host)?))
}

/// Drafts that the participants of `session`, which is over now, are erased when it says.
pub(crate) fn plan(draft: &mut Draft<'_>, session: &SessionRow) {
    let key = planned(&draft.cx(), session);
    tables::SESSIONS_TO_ERASE.put(&mut draft.batch, &key, &session.session);
}

/// Where a session that is over stands in the plan.
pub(crate) fn planned(cx: &Cx<'_>, session: &SessionRow) -> (u64, Name) {
    // Sessions that were over before they said so: in L.
    let due = session.erase_at.unwrap_or_else(|| session.ends_at.plus_ms(cx.server.retention_ms));
    (due.as_ms(), cx.name(&session.session))
}

/// When the next participants are to be erased.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn next_due(cx: &Cx<'_>) -> Result<Option<Timestamp>, ReadError> {
    due::next(cx, &tables::SESSIONS_TO_ERASE)
}

/// Erasures that have begun and not ended.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn begun(cx: &Cx<'_>, limit: usize) -> Result<Vec<Name>, ReadError> {
    tables::ERASURES.scan(cx.view, &()).take(limit).map(|found| found.map(|((name,), _)| name)).collect()
}

/// Whether an id was erased, and so is not given out again.
pub(crate) fn is_erased(cx: &Cx<'_>, user_id: &UserId) -> Result<bool, ReadError> {
    tables::ERASED_USERS.exists(cx.view, &(cx.user(user_id),))
}

/// Goes on with an erasure.
///
/// # Errors
/// [`Stop::Read`].
pub fn step(cx: &Cx<'_>, name: Name) -> Decided<Step> {
    let Some(row) = tables::ERASURES.get(cx.view, &(name,))? else { return Ok(Decision::Done(Step::default())) };
    let mut eraser = Eraser { draft: Draft::new(*cx), left: OPS_PER_STEP, objects: Vec::new() };
    match &row.value {
        ErasureRow::Room { room_id, members } => room::clear(&mut eraser, room_id, members)?,
        ErasureRow::User { user_id, met, left, files } => {
            user::clear(&mut eraser, user_id)?;
            user::clear_of_others(&mut eraser, user_id, met)?;
            user::clear_rooms(&mut eraser, user_id, left)?;
            if *files {
                user::clear_files(&mut eraser, user_id)?;
            }
        }
    }
    let Eraser { mut draft, left, objects } = eraser;
    let more = left == 0;
    if !more {
        tables::ERASURES.delete(&mut draft.batch, &(name,));
    }
    Ok(draft.commit(Step { more, objects }))
}

/// A step's draft, and how much it may still do.
struct Eraser<'a> {
    draft: Draft<'a>,
    left: usize,
    objects: Vec<String>,
}

impl<'a> Eraser<'a> {
    const fn cx(&self) -> Cx<'a> {
        self.draft.cx()
    }

    /// Whether there is room for `ops` more operations; once there is not, the step ends.
    const fn take(&mut self, ops: usize) -> bool {
        if self.left <= ops {
            self.left = 0;
            return false;
        }
        self.left -= ops;
        true
    }

    /// Deletes by which words an event is found. They were not asked for before: an event has some hundred at most.
    fn words(&mut self, at: (&RoomId, Stamp), pdu: &Pdu) {
        let cx = self.cx();
        let before = self.draft.batch.ops().len();
        search::forget(&mut self.draft.batch, &cx, at, pdu);
        self.left = self.left.saturating_sub(self.draft.batch.ops().len() - before);
    }

    /// Deletes all rows of a table under `prefix`.
    fn rows<K: Key, V: Serialize + DeserializeOwned, R>(
        &mut self,
        table: &'static Table<K, V, R>,
        prefix: &impl Prefix<K>,
    ) -> Result<(), ReadError> {
        for found in table.scan(self.cx().view, prefix) {
            let (key, _) = found?;
            if !self.take(1) {
                break;
            }
            table.delete(&mut self.draft.batch, &key);
        }
        Ok(())
    }
}
