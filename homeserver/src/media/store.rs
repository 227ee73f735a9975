//! The object store: sealed files under random names, in one folder per slot of time, so that what has expired is found by its
//! folder's name alone.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use engine::class;
use engine::media::{FileKey, StoredFile};
use futures_util::TryStreamExt as _;
use futures_util::stream::{self, BoxStream};
use journal::{ClassTable, Epoch, Timestamp};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::media::place::{INCOMING, Place};
use crate::media::seal::{CHUNK_BYTES, Chunks, SealError, last_chunk, sealed_range};
use crate::tasks::Tasks;

/// Chunks that are read at once: a download holds this much in memory, whatever its size.
const WINDOW_CHUNKS: u64 = 16;

/// The memory of all uploads together; more wait.
const UPLOADS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why bytes cannot be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The object store.
    #[error("the object store: {0}")]
    Store(#[from] object_store::Error),
    /// The folder.
    #[error("the folder for files: {0}")]
    Folder(#[from] std::io::Error),
    /// A seal does not hold.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// It expired while it was read.
    #[error("the file has expired")]
    Expired,
    /// The server is shutting down.
    #[error("the server is ending")]
    Ending,
}

/// The store of one server. Cheap to clone.
#[derive(Clone)]
pub struct MediaStore(Arc<Inner>);

struct Inner {
    objects: Arc<dyn ObjectStore>,
    part_bytes: usize,
    classes: ClassTable,
    clock: Clock,
    entropy: Entropy,
    tasks: Tasks,
    uploads: Arc<Semaphore>,
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
        let Place { objects, part_bytes } = place;
        let left: Vec<_> = objects.list(Some(&Path::from(INCOMING))).try_collect().await?;
        for file in left {
            objects.delete(&file.location).await?;
        }
        let uploads = Arc::new(Semaphore::new(UPLOADS_BYTES_MAX / part_bytes));
        Ok(Self(Arc::new(Inner { objects, part_bytes, classes, clock, entropy, tasks, uploads })))
    }

    /// Begins an upload; waits while too many are under way. Dropped before its end, it leaves nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin(&self) -> Result<Upload, StoreError> {
        let place = Arc::clone(&self.0.uploads).acquire_owned().await.map_err(|_| StoreError::Ending)?;
        let name = self.0.entropy.id(32);
        let incoming = Path::from_iter([INCOMING, &name]);
        let parts = self.0.objects.put_multipart(&incoming).await?;
        let key = FileKey::new(self.0.entropy.bytes());
        Ok(Upload {
            store: self.clone(),
            name,
            incoming,
            parts,
            chunks: Chunks::new(&key),
            key,
            plain: Vec::with_capacity(CHUNK_BYTES),
            sealed: Vec::with_capacity(self.0.part_bytes + CHUNK_BYTES),
            next_chunk: 0,
            size: 0,
            _place: place,
        })
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

    /// Removes the files of all slots that have ended at `now`, except those that `is_kept`. Answers how many.
    ///
    /// # Errors
    /// [`StoreError::Store`]; what is left is removed by the next sweep.
    pub async fn sweep(&self, now: Timestamp, is_kept: impl Fn(&str) -> bool) -> Result<usize, StoreError> {
        let folders = self.0.objects.list_with_delimiter(None).await?.common_prefixes;
        let mut removed = 0;
        for folder in folders {
            let slot = folder.filename().and_then(|name| u32::from_str_radix(name, 16).ok());
            let Some(slot) = slot else { continue };
            if self.0.classes.ends_at(Epoch { class: class::MEDIA, slot }) > now {
                continue;
            }
            let files: Vec<_> = self.0.objects.list(Some(&folder)).try_collect().await?;
            for file in files {
                if is_kept(file.location.as_ref()) {
                    continue;
                }
                self.0.objects.delete(&file.location).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// How many files there are, and their bytes.
    ///
    /// # Errors
    /// [`StoreError::Store`].
    pub async fn usage(&self) -> Result<(u64, u64), StoreError> {
        let files = self.0.objects.list(None);
        let add =
            |(files, bytes): (u64, u64), file: object_store::ObjectMeta| async move { Ok((files + 1, bytes + file.size)) };
        Ok(files.try_fold((0, 0), add).await?)
    }

    /// Removes an object that no row names any more; what cannot be removed now is removed by the sweep.
    pub async fn remove(&self, object: &str) {
        self.delete(Path::from(object)).await;
    }

    async fn delete(&self, object: Path) {
        if let Err(error) = self.0.objects.delete(&object).await {
            // Not readable by anybody: the key was dropped. The sweep removes it.
            tracing::warn!(%error, "cannot remove the bytes of an upload that was refused");
        }
    }
}

/// A file on its way in.
pub struct Upload {
    store: MediaStore,
    name: String,
    incoming: Path,
    parts: Box<dyn MultipartUpload>,
    chunks: Chunks,
    key: FileKey,
    /// Less than a chunk, or a full one of which is not yet known whether it is the last.
    plain: Vec<u8>,
    sealed: Vec<u8>,
    next_chunk: u64,
    size: u64,
    _place: OwnedSemaphorePermit,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Upload {
    /// Bytes so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// [`StoreError`]; the upload cannot go on then.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        self.size += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.plain.len() == CHUNK_BYTES {
                self.seal_chunk(false)?;
            }
            let (head, tail) = bytes.split_at(bytes.len().min(CHUNK_BYTES - self.plain.len()));
            self.plain.extend_from_slice(head);
            bytes = tail;
            if self.sealed.len() >= self.store.0.part_bytes {
                self.write_part().await?;
            }
        }
        Ok(())
    }

    /// Ends the upload: all bytes are on disk when this answers.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is left of it then.
    pub async fn finish(mut self) -> Result<Finished, StoreError> {
        self.seal_chunk(true)?;
        self.write_part().await?;
        self.parts.complete().await?;
        let Self { store, name, incoming, key, size, .. } = self;
        let completed = store.0.clock.now();
        // The folder of the slot in which the row's life begins, so that folder and row end together.
        let slot = store.0.classes.epoch(class::MEDIA, completed).slot;
        let object = Path::from_iter([format!("{slot:08x}"), name]);
        if let Err(error) = store.0.objects.rename(&incoming, &object).await {
            store.delete(incoming).await;
            return Err(error.into());
        }
        Ok(Finished { store, object: Some(object), key, size, completed })
    }

    fn seal_chunk(&mut self, last: bool) -> Result<(), StoreError> {
        let sealed = self.chunks.seal(self.next_chunk, last, &self.plain)?;
        self.sealed.extend_from_slice(&sealed);
        self.next_chunk += 1;
        self.plain.clear();
        Ok(())
    }

    async fn write_part(&mut self) -> Result<(), StoreError> {
        let part = std::mem::replace(&mut self.sealed, Vec::with_capacity(self.store.0.part_bytes + CHUNK_BYTES));
        Ok(self.parts.put_part(PutPayload::from(part)).await?)
    }
}

/// A file that is on disk, but that no row knows of yet. Dropped without [`Finished::keep`], it is removed again.
#[derive(Debug)]
pub struct Finished {
    store: MediaStore,
    object: Option<Path>,
    key: FileKey,
    size: u64,
    /// When the last byte was on disk.
    pub completed: Timestamp,
}

impl Finished {
    /// What the row has to say of it.
    #[must_use]
    pub fn file(&self, content_type: Option<String>, file_name: Option<String>) -> StoredFile {
        let object = self.object.as_ref().map(ToString::to_string).unwrap_or_default();
        StoredFile { object, key: self.key.clone(), size: self.size, content_type, file_name }
    }

    /// The row is on disk.
    pub fn keep(mut self) {
        self.object = None;
    }
}

impl Drop for Finished {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            let store = self.store.clone();
            self.store.0.tasks.spawn(async move { store.delete(object).await });
        }
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
        let bytes = self.store.0.objects.get_range(&self.object, sealed).await?;
        let mut plain = Vec::with_capacity(bytes.len());
        for number in first..=last {
            let range = sealed_range(self.size, number);
            let (from, to) = (range.start - sealed_start, range.end - sealed_start);
            let sealed = usize::try_from(from).ok().zip(usize::try_from(to).ok()).and_then(|(from, to)| bytes.get(from..to));
            plain.extend_from_slice(&self.chunks.open(number, number == last_of_file, sealed.ok_or(SealError)?)?);
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
