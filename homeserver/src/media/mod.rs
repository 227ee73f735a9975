//! Files: sealed bytes in an object store. Rules and rows are the engine's ([`engine::media`]).

pub mod place;
pub mod seal;
pub mod store;
pub mod thumbnail;

pub use place::{Home, Place};
pub use store::{MediaStore, StoreError};
