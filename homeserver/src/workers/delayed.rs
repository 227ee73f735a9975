//! Sends events that have waited long enough (MSC4140).

use std::time::Duration;

use engine::room::delayed;

use super::due;
use crate::app::App;
use crate::http::ApiError;

/// Events looked at together; each is a batch of its own.
const TOGETHER: usize = 100;

/// Runs until the server ends.
pub async fn run(app: App) {
    due::keep_up(app, delayed::DELAYED_TOPIC, "delayed events", |app| Box::pin(send_due(app))).await;
}

/// Sends what is due now. Answers how long nothing will be.
///
/// # Errors
/// When the journal cannot be used.
pub async fn send_due(app: &App) -> Result<Duration, ApiError> {
    loop {
        let due = app.read(|cx| Ok(delayed::due(cx, TOGETHER)?))?;
        if due.is_empty() {
            return due::sleep_until(app, delayed::next_due);
        }
        for delay_id in due {
            app.run(|cx| delayed::send_due(cx, &delay_id)).await?;
        }
    }
}
