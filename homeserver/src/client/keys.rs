//! Device keys, one-time keys and who is to be told of their changes
//! ([spec v1.19, Client-Server API § Key management API](https://spec.matrix.org/v1.19/client-server-api/#key-management-api)).

use std::collections::BTreeMap;

use engine::keys::{self, ClaimKeys, QueryKeys, UploadKeys, UploadSignatures};
use engine::sync::{self, Token};
use http::Method;
use ruma::api::client::keys::{claim_keys, get_key_changes, get_keys, upload_keys};
use ruma::{CanonicalJsonObject, OneTimeKeyAlgorithm, OwnedDeviceId, OwnedOneTimeKeyId, OwnedUserId, UInt, serde::Raw};
use serde_json::{json, value::RawValue};

use crate::app::App;
use crate::http::{Access, Answer, ApiError, RawRequest, Routes, Ruma, json_response};

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes
        .ruma(upload)
        .ruma(query)
        .ruma(claim)
        .ruma(changes)
        // ruma's type hides what a failure is made of.
        .raw(Method::POST, "/_matrix/client/v3/keys/signatures/upload", Access::Required, upload_signatures)
        .raw(Method::POST, "/_matrix/client/unstable/keys/signatures/upload", Access::Required, upload_signatures)
}

/// `POST /keys/upload`
async fn upload(app: App, request: Ruma<upload_keys::v3::Request>) -> Result<upload_keys::v3::Response, ApiError> {
    let requester = request.requester()?;
    let device_id = requester
        .device_id
        .clone()
        .ok_or_else(|| engine::Reject::InvalidParam("keys belong to a device: say which one with `device_id`".into()))?;
    let command = UploadKeys {
        user_id: requester.user_id.clone(),
        device_id,
        device_keys: request.body.device_keys,
        one_time_keys: request.body.one_time_keys,
        fallback_keys: request.body.fallback_keys,
    };
    let counts = app.run(|cx| keys::upload(cx, &command)).await?;
    let counts = counts.into_iter().map(|(algorithm, count)| (algorithm.into(), UInt::new_saturating(count))).collect();
    Ok(upload_keys::v3::Response::new(counts))
}

/// `POST /keys/query`
async fn query(app: App, request: Ruma<get_keys::v3::Request>) -> Result<get_keys::v3::Response, ApiError> {
    let requester = request.requester()?.user_id.clone();
    let command = QueryKeys { requester, device_keys: request.body.device_keys };
    let found = app.read(|cx| keys::query(cx, &command))?;
    let mut response = get_keys::v3::Response::new();
    for (user_id, devices) in found.device_keys {
        let devices: BTreeMap<OwnedDeviceId, _> =
            devices.into_iter().map(|(device_id, keys)| Ok((device_id, raw(&keys)?))).collect::<Result<_, ApiError>>()?;
        response.device_keys.insert(user_id, devices);
    }
    response.master_keys = raw_keys(found.master_keys)?;
    response.self_signing_keys = raw_keys(found.self_signing_keys)?;
    response.user_signing_keys = raw_keys(found.user_signing_keys)?;
    Ok(response)
}

/// `POST /keys/claim`
async fn claim(app: App, request: Ruma<claim_keys::v3::Request>) -> Result<claim_keys::v3::Response, ApiError> {
    let algorithms = |devices: BTreeMap<OwnedDeviceId, OneTimeKeyAlgorithm>| {
        devices.into_iter().map(|(device_id, algorithm)| (device_id, algorithm.to_string())).collect()
    };
    let requester = request.requester()?.clone();
    let one_time_keys =
        request.body.one_time_keys.into_iter().map(|(user_id, devices)| (user_id, algorithms(devices))).collect();
    let command = ClaimKeys { requester, one_time_keys };
    let claimed = app.run(|cx| keys::claim(cx, &command)).await?;
    let mut response = claim_keys::v3::Response::new(BTreeMap::new());
    for (user_id, devices) in claimed {
        for (device_id, of_device) in devices {
            let shown = response.one_time_keys.entry(user_id.clone()).or_default().entry(device_id).or_default();
            for (key_id, key) in of_device {
                let key_id = OwnedOneTimeKeyId::try_from(key_id).map_err(ApiError::internal)?;
                shown.insert(key_id, raw(&key)?);
            }
        }
    }
    Ok(response)
}

/// `GET /keys/changes`
async fn changes(app: App, request: Ruma<get_key_changes::v3::Request>) -> Result<get_key_changes::v3::Response, ApiError> {
    let user_id = &request.requester()?.user_id;
    let (from, to) = (Token::decode(&request.body.from)?, Token::decode(&request.body.to)?);
    let lists = app.read(|cx| sync::device_lists_since(cx, user_id, &from, to.known()))?;
    Ok(get_key_changes::v3::Response::new(lists.changed.into_iter().collect(), lists.left.into_iter().collect()))
}

/// `POST /keys/signatures/upload`
async fn upload_signatures(app: App, request: RawRequest) -> Answer {
    let signed_keys: BTreeMap<OwnedUserId, BTreeMap<String, Box<RawValue>>> = request.json()?;
    let command = UploadSignatures { user_id: request.requester()?.user_id.clone(), signed_keys };
    let failures = app.run(|cx| keys::upload_signatures(cx, &command)).await?;
    let failure = |failure: keys::SignatureFailure| {
        let message = failure.reject.to_string();
        json!({ "errcode": ApiError::from(failure.reject).errcode(), "error": message })
    };
    let failures: BTreeMap<_, BTreeMap<_, _>> = failures
        .into_iter()
        .map(|(user_id, keys)| (user_id, keys.into_iter().map(|(key, why)| (key, failure(why))).collect()))
        .collect();
    Ok(json_response(&json!({ "failures": failures })))
}

fn raw<T>(value: &impl serde::Serialize) -> Result<Raw<T>, ApiError> {
    serde_json::value::to_raw_value(value).map(Raw::from_json).map_err(ApiError::internal)
}

fn raw_keys<T>(keys: BTreeMap<OwnedUserId, CanonicalJsonObject>) -> Result<BTreeMap<OwnedUserId, Raw<T>>, ApiError> {
    keys.into_iter().map(|(user_id, key)| Ok((user_id, raw(&key)?))).collect()
}
