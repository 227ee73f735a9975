//! Typed tables: a numbered id (never reused), a key form, a value form, and where its rows live.

use std::marker::PhantomData;

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Batch, Class, Direction, Key, KeyReader, KeyWriter, Prefix, ReadError, Row, ScanRange, Seq, Stamp, Timestamp, View,
};

/// Where the rows of a table live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Residence {
    /// Until deleted, sealed under the root data key.
    Lasting,
    /// Until they expire, sealed under the key of their epoch, in files that are dropped whole.
    Expiring,
}

/// What the journal has to know of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TableInfo {
    /// Leads every key of the table. Never reused.
    pub id: u16,
    /// For messages and documents.
    pub name: &'static str,
    /// Where its rows live.
    pub residence: Residence,
    /// The version of the value's form; written before every value.
    pub version: u8,
    /// True when no key is ever written twice (keys that hold a stamp): older buckets need not be searched on a write.
    pub append_only: bool,
}

/// Marks a lasting table.
#[derive(Debug)]
pub enum Lasting {}
/// Marks an expiring table.
#[derive(Debug)]
pub enum Expiring {}

/// Marks what a table is of, without owning any.
type Form<K, V, R> = fn() -> (K, V, R);

/// A table of rows `K → V`. `V` is stored as JSON behind a version byte.
#[derive(Debug)]
pub struct Table<K, V, R = Lasting> {
    info: TableInfo,
    form: PhantomData<Form<K, V, R>>,
}

impl<K, V> Table<K, V, Lasting> {
    /// A lasting table.
    #[must_use]
    pub const fn lasting(id: u16, name: &'static str) -> Self {
        let info = TableInfo { id, name, residence: Residence::Lasting, version: 1, append_only: false };
        Self { info, form: PhantomData }
    }
}

impl<K, V> Table<K, V, Expiring> {
    /// An expiring table whose rows may be written again.
    #[must_use]
    pub const fn expiring(id: u16, name: &'static str) -> Self {
        let info = TableInfo { id, name, residence: Residence::Expiring, version: 1, append_only: false };
        Self { info, form: PhantomData }
    }

    /// An expiring table whose keys are never written twice.
    #[must_use]
    pub const fn append_only(id: u16, name: &'static str) -> Self {
        let info = TableInfo { id, name, residence: Residence::Expiring, version: 1, append_only: true };
        Self { info, form: PhantomData }
    }
}

fn encode<K: Key>(key: &K) -> (Vec<u8>, Option<u16>) {
    let mut writer = KeyWriter::default();
    key.write(&mut writer);
    writer.finish()
}

fn encode_prefix<K: Key>(prefix: &impl Prefix<K>) -> Vec<u8> {
    let mut writer = KeyWriter::default();
    prefix.write(&mut writer);
    writer.finish().0
}

impl<K: Key, V: Serialize + DeserializeOwned, R> Table<K, V, R> {
    /// What the journal knows of it.
    #[must_use]
    pub const fn info(&self) -> &TableInfo {
        &self.info
    }

    /// The row at `key`, if there is one and it has not expired.
    ///
    /// # Errors
    /// [`ReadError`] when the store cannot be read or the row is damaged.
    pub fn get(&self, view: &dyn View, key: &K) -> Result<Option<Row<V>>, ReadError> {
        view.get_raw(&self.info, &encode(key).0)?.map(|raw| self.decode(&raw.bytes, raw.version, raw.expires)).transpose()
    }

    /// Whether there is a live row at `key`.
    ///
    /// # Errors
    /// As [`Table::get`].
    pub fn exists(&self, view: &dyn View, key: &K) -> Result<bool, ReadError> {
        Ok(view.get_raw(&self.info, &encode(key).0)?.is_some())
    }

    /// All live rows whose key starts with `prefix`, in key order.
    pub fn scan<'v>(&'v self, view: &'v dyn View, prefix: &impl Prefix<K>) -> Scan<'v, K, V> {
        self.scan_range(view, ScanRange::prefix(encode_prefix(prefix)))
    }

    /// The same from the last key down.
    pub fn scan_back<'v>(&'v self, view: &'v dyn View, prefix: &impl Prefix<K>) -> Scan<'v, K, V> {
        self.scan_range(view, ScanRange::prefix(encode_prefix(prefix)).backward())
    }

    /// Rows under `prefix` with keys at or after `from`.
    pub fn scan_from<'v>(&'v self, view: &'v dyn View, prefix: &impl Prefix<K>, from: &K) -> Scan<'v, K, V> {
        self.scan_range(view, ScanRange::prefix(encode_prefix(prefix)).from(encode(from).0))
    }

