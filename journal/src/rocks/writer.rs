//! The one thread that writes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crossbeam_channel::Receiver;
use rocksdb::WriteBatch;
use tokio::sync::{oneshot, watch};

use super::{
    OnCommit, StoreError,
    families::{BucketId, LASTING},
    store::{Head, Store},
};
use crate::{
    Outcome, ReadError, Residence, SealedBatch, Seq, TableInfo, Timestamp, Unavailable,
    apply::{Applied, Change, NewRow, Rows, apply},
    stored::StoredRow,
};

/// Batches that share one fsync at most: bounds how long the first of them waits.
const GROUP_MAX: usize = 256;
/// Bytes of a group at most: one write batch has to fit into the write buffers.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;

type Answer = Result<Outcome, Unavailable>;

/// A batch that waits.
pub(super) struct Pending {
    pub(super) batch: SealedBatch,
    pub(super) bytes: usize,
    pub(super) fingerprint: [u8; 32],
    pub(super) answer: oneshot::Sender<Answer>,
}

/// What the writer is asked for.
pub(super) enum Job {
    Commit(Pending),
    /// Drop these buckets; here, because the writer may be writing to one.
    Drop {
        buckets: Vec<BucketId>,
        done: oneshot::Sender<Result<(), StoreError>>,
    },
}

pub(super) struct Writer {
    store: Arc<Store>,
    head: Head,
    published: watch::Sender<Seq>,
    on_commit: Option<OnCommit>,
    queued_bytes: Arc<AtomicUsize>,
}

impl Writer {
    pub(super) const fn new(
        store: Arc<Store>,
        head: Head,
        published: watch::Sender<Seq>,
        on_commit: Option<OnCommit>,
        queued_bytes: Arc<AtomicUsize>,
    ) -> Self {
        Self { store, head, published, on_commit, queued_bytes }
    }

    /// Until the queue is closed and empty.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let mut next = Some(first);
            while let Some(job) = next.take() {
                match job {
                    Job::Drop { buckets, done } => {
                        let dropped = buckets.into_iter().try_for_each(|id| self.store.drop_bucket(id));
                        // Nobody left to hear it: the sweep was abandoned, the next one finds what is left.
                        let _ = done.send(dropped);
                    }
                    Job::Commit(first) => {
                        let group;
                        (group, next) = collect(first, jobs);
                        self.commit(group);
                    }
                }
            }
        }
    }

    /// Applies a group and answers each of its batches.
    fn commit(&mut self, group: Vec<Pending>) {
        let applied = self.apply(&group);
        // Before the answers: who hears that a batch is done finds room for the next one.
        self.queued_bytes.fetch_sub(group.iter().map(|pending| pending.bytes).sum(), Ordering::Relaxed);
        match applied {
            Ok((head, outcomes)) => {
                self.head = head;
                for (pending, outcome) in group.iter().zip(&outcomes) {
                    if let Ok(Outcome::Committed(seq)) = outcome {
                        self.published.send_replace(*seq);
                        if let Some(on_commit) = &self.on_commit {
                            on_commit(*seq, &pending.batch.wake);
                        }
                    }
                }
                for (pending, outcome) in group.into_iter().zip(outcomes) {
                    // The caller may have gone; its batch is committed all the same.
                    let _ = pending.answer.send(outcome);
                }
            }
            Err(error) => {
                tracing::error!(%error, batches = group.len(), "a group of batches could not be written");
                for pending in group {
                    let _ = pending.answer.send(Err(Unavailable::Store(error.to_string())));
                }
                // Whether the write reached the store after all is for the store to say.
                match self.store.head() {
                    Ok(head) => self.head = head,
                    Err(error) => tracing::error!(%error, "the store's position cannot be read"),
                }
            }
        }
    }

    fn apply(&self, group: &[Pending]) -> Result<(Head, Vec<Answer>), StoreError> {
        let mut staged = Staged { store: &self.store, rows: BTreeMap::new(), writes: WriteBatch::default() };
        let mut head = self.head;
        let mut outcomes = Vec::with_capacity(group.len());
        for pending in group {
            let seq = head.seq.next();
            outcomes.push(match apply(&staged, seq, &pending.batch) {
                Err(error) => Err(Unavailable::Store(error.to_string())),
                Ok(Applied::Conflict { precondition }) => Ok(Outcome::Conflict { precondition }),
                Ok(Applied::Changes(changes)) => {
                    for change in changes {
                        staged.stage(change)?;
                    }
                    head = Head { seq, digest: head.digest.after(seq, &pending.fingerprint) };
                    Ok(Outcome::Committed(seq))
                }
            });
        }
        if head.seq > self.head.seq {
            let latest = group.iter().map(|pending| pending.batch.now).max().unwrap_or_default();
            self.store.put_head(&mut staged.writes, head, latest)?;
            self.store.write(staged.writes)?;
        }
        Ok((head, outcomes))
    }
}

