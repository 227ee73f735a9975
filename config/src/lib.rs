//! Configuration: one file and the environment, read once at the start.
//!
//! [`homeserver`] is `vestibule.toml`. The bridge has a file of its own and builds it from the same parts: [`source`] reads a
//! file and the environment into any form, [`units`] and [`network`] are values written as people write them.

pub mod homeserver;
pub mod network;
pub mod source;
pub mod units;

pub use homeserver::{
    Acme, Appservices, Audit, Config, Contact, Jwt, Limits, Listen, Log, LogFormat, Media, Previews, Registration,
    Retention, Rooms, S3, Server, Tls, Webhooks,
};
pub use network::Network;
pub use source::{ConfigError, Vars};
pub use units::{Bytes, Hidden, Span};
