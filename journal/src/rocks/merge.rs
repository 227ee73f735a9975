//! Several families read as one, in key order.

use rocksdb::DBRawIteratorWithThreadMode;

use super::store::Db;
use crate::{Direction, ReadError, stored::StoredRow};

/// One family's rows of a range.
pub(super) struct Cursor<'a> {
    rows: DBRawIteratorWithThreadMode<'a, Db>,
    direction: Direction,
}

impl<'a> Cursor<'a> {
    /// At the first row; the range is in the iterator's own bounds.
    pub(super) fn new(mut rows: DBRawIteratorWithThreadMode<'a, Db>, direction: Direction) -> Self {
        match direction {
            Direction::Forward => rows.seek_to_first(),
            Direction::Backward => rows.seek_to_last(),
        }
        Self { rows, direction }
    }

    fn advance(&mut self) {
        match self.direction {
            Direction::Forward => self.rows.next(),
            Direction::Backward => self.rows.prev(),
        }
    }
}

/// The rows of all cursors. Of two rows with one key the newer version counts (the writer leaves only one; this makes sure).
pub(super) struct Merge<'a> {
    /// Those that still have rows.
    cursors: Vec<Cursor<'a>>,
    direction: Direction,
    table: &'static str,
}

impl<'a> Merge<'a> {
    pub(super) fn new(cursors: Vec<Cursor<'a>>, direction: Direction, table: &'static str) -> Result<Self, ReadError> {
        let mut merge = Self { cursors, direction, table };
        merge.drop_finished()?;
        Ok(merge)
    }

    /// Hands the next row's stored key and bytes to `read`; `None` at the end.
    pub(super) fn next_with<T>(
        &mut self,
        read: impl FnOnce(&[u8], &[u8]) -> Result<T, ReadError>,
    ) -> Option<Result<T, ReadError>> {
        let first = self.first()?;
        let (key, bytes) = self.cursors[first].rows.item()?;
        let answer = read(key, bytes);
        let moved = if self.cursors.len() == 1 {
            self.cursors[first].advance();
            self.drop_finished()
        } else {
            let key = key.to_vec();
            for cursor in &mut self.cursors {
                if cursor.rows.key() == Some(&key) {
                    cursor.advance();
                }
            }
            self.drop_finished()
        };
        Some(moved.and(answer))
    }

    /// The cursor whose row comes first, and of several with the same key the one with the newest version.
    fn first(&self) -> Option<usize> {
        let order = |a: &Cursor<'_>, b: &Cursor<'_>| {
            let keys = match self.direction {
                Direction::Forward => a.rows.key().cmp(&b.rows.key()),
                Direction::Backward => b.rows.key().cmp(&a.rows.key()),
            };
            keys.then_with(|| version(b).cmp(&version(a)))
        };
        (0..self.cursors.len()).min_by(|a, b| order(&self.cursors[*a], &self.cursors[*b]))
    }

    fn drop_finished(&mut self) -> Result<(), ReadError> {
        let mut failure = Ok(());
        self.cursors.retain(|cursor| {
            if cursor.rows.valid() {
                return true;
            }
            if let Err(error) = cursor.rows.status() {
                failure = Err(ReadError::Store(format!("table {}: {error}", self.table)));
            }
            false
        });
        failure
    }
}

fn version(cursor: &Cursor<'_>) -> Option<crate::Seq> {
    cursor.rows.value().and_then(StoredRow::decode).map(|row| row.seq)
}
