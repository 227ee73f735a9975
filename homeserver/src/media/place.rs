//! Where sealed files lie: a folder, or a bucket of any service that speaks S3's protocol.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt as _, PutPayload, RetryConfig};

use crate::media::StoreError;
use crate::media::store::first_line;

/// Where uploads are while they last. Emptied at the start: what is there then will never be complete.
pub(super) const INCOMING: &str = "incoming";

/// How long a connection to a service may take to be made.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// How long one call may take: a part of an upload, or the copy of a whole file within the service.
const CALL_TIME_MAX: Duration = Duration::from_mins(1);

/// A call that the service does not take is made again so often, within this time: somebody waits for the answer.
const RETRIES_MAX: usize = 3;
const RETRY_TIME_MAX: Duration = Duration::from_secs(10);

/// Where files are, as operators know it.
#[derive(Clone, Debug)]
pub enum Home {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A bucket: `s3://bucket/prefix`.
    Bucket(String),
}

/// An object store, and what its service wants of uploads.
pub struct Place {
    /// The store.
    pub(super) objects: Arc<dyn ObjectStore>,
    /// What it is called.
    pub(super) home: Home,
    /// Sealed bytes that are written at once: an upload holds this much in memory, whatever its size.
    pub(super) part_bytes: usize,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("home", &self.home).finish_non_exhaustive()
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
        Ok(Self { objects: Arc::new(objects), home: Home::Folder(path.to_owned()), part_bytes: 1024 * 1024 })
    }

    /// A bucket.
    ///
    /// # Errors
    /// [`StoreError::Folder`] when the file with the secret cannot be read, [`StoreError::Store`] for an address that is none.
    pub fn bucket(config: &config::S3) -> Result<Self, StoreError> {
        let secret = std::fs::read_to_string(&config.secret_access_key_file)
            .map_err(|error| std::io::Error::new(error.kind(), format!("media.s3.secret_access_key_file: {error}")))?;
        let client = ClientOptions::new().with_connect_timeout(CONNECT_TIME_MAX).with_timeout(CALL_TIME_MAX);
        let retry = RetryConfig { max_retries: RETRIES_MAX, retry_timeout: RETRY_TIME_MAX, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::new()
            .with_client_options(client)
            .with_retry(retry)
            // Not every service deletes several objects by one call.
            .with_disable_bulk_delete(true)
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_access_key_id(&config.access_key_id)
            .with_secret_access_key(secret.trim());
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        let (bucket, prefix) = (builder.build()?, config.prefix.trim_matches('/'));
        let (objects, uri): (Arc<dyn ObjectStore>, _) = if prefix.is_empty() {
            (Arc::new(bucket), format!("s3://{}", config.bucket))
        } else {
            (Arc::new(PrefixStore::new(bucket, prefix)), format!("s3://{}/{prefix}", config.bucket))
        };
        // The least that the protocol allows for a part that is not the last.
        Ok(Self { objects, home: Home::Bucket(uri), part_bytes: 5 * 1024 * 1024 })
    }

    /// Removes what uploads left that did not come to their end. Of a bucket it is asked first whether it takes what is written: an
    /// operator is to hear at the start that it doesn't, not from the first who sends a file.
    ///
    /// # Errors
    /// [`StoreError::Bucket`], a sentence for the operator; [`StoreError::Store`] of a folder.
    pub(super) async fn settle(&self) -> Result<(), StoreError> {
        let settled = async {
            let incoming = Path::from(INCOMING);
            if matches!(self.home, Home::Bucket(_)) {
                self.objects.put(&Path::from_iter([INCOMING, "probe"]), PutPayload::from_static(b"probe")).await?;
            }
            let left = self.objects.list(Some(&incoming)).map_ok(|file| file.location).try_collect().await?;
            self.remove(left).await
        };
        match (settled.await, &self.home) {
            (Ok(_), _) => Ok(()),
            (Err(error), Home::Folder(_)) => Err(error.into()),
            (Err(error), Home::Bucket(uri)) => Err(StoreError::Bucket { uri: uri.clone(), problem: problem(&error) }),
        }
    }

    /// Removes objects and answers how many; those that have gone meanwhile are no error.
    pub(super) async fn remove(&self, names: Vec<Path>) -> object_store::Result<usize> {
        let mut outcomes = self.objects.delete_stream(stream::iter(names).map(Ok).boxed());
        let mut removed = 0;
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                Ok(_) => removed += 1,
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }
}

/// What is wrong with a bucket, and what to do.
fn problem(error: &object_store::Error) -> String {
    use object_store::Error;
    match error {
        Error::NotFound { .. } => "there is no such bucket: make it first".to_owned(),
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            "the service refuses: look at media.s3.access_key_id and the file media.s3.secret_access_key_file; the key has to be \
             allowed to list, read, write and delete"
                .to_owned()
        }
        error => first_line(error),
    }
}
