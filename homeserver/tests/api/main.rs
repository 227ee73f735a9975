//! The server through its sockets, one module per chapter.

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod frame;
mod media;
mod messages;
mod receipts;
mod sync;
