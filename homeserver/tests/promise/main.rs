//! The promise: what is said and sent is gone after L, from every answer at the exact moment, from every file a little later, and from
//! backups with it.
#![expect(clippy::disallowed_methods, reason = "a test spawns by itself")]
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod backup;
mod canary;
mod clocks;
mod erase;
mod kills;
mod proof;
mod quota;
mod root_key;

use std::path::PathBuf;
use std::time::Duration;

use config::{Config, Span};
use homeserver::prove::{self, Places, Report, What};
use homeserver::workers::{backups, erasure, expiry};
use support::Server;

/// L in these tests.
pub const L: Duration = Duration::from_hours(1);

/// The length of a slot in these tests.
pub const SLOT: Duration = Duration::from_mins(1);

/// As much longer do keys of messages live.
pub const ROTATION: Duration = Duration::from_millis(engine::MEGOLM_ROTATION_MS);

/// Keeps messages for [`L`], in slots of [`SLOT`].
pub fn short_lived(config: &mut Config) {
    config.retention.lifetime = Span::from_secs(L.as_secs());
    config.retention.slot = Span::from_secs(SLOT.as_secs());
}

/// Looks for `what` in every file of the server's data folder and of backups.
#[must_use]
pub fn look(server: &Server, what: What, backups: &[PathBuf]) -> Report {
    let places = Places { data: server.data(), media: server.app.media.clone(), backups: backups.to_vec() };
    prove::prove(&server.app.journal, &what, &places, &|_| ()).expect("reads")
}

/// All that the workers do now and then.
pub async fn sweep(server: &Server) {
    backups::sweep(&server.app).await.expect("sweeps backups");
    erasure::sweep(&server.app).await.expect("erases");
    expiry::sweep(&server.app).await.expect("sweeps");
}
