//! Media: who may upload how much, and what is there to download
//! ([spec v1.19, Client-Server API § Content repository](https://spec.matrix.org/v1.19/client-server-api/#content-repository)).
//!
//! The bytes lie in an object store, sealed under a key of their own; that key lies in the row here, sealed under its epoch's
//! key. So a file dies with its row's epoch, to the moment that an upload of any length was complete (D10), and nothing has to be
//! sealed twice.

mod picture;
mod previews;

use journal::{Timestamp, Topic};
use ruma::{ServerName, UserId};

pub use picture::is_kept;
pub(crate) use picture::{picture_changed, picture_of};
pub use previews::{PutPreview, preview, put_preview};

pub use crate::tables::{FileKey, StoredFile};
use crate::tables::{MEDIA, MediaRow, RESERVATIONS, UPLOAD_HEADS, UPLOADS, UploadHeadRow, UploadRow};
use crate::{Cx, Decided, Draft, Reject, Stop, class, erase, policy};

/// Over how long uploads are added up.
pub const DAY_MS: u64 = 86_400_000;

/// Ids that one user may hold without bytes: clients make one or a few ahead.
pub const RESERVATIONS_MAX: u64 = 50;

/// How long a client waits that holds too many.
const RESERVATION_RETRY_MS: u64 = 60_000;

/// What a media id stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Media {
    /// Its bytes have not come yet.
    Awaited,
    /// A file.
    File {
        /// Where and what.
        file: StoredFile,
        /// From when nobody may have it.
        expires: Timestamp,
    },
}

/// What wakes those who wait for the bytes of a media id.
#[must_use]
pub fn topic(cx: &Cx<'_>, media_id: &str) -> Topic {
    Topic(cx.name(&format!("media:{media_id}")))
}

/// What there is under `media_id` for `viewer`; `None` for whoever asks without saying who they are, who sees what plain users and
/// support have uploaded.
///
/// # Errors
/// `M_NOT_FOUND`, alike for what never was, what has expired, what another server has, and what is of people whom the viewer may
/// not know of.
pub fn media(cx: &Cx<'_>, viewer: Option<&UserId>, server: &ServerName, media_id: &str) -> Result<Media, Stop> {
    let missing = || Reject::not_found("there is no such file (any more)");
    if server != cx.server.name() {
        return Err(missing().into());
    }
    let name = (cx.name(media_id),);
    let (owner, media) = match MEDIA.get(cx.view, &name)? {
        Some(row) => {
            let file = row.value.file.map(|file| Media::File { file, expires: row.expires });
            (row.value.owner, file.unwrap_or(Media::Awaited))
        }
        None => picture::media(cx, name)?.ok_or_else(missing)?,
    };
    // Of whoever was erased, policy does not know any more whose files they were.
    if erase::is_erased(cx, &owner)? || !policy::may_download(cx, viewer, &owner)? {
        return Err(missing().into());
    }
    Ok(media)
}

/// How many bytes `user_id` may upload now in one file.
///
/// # Errors
/// [`Stop::Read`].
pub fn room_left(cx: &Cx<'_>, user_id: &UserId) -> Result<u64, Stop> {
    let used = uploaded(cx, user_id)?;
    Ok(policy::upload_per_day(cx, user_id)?.saturating_sub(used).min(cx.server.upload_size_max))
}

/// How many bytes `user_id` has uploaded in the last 24 hours.
///
/// # Errors
/// [`Stop::Read`].
pub fn uploaded(cx: &Cx<'_>, user_id: &UserId) -> Result<u64, Stop> {
    Ok(uploads(cx, user_id)?.iter().map(|upload| upload.size).sum())
}

/// Checks that `user_id` may upload `size` bytes now.
///
/// # Errors
/// `M_TOO_LARGE` for the file alone; `M_USER_LIMIT_EXCEEDED` for the day, with when it can go on.
pub fn check_upload(cx: &Cx<'_>, user_id: &UserId, size: u64) -> Result<(), Stop> {
    let size_max = cx.server.upload_size_max;
    if size > size_max {
        let message = format!("a file can have {size_max} bytes at most; send a smaller one");
        return Err(Reject::TooLarge(message.into()).into());
    }
    let uploads = uploads(cx, user_id)?;
    let used = uploads.iter().map(|upload| upload.size).sum::<u64>();
    let mut excess = used.saturating_add(size).saturating_sub(policy::upload_per_day(cx, user_id)?);
    if excess == 0 {
        return Ok(());
    }
    // The oldest leave the window first: it can go on when enough of them have.
    let mut resets_at = cx.now();
    for upload in uploads {
        resets_at = upload.at.plus_ms(DAY_MS);
        excess = excess.saturating_sub(upload.size);
        if excess == 0 {
            break;
        }
    }
    let message = "you have sent as much as you can in 24 hours; files can be sent again later".into();
    Err(Reject::UserLimitExceeded { message, resets_at }.into())
}