    /// Rows under `prefix` with keys at or before `from`, from there down.
    pub fn scan_back_from<'v>(&'v self, view: &'v dyn View, prefix: &impl Prefix<K>, from: &K) -> Scan<'v, K, V> {
        self.scan_range(view, ScanRange::prefix(encode_prefix(prefix)).from(encode(from).0).backward())
    }

    /// How many live rows start with `prefix`; values are not opened.
    ///
    /// # Errors
    /// As [`Table::get`].
    pub fn count(&self, view: &dyn View, prefix: &impl Prefix<K>) -> Result<u64, ReadError> {
        view.count_raw(&self.info, &encode_prefix(prefix))
    }

    /// Removes the row at `key` if there is one.
    pub fn delete(&self, batch: &mut Batch, key: &K) {
        batch.push_delete(&self.info, encode(key).0);
    }

    /// The batch commits only if the row at `key` is still of `version` (`None`: absent or expired).
    pub fn require(&self, batch: &mut Batch, key: &K, version: Option<Seq>) {
        batch.push_precondition(&self.info, encode(key).0, version);
    }

    fn scan_range<'v>(&'v self, view: &'v dyn View, range: ScanRange) -> Scan<'v, K, V> {
        let rows = view.scan_raw(&self.info, range);
        Scan { rows, version: self.info.version, table: self.info.name, form: PhantomData }
    }

    fn decode(&self, bytes: &[u8], version: Seq, expires: Timestamp) -> Result<Row<V>, ReadError> {
        decode_value(bytes, self.info.version, self.info.name).map(|value| Row { value, version, expires })
    }

    fn encode_value(&self, value: &V) -> Vec<u8> {
        let mut bytes = vec![self.info.version];
        // Rows are plain data with string keys: serde_json has no way to fail on them; a violation is our bug.
        if let Err(error) = serde_json::to_writer(&mut bytes, value) {
            unreachable!("a row of {} cannot be written: {error}", self.info.name);
        }
        bytes
    }
}

impl<K: Key, V: Serialize + DeserializeOwned> Table<K, V, Lasting> {
    /// Writes the row at `key`.
    pub fn put(&self, batch: &mut Batch, key: &K, value: &V) {
        let (key, stamp_at) = encode(key);
        batch.push_put(&self.info, key, stamp_at, self.encode_value(value), None);
    }
}

impl<K: Key, V: Serialize + DeserializeOwned> Table<K, V, Expiring> {
    /// Writes the row at `key` into the epoch of `class` at the batch's moment; nobody reads it from `expires` on
    /// (or from the end of the class's lifetime, if that comes first).
    pub fn put(&self, batch: &mut Batch, key: &K, value: &V, class: Class, expires: Timestamp) {
        let (key, stamp_at) = encode(key);
        batch.push_put(&self.info, key, stamp_at, self.encode_value(value), Some((class, expires)));
    }
}

fn decode_value<V: DeserializeOwned>(bytes: &[u8], version: u8, table: &'static str) -> Result<V, ReadError> {
    let (found, body) = bytes.split_first().ok_or(ReadError::Damaged { table })?;
    if *found != version {
        return Err(ReadError::Version { table, found: *found, known: version });
    }
    serde_json::from_slice(body).map_err(|_| ReadError::Damaged { table })
}

/// Typed rows of a scan.
pub struct Scan<'v, K, V> {
    rows: crate::RawScan<'v>,
    version: u8,
    table: &'static str,
    form: PhantomData<fn() -> (K, V)>,
}

impl<K: Key, V: DeserializeOwned> Iterator for Scan<'_, K, V> {
    type Item = Result<(K, Row<V>), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (key, raw) = match self.rows.next()? {
            Ok(row) => row,
            Err(error) => return Some(Err(error)),
        };
        let mut reader = KeyReader::new(&key);
        let table = self.table;
        let typed = K::read(&mut reader).and_then(|key| reader.finish().map(|()| key));
        Some(typed.map_err(|_| ReadError::Damaged { table }).and_then(|key| {
            let value = decode_value(&raw.bytes, self.version, table)?;
            Ok((key, Row { value, version: raw.version, expires: raw.expires }))
        }))
    }
}

impl ScanRange {
    fn from(mut self, key: Vec<u8>) -> Self {
        self.from = Some(key);
        self
    }

    fn backward(mut self) -> Self {
        self.direction = Direction::Backward;
        self
    }
}

impl Stamp {
    /// Where a row stands whose key does not hold its stamp but whose value knows its number in the batch.
    #[must_use]
    pub const fn of_row(version: Seq, index: u16) -> Self {
        Self::new(version, index)
    }
}
