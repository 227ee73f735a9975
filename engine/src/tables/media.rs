//! Media: what the bytes in the object store are, and how much each user has uploaded.

use journal::{Expiring, Name, Stamp, Table, Timestamp};
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// `(media id)`: a file, or the promise of one. Written by uploads, read by downloads; gone L after the upload was complete
/// (D10), and the file's key with it.
pub static MEDIA: Table<(Name,), MediaRow, Expiring> = Table::expiring(200, "media");

/// `(user, stamp)`: what a user has uploaded in the last 24 hours. One row per upload; bounded by the day's bytes.
pub static UPLOADS: Table<(Name, Stamp), UploadRow, Expiring> = Table::append_only(201, "uploads");

/// `(user)`: rewritten by each upload, so that two at once cannot both take the last of the day's bytes.
pub static UPLOAD_HEADS: Table<(Name,), UploadHeadRow, Expiring> = Table::expiring(202, "upload_heads");

/// `(user, media id)`: ids that wait for their bytes, bounded by [`crate::media::RESERVATIONS_MAX`]. Gone with the upload, or
/// after 24 hours.
pub static RESERVATIONS: Table<(Name, Name), String, Expiring> = Table::expiring(203, "reservations");

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaRow {
    /// The last part of its `mxc://` URI.
    pub media_id: String,
    /// Who uploads it.
    pub owner: OwnedUserId,
    /// Its bytes; absent until they are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<StoredFile>,
}

/// Sealed bytes in the object store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Where in the store.
    pub object: String,
    /// What they are sealed with: this row is the only place that has it.
    pub key: FileKey,
    /// How many there are, unsealed.
    pub size: u64,
    /// As the uploader said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// As the uploader said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
}

/// The key of one file. `Debug` prints nothing of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub struct FileKey([u8; 32]);

impl FileKey {
    /// Of 32 random bytes.
    #[must_use]
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The key itself, for a cipher.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for FileKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FileKey")
    }
}

/// One upload, for the day's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRow {
    /// Bytes.
    pub size: u64,
    /// When it was complete.
    pub at: Timestamp,
}

/// The latest upload of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadHeadRow {
    /// When it was complete.
    pub at: Timestamp,
}
