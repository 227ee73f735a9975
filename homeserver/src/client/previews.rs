//! Previews of web pages
//! ([spec v1.19, Client-Server API § `GET /media/preview_url`](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediapreview_url)).
//! Where the operator has not switched them on, there is no such call.

use engine::media::{self, CompleteUpload, PutPreview};
use http::{Method, StatusCode};
use ruma::OwnedUserId;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::media::MEDIA_ID_LENGTH;
use crate::app::App;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes, json_response};
use crate::previews::{NoPreview, Picture, Previews};

/// This family's calls.
#[must_use]
pub fn routes(mut routes: Routes) -> Routes {
    for path in ["client/v1/media", "client/unstable/org.matrix.msc3916/media", "media/v3", "media/r0"] {
        routes = routes.raw(Method::GET, &format!("/_matrix/{path}/preview_url"), Access::Optional, preview);
    }
    routes
}

#[derive(Deserialize)]
struct Query {
    url: String,
}

/// `GET /media/preview_url`: from the last hour, or made now.
async fn preview(app: App, request: RawRequest) -> Answer {
    let Some(previews) = &app.previews else { return Err(ApiError::unrecognized_path()) };
    let user_id = request.requester()?.user_id.clone();
    let Query { url } = request.query()?;
    let url = Previews::address(&url)?;
    if let Some(properties) = app.read(|cx| media::preview(cx, url.as_str()))? {
        return Ok(json_response(&Value::Object(properties)));
    }
    let mut made = previews.fetch(&url).await?;
    let media_id = match made.picture {
        Some(picture) => put_picture(&app, user_id, picture, &mut made.properties).await?,
        None => None,
    };
    let command = PutPreview { address: url.into(), properties: made.properties, media_id };
    app.run(|cx| media::put_preview(cx, &command)).await?;
    Ok(json_response(&Value::Object(command.properties)))
}

/// Stores a page's picture as a file of whoever asks: it counts with their uploads, and is left out when they may not upload as
/// much now.
async fn put_picture(
    app: &App,
    user_id: OwnedUserId,
    picture: Picture,
    properties: &mut Map<String, Value>,
) -> Result<Option<String>, ApiError> {
    let size = picture.bytes.len() as u64;
    if app.read(|cx| media::check_upload(cx, &user_id, size)).is_err() {
        return Ok(None);
    }
    let mut upload = app.media.begin(&user_id).await?;
    upload.write(&picture.bytes).await?;
    let finished = upload.finish().await?;
    let media_id = app.entropy.id(MEDIA_ID_LENGTH);
    let (file, completed) = (finished.file(Some(picture.content_type.to_owned()), None), finished.completed);
    let command = CompleteUpload { user_id, media_id, reserved: false, file, completed };
    app.run(|cx| media::complete_upload(cx, &command)).await?;
    finished.keep();
    for (name, value) in [
        ("og:image", Value::from(format!("mxc://{}/{}", app.server.name, command.media_id))),
        ("og:image:type", picture.content_type.into()),
        ("og:image:width", picture.width.into()),
        ("og:image:height", picture.height.into()),
        ("matrix:image:size", size.into()),
    ] {
        properties.insert(name.to_owned(), value);
    }
    Ok(Some(command.media_id))
}

impl From<NoPreview> for ApiError {
    fn from(error: NoPreview) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "M_UNKNOWN", error.to_string())
    }
}
