//! The audit trail: who called the platform API or signed in, when, and which call it was; never content.

use journal::{Batch, Name, ReadError, Timestamp};

pub use crate::tables::{Actor, AuditRow};
use crate::{Cx, Decided, Draft, tables};

/// Entries deleted by one batch.
const PRUNE_MAX: usize = 1_000;

/// Entries of one page at most.
pub const PAGE_MAX: usize = 1_000;

/// An entry on its way in.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// A random text that no other entry has.
    pub id: String,
    /// Who.
    pub actor: Actor,
    /// Which call.
    pub action: String,
    /// What it was about.
    pub objects: Vec<String>,
    /// What was answered.
    pub status: u16,
}

/// Adds an entry to a batch: what is done and that it was done are on disk together.
pub fn write(cx: &Cx<'_>, batch: &mut Batch, entry: &NewEntry) {
    let row = AuditRow {
        at: cx.now(),
        actor: entry.actor.clone(),
        action: entry.action.clone(),
        objects: entry.objects.clone(),
        status: entry.status,
    };
    tables::AUDIT.put(batch, &(row.at.as_ms(), cx.name(&format!("audit {}", entry.id))), &row);
}

/// An entry of its own: for calls that changed nothing.
///
/// # Errors
/// None of its own.
pub fn record(cx: &Cx<'_>, entry: &NewEntry) -> Decided<()> {
    let mut draft = Draft::new(*cx);
    write(cx, &mut draft.batch, entry);
    Ok(draft.commit(()))
}

/// A page of the trail, oldest first: what comes after `after`, which a page before has answered, or from the beginning. Answers where
/// to go on, if there is more.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn entries(cx: &Cx<'_>, after: Option<Position>, limit: usize) -> Result<(Vec<AuditRow>, Option<Position>), ReadError> {
    let limit = limit.clamp(1, PAGE_MAX);
    let (mut entries, mut last) = (Vec::new(), None);
    let from = after.unwrap_or((0, Name::from_bytes([0; 16])));
    for found in tables::AUDIT.scan_from(cx.view, &(), &from) {
        let (key, row) = found?;
        if Some(key) == after {
            continue;
        }
        if entries.len() == limit {
            return Ok((entries, last));
        }
        last = Some(key);
        entries.push(row.value);
    }
    Ok((entries, None))
}

/// A place in the trail: the millisecond, and the entry in it.
pub type Position = (u64, Name);

/// Deletes what is older than `before`, a batch's worth. Answers whether there may be more.
///
/// # Errors
/// [`crate::Stop::Read`].
pub fn prune(cx: &Cx<'_>, before: Timestamp) -> Decided<bool> {
    let mut draft = Draft::new(*cx);
    let mut count = 0;
    for found in tables::AUDIT.scan(cx.view, &()).take(PRUNE_MAX) {
        let (key, _) = found?;
        if key.0 >= before.as_ms() {
            break;
        }
        tables::AUDIT.delete(&mut draft.batch, &key);
        count += 1;
    }
    Ok(draft.commit(count == PRUNE_MAX))
}
