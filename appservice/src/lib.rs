//! The application-service side of the Matrix API, and nothing else: no policy, no storage, no cryptography.
//!
//! Three parts, each usable without the others:
//!
//! - [`registration`]: the YAML file that tells a homeserver about an application service;
//! - [`router`]: receives what the homeserver pushes (transactions, user and alias queries, pings) and hands it to an
//!   [`Appservice`], which must make a transaction durable before it answers;
//! - [`client`]: calls the homeserver with the application service's token, as one of its users and devices.
//!
//! Spec: Application Service API v1.17 and MSC2409 (ephemeral), MSC4203 (to-device), MSC3202 (device lists and key
//! counts), MSC4190 (device management) and MSC4326 (device masquerading).

pub mod client;
pub mod registration;
pub mod router;
mod secret;
pub mod transaction;

pub use client::{CallError, Homeserver, Identity};
pub use registration::RegistrationFile;
pub use router::{Accepted, Appservice, Unavailable};
pub use secret::Token;
pub use transaction::Transaction;
