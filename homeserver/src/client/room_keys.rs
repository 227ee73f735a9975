//! Key backup
//! ([spec v1.19, Client-Server API § Server-side key backups](https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups)).

use std::collections::BTreeMap;

use engine::keys::backup::{self, Backup, Counted, RoomKeys, Selection};
use ruma::api::client::backup::{
    RoomKeyBackup, add_backup_keys, add_backup_keys_for_room, add_backup_keys_for_session, create_backup_version,
    delete_backup_keys, delete_backup_keys_for_room, delete_backup_keys_for_session, delete_backup_version, get_backup_info,
    get_backup_keys, get_backup_keys_for_room, get_backup_keys_for_session, get_latest_backup_info, update_backup_version,
};
use ruma::{OwnedRoomId, UInt, UserId, serde::Raw};
use serde_json::{json, value::RawValue};

use crate::app::App;
use crate::http::{ApiError, Routes, Ruma};

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes
        .ruma(create)
        .ruma(latest)
        .ruma(get)
        .ruma(update)
        .ruma(delete)
        .ruma(put_keys)
        .ruma(put_room)
        .ruma(put_session)
        .ruma(get_keys)
        .ruma(get_room)
        .ruma(get_session)
        .ruma(delete_keys)
        .ruma(delete_room)
        .ruma(delete_session)
}

/// `POST /room_keys/version`
async fn create(
    app: App,
    request: Ruma<create_backup_version::v3::Request>,
) -> Result<create_backup_version::v3::Response, ApiError> {
    let user_id = &request.requester()?.user_id;
    let version = app.run(|cx| backup::create(cx, user_id, request.body.algorithm.json())).await?;
    Ok(create_backup_version::v3::Response::new(version.to_string()))
}

/// `GET /room_keys/version`
async fn latest(
    app: App,
    request: Ruma<get_latest_backup_info::v3::Request>,
) -> Result<get_latest_backup_info::v3::Response, ApiError> {
    let user_id = &request.requester()?.user_id;
    let backup = app.read(|cx| backup::current(cx, user_id))?;
    let (count, etag) = count_and_etag(backup.row.count, backup.row.etag);
    let version = backup.version.to_string();
    Ok(get_latest_backup_info::v3::Response::new(algorithm(&backup)?, count, etag, version))
}

/// `GET /room_keys/version/{version}`
async fn get(app: App, request: Ruma<get_backup_info::v3::Request>) -> Result<get_backup_info::v3::Response, ApiError> {
    let user_id = &request.requester()?.user_id;
    let backup = app.read(|cx| backup::get(cx, user_id, &request.body.version))?;
    let (count, etag) = count_and_etag(backup.row.count, backup.row.etag);
    Ok(get_backup_info::v3::Response::new(algorithm(&backup)?, count, etag, request.body.version.clone()))
}

/// `PUT /room_keys/version/{version}`
async fn update(
    app: App,
    request: Ruma<update_backup_version::v3::Request>,
) -> Result<update_backup_version::v3::Response, ApiError> {
    let user_id = &request.requester()?.user_id;
    let body = &request.body;
    app.run(|cx| backup::update(cx, user_id, &body.version, body.algorithm.json())).await?;
    Ok(update_backup_version::v3::Response::new())
}

/// `DELETE /room_keys/version/{version}`
async fn delete(
    app: App,
    request: Ruma<delete_backup_version::v3::Request>,
) -> Result<delete_backup_version::v3::Response, ApiError> {
    let user_id = &request.requester()?.user_id;
    // A backup has an end, and each step takes thousands of keys.
    while app.run(|cx| backup::delete_version(cx, user_id, &request.body.version)).await? {}
    Ok(delete_backup_version::v3::Response::new())
}

/// `PUT /room_keys/keys`
async fn put_keys(app: App, request: Ruma<add_backup_keys::v3::Request>) -> Result<add_backup_keys::v3::Response, ApiError> {
    let user_id = request.requester()?.user_id.clone();
    let body = request.body;
    let rooms = body.rooms.into_iter().map(|(room_id, room)| (room_id, sessions(room.sessions))).collect();
    let (count, etag) = put(&app, &user_id, &body.version, rooms).await?;
    Ok(add_backup_keys::v3::Response::new(etag, count))
}

/// `PUT /room_keys/keys/{roomId}`
async fn put_room(
    app: App,
    request: Ruma<add_backup_keys_for_room::v3::Request>,
) -> Result<add_backup_keys_for_room::v3::Response, ApiError> {
    let user_id = request.requester()?.user_id.clone();
    let body = request.body;
    let rooms = RoomKeys::from([(body.room_id, sessions(body.sessions))]);
    let (count, etag) = put(&app, &user_id, &body.version, rooms).await?;
    Ok(add_backup_keys_for_room::v3::Response::new(etag, count))
}

/// `PUT /room_keys/keys/{roomId}/{sessionId}`
async fn put_session(
    app: App,
    request: Ruma<add_backup_keys_for_session::v3::Request>,
) -> Result<add_backup_keys_for_session::v3::Response, ApiError> {
    let user_id = request.requester()?.user_id.clone();
    let body = request.body;
    let rooms = RoomKeys::from([(body.room_id, BTreeMap::from([(body.session_id, body.session_data.into_json())]))]);
    let (count, etag) = put(&app, &user_id, &body.version, rooms).await?;
    Ok(add_backup_keys_for_session::v3::Response::new(etag, count))
}

