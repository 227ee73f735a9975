//! HTTP: from a socket to a handler and back. Nothing else knows of statuses, headers and paths.

mod acme;
pub mod cors;
pub mod error;
pub mod limits;
pub mod linger;
pub mod listen;
pub mod panics;
pub mod requester;
pub mod router;
pub mod tls;

pub use error::{ApiError, empty_response, json_response};
pub use requester::{Access, Answer, RawRequest, Ruma, StreamRequest};
pub use router::Routes;
