//! Ends sessions when they are over.
//!
//! A participant's tokens are worthless from the moment the session ends, with or without this worker: it wakes the requests that
//! still wait, and frees devices, tokens, pushers and keys.

use std::time::Duration;

use engine::platform;

use super::due;
use crate::app::App;
use crate::http::ApiError;

/// Sessions looked at together; each is a batch of its own.
const TOGETHER: usize = 100;

/// Runs until the server ends.
pub async fn run(app: App) {
    due::keep_up(app, platform::SESSIONS_TOPIC, "ends of sessions", |app| Box::pin(end_due(app))).await;
}

/// Ends what is over now. Answers how long nothing will be due.
///
/// # Errors
/// When the journal cannot be used.
pub async fn end_due(app: &App) -> Result<Duration, ApiError> {
    loop {
        let due = app.read(|cx| Ok(platform::due_sessions(cx, TOGETHER)?))?;
        if due.is_empty() {
            return due::sleep_until(app, platform::next_due);
        }
        for session in due {
            app.run(|cx| platform::end_session(cx, &session)).await?;
        }
    }
}
