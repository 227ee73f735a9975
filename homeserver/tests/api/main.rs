//! The server through its sockets, one module per chapter.

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod appservice;
mod backup;
mod bad_input;
mod frame;
mod keys;
mod media;
mod platform;
