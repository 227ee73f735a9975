//! Carries out erasures (D5): of participants whose session has been over for L, and what the operator has asked for. Beside the sweep
//! of what has expired, so that no erasure, however long or broken, keeps a key from being destroyed in time (D3).

use std::collections::BTreeSet;
use std::time::Duration;

use engine::erase;
use journal::Name;

use super::due;
use crate::app::App;
use crate::http::ApiError;

/// Between two looks at least.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// After an erasure that failed: the others have been carried out, and it is tried again.
const PAUSE_AFTER_ERROR: Duration = Duration::from_mins(1);

/// What became of erasures.
#[derive(Debug, Default)]
pub struct Carried {
    /// How many ended.
    pub ended: usize,
    /// Which could not be gone on with: users, rooms and sessions.
    pub failed: BTreeSet<Name>,
}

/// Erases until the server ends: whenever somebody is due, and every minute what was begun and not ended.
pub async fn run(app: App) {
    loop {
        let pause = match sweep(&app).await {
            Ok(carried) if carried.failed.is_empty() => due::sleep_until(&app, erase::next_due).unwrap_or(PAUSE_AFTER_ERROR),
            Ok(_) => PAUSE_AFTER_ERROR,
            Err(error) => {
                tracing::error!(cause = error.cause(), "cannot erase who is due; trying again");
                PAUSE_AFTER_ERROR
            }
        };
        tokio::select! {
            () = app.tasks.ended() => return,
            () = tokio::time::sleep_until(app.clock.deadline(pause.max(PAUSE_MIN))) => {}
        }
    }
}

/// Carries out what is due and what has begun, and rewrites the journal's files if anything was erased since they were.
///
/// # Errors
/// 503 when the journal cannot be used; the next sweep goes on.
pub async fn sweep(app: &App) -> Result<Carried, ApiError> {
    let carried = carry_out(app).await?;
    if carried.ended > 0 {
        tracing::info!(ended = carried.ended, "erased whole");
    }
    // It stays due: the next start sees to it.
    if !app.tasks.is_ended() {
        scrub(app).await?;
    }
    Ok(carried)
}

/// Carries out what has begun, for somebody who waits for these.
///
/// # Errors
/// 500 when one of them failed.
pub async fn complete(app: &App, names: &[Name]) -> Result<(), ApiError> {
    let carried = carry_out(app).await?;
    if names.iter().any(|name| carried.failed.contains(name)) {
        return Err(ApiError::internal(
            "it is found no more, but not all that hangs on it could be deleted; that is tried again",
        ));
    }
    Ok(())
}

/// Begins what is due and carries out all that has begun. One that fails is told to the log, and does not stop the others.
async fn carry_out(app: &App) -> Result<Carried, ApiError> {
    let mut carried = Carried::default();
    for session in app.read(|cx| Ok(erase::due_sessions(cx)?))? {
        if let Err(error) = begin(app, session).await {
            failed(&error);
            carried.failed.insert(session.1);
        }
    }
    // Those of users begin those of rooms.
    let mut tried = BTreeSet::new();
    while let Some(name) = app.read(|cx| Ok(erase::begun(cx)?))?.into_iter().find(|name| !tried.contains(name)) {
        tried.insert(name);
        match finish(app, name).await {
            Ok(true) => carried.ended += 1,
            Ok(false) => break,
            Err(error) => {
                failed(&error);
                carried.failed.insert(name);
            }
        }
    }
    Ok(carried)
}

fn failed(error: &ApiError) {
    tracing::error!(cause = error.cause(), "an erasure could not be carried out; trying again");
}

/// Begins the erasures of a session's participants.
async fn begin(app: &App, session: erase::DueSession) -> Result<(), ApiError> {
    while app.run(|cx| erase::erase_due(cx, session)).await? {}
    Ok(())
}

/// Carries out one erasure; `false` when the server ends before it.
async fn finish(app: &App, name: Name) -> Result<bool, ApiError> {
    loop {
        let step = app.run(|cx| erase::step(cx, name)).await?;
        for object in &step.objects {
            app.media.remove(object).await;
        }
        if !step.more {
            return Ok(true);
        }
        if app.tasks.is_ended() {
            return Ok(false);
        }
    }
}

/// Rewrites the files of the journal if something was erased since they were, so that nothing of it is left in them.
///
/// # Errors
/// When the store refuses; it stays due.
pub async fn scrub(app: &App) -> Result<(), ApiError> {
    let Some(due) = app.read(|cx| Ok(erase::scrub_due(cx)?))? else { return Ok(()) };
    let (journal, now) = (app.journal.clone(), app.clock.now());
    let scrubbed = tokio::task::spawn_blocking(move || journal.scrub(now)).await;
    scrubbed.map_err(ApiError::internal)?.map_err(ApiError::internal)?;
    app.run(|cx| erase::scrubbed(cx, due)).await
}
