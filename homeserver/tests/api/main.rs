//! The server through its sockets, one module per chapter.
#![expect(clippy::disallowed_methods, reason = "a test spawns by itself")]
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod admin;
mod appservice;
mod attack;
mod backup;
mod bad_input;
mod commands;
mod delayed;
mod details;
mod ended_sessions;
mod frame;
mod identities;
mod identity;
mod joining;
mod keys;
mod media;
mod messages;
mod openapi;
mod platform;
mod platform_calls;
mod platform_scripts;
mod previews;
mod push;
mod receipts;
mod retention;
mod rooms;
mod search;
mod spaces;
mod synapse;
mod sync;
mod tls;
mod trail;
mod upgrade;
mod v4_extensions;
mod v4_sync;
mod webhooks;
