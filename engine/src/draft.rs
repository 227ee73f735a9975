//! A batch being drafted: the batch itself, the running number of its records, and the changes it tells users of.

use std::collections::BTreeSet;

use journal::{Batch, Stamp, Topic};
use ruma::{OwnedUserId, UserId};

use crate::{Cx, Decision, changes::Change, tables};

/// Collects what a command writes. One running number serves all stamped keys of the batch.
pub struct Draft<'a> {
    cx: Cx<'a>,
    /// The batch; tables write into it directly.
    pub batch: Batch,
    next_index: u16,
    changes: BTreeSet<(OwnedUserId, Change)>,
}

impl<'a> Draft<'a> {
    /// An empty draft.
    #[must_use]
    pub fn new(cx: Cx<'a>) -> Self {
        Self { cx, batch: Batch::new(cx.now()), next_index: 0, changes: BTreeSet::new() }
    }

    /// What it is decided from.
    #[must_use]
    pub const fn cx(&self) -> Cx<'a> {
        self.cx
    }

    /// The stamp of the next record: its `seq` is the commit's, filled in when it is applied.
    pub fn next_stamp(&mut self) -> Stamp {
        let stamp = Stamp::of_commit(self.next_index);
        // A batch has at most `LIMITS.ops_max` operations, fewer than there are numbers.
        self.next_index = self.next_index.saturating_add(1);
        stamp
    }

    /// Tells `user_id` of `change`: an entry in the change index (once per batch), and a wake-up.
    pub fn tell(&mut self, user_id: &UserId, change: Change) {
        self.changes.insert((user_id.to_owned(), change));
    }

    /// Wakes the user's waiting `/sync` without an entry in the change index (to-device messages, logout).
    pub fn wake(&mut self, user_id: &UserId) {
        self.batch.wake(Topic(self.cx.user(user_id)));
    }

    /// The decision to commit all of it.
    #[must_use]
    pub fn commit<T>(mut self, output: T) -> Decision<T> {
        let changes = std::mem::take(&mut self.changes);
        for (user_id, change) in changes {
            let stamp = self.next_stamp();
            let key = (self.cx.user(&user_id), stamp);
            tables::CHANGES.put(&mut self.batch, &key, &change, self.cx.text_class(), self.cx.text_expiry());
            self.wake(&user_id);
        }
        if self.batch.is_empty() { Decision::Done(output) } else { Decision::Commit { batch: self.batch, output } }
    }
}
