//! Orders about what is kept and what is gone.

use std::path::PathBuf;

use engine::{LONGER, class, erase};
use journal::Class;
use ruma::{OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Progress;
use crate::app::App;
use crate::backup;
use crate::http::ApiError;
use crate::prove::{self, Places, What};
use crate::root_key;
use crate::workers::erasure;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromiseOrder {
    /// Whether something is gone from every file.
    Prove {
        /// What.
        what: What,
        /// Backups to look through as well.
        backups: Vec<PathBuf>,
    },
    /// Erase at once.
    Erase(Target),
    /// Make a backup, or bring one up to date.
    Backup {
        /// Where.
        folder: PathBuf,
    },
    /// Wrap the keyring by a new root key.
    RotateRootKey {
        /// Where the new one is written; in the old one's place if absent.
        to: Option<PathBuf>,
    },
}

/// Who or what is erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A user.
    User(String),
    /// A room.
    Room(String),
}

/// Carries one out.
///
/// # Errors
/// A sentence for the operator.
pub async fn execute(app: &App, order: PromiseOrder, progress: &Progress) -> Result<Value, ApiError> {
    match order {
        PromiseOrder::Prove { what, backups } => prove(app, what, backups, progress).await,
        PromiseOrder::Erase(target) => erase(app, target, progress).await,
        PromiseOrder::Backup { folder } => {
            let (app, progress) = (app.clone(), progress.clone());
            let made = tokio::task::spawn_blocking(move || backup::backup(&app, &folder, &*progress)).await;
            let about = made.map_err(ApiError::internal)?.map_err(told)?;
            serde_json::to_value(about).map_err(ApiError::internal)
        }
        PromiseOrder::RotateRootKey { to } => {
            let app = app.clone();
            let rotated = tokio::task::spawn_blocking(move || {
                let keyring = app.journal.sealer().keyring();
                root_key::rotate(&app.config, keyring, app.given_root_key.as_ref(), to.as_deref())
            });
            let path = rotated.await.map_err(ApiError::internal)?.map_err(told)?;
            Ok(json!({ "root_key": path }))
        }
    }
}

/// What is in each of the first retention classes, in the order of [`engine::class`].
const CLASSES: [&str; 10] = [
    "events",
    "messages to devices",
    "files",
    "login tokens and the like",
    "deliveries",
    "the day's uploads",
    "events of rooms that keep them for half as long",
    "a quarter",
    "an eighth",
    "a sixteenth",
];

/// What is in a retention class.
fn what(class: Class) -> String {
    let kept = |what: &str, times: u64| format!("{what} of accounts that keep text {times} times as long");
    let longer = class::LONGER.into_iter().zip(LONGER).map(|(class, times)| (class, kept("events", times)));
    let and_hour = class::LONGER_AND_HOUR.into_iter().zip(LONGER);
    let and_hour = and_hour.map(|(class, times)| (class, kept("messages to devices and ends of counts", times)));
    let first = (0..).map(Class).zip(CLASSES.map(str::to_owned));
    first.chain(longer).chain(and_hour).find(|(known, _)| *known == class).map_or_else(String::new, |(_, what)| what)
}

/// What expires when, and how much there is of it. Classes that nothing is in are left out.
///
/// # Errors
/// When the store cannot be read.
pub(super) async fn status(app: &App) -> Result<Value, ApiError> {
    let sealer = app.journal.sealer();
    let (classes, epochs) = (sealer.classes(), sealer.keyring().epochs());
    let usage = app.journal.usage().map_err(ApiError::internal)?;
    let (files, file_bytes) = app.media.usage().await?;
    let classes = classes.iter().filter_map(|(class, retention)| {
        let ends: Vec<_> = epochs.iter().filter(|epoch| epoch.class == class).map(|epoch| classes.ends_at(*epoch)).collect();
        let bytes: u64 = usage.buckets.iter().filter(|bucket| bucket.0 == class).map(|bucket| bucket.2).sum();
        let about = json!({
            "class": class.0,
            "what": what(class),
            "lifetime_ms": retention.lifetime_ms,
            "epochs": ends.len(),
            "bytes": bytes,
            "next_key_destroyed_at": ends.iter().min(),
            "last_key_destroyed_at": ends.iter().max(),
        });
        (!ends.is_empty() || bytes > 0).then_some(about)
    });
    Ok(json!({
        "now": app.clock.now(),
        "lifetime_ms": app.server.retention_ms,
        "slot_ms": sealer.classes().slot_ms(),
        "classes": classes.collect::<Vec<_>>(),
        "lasting_bytes": usage.lasting_bytes,
        "files": files,
        "file_bytes": file_bytes,
        "next_erasure_at": app.read(|cx| Ok(erase::next_due(cx)?))?,
    }))
}

fn told(error: impl std::fmt::Display) -> ApiError {
    ApiError::operator(error.to_string())
}

async fn prove(app: &App, what: What, backups: Vec<PathBuf>, progress: &Progress) -> Result<Value, ApiError> {
    if let Some(missing) = backups.iter().find(|folder| !folder.is_dir()) {
        return Err(told(format!("{} is no folder", missing.display())));
    }
    let places = Places { data: app.config.server.data.clone(), media: app.media.clone(), backups };
    let (journal, progress) = (app.journal.clone(), progress.clone());
    let proved = tokio::task::spawn_blocking(move || prove::prove(&journal, &what, &places, &*progress)).await;
    let report = proved.map_err(ApiError::internal)?.map_err(told)?;
    serde_json::to_value(report).map_err(ApiError::internal)
}

async fn erase(app: &App, target: Target, progress: &Progress) -> Result<Value, ApiError> {
    let name = match &target {
        Target::User(user_id) => {
            let user_id = OwnedUserId::try_from(user_id.as_str()).map_err(|_| told("write a user id as @name:server"))?;
            app.run(|cx| erase::erase_user(cx, &user_id)).await?
        }
        Target::Room(room_id) => {
            let room_id = OwnedRoomId::try_from(room_id.as_str()).map_err(|_| told("write a room id as !id:server"))?;
            app.run(|cx| erase::erase_room(cx, &room_id)).await?
        }
    };
    progress("nobody finds it any more; deleting what hangs on it".to_owned());
    erasure::complete(app, &[name]).await?;
    progress("rewriting the journal's files without it".to_owned());
    erasure::scrub(app).await?;
    Ok(json!({ "erased": target }))
}
