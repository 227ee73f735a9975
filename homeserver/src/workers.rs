//! What runs beside the requests.

pub mod appservices;
pub mod backups;
pub mod sessions;

use crate::app::App;

/// Starts all of it.
pub fn start(app: &App) {
    appservices::start(app);
    backups::start(app);
    app.tasks.spawn(sessions::run(app.clone()));
}