/// What `user_id` has uploaded in the last 24 hours, oldest first.
fn uploads(cx: &Cx<'_>, user_id: &UserId) -> Result<Vec<UploadRow>, Stop> {
    let mut uploads =
        UPLOADS.scan(cx.view, &(cx.user(user_id),)).map(|row| Ok(row?.1.value)).collect::<Result<Vec<_>, Stop>>()?;
    uploads.retain(|upload| upload.at.plus_ms(DAY_MS) > cx.now());
    Ok(uploads)
}

/// Makes `media_id` the promise of a file (spec § `POST /media/v1/create`). Answers when it lapses.
///
/// # Errors
/// `M_LIMIT_EXCEEDED` when the user holds too many promises.
pub fn reserve(cx: &Cx<'_>, user_id: &UserId, media_id: &str) -> Decided<Timestamp> {
    if RESERVATIONS.count(cx.view, &(cx.user(user_id),))? >= RESERVATIONS_MAX {
        return Err(Reject::LimitExceeded { retry_after_ms: RESERVATION_RETRY_MS }.into());
    }
    let mut draft = Draft::new(*cx);
    let lapses = cx.now().plus_ms(DAY_MS.min(cx.server.retention_ms));
    let row = MediaRow { media_id: media_id.to_owned(), owner: user_id.to_owned(), file: None };
    let name = cx.name(media_id);
    MEDIA.require(&mut draft.batch, &(name,), None);
    MEDIA.put(&mut draft.batch, &(name,), &row, class::MEDIA, lapses);
    RESERVATIONS.put(&mut draft.batch, &(cx.user(user_id), name), &row.media_id, class::DAY, lapses);
    Ok(draft.commit(lapses))
}

/// Checks that `media_id` is a promise of `user_id`'s that has not been kept.
///
/// # Errors
/// `M_NOT_FOUND`, `M_FORBIDDEN`, `M_CANNOT_OVERWRITE_MEDIA`.
pub fn check_reserved(cx: &Cx<'_>, user_id: &UserId, server: &ServerName, media_id: &str) -> Result<(), Stop> {
    let missing = || Reject::not_found("there is no such upload (any more); create one first");
    if server != cx.server.name() {
        return Err(missing().into());
    }
    let row = MEDIA.get(cx.view, &(cx.name(media_id),))?.ok_or_else(missing)?.value;
    if row.owner != user_id && !policy::may_see(cx, user_id, &row.owner)? {
        return Err(missing().into());
    }
    if row.owner != user_id {
        return Err(Reject::forbidden("this upload is another user's").into());
    }
    if row.file.is_some() {
        return Err(Reject::CannotOverwriteMedia.into());
    }
    Ok(())
}

/// Bytes are in the store, and on disk.
#[derive(Clone, Debug)]
pub struct CompleteUpload {
    /// Who uploaded them.
    pub user_id: ruma::OwnedUserId,
    /// Under which id.
    pub media_id: String,
    /// The id was reserved before.
    pub reserved: bool,
    /// The bytes.
    pub file: StoredFile,
    /// When the last of them was on disk: L counts from here.
    pub completed: Timestamp,
}

/// Makes an uploaded file known, and counts it.
///
/// # Errors
/// As [`check_upload`] and [`check_reserved`]: the day's bytes or the promise may have gone meanwhile.
pub fn complete_upload(cx: &Cx<'_>, command: &CompleteUpload) -> Decided<()> {
    let CompleteUpload { user_id, media_id, reserved, file, completed } = command;
    check_upload(cx, user_id, file.size)?;
    let (user, name) = (cx.user(user_id), cx.name(media_id));
    let mut draft = Draft::new(*cx);
    if *reserved {
        check_reserved(cx, user_id, cx.server.name(), media_id)?;
        RESERVATIONS.delete(&mut draft.batch, &(user, name));
    }
    let before = MEDIA.get(cx.view, &(name,))?.map(|row| row.version);
    MEDIA.require(&mut draft.batch, &(name,), before);
    let row = MediaRow { media_id: media_id.clone(), owner: user_id.clone(), file: Some(file.clone()) };
    MEDIA.put(&mut draft.batch, &(name,), &row, class::MEDIA, completed.plus_ms(cx.server.retention_ms));

    let head = UPLOAD_HEADS.get(cx.view, &(user,))?.map(|row| row.version);
    let leaves = completed.plus_ms(DAY_MS);
    UPLOAD_HEADS.require(&mut draft.batch, &(user,), head);
    UPLOAD_HEADS.put(&mut draft.batch, &(user,), &UploadHeadRow { at: *completed }, class::DAY, leaves);
    let upload = UploadRow { size: file.size, at: *completed };
    let key = (user, draft.next_stamp());
    UPLOADS.put(&mut draft.batch, &key, &upload, class::DAY, leaves);
    draft.batch.wake(topic(cx, media_id));
    Ok(draft.commit(()))
}

#[cfg(test)]
mod tests;
