//! Several families read as one, in key order.

use rocksdb::DBRawIteratorWithThreadMode;

use super::store::Db;
use crate::{Direction, ReadError, Seq, stored::StoredRow};

/// One family's rows of a range, standing at one of them.
pub(super) struct Cursor<'a> {
    rows: DBRawIteratorWithThreadMode<'a, Db>,
    direction: Direction,
    /// The key it stands at: compared often, and asking the store for it costs more than the comparison.
    key: Vec<u8>,
}

impl<'a> Cursor<'a> {
    /// At the first row, `None` if there is none; the range is in the iterator's own bounds.
    pub(super) fn new(
        mut rows: DBRawIteratorWithThreadMode<'a, Db>,
        direction: Direction,
    ) -> Result<Option<Self>, rocksdb::Error> {
        match direction {
            Direction::Forward => rows.seek_to_first(),
            Direction::Backward => rows.seek_to_last(),
        }
        let mut cursor = Self { rows, direction, key: Vec::new() };
        Ok(cursor.read_key()?.then_some(cursor))
    }

    /// To the next row, if there is one.
    fn advance(&mut self) -> Result<bool, rocksdb::Error> {
        match self.direction {
            Direction::Forward => self.rows.next(),
            Direction::Backward => self.rows.prev(),
        }
        self.read_key()
    }

    fn read_key(&mut self) -> Result<bool, rocksdb::Error> {
        let Some(key) = self.rows.key() else { return self.rows.status().map(|()| false) };
        self.key.clear();
        self.key.extend_from_slice(key);
        Ok(true)
    }

    fn version(&self) -> Option<Seq> {
        self.rows.value().and_then(StoredRow::decode).map(|row| row.seq)
    }
}

/// The rows of all cursors. Of two rows with one key the newer version counts (the writer leaves only one; this makes sure).
pub(super) struct Merge<'a> {
    /// Those that still have rows.
    cursors: Vec<Cursor<'a>>,
    /// The cursor whose row was handed out last, and whether no other stands at that key. It moves on when the next row is
    /// asked for: the way there can lead over thousands of deleted rows, and most who ask for the first want no second.
    given: Option<(usize, bool)>,
}

impl<'a> Merge<'a> {
    pub(super) const fn new(cursors: Vec<Cursor<'a>>) -> Self {
        Self { cursors, given: None }
    }

    /// Hands the next row's stored key and bytes to `read`; `None` at the end.
    pub(super) fn next_with<T>(
        &mut self,
        read: impl FnOnce(&[u8], &[u8]) -> Result<T, ReadError>,
    ) -> Option<Result<T, ReadError>> {
        if let Some(given) = self.given.take()
            && let Err(error) = self.leave(given)
        {
            return Some(Err(ReadError::Store(error.into_string())));
        }
        let (first, alone) = self.first()?;
        let cursor = self.cursors.get(first)?;
        self.given = Some((first, alone));
        Some(read(&cursor.key, cursor.rows.value()?))
    }

    /// Moves on from the row that was handed out.
    fn leave(&mut self, (number, alone): (usize, bool)) -> Result<(), rocksdb::Error> {
        let Some(cursor) = self.cursors.get_mut(number) else { return Ok(()) };
        if !alone {
            let key = cursor.key.clone();
            return self.pass(&key);
        }
        if !cursor.advance()? {
            self.cursors.swap_remove(number);
        }
        Ok(())
    }

    /// The cursor whose row comes first, of several with the same key the one with the newest version; and whether no other
    /// has that key.
    fn first(&self) -> Option<(usize, bool)> {
        let mut cursors = self.cursors.iter().enumerate();
        let (mut first, mut best) = cursors.next()?;
        let mut alone = true;
        for (number, cursor) in cursors {
            let order = match cursor.direction {
                Direction::Forward => cursor.key.cmp(&best.key),
                Direction::Backward => best.key.cmp(&cursor.key),
            };
            if order.is_lt() || order.is_eq() && cursor.version() > best.version() {
                (first, best) = (number, cursor);
            }
            alone = order.is_lt() || order.is_gt() && alone;
        }
        Some((first, alone))
    }

    /// Moves every cursor that stands at `key`.
    fn pass(&mut self, key: &[u8]) -> Result<(), rocksdb::Error> {
        let mut failure = Ok(());
        self.cursors.retain_mut(|cursor| {
            cursor.key != key
                || cursor.advance().unwrap_or_else(|error| {
                    failure = Err(error);
                    false
                })
        });
        failure
    }
}
