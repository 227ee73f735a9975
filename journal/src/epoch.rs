//! Epochs: the unit of deletion. Everything sealed in one epoch becomes unreadable at once, when its key is destroyed.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// A retention class: a lifetime that rows of expiring tables share. Class numbers are stable: rows carry them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(pub u8);

/// How long a class lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Milliseconds from when a row is written until nobody may read it, at most.
    pub lifetime_ms: u64,
}

/// A retention class in one slot of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// The class.
    pub class: Class,
    /// `now / slot length`.
    pub slot: u32,
}

/// The lifetimes of the classes before they were changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// The first slot in which they no longer counted.
    pub until_slot: u32,
    /// By class.
    pub lifetimes_ms: Vec<u64>,
}

/// The classes of a journal and the length of a slot.
///
/// An epoch lives by the shortest lifetime that was in force from its slot until now: a longer one lengthens nothing that was
/// written before it, a shorter one holds for everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassTable {
    slot_ms: u64,
    classes: Vec<Retention>,
    /// Oldest first.
    earlier: Vec<Earlier>,
}

impl ClassTable {
    /// How many buckets a class's lifetime is cut into; files are dropped a bucket at a time.
    const BUCKETS_PER_LIFETIME: u64 = 24;

    /// Slots of `slot_ms` (at least 1), and the retention of class 0, 1, ….
    #[must_use]
    pub fn new(slot_ms: u64, classes: Vec<Retention>) -> Self {
        Self { slot_ms: slot_ms.max(1), classes, earlier: Vec::new() }
    }

    /// The same with what was in force before, oldest first.
    #[must_use]
    pub fn after(self, earlier: Vec<Earlier>) -> Self {
        Self { earlier, ..self }
    }

    /// What was in force before, oldest first.
    #[must_use]
    pub fn earlier(&self) -> &[Earlier] {
        &self.earlier
    }

    /// How long rows of `epoch` live, in milliseconds.
    #[must_use]
    pub fn lifetime_of(&self, epoch: Epoch) -> u64 {
        let class = usize::from(epoch.class.0);
        let before = self.earlier.iter().filter(|earlier| epoch.slot < earlier.until_slot);
        let before = before.filter_map(|earlier| earlier.lifetimes_ms.get(class).copied());
        before.fold(self.lifetime_ms(epoch.class), u64::min)
    }

    /// The length of a slot in milliseconds.
    #[must_use]
    pub const fn slot_ms(&self) -> u64 {
        self.slot_ms
    }

    /// All classes with their retention.
    pub fn iter(&self) -> impl Iterator<Item = (Class, Retention)> + '_ {
        (0..=u8::MAX).map(Class).zip(self.classes.iter().copied())
    }

    /// The lifetime of `class` in milliseconds; 0 for a class that does not exist.
    #[must_use]
    pub fn lifetime_ms(&self, class: Class) -> u64 {
        self.classes.get(usize::from(class.0)).map_or(0, |retention| retention.lifetime_ms)
    }

    /// The epoch that a row of `class` written at `now` belongs to.
    #[must_use]
    pub fn epoch(&self, class: Class, now: Timestamp) -> Epoch {
        Epoch { class, slot: u32::try_from(now.as_ms() / self.slot_ms).unwrap_or(u32::MAX) }
    }

    /// The moment from which no row of `epoch` may be read, and its key has to be destroyed.
    #[must_use]
    pub fn ends_at(&self, epoch: Epoch) -> Timestamp {
        let slot_end = (u64::from(epoch.slot) + 1).saturating_mul(self.slot_ms);
        Timestamp::from_ms(slot_end).plus_ms(self.lifetime_of(epoch))
    }

    /// Slots per bucket of `class`: a bucket is the lifetime / 24 long, rounded up to whole slots.
    #[must_use]
    pub fn slots_per_bucket(&self, class: Class) -> u32 {
        let bucket_ms = self.lifetime_ms(class) / Self::BUCKETS_PER_LIFETIME;
        u32::try_from(bucket_ms.div_ceil(self.slot_ms)).unwrap_or(u32::MAX).max(1)
    }

    /// The bucket (one family of files) that `epoch` is stored in.
    #[must_use]
    pub fn bucket(&self, epoch: Epoch) -> u32 {
        epoch.slot / self.slots_per_bucket(epoch.class)
    }

    /// The last epoch stored in bucket `bucket` of `class`.
    #[must_use]
    pub fn last_epoch_of(&self, class: Class, bucket: u32) -> Epoch {
        let slots = self.slots_per_bucket(class);
        Epoch { class, slot: bucket.saturating_mul(slots).saturating_add(slots - 1) }
    }
}
