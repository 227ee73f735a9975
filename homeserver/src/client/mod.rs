//! The Client-Server API, one file per family of calls. Handlers are short: parse, run one engine function, answer.

mod versions;

use crate::http::Routes;

/// All families.
#[must_use]
pub fn routes() -> Routes {
    let routes = Routes::default();
    versions::routes(routes)
}
