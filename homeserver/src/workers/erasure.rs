//! Carries out erasures (D5): of participants whose session has been over for L, and what the operator has asked for.

use engine::erase;
use journal::Name;

use crate::app::App;
use crate::http::ApiError;

/// Erasures looked up together.
const TOGETHER: usize = 100;

/// Begins what is due and carries out all that has begun. Answers how many ended: what they left in files is to be scrubbed.
///
/// # Errors
/// 503 when the journal cannot be used; the next call goes on.
pub async fn carry_out(app: &App) -> Result<usize, ApiError> {
    while app.run(erase::erase_due).await? {}
    let mut ended = 0;
    loop {
        let begun = app.read(|cx| Ok(erase::begun(cx, TOGETHER)?))?;
        if begun.is_empty() {
            return Ok(ended);
        }
        for name in begun {
            if !finish(app, name).await? {
                return Ok(ended);
            }
            ended += 1;
        }
    }
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

/// Rewrites the files of the journal, so that nothing of what was deleted is left in them.
///
/// # Errors
/// When the store refuses.
pub async fn scrub(app: &App) -> Result<(), ApiError> {
    let (journal, now) = (app.journal.clone(), app.clock.now());
    let scrubbed = tokio::task::spawn_blocking(move || journal.scrub(now)).await;
    scrubbed.map_err(ApiError::internal)?.map_err(ApiError::internal)
}
