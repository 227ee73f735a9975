//! The Client-Server API, one file per family of calls. Handlers are short: parse, run one engine function, answer.

mod body;
mod directory;
mod events;
mod media;
mod members;
mod messages;
mod notifications;
mod presence;
mod receipts;
mod relations;
mod rooms;
mod send;
mod sync;
mod typing;
mod versions;

use crate::http::Routes;

const FAMILIES: &[fn(Routes) -> Routes] = &[
    directory::routes,
    events::routes,
    media::routes,
    members::routes,
    messages::routes,
    notifications::routes,
    presence::routes,
    receipts::routes,
    relations::routes,
    rooms::routes,
    send::routes,
    sync::routes,
    typing::routes,
    versions::routes,
];

/// All families.
#[must_use]
pub fn routes() -> Routes {
    FAMILIES.iter().fold(Routes::default(), |routes, family| family(routes))
}
