//! The homeserver: the asynchronous shell around the engine. HTTP, time, randomness, files and tasks live here; rules don't.

pub mod app;
pub mod appservices;
pub mod backup;
pub mod client;
pub mod clock;
pub mod connections;
pub mod control;
pub mod delivered;
pub mod egress;
pub mod entropy;
pub mod ephemeral;
pub mod http;
pub mod hub;
pub mod jwt;
pub mod media;
pub mod passwords;
pub mod platform;
pub mod previews;
pub mod prove;
pub mod root_key;
pub mod server_keys;
pub mod start;
pub mod tasks;
pub mod widget;
pub mod workers;
