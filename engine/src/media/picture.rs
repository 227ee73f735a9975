//! Pictures in use: the avatar of a user or a room lives until it is replaced (D10), if whoever chose it uploaded it. Somebody
//! else's file is not kept: nobody lengthens the life of what another one sent.

use std::collections::BTreeSet;

use journal::{Name, ReadError};
use ruma::{MxcUri, OwnedUserId, UserId, events::TimelineEventType};

use super::Media;
use crate::{
    Cx, Draft,
    room::Pdu,
    tables::{KEPT_MEDIA, KEPT_OBJECTS, KeptMediaRow, MEDIA},
};

/// The picture that a room's state event names.
pub(crate) fn picture_of(pdu: &Pdu) -> Option<String> {
    let is_avatar = pdu.is_state(&TimelineEventType::RoomAvatar, "");
    is_avatar.then(|| pdu.content_field::<String>("url")).flatten()
}

/// A picture that outlived its upload's L, and whose it is.
pub(super) fn media(cx: &Cx<'_>, name: (Name,)) -> Result<Option<(OwnedUserId, Media)>, ReadError> {
    let kept = KEPT_MEDIA.get(cx.view, &name)?.map(|row| row.value.media);
    // It may be replaced at any moment: a cache looks again after L at the latest.
    let expires = cx.now().plus_ms(cx.server.retention_ms);
    Ok(kept.and_then(|kept| Some((kept.owner, Media::File { file: kept.file?, expires }))))
}

/// Whether the eraser leaves this object of the store.
///
/// # Errors
/// [`ReadError`] when the store cannot be read.
pub fn is_kept(cx: &Cx<'_>, object: &str) -> Result<bool, ReadError> {
    KEPT_OBJECTS.exists(cx.view, &(cx.name(object),))
}

/// Drafts that `whose` (a user or a room) has another picture, chosen by `chooser`.
pub(crate) fn picture_changed(
    draft: &mut Draft<'_>,
    whose: Name,
    chooser: &UserId,
    before: Option<&str>,
    after: Option<&str>,
) -> Result<(), ReadError> {
    if before == after {
        return Ok(());
    }
    let cx = draft.cx();
    if let Some(name) = before.and_then(|url| media_name(&cx, url)) {
        release(draft, whose, name)?;
    }
    if let Some(name) = after.and_then(|url| media_name(&cx, url)) {
        keep(draft, whose, chooser, name)?;
    }
    Ok(())
}

fn media_name(cx: &Cx<'_>, url: &str) -> Option<Name> {
    let (server, media_id) = <&MxcUri>::from(url).parts().ok()?;
    (server == cx.server.name()).then(|| cx.name(media_id))
}

fn keep(draft: &mut Draft<'_>, whose: Name, chooser: &UserId, name: Name) -> Result<(), ReadError> {
    let cx = draft.cx();
    let kept = KEPT_MEDIA.get(cx.view, &(name,))?;
    KEPT_MEDIA.require(&mut draft.batch, &(name,), kept.as_ref().map(|row| row.version));
    let mut row = if let Some(kept) = kept {
        kept.value
    } else {
        let Some(media) = MEDIA.get(cx.view, &(name,))? else { return Ok(()) };
        MEDIA.require(&mut draft.batch, &(name,), Some(media.version));
        KeptMediaRow { media: media.value, uses: BTreeSet::new() }
    };
    let Some(file) = row.media.file.as_ref().filter(|_| row.media.owner == chooser) else { return Ok(()) };
    KEPT_OBJECTS.put(&mut draft.batch, &(cx.name(&file.object),), &());
    row.uses.insert(whose);
    KEPT_MEDIA.put(&mut draft.batch, &(name,), &row);
    Ok(())
}

fn release(draft: &mut Draft<'_>, whose: Name, name: Name) -> Result<(), ReadError> {
    let cx = draft.cx();
    let Some(kept) = KEPT_MEDIA.get(cx.view, &(name,))? else { return Ok(()) };
    let mut row = kept.value;
    if !row.uses.remove(&whose) {
        return Ok(());
    }
    KEPT_MEDIA.require(&mut draft.batch, &(name,), Some(kept.version));
    if row.uses.is_empty() {
        KEPT_MEDIA.delete(&mut draft.batch, &(name,));
        if let Some(file) = &row.media.file {
            KEPT_OBJECTS.delete(&mut draft.batch, &(cx.name(&file.object),));
        }
    } else {
        KEPT_MEDIA.put(&mut draft.batch, &(name,), &row);
    }
    Ok(())
}
