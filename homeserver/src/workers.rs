//! What runs beside the requests.

pub mod sessions;
pub mod expiry;
