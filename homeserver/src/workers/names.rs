//! Finishes what a new name or picture takes more than one batch for: the hosts of an organization, the rooms of a user.
//!
//! Whoever asked for it finishes it before the answer. This worker sees to what is left of requests that were broken off.

use std::time::Duration;

use engine::account::profile;
use engine::platform;
use ruma::UserId;

use crate::app::App;
use crate::http::ApiError;

/// How often it looks whether something was broken off; the first time at the start.
const EVERY: Duration = Duration::from_mins(1);

/// Runs until the server ends.
pub async fn run(app: App) {
    loop {
        if let Err(error) = finish(&app).await {
            tracing::error!(cause = error.cause(), "new names could not be written everywhere; trying again");
        }
        tokio::select! {
            () = app.tasks.ended() => return,
            () = tokio::time::sleep_until(app.clock.deadline(EVERY)) => {}
        }
    }
}

/// Finishes all of it.
///
/// # Errors
/// When the journal cannot be used.
pub async fn finish(app: &App) -> Result<(), ApiError> {
    for organization in app.read(|cx| Ok(platform::organizations_to_name(cx)?))? {
        while app.run(|cx| platform::continue_hosts(cx, organization)).await? {}
    }
    for user_id in app.read(|cx| Ok(profile::users_to_tell_of(cx)?))? {
        tell_rooms(app, &user_id).await?;
    }
    Ok(())
}

/// Goes on naming an organization's hosts until all are named.
///
/// # Errors
/// When the journal cannot be used.
pub async fn name_hosts(app: &App, organization: &str) -> Result<(), ApiError> {
    while app.run(|cx| platform::continue_hosts(cx, cx.name(organization))).await? {}
    Ok(())
}

/// Goes on telling the user's rooms of the name and picture until all know.
///
/// # Errors
/// When the journal cannot be used.
pub async fn tell_rooms(app: &App, user_id: &UserId) -> Result<(), ApiError> {
    while app.run(|cx| profile::continue_rooms(cx, user_id)).await? {}
    Ok(())
}
