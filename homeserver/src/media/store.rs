//! The object store: sealed files under random names, in one folder per slot of time, so that what has expired is found by its
//! folder's name alone.

mod bucket;
mod turns;
mod upload;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use engine::class;
use engine::media::StoredFile;
use futures_util::TryStreamExt as _;
use futures_util::stream::{self, BoxStream};
use journal::xchacha::SealError;
use journal::{ClassTable, Epoch, Timestamp};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;

pub use bucket::Bucket;
pub use upload::{Finished, Upload};

use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::media::place::{Home, INCOMING, Place};
use crate::media::seal::{CHUNK_BYTES, Chunks, last_chunk, sealed_range};
use crate::tasks::Tasks;

/// Chunks that are read at once: a download holds this much in memory, whatever its size.
const WINDOW_CHUNKS: u64 = 16;

/// The memory of all uploads together; more wait.
const UPLOADS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why bytes cannot be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The object store.
    #[error("the object store: {}", first_line(.0))]
    Store(#[from] object_store::Error),
    /// The object store, which does not take what is written.
    #[error("the object store takes no files: {}", first_line(.0))]
    Write(object_store::Error),
    /// A bucket.
    #[error("files cannot be kept in {uri} ([media.s3]): {problem}")]
    Bucket {
        /// Which.
        uri: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The folder.
    #[error("the folder for files: {0}")]
    Folder(#[from] std::io::Error),
    /// A seal does not hold.
    #[error("a stored file is damaged")]
    Seal(#[from] SealError),
    /// It expired while it was read.
    #[error("the file has expired")]
    Expired,
    /// The server is shutting down.
    #[error("the server is ending")]
    Ending,
}

/// What an error says, without the pages that some services add to it.
pub(super) fn first_line(error: &object_store::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// The store of one server. Cheap to clone.
#[derive(Clone)]
pub struct MediaStore(Arc<Inner>);

struct Inner {
    place: Place,
    classes: ClassTable,
    clock: Clock,
    entropy: Entropy,
    tasks: Tasks,
    uploads: turns::Turns,
    /// Uploads that are under way, by where they lie meanwhile.
    incoming: Mutex<BTreeSet<Path>>,
}

impl std::fmt::Debug for MediaStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MediaStore")
    }
}

impl MediaStore {
    /// In this place. Removes what uploads left that did not come to their end.
    ///
    /// # Errors
    /// [`StoreError::Store`] when the place does not answer.
    pub async fn open(
        place: Place,
        classes: ClassTable,
        clock: Clock,
        entropy: Entropy,
        tasks: Tasks,
    ) -> Result<Self, StoreError> {
        place.settle().await?;
        let uploads = turns::Turns::new(UPLOADS_BYTES_MAX / place.part_bytes);
        let incoming = Mutex::default();
        Ok(Self(Arc::new(Inner { place, classes, clock, entropy, tasks, uploads, incoming })))
    }

    /// Where files are.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.0.place.home
    }

    /// The unsealed bytes `range` of a file, as they are read. Ends with an error at the moment that the file expires.
    #[must_use]
    pub fn read(
        &self,
        file: &StoredFile,
        range: Range<u64>,
        expires: Timestamp,
    ) -> BoxStream<'static, Result<Bytes, StoreError>> {
        let reading = Reading {
            store: self.clone(),
            object: Path::from(file.object.as_str()),
            chunks: Chunks::new(&file.key),
            size: file.size,
            left: range,
            expires,
        };
        Box::pin(stream::try_unfold(reading, |mut reading| async move {
            Ok(reading.next().await?.map(|bytes| (bytes, reading)))
        }))
    }

    /// Removes the files of all slots that have ended at `now`, except those that `is_kept`, and what is on its way in though nobody
    /// sends it any more. Answers how many.
    ///
    /// # Errors
    /// [`StoreError::Store`]; what is left is removed by the next sweep.
    pub async fn sweep(&self, now: Timestamp, is_kept: impl Fn(&str) -> bool) -> Result<usize, StoreError> {
        let place = &self.0.place;
        let folders = place.objects.list_with_delimiter(None).await?.common_prefixes;
        let mut removed = 0;
        for folder in folders {
            let name = folder.filename().unwrap_or_default();
            let slot = u32::from_str_radix(name, 16).ok();
            let has_ended = slot.is_some_and(|slot| self.0.classes.ends_at(Epoch { class: class::MEDIA, slot }) <= now);
            if !has_ended && name != INCOMING {
                continue;
            }
            let files: Vec<_> = place.objects.list(Some(&folder)).map_ok(|file| file.location).try_collect().await?;
            let is_over = |file: &Path| if has_ended { !is_kept(file.as_ref()) } else { !self.incoming().contains(file) };
            removed += place.remove(files.into_iter().filter(is_over).collect()).await?;
        }
        Ok(removed)
    }

    /// How many files there are, and their bytes.
    ///
    /// # Errors
    /// [`StoreError::Store`].
    pub async fn usage(&self) -> Result<(u64, u64), StoreError> {
        let files = self.0.place.objects.list(None);
        let add =
            |(files, bytes): (u64, u64), file: object_store::ObjectMeta| async move { Ok((files + 1, bytes + file.size)) };
        Ok(files.try_fold((0, 0), add).await?)
    }

    /// Removes an object that no row names any more; what cannot be removed now is removed by the sweep.
    pub async fn remove(&self, object: &str) {
        self.delete(Path::from(object)).await;
    }

    async fn delete(&self, object: Path) {
        if let Err(error) = self.0.place.remove(vec![object]).await {
            // Not readable by anybody: the key was dropped. The sweep removes it.
            tracing::warn!(error = first_line(&error), "cannot remove the bytes of an upload that was refused");
        }
    }

    fn incoming(&self) -> MutexGuard<'_, BTreeSet<Path>> {
        self.0.incoming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Reading {
    store: MediaStore,
    object: Path,
    chunks: Chunks,
    size: u64,
    /// What is still to be answered.
    left: Range<u64>,
    expires: Timestamp,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        if self.left.is_empty() {
            return Ok(None);
        }
        if self.store.0.clock.now() >= self.expires {
            return Err(StoreError::Expired);
        }
        let chunk_bytes = CHUNK_BYTES as u64;
        let last_of_file = last_chunk(self.size);
        let first = self.left.start / chunk_bytes;
        let last = ((self.left.end - 1) / chunk_bytes).min(first + WINDOW_CHUNKS - 1);
        let sealed = sealed_range(self.size, first).start..sealed_range(self.size, last).end;
        let sealed_start = sealed.start;
        let bytes = self.store.0.place.objects.get_range(&self.object, sealed).await?;
        let mut plain = Vec::with_capacity(bytes.len());
        for number in first..=last {
            let range = sealed_range(self.size, number);
            let (from, to) = (range.start - sealed_start, range.end - sealed_start);
            let sealed = usize::try_from(from).ok().zip(usize::try_from(to).ok()).and_then(|(from, to)| bytes.get(from..to));
            self.chunks.open(number, number == last_of_file, sealed.ok_or(SealError)?, &mut plain)?;
        }
        let plain_start = first * chunk_bytes;
        let end = self.left.end.min(plain_start + plain.len() as u64);
        let within = |at: u64| usize::try_from(at - plain_start).map_err(|_| SealError);
        let answer = Bytes::from(plain).slice(within(self.left.start)?..within(end)?);
        self.left.start = end;
        Ok(Some(answer))
    }
}

#[cfg(test)]
mod tests;
