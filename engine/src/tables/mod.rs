//! Every table of the server, by area. Ids are never reused: rooms 1–49, accounts 50–99, keys 100–149, sync 150–199,
//! media 200–219, platform 220–259, outbox 260–279, the server itself and what is searched 280–289, push 290–299,
//! administration 300–319, erasure 320–329, delayed events 330–339.

mod accounts;
mod admin;
mod delayed;
mod erasure;
mod keys;
mod media;
mod outbox;
mod platform;
mod platform_log;
mod push;
mod rooms;
mod search;
mod server;
mod sync;

pub use accounts::*;
pub use admin::*;
pub use delayed::*;
pub use erasure::*;
pub use keys::*;
pub use media::*;
pub use outbox::*;
pub use platform::*;
pub use platform_log::*;
pub use push::*;
pub use rooms::*;
pub use search::*;
pub use server::*;
pub use sync::*;
