//! The engine: what may happen, as plain functions from a view and a command to a decision.
//!
//! No I/O, clock, randomness or async: time and random bytes come in with the command, and what is to change goes out
//! as one [`journal::Batch`]. Rules of the Matrix specification live here; HTTP does not.

mod cx;
mod decision;
mod draft;
mod due;
mod reject;
#[cfg(test)]
mod testing;
mod words;

pub mod account;
pub mod audit;
pub mod changes;
pub mod erase;
pub mod keys;
pub mod media;
pub mod outbox;
pub mod platform;
pub mod policy;
pub mod push;
pub mod receipts;
pub mod reports;
pub mod room;
pub mod sync;
pub mod tables;
pub mod timeline;
pub mod to_device;

pub use cx::{
    Appservice, Cx, Interest, LONGER, MEGOLM_ROTATION_MS, MINUTES_MS, OUTBOX_MARGIN_MS, Requester, Server, class,
    lifetimes_ms,
};
pub use decision::{Decided, Decision, Stop};
pub use draft::Draft;
pub use reject::{Message, Reject};
