//! The Client-Server API, one file per family of calls. Handlers are short: parse, run one engine function, answer.

mod body;
mod events;
mod members;
mod messages;
mod notifications;
mod presence;
mod receipts;
mod relations;
mod sync;
mod typing;
mod versions;

use crate::http::Routes;

/// All families.
#[must_use]
pub fn routes() -> Routes {
    let routes = Routes::default();
    let routes = events::routes(routes);
    let routes = members::routes(routes);
    let routes = messages::routes(routes);
    let routes = notifications::routes(routes);
    let routes = presence::routes(routes);
    let routes = receipts::routes(routes);
    let routes = relations::routes(routes);
    let routes = sync::routes(routes);
    let routes = typing::routes(routes);
    versions::routes(routes)
}
