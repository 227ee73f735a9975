//! Files people send: fetched from the homeserver and decrypted here.

use std::io::Read as _;

use appservice::{CallError, Homeserver};
use bytes::Bytes;
use matrix_sdk_crypto::{AttachmentDecryptor, MediaEncryptionInfo};
use ruma::{OwnedMxcUri, api::client::authenticated_media::get_content};

use crate::store::PostedFile;

/// Why a file could not be had.
#[derive(Debug)]
pub enum FetchError {
    /// It may work later.
    Later(String),
    /// It never will: gone, altered, or not decryptable.
    Never(String),
}

/// Fetches a file (authenticated media, spec v1.11) and decrypts it; its hash is checked on the way.
pub async fn fetch(homeserver: &Homeserver, file: &PostedFile, bytes_max: u64) -> Result<Bytes, FetchError> {
    let never = |reason: &str| FetchError::Never(reason.to_owned());
    let encryption: MediaEncryptionInfo =
        serde_json::from_str(&file.encryption).map_err(|_| never("the keys are malformed"))?;
    let url = OwnedMxcUri::from(file.url.clone());
    let (server_name, media_id) = url.parts().map_err(|_| never("the address is malformed"))?;
    let request = get_content::v1::Request::new(media_id.to_owned(), server_name.to_owned());
    let content = homeserver.send(request).await.map_err(|error| match error {
        CallError::Unreachable(reason) => FetchError::Later(reason),
        error => FetchError::Never(error.to_string()),
    })?;
    if content.file.len() as u64 > bytes_max {
        return Err(never("it is too large"));
    }
    let mut ciphertext = content.file.as_slice();
    let mut decryptor =
        AttachmentDecryptor::new(&mut ciphertext, encryption).map_err(|_| never("the keys are malformed"))?;
    let mut plain = Vec::with_capacity(content.file.len());
    decryptor.read_to_end(&mut plain).map_err(|_| never("it was altered on the way"))?;
    Ok(Bytes::from(plain))
}
