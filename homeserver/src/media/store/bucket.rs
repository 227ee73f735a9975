//! The objects of a bucket as they lie there, sealed, for whoever looks through all of them.

use std::io::{self, BufReader, Read};
use std::path::PathBuf;

use futures_util::TryStreamExt as _;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use tokio::runtime::Handle;

use super::{MediaStore, StoreError};
use crate::media::place::Home;

/// Bytes that are fetched by one call.
const FETCH_BYTES: usize = 4 * 1024 * 1024;

/// A bucket, for a thread that may block: one of the runtime's own must not.
pub struct Bucket {
    store: MediaStore,
    uri: String,
    runtime: Handle,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bucket").field("uri", &self.uri).finish_non_exhaustive()
    }
}

impl MediaStore {
    /// The bucket, if files are in one. Called within the runtime.
    #[must_use]
    pub fn bucket(&self) -> Option<Bucket> {
        match self.home() {
            Home::Folder(_) => None,
            Home::Bucket(uri) => Some(Bucket { store: self.clone(), uri: uri.clone(), runtime: Handle::current() }),
        }
    }
}

impl Bucket {
    /// What operators call it: `s3://bucket/prefix`.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// All objects, those on their way in too, each with its bytes.
    ///
    /// # Errors
    /// [`StoreError::Store`].
    pub fn objects(&self) -> Result<Vec<(Path, u64)>, StoreError> {
        let objects = self.store.0.place.objects.list(None).map_ok(|object| (object.location, object.size));
        Ok(self.runtime.block_on(objects.try_collect())?)
    }

    /// What operators call an object.
    #[must_use]
    pub fn name(&self, object: &Path) -> PathBuf {
        format!("{}/{object}", self.uri).into()
    }

    /// The bytes of an object of this many, fetched as they are read.
    #[must_use]
    pub fn read<'a>(&'a self, object: &'a Path, size: u64) -> impl Read + 'a {
        BufReader::with_capacity(FETCH_BYTES, Fetch { bucket: self, object, size, at: 0 })
    }
}

struct Fetch<'a> {
    bucket: &'a Bucket,
    object: &'a Path,
    size: u64,
    at: u64,
}

impl Read for Fetch<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.size.min(self.at.saturating_add(buffer.len() as u64));
        if self.at >= end {
            return Ok(0);
        }
        let bytes = self.bucket.store.0.place.objects.get_range(self.object, self.at..end);
        let bytes = self.bucket.runtime.block_on(bytes)?;
        let read = (&*bytes).read(buffer)?;
        self.at += read as u64;
        Ok(read)
    }
}
