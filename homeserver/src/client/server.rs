//! What the server tells of itself to those who are logged in
//! ([spec v1.19, § Capabilities negotiation](https://spec.matrix.org/v1.19/client-server-api/#capabilities-negotiation), MSC1763).

use engine::account;
use engine::policy::{self, Standing};
use http::Method;
use serde_json::{Value, json};

use crate::app::App;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes, json_response};

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    let mut routes = routes.raw(
        Method::GET,
        "/_matrix/client/unstable/org.matrix.msc1763/retention/configuration",
        Access::Required,
        retention_configuration,
    );
    routes = routes.raw(
        Method::GET,
        "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports",
        Access::Required,
        rtc_transports,
    );
    for root in ["/_matrix/client/r0", "/_matrix/client/v3"] {
        routes = routes.raw(Method::GET, &format!("{root}/capabilities"), Access::Required, capabilities).raw(
            Method::GET,
            &format!("{root}/thirdparty/protocols"),
            Access::Required,
            no_protocols,
        );
    }
    routes
}

/// `GET /capabilities`: what clients may offer. Names, passwords and closing the account of provisioned users are their
/// platform's.
async fn capabilities(app: App, request: RawRequest) -> Answer {
    let user_id = &request.requester()?.user_id;
    let (standing, admin) = app.read(|cx| Ok((policy::standing(cx, user_id)?, account::is_admin(cx, user_id)?)))?;
    let plain = matches!(standing, Standing::Plain | Standing::Support);
    let participant = matches!(standing, Standing::Participant { .. });
    let profile_fields = match &standing {
        Standing::Plain | Standing::Support => json!({ "enabled": true }),
        Standing::Host { .. } => json!({ "enabled": true, "disallowed": ["displayname"] }),
        Standing::Participant { .. } => json!({ "enabled": false }),
    };
    let versions: serde_json::Map<_, _> = (1..=12).map(|version: u8| (version.to_string(), json!("stable"))).collect();
    let mut capabilities = json!({
        "m.room_versions": { "default": app.server.default_room_version, "available": versions },
        "m.change_password": { "enabled": !participant },
        "m.set_displayname": { "enabled": plain },
        "m.set_avatar_url": { "enabled": !participant },
        "m.profile_fields": profile_fields,
        "m.3pid_changes": { "enabled": false },
        "m.get_login_token": { "enabled": plain },
    });
    if admin {
        capabilities["m.account_moderation"] = json!({ "lock": true, "suspend": true });
    }
    Ok(json_response(&json!({ "capabilities": capabilities })))
}

/// `GET /thirdparty/protocols`: there are none.
async fn no_protocols(_: App, _: RawRequest) -> Answer {
    Ok(json_response(&json!({})))
}

/// `GET /retention/configuration` (MSC1763): one policy for all rooms of whoever asks, which they may shorten.
async fn retention_configuration(app: App, request: RawRequest) -> Answer {
    let user_id = &request.requester()?.user_id;
    let max_ms = app.read(|cx| Ok(policy::text_retention_ms(cx, user_id)?))?;
    Ok(json_response(&json!({
        "policies": { "*": { "max_lifetime": max_ms } },
        "limits": { "max_lifetime": { "min": 1, "max": max_ms } },
    })))
}

/// `GET /rtc/transports` (MSC4143): through which service calls of several people go, if the operator has one.
async fn rtc_transports(app: App, _: RawRequest) -> Answer {
    let transports = transports(&app).ok_or_else(ApiError::unrecognized_path)?;
    Ok(json_response(&json!({ "rtc_transports": transports })))
}

/// The operator's service for calls, in the form of MSC4195.
pub fn transports(app: &App) -> Option<Value> {
    let address = app.config.calls.livekit_service_url.as_ref()?;
    Some(json!([{ "type": "livekit", "livekit_service_url": address }]))
}
