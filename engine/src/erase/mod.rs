//! Erasure (D5): a user or a room goes whole, L after a session's end (or as long after it as its text is kept), or when the operator
//! says so.
//!
//! A small state machine: one batch makes the user or the room unfindable and notes an [`ErasureRow`]; each further batch does a
//! bounded piece of what the row says is next, and says in the row where to go on; the last one deletes it. A server that is killed in
//! between goes on where it was.
//!
//! What remains of a user: a hash (no id is given out twice); and where a room of more than two lives on, that somebody of that id was
//! in it and has left, with the room's state that they set. Of a host, the opaque id in the rows of their sessions, which end at once,
//! until the participants are erased too. What remains of a room, for L, is what tells its members that it ended. All of it is in
//! docs/data.md, "What an erasure leaves".

mod room;
mod user;

#[cfg(test)]
mod tests;

use journal::{Key, Name, Op, Prefix, ReadError, Seq, Stamp, Table, Timestamp};
use ruma::{RoomId, UserId};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Cx, Decided, Decision, Draft, Reject, Stop, due, platform, policy,
    room::Pdu,
    tables::{self, ErasureRow, SessionRow},
    timeline::search,
};

/// What one step does at most: rows looked at, operations, and each KiB that these write, see [`Eraser::is_spent`]. A fraction of what a
/// batch may hold, so that requests get their turn in between.
const STEP_MAX: usize = 4_000;

/// Where [`tables::SCRUB_DUE`] has its row.
const SCRUB_KEY: (u8,) = (0,);

/// What one step did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Whether anything is left to do.
    pub more: bool,
    /// Objects of the store that no row names any more.
    pub objects: Vec<String>,
}

/// Begins to erase a user: logged out and known to nobody from this batch on. The next ones take them out of their rooms; rooms of two go
/// with them.
///
/// # Errors
/// `M_NOT_FOUND` for nobody; `M_FORBIDDEN` for the user of an application service, which would make it anew, and for the server's own.
pub fn erase_user(cx: &Cx<'_>, user_id: &UserId) -> Decided<Name> {
    let mut draft = Draft::new(*cx);
    user::begin(&mut draft, user_id, true)?;
    Ok(draft.commit(cx.user(user_id)))
}

/// Begins to erase a room: nobody finds it from this batch on. Those who were in it hear of that in this one, or, of many, in the next.
///
/// # Errors
/// `M_NOT_FOUND` when there is none.
pub fn erase_room(cx: &Cx<'_>, room_id: &RoomId) -> Decided<Name> {
    let mut draft = Draft::new(*cx);
    room::begin(&mut draft, room_id, None)?;
    Ok(draft.commit(cx.room(room_id)))
}

/// A session whose participants are to be erased: since when, and its name.
pub type DueSession = (u64, Name);

/// Sessions whose participants are due, and not erased yet.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn due_sessions(cx: &Cx<'_>) -> Result<Vec<DueSession>, ReadError> {
    let keys = tables::SESSIONS_TO_ERASE.scan(cx.view, &()).map(|found| found.map(|(key, _)| key));
    keys.take_while(|key| key.as_ref().map_or(true, |(due, _)| *due <= cx.now().as_ms())).collect()
}

/// Begins to erase one participant of a session that is due; when none is left, the session goes. `false`: nothing of it is left.
///
/// # Errors
/// [`Stop::Read`].
pub fn erase_due(cx: &Cx<'_>, due: DueSession) -> Decided<bool> {
    if !tables::SESSIONS_TO_ERASE.exists(cx.view, &due)? {
        return Ok(Decision::Done(false));
    }
    let mut draft = Draft::new(*cx);
    if let Some(found) = tables::SESSION_INVITEES.scan(cx.view, &(due.1,)).next().transpose()? {
        let (invitee, participant) = found;
        tables::SESSION_INVITEES.delete(&mut draft.batch, &invitee);
        match user::begin(&mut draft, &participant.value.user_id, false) {
            // Erased before, by the operator.
            Ok(()) | Err(Stop::Reject(Reject::NotFound(_))) => {}
            Err(stop) => return Err(stop),
        }
        return Ok(draft.commit(true));
    }
    if let Some(over) = tables::SESSIONS.get(cx.view, &(due.1,))? {
        platform::forget_session(&mut draft, &over.value);
    }
    tables::SESSIONS_TO_ERASE.delete(&mut draft.batch, &due);
    tables::SCRUB_DUE.put(&mut draft.batch, &SCRUB_KEY, &());
    Ok(draft.commit(false))
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
pub fn begun(cx: &Cx<'_>) -> Result<Vec<Name>, ReadError> {
    tables::ERASURES.scan(cx.view, &()).map(|found| found.map(|((name,), _)| name)).collect()
}

/// Whether the journal's files are to be rewritten because something was erased; the answer is what [`scrubbed`] asks for.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn scrub_due(cx: &Cx<'_>) -> Result<Option<Seq>, ReadError> {
    Ok(tables::SCRUB_DUE.get(cx.view, &SCRUB_KEY)?.map(|row| row.version))
}

