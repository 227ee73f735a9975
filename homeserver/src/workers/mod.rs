//! What the server does by itself, from rows that are on disk.

pub mod appservices;

use crate::app::App;

/// Starts all of it.
pub fn start(app: &App) {
    appservices::start(app);
}
