//! End-to-end encryption, as far as the server goes: public keys and their signatures, who is told of them, key backup,
//! dehydrated devices ([spec v1.19, Client-Server API § End-to-End Encryption](https://spec.matrix.org/v1.19/client-server-api/#end-to-end-encryption)).
//!
//! Every signature that can be checked is checked when a key is uploaded (B4). Objects are kept as they were sent, unknown
//! fields and all: a field dropped would break the signatures on it.

mod cross_signing;
mod dehydrated;
mod device_keys;
mod device_lists;
mod identity;
mod one_time_keys;
mod query;
mod signatures;
mod signed_json;
#[cfg(test)]
pub(crate) mod tests;

pub mod backup;

pub use cross_signing::{UploadSigningKeys, Uploaded, upload_signing_keys};
pub use dehydrated::{
    DehydratedEvents, PutDehydratedDevice, dehydrated_device, dehydrated_events, delete_dehydrated_device,
    put_dehydrated_device,
};
pub use device_keys::{UploadKeys, upload};
pub use device_lists::{delete_device, device_list_changed, device_lists_between, device_lists_of_all};
pub use identity::{Identity, check_whole, delete_identity, write_identity};
pub use one_time_keys::{
    ClaimKeys, Claimed, Counts, claim, counts as one_time_key_counts, unused_fallback_types as unused_fallback_key_types,
};
pub use query::{FoundKeys, QueryKeys, query};
pub use signatures::{SignatureFailure, SignatureFailures, UploadSignatures, upload_signatures};

/// One-time keys of a device: twenty times what a client keeps ready.
pub const ONE_TIME_KEYS_MAX: usize = 1_000;

/// Users or devices in one request for keys: a room has fewer members, and a batch has to stay small.
pub const KEYS_PER_REQUEST_MAX: usize = 2_000;
