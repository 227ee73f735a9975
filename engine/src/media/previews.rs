//! What web pages say of themselves, kept for a while
//! ([spec v1.19, Client-Server API § `GET /media/preview_url`](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediapreview_url)).

use journal::Name;
use serde_json::{Map, Value};

use crate::tables::{MEDIA, PREVIEWS, PreviewRow};
use crate::{Cx, Decided, Draft, MINUTES_MS, Stop, class};

fn preview_name(cx: &Cx<'_>, address: &str) -> Name {
    cx.name(&format!("preview {address}"))
}

/// The preview of `address`, if it has been made lately.
///
/// # Errors
/// [`Stop::Read`].
pub fn preview(cx: &Cx<'_>, address: &str) -> Result<Option<Map<String, Value>>, Stop> {
    Ok(PREVIEWS.get(cx.view, &(preview_name(cx, address),))?.map(|row| row.value.properties))
}

/// A preview that has been made.
#[derive(Clone, Debug)]
pub struct PutPreview {
    /// Of which page.
    pub address: String,
    /// As it is answered.
    pub properties: Map<String, Value>,
    /// Its picture, in the store already.
    pub media_id: Option<String>,
}

/// Keeps a preview, no longer than its picture.
///
/// # Errors
/// [`Stop::Read`].
pub fn put_preview(cx: &Cx<'_>, command: &PutPreview) -> Decided<()> {
    let mut expires = cx.now().plus_ms(MINUTES_MS);
    if let Some(media_id) = &command.media_id
        && let Some(row) = MEDIA.get(cx.view, &(cx.name(media_id),))?
    {
        expires = expires.min(row.expires);
    }
    let mut draft = Draft::new(*cx);
    let row = PreviewRow { properties: command.properties.clone() };
    PREVIEWS.put(&mut draft.batch, &(preview_name(cx, &command.address),), &row, class::MINUTES, expires);
    Ok(draft.commit(()))
}
