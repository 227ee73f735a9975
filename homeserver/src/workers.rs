//! What runs beside the requests.

pub mod expiry;
pub mod sessions;
