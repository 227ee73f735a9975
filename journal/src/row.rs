//! What a read answers.

use crate::{Seq, Timestamp};

/// A row with its value: opened, decoded, and alive at the view's moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<V> {
    /// The value.
    pub value: V,
    /// The batch that wrote it; what a precondition names.
    pub version: Seq,
    /// From when nobody may read it; [`Timestamp::NEVER`] in a lasting table.
    pub expires: Timestamp,
}

/// A row whose value is opened but not decoded: a version byte, then the value's own form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRow {
    /// The opened bytes.
    pub bytes: Vec<u8>,
    /// The batch that wrote it.
    pub version: Seq,
    /// From when nobody may read it.
    pub expires: Timestamp,
}
