//! Cross-signing keys
//! ([spec v1.19, Client-Server API § Cross-signing](https://spec.matrix.org/v1.19/client-server-api/#cross-signing)).

use engine::keys::{self, UploadSigningKeys, Uploaded};
use ruma::api::client::keys::upload_signing_keys;

use super::interactive;
use crate::app::App;
use crate::http::{ApiError, Routes, Ruma};

/// What interactive authentication is asked for.
const OPERATION: &str = "keys/device_signing/upload";

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes.ruma(upload)
}

/// `POST /keys/device_signing/upload`: the engine says whether the user has to prove first who they are.
async fn upload(
    app: App,
    request: Ruma<upload_signing_keys::v3::Request>,
) -> Result<upload_signing_keys::v3::Response, ApiError> {
    let requester = request.requester()?.clone();
    let body = request.body;
    let mut command = UploadSigningKeys {
        requester,
        authenticated: false,
        master_key: body.master_key,
        self_signing_key: body.self_signing_key,
        user_signing_key: body.user_signing_key,
    };
    if app.run(|cx| keys::upload_signing_keys(cx, &command)).await? == Uploaded::AuthenticationNeeded {
        interactive::authenticate(&app, &command.requester, body.auth.as_ref(), OPERATION).await?;
        command.authenticated = true;
        app.run(|cx| keys::upload_signing_keys(cx, &command)).await?;
    }
    Ok(upload_signing_keys::v3::Response::new())
}