/// Notes that the files have been rewritten since `due` was read. What was erased meanwhile is still due.
///
/// # Errors
/// [`Stop::Read`].
pub fn scrubbed(cx: &Cx<'_>, due: Seq) -> Decided<()> {
    let mut draft = Draft::new(*cx);
    if scrub_due(cx)? == Some(due) {
        tables::SCRUB_DUE.require(&mut draft.batch, &SCRUB_KEY, Some(due));
        tables::SCRUB_DUE.delete(&mut draft.batch, &SCRUB_KEY);
    }
    Ok(draft.commit(()))
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
    let mut eraser = Eraser { draft: Draft::new(*cx), spent: 0, counted: 0, objects: Vec::new() };
    let next = match row.value {
        ErasureRow::Room { room_id, version, members } => {
            let members = room::go_on(&mut eraser, (&room_id, &version), members)?;
            members.map(|members| ErasureRow::Room { room_id, version, members })
        }
        ErasureRow::User { user_id, participant, files, at } => {
            let at = user::go_on(&mut eraser, &user_id, (participant, files), at)?;
            at.map(|at| ErasureRow::User { user_id, participant, files, at })
        }
    };
    let Eraser { mut draft, objects, .. } = eraser;
    // Of two who go on with it at once, one looks again where it is by then.
    tables::ERASURES.require(&mut draft.batch, &(name,), Some(row.version));
    if let Some(next) = &next {
        tables::ERASURES.put(&mut draft.batch, &(name,), next);
    } else {
        tables::ERASURES.delete(&mut draft.batch, &(name,));
        tables::SCRUB_DUE.put(&mut draft.batch, &SCRUB_KEY, &());
    }
    Ok(draft.commit(Step { more: next.is_some(), objects }))
}

/// A step's draft, and how much of it is used up.
struct Eraser<'a> {
    draft: Draft<'a>,
    spent: usize,
    /// Operations of the draft that `spent` contains.
    counted: usize,
    objects: Vec<String>,
}

impl<'a> Eraser<'a> {
    const fn cx(&self) -> Cx<'a> {
        self.draft.cx()
    }

    /// Counts rows that were looked at, whether or not anything was done to them.
    const fn looked_at(&mut self, rows: usize) {
        self.spent += rows;
    }

    /// Whether the step is over: what is left is the next one's. It is asked before each piece, so that a step does one at least.
    fn is_spent(&mut self) -> bool {
        let ops = self.draft.batch.ops();
        for op in ops.iter().skip(self.counted) {
            let bytes = match op {
                Op::Put { value, .. } => value.len(),
                Op::Delete { .. } => 0,
            };
            self.spent += 1 + bytes / 1_024;
        }
        self.counted = ops.len();
        self.spent >= STEP_MAX
    }

    /// Deletes by which words an event is found: some hundred at most.
    fn words(&mut self, at: (&RoomId, Stamp), pdu: &Pdu) {
        let cx = self.cx();
        search::forget(&mut self.draft.batch, &cx, at, pdu);
    }

    /// Deletes all rows of a table under `prefix`, as far as the step goes.
    fn rows<K: Key, V: Serialize + DeserializeOwned, R>(
        &mut self,
        table: &'static Table<K, V, R>,
        prefix: &impl Prefix<K>,
    ) -> Result<(), ReadError> {
        for found in table.scan(self.cx().view, prefix) {
            let (key, _) = found?;
            if self.is_spent() {
                break;
            }
            table.delete(&mut self.draft.batch, &key);
        }
        Ok(())
    }
}
