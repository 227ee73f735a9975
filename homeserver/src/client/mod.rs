//! The Client-Server API, one file per family of calls. Handlers are short: parse, run one engine function, answer.

mod account;
mod account_data;
mod appservice;
mod body;
mod cross_signing;
mod dehydrated_device;
mod delayed;
mod devices;
mod directory;
mod events;
mod filters;
mod interactive;
mod keys;
mod me;
mod media;
mod members;
mod messages;
mod notifications;
mod presence;
mod profile;
mod push_rules;
mod receipts;
mod register;
mod relations;
mod room_keys;
mod rooms;
mod search;
mod send;
mod server;
mod session;
mod sliding_sync;
mod spaces;
mod sync;
mod to_device;
mod typing;
mod user_directory;
mod versions;

use crate::http::Routes;
use crate::{platform, server_keys};

const FAMILIES: &[fn(Routes) -> Routes] = &[
    account::routes,
    account_data::routes,
    appservice::routes,
    cross_signing::routes,
    dehydrated_device::routes,
    delayed::routes,
    devices::routes,
    directory::routes,
    events::routes,
    filters::routes,
    keys::routes,
    me::routes,
    media::routes,
    members::routes,
    messages::routes,
    notifications::routes,
    presence::routes,
    profile::routes,
    push_rules::routes,
    receipts::routes,
    register::routes,
    relations::routes,
    room_keys::routes,
    rooms::routes,
    search::routes,
    send::routes,
    server::routes,
    session::routes,
    sliding_sync::routes,
    spaces::routes,
    sync::routes,
    to_device::routes,
    typing::routes,
    user_directory::routes,
    versions::routes,
];

/// All families, the platform API, and what other servers may ask.
#[must_use]
pub fn routes() -> Routes {
    FAMILIES.iter().fold(server_keys::routes(platform::routes(Routes::default())), |routes, family| family(routes))
}
