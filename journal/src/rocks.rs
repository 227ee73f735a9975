//! The embedded engine: `RocksDB`.
//!
//! Lasting rows are in one column family. Expiring rows are in one family per class and *bucket* (a 24th of the class's
//! lifetime), so that what has expired goes by dropping files. One thread writes: it takes what is queued, checks each
//! batch's preconditions against the store and the batches before it in the group, and makes the group durable with one
//! fsync.

use std::{
    fmt,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Sender, TrySendError};
use rocksdb::checkpoint::Checkpoint;
use tokio::sync::{oneshot, watch};

use crate::{Batch, Class, Digest, Journal, Outcome, SealedBatch, Sealer, Seq, Timestamp, Unavailable};

mod expiry;
mod families;
mod merge;
mod options;
mod store;
mod view;
mod writer;

pub use expiry::ExpiryReport;
pub use options::{OnCommit, Options};
pub use view::RocksView;

use store::Store;
use writer::{Job, Pending, Writer};

/// Bytes of all batches that wait for the writer: eight of the largest, many thousand of the usual ones.
const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why the store cannot be opened or tended.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// `RocksDB` or the file system refused.
    #[error("the store: {0}")]
    Store(String),
    /// The store is of another version of the program.
    #[error("the store is of format {found}, this program knows {known}")]
    Format {
        /// What is on disk.
        found: u8,
        /// What this program writes.
        known: u8,
    },
    /// Epochs are counted in slots, so a slot's length holds for the life of a store.
    #[error("the store was made with slots of {stored_ms} ms, the configuration says {given_ms} ms; set it back")]
    SlotLength {
        /// When it was made.
        stored_ms: u64,
        /// What is asked for now.
        given_ms: u64,
    },
    /// The keyring beside the store is not the one its rows are sealed with.
    #[error("the store's rows are sealed with another keyring than the one given")]
    OtherKeyring,
    /// A key could not be made or destroyed.
    #[error(transparent)]
    Keyring(#[from] crate::KeyringError),
    /// The journal has been closed.
    #[error("the journal is closed")]
    Closed,
}

impl From<rocksdb::Error> for StoreError {
    fn from(error: rocksdb::Error) -> Self {
        Self::Store(error.into_string())
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        Self::Store(error.to_string())
    }
}

/// Bytes in the store's files. What has not reached a file yet is not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of lasting rows.
    pub lasting_bytes: u64,
    /// Of expiring ones: their class, when the last of them ends, and how many bytes.
    pub buckets: Vec<(Class, Timestamp, u64)>,
}

/// A journal in `RocksDB`. Cheap to clone; all clones are one journal, and the store is closed with the last of them.
#[derive(Clone)]
pub struct RocksJournal(Arc<Inner>);

struct Inner {
    store: Arc<Store>,
    /// `None` once closed.
    queue: RwLock<Option<Sender<Job>>>,
    queued_bytes: Arc<AtomicUsize>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Held by whoever tends the files, so that two sweeps don't step on each other. Not by whoever destroys keys.
    tending: Mutex<()>,
    seq: watch::Receiver<Seq>,
}

impl fmt::Debug for RocksJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RocksJournal at {}", *self.0.seq.borrow())
    }
}

