//! What the server speaks
//! ([spec v1.19, Client-Server API § API standards and § Server discovery](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientversions)).

use engine::Reject;
use http::{HeaderValue, Method, header};
use serde_json::{Map, Value, json};

use super::server;
use crate::app::App;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes, empty_response, json_response};

/// Versions of the specification whose calls are all there, as far as they are in the product's scope.
const VERSIONS: [&str; 12] =
    ["v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10", "v1.11", "v1.12"];

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes
        .raw(Method::GET, "/_matrix/client/versions", Access::None, versions)
        .raw(Method::GET, "/.well-known/matrix/client", Access::None, well_known)
        .raw(Method::GET, "/.well-known/matrix/support", Access::None, support)
        .raw(Method::GET, "/_vestibule/health", Access::None, health)
}

/// `GET /versions`
///
/// For sliding sync at its stable address there is no flag: MSC4186 has one for the unstable address only, and no version of the
/// specification has the call yet (v1.19 being the latest), so clients find it by asking. The extensions have flags, as MSC4508
/// demands: `.stable` for typing, which was accepted with it, and those of the proposals that are not accepted yet.
async fn versions(_: App, _: RawRequest) -> Answer {
    let mut response = json_response(&json!({
        "versions": VERSIONS,
        "unstable_features": {
            "org.matrix.e2e_cross_signing": true,
            "org.matrix.msc2285.stable": true,
            "org.matrix.msc3916.stable": true,
            "org.matrix.msc3814": true,
            "org.matrix.msc4140": true,
            "org.matrix.simplified_msc3575": true,
            "org.matrix.msc1763": true,
            "org.matrix.msc3391": true,
            "org.matrix.msc3874": true,
            "org.matrix.msc3890": true,
            "org.matrix.msc4508.stable": true,
            "org.matrix.msc4538": true,
            "org.matrix.msc4543": true,
            "org.matrix.msc4548": true,
            "org.matrix.msc4551": true,
            "fi.mau.msc2659.stable": true,
        },
    }));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Authorization"));
    Ok(response)
}

/// `GET /.well-known/matrix/client`
async fn well_known(app: App, _: RawRequest) -> Answer {
    let mut answer = json!({
        "m.homeserver": { "base_url": app.base_url() },
        "org.matrix.msc3814": true,
    });
    if let Some(transports) = server::transports(&app) {
        answer["org.matrix.msc4143.rtc_foci"] = transports;
    }
    Ok(json_response(&answer))
}

/// `GET /.well-known/matrix/support`: who answers for the server, as far as the operator says it
/// ([spec v1.19](https://spec.matrix.org/v1.19/client-server-api/#getwell-knownmatrixsupport)).
async fn support(app: App, _: RawRequest) -> Answer {
    let contact = &app.config.contact;
    let mut answer = Map::new();
    let mut contacts = Vec::new();
    for (role, email, matrix_id) in [
        ("m.role.admin", &contact.admin_email, &contact.admin_matrix_id),
        ("m.role.security", &contact.security_email, &contact.security_matrix_id),
    ] {
        let mut entry = Map::new();
        entry.extend(email.clone().map(|email| ("email_address".to_owned(), email.into())));
        entry.extend(matrix_id.clone().map(|matrix_id| ("matrix_id".to_owned(), matrix_id.into())));
        if !entry.is_empty() {
            entry.insert("role".to_owned(), role.into());
            contacts.push(Value::Object(entry));
        }
    }
    if !contacts.is_empty() {
        answer.insert("contacts".to_owned(), contacts.into());
    }
    answer.extend(contact.support_page.clone().map(|page| ("support_page".to_owned(), page.into())));
    if answer.is_empty() {
        return Err(Reject::not_found("whoever runs this server has not said how to reach them").into());
    }
    Ok(json_response(&Value::Object(answer)))
}

/// For whoever watches the server: 200 while it can read its journal.
async fn health(app: App, _: RawRequest) -> Answer {
    app.read(|cx| Ok(cx.view.seq())).map_err(|error: ApiError| ApiError::unavailable(error.cause().unwrap_or_default()))?;
    Ok(empty_response())
}
