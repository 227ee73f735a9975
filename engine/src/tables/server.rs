//! What the data folder says of the server it belongs to.

use journal::Table;
use serde::{Deserialize, Serialize};

/// `(0)`: one row, written on the first start, read on every start.
pub static SERVER: Table<(u8,), ServerRow> = Table::lasting(280, "server");

/// The server that the data belongs to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerRow {
    /// Its name; in every id.
    pub name: String,
    /// The key that signs events: PKCS#8 in base64.
    pub signing_key: String,
    /// That key's version; in every signature's name.
    pub signing_key_version: String,
    /// L in milliseconds: rows' epochs rest on it.
    pub lifetime_ms: u64,
    /// The length of a slot in milliseconds: epochs' numbers rest on it.
    pub slot_ms: u64,
}

impl std::fmt::Debug for ServerRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerRow").field("name", &self.name).finish_non_exhaustive()
    }
}