impl RocksJournal {
    /// Opens the store in the folder `path`, or makes it, and starts its writer.
    ///
    /// # Errors
    /// [`StoreError`]; nothing has been written then.
    pub fn open(path: &Path, sealer: Sealer, options: Options) -> Result<Self, StoreError> {
        let (store, head) = Store::open(path, sealer, &options)?;
        let store = Arc::new(store);
        let (queue, jobs) = crossbeam_channel::bounded(options.queue_max.max(1));
        let (published, seq) = watch::channel(head.seq);
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let writer = Writer::new(Arc::clone(&store), head, published, options.on_commit, Arc::clone(&queued_bytes));
        let thread = thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run(&jobs))?;
        Ok(Self(Arc::new(Inner {
            store,
            queue: RwLock::new(Some(queue)),
            queued_bytes,
            writer: Mutex::new(Some(thread)),
            tending: Mutex::new(()),
            seq,
        })))
    }

    /// What it seals with.
    #[must_use]
    pub fn sealer(&self) -> &Sealer {
        self.0.store.sealer()
    }

    /// The digest of all batches so far.
    ///
    /// # Errors
    /// [`StoreError::Store`] when it cannot be read.
    pub fn digest(&self) -> Result<Digest, StoreError> {
        Ok(self.0.store.head()?.digest)
    }

    /// Commits from a thread that may block (start-up, commands).
    ///
    /// # Errors
    /// As [`Journal::commit`].
    pub fn commit_blocking(&self, batch: SealedBatch) -> Result<Outcome, Unavailable> {
        self.enqueue(batch)?.blocking_recv().unwrap_or_else(|_| Err(closed()))
    }

    /// Destroys the keys of all epochs that have ended at `now`, whoever tends the files meanwhile: a wait for the disk. Answers how many
    /// there were; their rows are removed by [`RocksJournal::expire`].
    ///
    /// # Errors
    /// [`StoreError`]; what was not done is done by the next call.
    pub fn destroy_keys(&self, now: Timestamp) -> Result<usize, StoreError> {
        expiry::destroy_keys(&self.0.store, now)
    }

    /// Destroys the keys of all epochs that have ended at `now`, then removes their rows from the disk: whole buckets by
    /// dropping their files, the rest by compaction. Blocks for as long as that takes; views and commits go on meanwhile.
    ///
    /// # Errors
    /// [`StoreError`]; what was not done is done by the next call.
    pub fn expire(&self, now: Timestamp) -> Result<ExpiryReport, StoreError> {
        self.destroy_keys(now)?;
        let _tending = self.0.tending.lock().unwrap_or_else(PoisonError::into_inner);
        expiry::expire(&self.0.store, now, |buckets| {
            let (done, answer) = oneshot::channel();
            self.send(Job::Drop { buckets, done })?;
            answer.blocking_recv().map_err(|_| StoreError::Closed)?
        })
    }

    /// How much lies in the files, and until when.
    ///
    /// # Errors
    /// [`StoreError::Store`].
    pub fn usage(&self) -> Result<Usage, StoreError> {
        self.0.store.usage()
    }

    /// The latest moment that any batch or sweep named: whoever opens the store later should not think it is earlier.
    #[must_use]
    pub fn latest(&self) -> Timestamp {
        self.0.store.latest()
    }

    /// Rewrites all files so that nothing of deleted or replaced rows is left in them. To be called after an erasure; its cost is
    /// that of copying the store. (A sweep does the same for lasting rows alone, now and then.)
    ///
    /// # Errors
    /// [`StoreError::Store`].
    pub fn scrub(&self, now: Timestamp) -> Result<(), StoreError> {
        let _tending = self.0.tending.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.store.scrub(now)?;
        self.0.store.buckets().iter().for_each(|bucket| self.0.store.compact_bucket(bucket));
        // Compaction leaves what it read for the next look at the folder.
        expiry::remove_strays(&self.0.store).map(drop)
    }

    /// A consistent copy of the store in the new folder `path`, sharing files with it where the file system can. It holds no
    /// epoch keys: what expires here becomes unreadable there too.
    ///
    /// # Errors
    /// [`StoreError::Store`], when the folder exists too.
    pub fn checkpoint(&self, path: &Path) -> Result<(), StoreError> {
        let _tending = self.0.tending.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Checkpoint::new(self.0.store.db())?.create_checkpoint(path)?)
    }

    /// Rewrites the lasting rows alone, as a sweep does now and then: for a copy that is to hold nothing of what was replaced.
    ///
    /// # Errors
    /// [`StoreError::Store`].
    pub fn scrub_lasting(&self, now: Timestamp) -> Result<(), StoreError> {
        let _tending = self.0.tending.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.store.scrub(now)
    }

    /// Commits what is queued, stops the writer, and moves everything from the write-ahead log into files. May be called
    /// more than once. Views stay usable; the folder is free once the last clone is dropped.
    ///
    /// # Errors
    /// [`StoreError::Store`] when the last flush fails; nothing acknowledged is lost then either.
    pub fn close(&self) -> Result<(), StoreError> {
        if self.0.stop() { self.0.store.flush_all() } else { Ok(()) }
    }

    fn send(&self, job: Job) -> Result<(), StoreError> {
        let queue = self.0.queue.read().unwrap_or_else(PoisonError::into_inner).clone();
        queue.ok_or(StoreError::Closed)?.send(job).map_err(|_| StoreError::Closed)
    }

    fn enqueue(&self, batch: SealedBatch) -> Result<oneshot::Receiver<Result<Outcome, Unavailable>>, Unavailable> {
        batch.check_limits()?;
        let bytes = batch.bytes();
        let fingerprint = batch.fingerprint();
        let (answer, outcome) = oneshot::channel();
        let queue = self.0.queue.read().unwrap_or_else(PoisonError::into_inner);
        let queue = queue.as_ref().ok_or_else(closed)?;
        let queued = self.0.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let sent = if queued > QUEUE_BYTES_MAX {
            Err(Unavailable::Busy)
        } else {
            queue.try_send(Job::Commit(Pending { batch, bytes, fingerprint, answer })).map_err(|error| match error {
                TrySendError::Full(_) => Unavailable::Busy,
                TrySendError::Disconnected(_) => closed(),
            })
        };
        if sent.is_err() {
            self.0.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        sent.map(|()| outcome)
    }
}

fn closed() -> Unavailable {
    Unavailable::Store("the journal is closed".to_owned())
}

impl Inner {
    /// Lets the writer finish what is queued and waits for it. Answers whether it was still running.
    fn stop(&self) -> bool {
        drop(self.queue.write().unwrap_or_else(PoisonError::into_inner).take());
        let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() else { return false };
        // The last clone may be dropped by the callback, which runs on the writer's own thread: it ends by itself.
        if writer.thread().id() != thread::current().id() && writer.join().is_err() {
            tracing::error!("the journal's writer panicked");
        }
        true
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Journal for RocksJournal {
    type View<'a> = RocksView<'a>;

    fn view(&self, now: Timestamp) -> RocksView<'_> {
        RocksView::new(&self.0.store, now)
    }

    fn seal(&self, batch: Batch) -> Result<SealedBatch, Unavailable> {
        self.sealer().seal(batch)
    }

    /// The batch is applied even if the future is dropped before it answers.
    async fn commit(&self, batch: SealedBatch) -> Result<Outcome, Unavailable> {
        self.enqueue(batch)?.await.unwrap_or_else(|_| Err(closed()))
    }

    fn watch(&self) -> watch::Receiver<Seq> {
        self.0.seq.clone()
    }
}

#[cfg(test)]
mod tests;
