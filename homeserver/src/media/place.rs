//! Where sealed files lie: a folder, or a bucket of any service that speaks S3's protocol.

use std::path::Path as FilePath;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;

use crate::media::StoreError;

/// Where uploads are while they last. Emptied at the start: what is there then will never be complete.
pub(super) const INCOMING: &str = "incoming";

/// An object store, and what its service wants of uploads.
pub struct Place {
    /// The store.
    pub(super) objects: Arc<dyn ObjectStore>,
    /// Sealed bytes that are written at once: an upload holds this much in memory, whatever its size.
    pub(super) part_bytes: usize,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("part_bytes", &self.part_bytes).finish_non_exhaustive()
    }
}

impl Place {
    /// As configured.
    ///
    /// # Errors
    /// [`StoreError`] when the folder cannot be made, or the service is not described well enough to be asked.
    pub fn open(config: &config::Config) -> Result<Self, StoreError> {
        match &config.media.s3 {
            Some(bucket) => Self::bucket(bucket),
            None => Self::folder(&config.media_store()),
        }
    }

    /// The folder `path`, which is made if it is not there. What uploads left in it that did not come to their end goes.
    ///
    /// # Errors
    /// [`StoreError::Folder`] or [`StoreError::Store`].
    pub fn folder(path: &FilePath) -> Result<Self, StoreError> {
        // Unfinished files have names that the store does not list.
        let incoming = path.join(INCOMING);
        if incoming.exists() {
            std::fs::remove_dir_all(&incoming)?;
        }
        std::fs::create_dir_all(&incoming)?;
        let objects = LocalFileSystem::new_with_prefix(path)?.with_fsync(true).with_automatic_cleanup(true);
        Ok(Self { objects: Arc::new(objects), part_bytes: 1024 * 1024 })
    }

    /// A bucket.
    ///
    /// # Errors
    /// [`StoreError::Folder`] when the file with the secret cannot be read, [`StoreError::Store`] for an address that is none.
    pub fn bucket(config: &config::S3) -> Result<Self, StoreError> {
        let secret = std::fs::read_to_string(&config.secret_access_key_file)
            .map_err(|error| std::io::Error::new(error.kind(), format!("media.s3.secret_access_key_file: {error}")))?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_access_key_id(&config.access_key_id)
            .with_secret_access_key(secret.trim());
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        let bucket = builder.build()?;
        let objects: Arc<dyn ObjectStore> = match config.prefix.as_str() {
            "" => Arc::new(bucket),
            prefix => Arc::new(PrefixStore::new(bucket, prefix)),
        };
        // The least that the protocol allows for a part that is not the last.
        Ok(Self { objects, part_bytes: 5 * 1024 * 1024 })
    }
}