/// `GET /room_keys/keys`
async fn get_keys(app: App, request: Ruma<get_backup_keys::v3::Request>) -> Result<get_backup_keys::v3::Response, ApiError> {
    let user_id = &request.requester()?.user_id;
    let rooms = app.read(|cx| backup::get_keys(cx, user_id, &request.body.version, &Selection::All))?;
    let shown =
        |(room_id, keys): (OwnedRoomId, BTreeMap<String, Box<RawValue>>)| (room_id, RoomKeyBackup::new(raw_sessions(keys)));
    Ok(get_backup_keys::v3::Response::new(rooms.into_iter().map(shown).collect()))
}

/// `GET /room_keys/keys/{roomId}`
async fn get_room(
    app: App,
    request: Ruma<get_backup_keys_for_room::v3::Request>,
) -> Result<get_backup_keys_for_room::v3::Response, ApiError> {
    let user_id = &request.requester()?.user_id;
    let selection = Selection::Room(request.body.room_id.clone());
    let mut rooms = app.read(|cx| backup::get_keys(cx, user_id, &request.body.version, &selection))?;
    let keys = rooms.remove(&request.body.room_id).unwrap_or_default();
    Ok(get_backup_keys_for_room::v3::Response::new(raw_sessions(keys)))
}

/// `GET /room_keys/keys/{roomId}/{sessionId}`
async fn get_session(
    app: App,
    request: Ruma<get_backup_keys_for_session::v3::Request>,
) -> Result<get_backup_keys_for_session::v3::Response, ApiError> {
    let user_id = &request.requester()?.user_id;
    let body = &request.body;
    let selection = Selection::Session(body.room_id.clone(), body.session_id.clone());
    let mut rooms = app.read(|cx| backup::get_keys(cx, user_id, &body.version, &selection))?;
    let key = rooms.remove(&body.room_id).and_then(|mut sessions| sessions.remove(&body.session_id));
    let key = key.ok_or_else(|| engine::Reject::not_found("there is no key of this session in the backup"))?;
    Ok(get_backup_keys_for_session::v3::Response::new(Raw::from_json(key)))
}

/// `DELETE /room_keys/keys`
async fn delete_keys(
    app: App,
    request: Ruma<delete_backup_keys::v3::Request>,
) -> Result<delete_backup_keys::v3::Response, ApiError> {
    let user_id = request.requester()?.user_id.clone();
    let (count, etag) = delete_selected(&app, &user_id, &request.body.version, &Selection::All).await?;
    Ok(delete_backup_keys::v3::Response::new(etag, count))
}

/// `DELETE /room_keys/keys/{roomId}`
async fn delete_room(
    app: App,
    request: Ruma<delete_backup_keys_for_room::v3::Request>,
) -> Result<delete_backup_keys_for_room::v3::Response, ApiError> {
    let user_id = request.requester()?.user_id.clone();
    let selection = Selection::Room(request.body.room_id);
    let (count, etag) = delete_selected(&app, &user_id, &request.body.version, &selection).await?;
    Ok(delete_backup_keys_for_room::v3::Response::new(etag, count))
}

/// `DELETE /room_keys/keys/{roomId}/{sessionId}`
async fn delete_session(
    app: App,
    request: Ruma<delete_backup_keys_for_session::v3::Request>,
) -> Result<delete_backup_keys_for_session::v3::Response, ApiError> {
    let user_id = request.requester()?.user_id.clone();
    let selection = Selection::Session(request.body.room_id, request.body.session_id);
    let (count, etag) = delete_selected(&app, &user_id, &request.body.version, &selection).await?;
    Ok(delete_backup_keys_for_session::v3::Response::new(etag, count))
}

async fn put(app: &App, user_id: &UserId, version: &str, rooms: RoomKeys) -> Result<(UInt, String), ApiError> {
    let Counted { count, etag, .. } = app.run(|cx| backup::put_keys(cx, user_id, version, &rooms)).await?;
    Ok(count_and_etag(count, etag))
}

async fn delete_selected(
    app: &App,
    user_id: &UserId,
    version: &str,
    selection: &Selection,
) -> Result<(UInt, String), ApiError> {
    loop {
        let Counted { count, etag, more } = app.run(|cx| backup::delete_keys(cx, user_id, version, selection)).await?;
        if !more {
            return Ok(count_and_etag(count, etag));
        }
    }
}

fn count_and_etag(count: u64, etag: u64) -> (UInt, String) {
    (UInt::new_saturating(count), etag.to_string())
}

fn algorithm<T>(backup: &Backup) -> Result<Raw<T>, ApiError> {
    let value = json!({ "algorithm": backup.row.algorithm, "auth_data": backup.row.auth_data });
    serde_json::value::to_raw_value(&value).map(Raw::from_json).map_err(ApiError::internal)
}

fn sessions<T>(sessions: BTreeMap<String, Raw<T>>) -> BTreeMap<String, Box<RawValue>> {
    sessions.into_iter().map(|(session_id, key)| (session_id, key.into_json())).collect()
}

fn raw_sessions<T>(sessions: BTreeMap<String, Box<RawValue>>) -> BTreeMap<String, Raw<T>> {
    sessions.into_iter().map(|(session_id, key)| (session_id, Raw::from_json(key))).collect()
}
