//! What runs beside the requests.

pub mod appservices;
pub mod audit;
pub mod backups;
pub mod counts;
pub mod delayed;
mod due;
pub mod erasure;
pub mod expiry;
pub mod names;
pub mod push;
pub mod sessions;
pub mod webhooks;

use crate::app::App;

/// Starts all of it.
pub fn start(app: &App) {
    appservices::start(app);
    backups::start(app);
    app.tasks.spawn(audit::run(app.clone()));
    app.tasks.spawn(counts::run(app.clone()));
    app.tasks.spawn(delayed::run(app.clone()));
    app.tasks.spawn(erasure::run(app.clone()));
    app.tasks.spawn(expiry::run(app.clone()));
    app.tasks.spawn(names::run(app.clone()));
    app.tasks.spawn(push::run(app.clone()));
    app.tasks.spawn(sessions::run(app.clone()));
    app.tasks.spawn(webhooks::run(app.clone()));
}