/// The batches that are waiting now, up to a limit, and the job after them if it is not a batch.
fn collect(first: Pending, jobs: &Receiver<Job>) -> (Vec<Pending>, Option<Job>) {
    let mut bytes = first.bytes;
    let mut group = vec![first];
    while group.len() < GROUP_MAX && bytes < GROUP_BYTES_MAX {
        match jobs.try_recv() {
            Ok(Job::Commit(pending)) => {
                bytes += pending.bytes;
                group.push(pending);
            }
            Ok(job) => return (group, Some(job)),
            Err(_) => break,
        }
    }
    (group, None)
}

/// The store with the group's changes so far.
struct Staged<'a> {
    store: &'a Store,
    /// Newest state of every key the group has touched.
    rows: BTreeMap<Vec<u8>, Option<NewRow>>,
    writes: WriteBatch,
}

impl Staged<'_> {
    fn stage(&mut self, change: Change) -> Result<(), StoreError> {
        let Change { table, key, row } = change;
        match table.residence {
            Residence::Lasting => {
                let family = self.store.family(LASTING)?;
                match &row {
                    Some(row) => self.writes.put_cf(&family, &key, &row.bytes),
                    None => self.writes.delete_cf(&family, &key),
                }
            }
            Residence::Expiring => self.stage_expiring(&table, &key, row.as_ref())?,
        }
        self.rows.insert(key, row);
        Ok(())
    }

    /// A key has at most one copy in the store: older ones are removed from whatever bucket they are in, so that an old
    /// value cannot come back when a newer one expires first.
    fn stage_expiring(&mut self, table: &TableInfo, key: &[u8], row: Option<&NewRow>) -> Result<(), StoreError> {
        let classes = self.store.sealer().classes();
        let target = row.and_then(|row| row.lifetime).map(|(epoch, _)| BucketId::of(epoch, classes));
        if row.is_none() || !table.append_only {
            let staged = self.rows.get(key).and_then(Option::as_ref).and_then(|row| row.lifetime);
            let staged = staged.map(|(epoch, _)| BucketId::of(epoch, classes));
            for bucket in self.store.buckets().iter() {
                if Some(bucket.id) == target || !bucket.may_hold(table.id) {
                    continue;
                }
                let family = self.store.family(&bucket.family)?;
                if staged == Some(bucket.id) || self.store.db().get_pinned_cf(&family, key)?.is_some() {
                    self.writes.delete_cf(&family, key);
                }
            }
        }
        if let (Some(row), Some(target)) = (row, target) {
            let bucket = self.store.make_bucket(target)?;
            bucket.note(table.id);
            self.writes.put_cf(&self.store.family(&bucket.family)?, key, &row.bytes);
        }
        Ok(())
    }

    fn alive(&self, table: &TableInfo, bytes: &[u8], now: Timestamp) -> Result<Option<Seq>, ReadError> {
        let row = StoredRow::decode(bytes).ok_or(ReadError::Damaged { table: table.name })?;
        Ok(self.store.sealer().is_alive(&row, now).then_some(row.seq))
    }
}

impl Rows for Staged<'_> {
    fn version(&self, table: &TableInfo, full_key: &[u8], now: Timestamp) -> Result<Option<Seq>, ReadError> {
        if let Some(row) = self.rows.get(full_key) {
            return row.as_ref().map_or(Ok(None), |row| self.alive(table, &row.bytes, now));
        }
        match self.store.find(table, full_key) {
            Ok(Some(bytes)) => self.alive(table, &bytes, now),
            Ok(None) => Ok(None),
            Err(error) => Err(ReadError::Store(error.to_string())),
        }
    }
}
