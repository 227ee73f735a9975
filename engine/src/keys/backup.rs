//! Key backup: room keys, encrypted by the client, by version, room and session
//! ([spec v1.19, Client-Server API § Server-side key backups](https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups)).
//!
//! Every change of a key rewrites the backup's row with its count and `etag`, and rests on that row: the count is exact, and
//! the `etag` changes with every change.

use std::collections::BTreeMap;

use journal::{Name, ReadError, Row, Timestamp};
use ruma::{OwnedRoomId, RoomId, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    Cx, Decided, Decision, Draft, MEGOLM_ROTATION_MS, Reject, Stop, class,
    tables::{self, BackupKeyRow, BackupRow},
};

/// Keys in one request, and deleted by one batch: well inside a batch's operations.
pub const KEYS_PER_BATCH_MAX: usize = 5_000;

/// A backup and its version.
#[derive(Clone, Debug)]
pub struct Backup {
    /// Its version.
    pub version: u64,
    /// The rest.
    pub row: BackupRow,
}

/// What an upload or deletion of keys answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Keys in the backup.
    pub count: u64,
    /// Changes with every change of a key.
    pub etag: u64,
    /// Whether more is left to be deleted: ask again. Never after an upload.
    pub more: bool,
}

/// By room and session: a key as the client sent it.
pub type RoomKeys = BTreeMap<OwnedRoomId, BTreeMap<String, Box<RawValue>>>;

/// Which keys of a backup are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    All,
    /// Those of a room.
    Room(OwnedRoomId),
    /// One.
    Session(OwnedRoomId, String),
}

