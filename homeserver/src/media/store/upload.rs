//! A file on its way in: sealed chunk by chunk, sent part by part, moved to its slot when it is whole.

use engine::class;
use engine::media::{FileKey, StoredFile};
use journal::Timestamp;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt as _, PutPayload};
use ruma::UserId;

use super::turns::Turn;
use super::{MediaStore, StoreError, first_line};
use crate::media::place::INCOMING;
use crate::media::seal::{CHUNK_BYTES, Chunks, SEALED_BYTES};

impl MediaStore {
    /// Begins an upload of `user_id`'s; waits while too many are under way, of theirs or in all. Dropped before its end, it leaves nothing.
    ///
    /// # Errors
    /// [`StoreError::Ending`].
    pub async fn begin(&self, user_id: &UserId) -> Result<Upload, StoreError> {
        let turn = self.0.uploads.take(user_id).await?;
        let name = self.0.entropy.id(32);
        let key = FileKey::new(self.0.entropy.bytes());
        Ok(Upload {
            incoming: Incoming::new(self, Path::from_iter([INCOMING, &name])),
            name,
            chunks: Chunks::new(&key),
            key,
            plain: Vec::with_capacity(CHUNK_BYTES),
            sealed: Vec::new(),
            next_chunk: 0,
            size: 0,
            _turn: turn,
        })
    }
}

/// A file on its way in.
pub struct Upload {
    incoming: Incoming,
    name: String,
    chunks: Chunks,
    key: FileKey,
    /// Less than a chunk, or a full one of which is not yet known whether it is the last.
    plain: Vec<u8>,
    sealed: Vec<u8>,
    next_chunk: u64,
    size: u64,
    _turn: Turn,
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
            if self.sealed.len() >= self.incoming.store.0.place.part_bytes {
                let part = std::mem::take(&mut self.sealed);
                self.incoming.send(part).await?;
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
        let Self { mut incoming, name, key, sealed, size, _turn, .. } = self;
        incoming.complete(sealed).await?;
        let store = incoming.store.clone();
        let completed = store.0.clock.now();
        // The folder of the slot in which the row's life begins, so that folder and row end together.
        let slot = store.0.classes.epoch(class::MEDIA, completed).slot;
        let object = Path::from_iter([format!("{slot:08x}"), name]);
        incoming.move_to(&object).await?;
        Ok(Finished { store, object: Some(object), key, size, completed })
    }

    fn seal_chunk(&mut self, last: bool) -> Result<(), StoreError> {
        if !last {
            // A file of several chunks gets the memory of a whole part, and no more: growing by doubling would take it.
            let whole = self.incoming.store.0.place.part_bytes + SEALED_BYTES;
            self.sealed.reserve_exact(whole.saturating_sub(self.sealed.len()));
        }
        self.chunks.seal(self.next_chunk, last, &self.plain, &mut self.sealed)?;
        self.next_chunk += 1;
        self.plain.clear();
        Ok(())
    }
}

/// What the store has of an upload. Dropped, it is removed: whoever sends a file may hang up at any moment.
struct Incoming {
    store: MediaStore,
    path: Path,
    /// From the first part on. A file of one part is written by one call.
    parts: Option<Box<dyn MultipartUpload>>,
    /// Whether the store may have anything.
    begun: bool,
}

impl Incoming {
    fn new(store: &MediaStore, path: Path) -> Self {
        store.incoming().insert(path.clone());
        Self { store: store.clone(), path, parts: None, begun: false }
    }

    async fn send(&mut self, part: Vec<u8>) -> Result<(), StoreError> {
        self.begun = true;
        let objects = &self.store.0.place.objects;
        let parts = match &mut self.parts {
            Some(parts) => parts,
            None => self.parts.insert(objects.put_multipart(&self.path).await.map_err(StoreError::Write)?),
        };
        parts.put_part(PutPayload::from(part)).await.map_err(StoreError::Write)
    }

    /// With its last bytes.
    async fn complete(&mut self, rest: Vec<u8>) -> Result<(), StoreError> {
        if self.parts.is_some() {
            self.send(rest).await?;
        } else {
            self.begun = true;
            let put = self.store.0.place.objects.put(&self.path, PutPayload::from(rest));
            put.await.map_err(StoreError::Write)?;
        }
        if let Some(parts) = &mut self.parts {
            parts.complete().await.map_err(StoreError::Write)?;
        }
        self.parts = None;
        Ok(())
    }

    async fn move_to(mut self, object: &Path) -> Result<(), StoreError> {
        self.store.0.place.objects.rename(&self.path, object).await.map_err(StoreError::Write)?;
        self.begun = false;
        Ok(())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.store.incoming().remove(&self.path);
        if !self.begun {
            return;
        }
        let (store, path, parts) = (self.store.clone(), self.path.clone(), self.parts.take());
        self.store.0.tasks.spawn(async move {
            if let Some(mut parts) = parts {
                match parts.abort().await {
                    // It was whole already.
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => {
                        tracing::warn!(error = first_line(&error), "cannot take an upload back that was broken off");
                    }
                }
            }
            store.delete(path).await;
        });
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
