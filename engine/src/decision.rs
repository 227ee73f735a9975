//! What a command comes to.

use std::fmt;

use journal::{Batch, ReadError};

use crate::Reject;

/// What a command decided. Nothing has happened yet.
pub enum Decision<T> {
    /// Commit the batch; when it is on disk, answer `output`.
    Commit {
        /// All that changes.
        batch: Batch,
        /// The answer.
        output: T,
    },
    /// Nothing has to change: answer at once.
    Done(T),
}

impl<T: fmt::Debug> fmt::Debug for Decision<T> {
    /// Without the batch: its values are plain.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit { output, .. } => f.debug_struct("Commit").field("output", output).finish_non_exhaustive(),
            Self::Done(output) => f.debug_tuple("Done").field(output).finish(),
        }
    }
}

impl<T> Decision<T> {
    /// The same decision with another answer.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Decision<U> {
        match self {
            Self::Commit { batch, output } => Decision::Commit { batch, output: f(output) },
            Self::Done(output) => Decision::Done(f(output)),
        }
    }
}

/// Why a command came to no decision.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The caller asked for what cannot be done.
    #[error(transparent)]
    Reject(#[from] Reject),
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// What every command function returns: a [`Decision`], or why there is none. `?` works on checks and on reads alike.
pub type Decided<T> = Result<Decision<T>, Stop>;