/// What decides between two keys of one session.
#[derive(Deserialize)]
struct KeyRank {
    is_verified: bool,
    first_message_index: u64,
    forwarded_count: u64,
    #[serde(rename = "session_data")]
    _session_data: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct AlgorithmAndData {
    algorithm: String,
    auth_data: Box<RawValue>,
}

fn parse_algorithm(raw: &RawValue) -> Result<AlgorithmAndData, Reject> {
    serde_json::from_str(raw.get())
        .map_err(|error| Reject::BadJson(format!("a key backup has `algorithm` and `auth_data`: {error}").into()))
}

/// `POST /room_keys/version`: makes a backup, which is the current one from now on. `raw` is the whole body.
///
/// # Errors
/// `M_BAD_JSON` for a body of the wrong form.
pub fn create(cx: &Cx<'_>, user_id: &UserId, raw: &RawValue) -> Decided<u64> {
    let AlgorithmAndData { algorithm, auth_data } = parse_algorithm(raw)?;
    let mut draft = Draft::new(*cx);
    let user = cx.user(user_id);
    let counter = tables::BACKUP_COUNTERS.get(cx.view, &(user,))?;
    let version = counter.as_ref().map_or(1, |row| row.value.saturating_add(1));
    tables::BACKUP_COUNTERS.require(&mut draft.batch, &(user,), counter.map(|row| row.version));
    tables::BACKUP_COUNTERS.put(&mut draft.batch, &(user,), &version);
    tables::BACKUPS.put(&mut draft.batch, &(user, version), &BackupRow { algorithm, auth_data, count: 0, etag: 0 });
    Ok(draft.commit(version))
}

/// `GET /room_keys/version`: the newest backup.
///
/// # Errors
/// `M_NOT_FOUND` when there is none.
pub fn current(cx: &Cx<'_>, user_id: &UserId) -> Result<Backup, Stop> {
    let newest = tables::BACKUPS.scan_back(cx.view, &(cx.user(user_id),)).next().transpose()?;
    let ((_, version), row) = newest.ok_or_else(|| Reject::not_found("there is no key backup"))?;
    Ok(Backup { version, row: row.value })
}

/// `GET /room_keys/version/{version}`.
///
/// # Errors
/// `M_NOT_FOUND` when there is none of that version.
pub fn get(cx: &Cx<'_>, user_id: &UserId, version: &str) -> Result<Backup, Stop> {
    let (version, row) = find(cx, user_id, version)?;
    Ok(Backup { version, row: row.value })
}

/// `PUT /room_keys/version/{version}`: replaces `auth_data`. `raw` is the whole body.
///
/// # Errors
/// `M_NOT_FOUND`, `M_BAD_JSON`; `M_INVALID_PARAM` when the algorithm or the version would change.
pub fn update(cx: &Cx<'_>, user_id: &UserId, version: &str, raw: &RawValue) -> Decided<()> {
    #[derive(Deserialize)]
    struct Version {
        version: Option<String>,
    }
    let AlgorithmAndData { algorithm, auth_data } = parse_algorithm(raw)?;
    let in_body: Version = serde_json::from_str(raw.get()).map_err(|_| Reject::bad_json("`version` has to be text"))?;
    let (number, row) = find(cx, user_id, version)?;
    if in_body.version.is_some_and(|in_body| in_body != version) {
        return Err(Reject::invalid_param("the version in the body is not the one in the path").into());
    }
    if algorithm != row.value.algorithm {
        return Err(Reject::invalid_param("the algorithm of a backup can't be changed: make a new one").into());
    }
    let mut draft = Draft::new(*cx);
    let key = (cx.user(user_id), number);
    tables::BACKUPS.require(&mut draft.batch, &key, Some(row.version));
    tables::BACKUPS.put(&mut draft.batch, &key, &BackupRow { auth_data, ..row.value });
    Ok(draft.commit(()))
}

/// `DELETE /room_keys/version/{version}`, in steps: each deletes up to [`KEYS_PER_BATCH_MAX`] keys, and the last one the
/// backup itself. `true` when more is left: call again. Whatever stops it in between, the backup is whole and smaller.
///
/// # Errors
/// `M_NOT_FOUND` when there is none of that version.
pub fn delete_version(cx: &Cx<'_>, user_id: &UserId, version: &str) -> Decided<bool> {
    let (number, row) = find(cx, user_id, version)?;
    let mut draft = Draft::new(*cx);
    let (deleted, more) = delete_selected(&mut draft, user_id, number, &Selection::All)?;
    let key = (cx.user(user_id), number);
    tables::BACKUPS.require(&mut draft.batch, &key, Some(row.version));
    if more {
        tables::BACKUPS.put(&mut draft.batch, &key, &row.value.less(deleted));
    } else {
        tables::BACKUPS.delete(&mut draft.batch, &key);
    }
    Ok(draft.commit(more))
}

/// Deletes whatever backups the user has, in the steps of [`delete_version`]. `true` as long as there may be more: call again.
///
/// # Errors
/// [`Stop::Read`].
pub fn delete_all(cx: &Cx<'_>, user_id: &UserId) -> Decided<bool> {
    match tables::BACKUPS.scan_back(cx.view, &(cx.user(user_id),)).next().transpose()? {
        None => Ok(Decision::Done(false)),
        Some(((_, version), _)) => Ok(delete_version(cx, user_id, &version.to_string())?.map(|_| true)),
    }
}

/// `PUT /room_keys/keys…`: stores keys that are better than those stored.
///
/// # Errors
/// `M_WRONG_ROOM_KEYS_VERSION` unless `version` is the current one, `M_NOT_FOUND` when there is no backup, `M_BAD_JSON` for a
/// key of the wrong form, `M_TOO_LARGE` for more than [`KEYS_PER_BATCH_MAX`] of them.
pub fn put_keys(cx: &Cx<'_>, user_id: &UserId, version: &str, rooms: &RoomKeys) -> Decided<Counted> {
    let Backup { version: newest, .. } = current(cx, user_id)?;
    if version != newest.to_string() {
        return Err(Reject::WrongRoomKeysVersion { current_version: Some(newest.to_string()) }.into());
    }
    if rooms.values().map(BTreeMap::len).sum::<usize>() > KEYS_PER_BATCH_MAX {
        return Err(Reject::TooLarge(format!("send at most {KEYS_PER_BATCH_MAX} keys at once").into()).into());
    }
    let (number, backup) = find(cx, user_id, version)?;
    let mut draft = Draft::new(*cx);
    let user = cx.user(user_id);
    let (mut added, mut changed) = (0_u64, false);
    for (room_id, sessions) in rooms {
        for (session_id, data) in sessions {
            let new = rank(data)?;
            let key = (user, number, cx.room(room_id), cx.name(session_id));
            let stored = tables::BACKUP_KEYS.get(cx.view, &key)?;
            match &stored {
                Some(stored) if !new.is_better_than(&rank(&stored.value.data)?) => continue,
                Some(_) => {}
                None => added += 1,
            }
            changed = true;
            let row = BackupKeyRow {
                room_id: room_id.clone(),
                session_id: session_id.clone(),
                written: cx.now(),
                data: data.clone(),
            };
            tables::BACKUP_KEYS.put(&mut draft.batch, &key, &row);
        }
    }
    let mut counted = Counted { count: backup.value.count, etag: backup.value.etag, more: false };
    if !changed {
        return Ok(Decision::Done(counted));
    }
    let row = BackupRow { count: backup.value.count + added, etag: backup.value.etag + 1, ..backup.value };
    (counted.count, counted.etag) = (row.count, row.etag);
    tables::BACKUPS.require(&mut draft.batch, &(user, number), Some(backup.version));
    tables::BACKUPS.put(&mut draft.batch, &(user, number), &row);
    Ok(draft.commit(counted))
}

/// `GET /room_keys/keys…`: what is stored of a selection. Unknown rooms and sessions have nothing.
///
/// # Errors
/// `M_NOT_FOUND` when there is no backup of that version.
pub fn get_keys(cx: &Cx<'_>, user_id: &UserId, version: &str, selection: &Selection) -> Result<RoomKeys, Stop> {
    let (number, _) = find(cx, user_id, version)?;
    let mut rooms = RoomKeys::new();
    for found in selected(cx, user_id, number, selection) {
        let row = found?.1.value;
        rooms.entry(row.room_id).or_default().insert(row.session_id, row.data);
    }
    Ok(rooms)
}

/// `DELETE /room_keys/keys…`, in steps as [`delete_version`].
///
/// # Errors
/// `M_NOT_FOUND` when there is no backup of that version.
pub fn delete_keys(cx: &Cx<'_>, user_id: &UserId, version: &str, selection: &Selection) -> Decided<Counted> {
    let (number, row) = find(cx, user_id, version)?;
    let mut draft = Draft::new(*cx);
    let (deleted, more) = delete_selected(&mut draft, user_id, number, selection)?;
    if deleted == 0 {
        return Ok(Decision::Done(Counted { count: row.value.count, etag: row.value.etag, more: false }));
    }
    let key = (cx.user(user_id), number);
    let backup = row.value.less(deleted);
    tables::BACKUPS.require(&mut draft.batch, &key, Some(row.version));
    tables::BACKUPS.put(&mut draft.batch, &key, &backup);
    Ok(draft.commit(Counted { count: backup.count, etag: backup.etag, more }))
}

/// How much longer than its last message a session counts as needed: its row is rewritten this seldom, not with every message.
const SESSION_SLACK_MS: u64 = MEGOLM_ROTATION_MS;

/// Notes in the batch that appends an encrypted event which Megolm session it needs until it ends (D9): the row lives as long as
/// the last such event, and up to [`SESSION_SLACK_MS`] longer.
///
/// # Errors
/// When the store cannot be read.
pub fn ciphertext_appended(
    draft: &mut Draft<'_>,
    room_id: &RoomId,
    session_id: &str,
    needed: Timestamp,
) -> Result<(), ReadError> {
    let cx = draft.cx();
    let key = (cx.room(room_id), cx.name(session_id));
    if tables::MEGOLM_SESSIONS.get(cx.view, &key)?.is_none_or(|row| row.expires < needed) {
        // Its class lives that much longer than messages do.
        let class = cx.class_and_hour(class::TO_DEVICE, cx.left_ms(needed));
        tables::MEGOLM_SESSIONS.put(&mut draft.batch, &key, &(), class, needed.plus_ms(SESSION_SLACK_MS));
    }
    Ok(())
}

/// The users who have, or have had, a key backup: for a sweep, as [`expire_keys`] knows them.
///
/// # Errors
/// When the store cannot be read.
pub fn users_with_backups(cx: &Cx<'_>) -> Result<Vec<Name>, ReadError> {
    tables::BACKUP_COUNTERS.scan(cx.view, &()).map(|found| found.map(|((user,), _)| user)).collect()
}

/// Deletes keys of a user's backups whose last ciphertext has expired (D9), in steps: `true` when more may be left. A key
/// counts as needed for L after it was written: it may have come before the message that needs it.
///
/// # Errors
/// When the store cannot be read.
pub fn expire_keys(cx: &Cx<'_>, user: Name) -> Decided<bool> {
    let mut draft = Draft::new(*cx);
    let mut budget = KEYS_PER_BATCH_MAX;
    for found in tables::BACKUPS.scan(cx.view, &(user,)) {
        let ((_, number), backup) = found?;
        let mut deleted = 0;
        for found in tables::BACKUP_KEYS.scan(cx.view, &(user, number)) {
            let (key, row) = found?;
            if budget == 0 {
                break;
            }
            let due = row.value.written.plus_ms(cx.server.retention_ms) <= cx.now();
            if due && !tables::MEGOLM_SESSIONS.exists(cx.view, &(key.2, key.3))? {
                tables::BACKUP_KEYS.delete(&mut draft.batch, &key);
                deleted += 1;
                budget -= 1;
            }
        }
        if deleted > 0 {
            tables::BACKUPS.require(&mut draft.batch, &(user, number), Some(backup.version));
            tables::BACKUPS.put(&mut draft.batch, &(user, number), &backup.value.less(deleted));
        }
    }
    Ok(draft.commit(budget == 0))
}

/// Drafts the end of a room's keys in all backups of a user, as far as `budget` goes.
pub(crate) fn delete_room_keys(draft: &mut Draft<'_>, user: Name, room: Name, budget: &mut usize) -> Result<(), ReadError> {
    let cx = draft.cx();
    for found in tables::BACKUPS.scan(cx.view, &(user,)) {
        let ((_, number), backup) = found?;
        let mut deleted = 0;
        for found in tables::BACKUP_KEYS.scan(cx.view, &(user, number, room)).take(*budget) {
            tables::BACKUP_KEYS.delete(&mut draft.batch, &found?.0);
            deleted += 1;
            *budget -= 1;
        }
        if deleted > 0 {
            tables::BACKUPS.require(&mut draft.batch, &(user, number), Some(backup.version));
            tables::BACKUPS.put(&mut draft.batch, &(user, number), &backup.value.less(deleted));
        }
    }
    Ok(())
}

impl BackupRow {
    fn less(self, deleted: u64) -> Self {
        Self { count: self.count.saturating_sub(deleted), etag: self.etag + 1, ..self }
    }
}

impl KeyRank {
    /// Verified beats unverified, then the key that reads from an earlier message, then the one that came fewer hops.
    const fn is_better_than(&self, stored: &Self) -> bool {
        if self.is_verified != stored.is_verified {
            return self.is_verified;
        }
        if self.first_message_index != stored.first_message_index {
            return self.first_message_index < stored.first_message_index;
        }
        self.forwarded_count < stored.forwarded_count
    }
}

fn rank(data: &RawValue) -> Result<KeyRank, Reject> {
    serde_json::from_str(data.get())
        .map_err(|error| Reject::BadJson(format!("this is not a backed-up room key: {error}").into()))
}

fn find(cx: &Cx<'_>, user_id: &UserId, version: &str) -> Result<(u64, Row<BackupRow>), Stop> {
    let missing = || Reject::not_found("there is no key backup of this version");
    let number: u64 = version.parse().map_err(|_| missing())?;
    let row = tables::BACKUPS.get(cx.view, &(cx.user(user_id), number))?.ok_or_else(missing)?;
    Ok((number, row))
}

type SelectedKey = (Name, u64, Name, Name);
type Selected<'v> = Box<dyn Iterator<Item = Result<(SelectedKey, Row<BackupKeyRow>), ReadError>> + 'v>;

fn selected<'v>(cx: &Cx<'v>, user_id: &UserId, number: u64, selection: &Selection) -> Selected<'v> {
    let user = cx.user(user_id);
    match selection {
        Selection::All => Box::new(tables::BACKUP_KEYS.scan(cx.view, &(user, number))),
        Selection::Room(room_id) => Box::new(tables::BACKUP_KEYS.scan(cx.view, &(user, number, cx.room(room_id)))),
        Selection::Session(room_id, session_id) => {
            let key = (user, number, cx.room(room_id), cx.name(session_id));
            Box::new(
                tables::BACKUP_KEYS.get(cx.view, &key).transpose().map(move |row| row.map(|row| (key, row))).into_iter(),
            )
        }
    }
}

fn delete_selected(
    draft: &mut Draft<'_>,
    user_id: &UserId,
    number: u64,
    selection: &Selection,
) -> Result<(u64, bool), Stop> {
    let cx = draft.cx();
    let mut deleted = 0;
    for found in selected(&cx, user_id, number, selection) {
        let (key, _) = found?;
        if deleted == KEYS_PER_BATCH_MAX as u64 {
            return Ok((deleted, true));
        }
        tables::BACKUP_KEYS.delete(&mut draft.batch, &key);
        deleted += 1;
    }
    Ok((deleted, false))
}
