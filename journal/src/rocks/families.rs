//! The column families: what they are called, and which of them are there.

use std::{
    cmp::Reverse,
    collections::BTreeSet,
    sync::{Arc, PoisonError, RwLock},
};

use crate::{Class, ClassTable, Epoch, Timestamp};

/// Position, digest and form of the store: `RocksDB`'s own default family.
pub(super) const META: &str = rocksdb::DEFAULT_COLUMN_FAMILY_NAME;
/// All lasting rows.
pub(super) const LASTING: &str = "rows";

/// Some neighbouring slots of one class, stored in one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BucketId {
    /// First, so that buckets order by age.
    pub(super) first_slot: u32,
    pub(super) slots: u32,
    pub(super) class: Class,
}

impl BucketId {
    /// The bucket that rows of `epoch` are stored in.
    pub(super) fn of(epoch: Epoch, classes: &ClassTable) -> Self {
        let slots = classes.slots_per_bucket(epoch.class);
        Self { first_slot: classes.bucket(epoch).saturating_mul(slots), slots, class: epoch.class }
    }

    /// The family's name. It says which slots it holds, so that a change of a class's lifetime cannot confuse buckets.
    pub(super) fn family(self) -> String {
        format!("e{:02x}{:08x}{:08x}", self.class.0, self.first_slot, self.slots)
    }

    pub(super) fn from_family(name: &str) -> Option<Self> {
        let digits = name.strip_prefix('e').filter(|digits| digits.len() == 18 && digits.is_ascii())?;
        let class = Class(u8::from_str_radix(&digits[..2], 16).ok()?);
        let first_slot = u32::from_str_radix(&digits[2..10], 16).ok()?;
        let slots = u32::from_str_radix(&digits[10..], 16).ok()?;
        let id = Self { first_slot, slots, class };
        (id.family() == name).then_some(id)
    }

    pub(super) const fn holds(self, epoch: Epoch) -> bool {
        epoch.class.0 == self.class.0 && epoch.slot >= self.first_slot && epoch.slot - self.first_slot < self.slots
    }

    /// From when nobody may read any row in it.
    pub(super) fn ends_at(self, classes: &ClassTable) -> Timestamp {
        let slot = self.first_slot.saturating_add(self.slots.max(1) - 1);
        classes.ends_at(Epoch { class: self.class, slot })
    }
}

/// A bucket that has a family.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) id: BucketId,
    pub(super) family: String,
    /// The tables that may have rows in it; a table that is not here has none. Only grows.
    tables: RwLock<BTreeSet<u16>>,
}

impl Bucket {
    pub(super) fn new(id: BucketId, tables: BTreeSet<u16>) -> Self {
        Self { id, family: id.family(), tables: RwLock::new(tables) }
    }

    pub(super) fn may_hold(&self, table: u16) -> bool {
        self.tables.read().unwrap_or_else(PoisonError::into_inner).contains(&table)
    }

    /// To be called before a row of `table` is written.
    pub(super) fn note(&self, table: u16) {
        if !self.may_hold(table) {
            self.tables.write().unwrap_or_else(PoisonError::into_inner).insert(table);
        }
    }
}

/// The buckets that are there, the newest first.
pub(super) type Buckets = Arc<Vec<Arc<Bucket>>>;

/// Sorted as [`Buckets`] are.
pub(super) fn newest_first(mut buckets: Vec<Arc<Bucket>>) -> Buckets {
    buckets.sort_by_key(|bucket| Reverse(bucket.id));
    Arc::new(buckets)
}
