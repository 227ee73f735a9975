//! Positions and moments. Only this crate does arithmetic on [`Seq`].

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of a committed batch: 1 for the first, without gaps. Everything a batch wrote carries its `Seq`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(u64);

impl Seq {
    /// Before the first batch.
    pub const ZERO: Self = Self(0);
    /// Past every batch; in a key being built it stands for "the commit's own", see [`Stamp::of_commit`].
    pub const MAX: Self = Self(u64::MAX);

    /// A position read back from its number, as a token or a row carries it.
    #[must_use]
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The number, for a token or a log line.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The position before this one.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of one record in the order of all: the batch that wrote it, and its number in that batch.
///
/// Encoded in 10 bytes, big-endian, so that keys order by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// The batch.
    pub seq: Seq,
    /// The record's number within the batch.
    pub index: u16,
}

impl Stamp {
    /// Before every record.
    pub const ZERO: Self = Self { seq: Seq::ZERO, index: 0 };
    /// Past every record.
    pub const MAX: Self = Self { seq: Seq::MAX, index: u16::MAX };

    /// A stamp whose `seq` is filled in when its batch is applied.
    #[must_use]
    pub const fn of_commit(index: u16) -> Self {
        Self { seq: Seq::MAX, index }
    }

    /// The stamp of record `index` of the batch `seq`.
    #[must_use]
    pub const fn new(seq: Seq, index: u16) -> Self {
        Self { seq, index }
    }

    /// The last place a batch can write to: everything up to and with `seq` is at or before it.
    #[must_use]
    pub const fn end_of(seq: Seq) -> Self {
        Self { seq, index: u16::MAX }
    }

    /// The next place after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        match self.index.checked_add(1) {
            Some(index) => Self { seq: self.seq, index },
            None => Self { seq: self.seq.next(), index: 0 },
        }
    }
}

/// A moment: milliseconds since the Unix epoch, by the server's clock. It always comes in as an argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Past every moment: a row that never expires.
    pub const NEVER: Self = Self(u64::MAX);

    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// This moment and `ms` milliseconds.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// This moment less `ms` milliseconds.
    #[must_use]
    pub const fn minus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms))
    }
}
