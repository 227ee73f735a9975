//! The order-preserving key codec: a key is a tuple of components, and the bytes of two keys compare as the tuples do.

use crate::{Name, Seq, Stamp};

/// Why bytes are not a key of the table they were found in: the store is damaged, or the table id was reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored key does not have its table's form")]
pub struct KeyError;

/// Writes the components of a key one after the other.
#[derive(Debug, Default)]
pub struct KeyWriter {
    bytes: Vec<u8>,
    stamp_at: Option<u16>,
}

impl KeyWriter {
    /// Appends raw bytes of a fixed-width component.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Marks that the next 8 bytes are the commit's own `seq`, filled in when the batch is applied.
    pub fn mark_stamp(&mut self) {
        self.stamp_at = u16::try_from(self.bytes.len()).ok();
    }

    /// The bytes, and where in them a stamp waits for its `seq`.
    #[must_use]
    pub fn finish(self) -> (Vec<u8>, Option<u16>) {
        (self.bytes, self.stamp_at)
    }
}

/// Reads the components of a key in order.
#[derive(Debug)]
pub struct KeyReader<'a>(&'a [u8]);

impl<'a> KeyReader<'a> {
    /// Over the bytes of a whole key.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`KeyError`] when fewer are left.
    pub fn take<const N: usize>(&mut self) -> Result<[u8; N], KeyError> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(KeyError)?;
        self.0 = tail;
        Ok(*head)
    }

    /// That nothing is left.
    ///
    /// # Errors
    /// [`KeyError`] when something is.
    pub const fn finish(self) -> Result<(), KeyError> {
        if self.0.is_empty() { Ok(()) } else { Err(KeyError) }
    }
}

/// One component of a key: of fixed width, so that concatenation keeps the order.
pub trait Component: Copy + Ord {
    /// Appends the component.
    fn write(&self, writer: &mut KeyWriter);
    /// Reads it back.
    ///
    /// # Errors
    /// [`KeyError`] when the bytes are not of this component's form.
    fn read(reader: &mut KeyReader<'_>) -> Result<Self, KeyError>;
}

macro_rules! unsigned_components {
    ($($type:ty),*) => {$(
        impl Component for $type {
            fn write(&self, writer: &mut KeyWriter) {
                writer.push(&self.to_be_bytes());
            }
            fn read(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
                reader.take().map(Self::from_be_bytes)
            }
        }
    )*};
}
unsigned_components!(u8, u16, u32, u64);

impl Component for Name {
    fn write(&self, writer: &mut KeyWriter) {
        writer.push(self.as_bytes());
    }
    fn read(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        reader.take().map(Self::from_bytes)
    }
}

impl Component for Seq {
    fn write(&self, writer: &mut KeyWriter) {
        writer.push(&self.as_u64().to_be_bytes());
    }
    fn read(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        reader.take().map(|bytes| Self::from_u64(u64::from_be_bytes(bytes)))
    }
}

impl Component for Stamp {
    fn write(&self, writer: &mut KeyWriter) {
        if self.seq == Seq::MAX {
            writer.mark_stamp();
        }
        self.seq.write(writer);
        writer.push(&self.index.to_be_bytes());
    }
    fn read(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Ok(Self { seq: Seq::read(reader)?, index: u16::from_be_bytes(reader.take()?) })
    }
}

/// A whole key of a table: a tuple of components.
pub trait Key: Clone + Ord {
    /// Appends all components.
    fn write(&self, writer: &mut KeyWriter);
    /// Reads all components.
    ///
    /// # Errors
    /// [`KeyError`] when the bytes are not of this key's form.
    fn read(reader: &mut KeyReader<'_>) -> Result<Self, KeyError>;
}

/// The leading components of a key `K`: what a scan is bounded by.
pub trait Prefix<K: Key> {
    /// Appends the components that are given.
    fn write(&self, writer: &mut KeyWriter);
}

impl<K: Key> Prefix<K> for () {
    fn write(&self, _: &mut KeyWriter) {}
}

macro_rules! tuple_keys {
    ($($name:ident . $index:tt),+) => {
        impl<$($name: Component),+> Key for ($($name,)+) {
            fn write(&self, writer: &mut KeyWriter) {
                $(self.$index.write(writer);)+
            }
            fn read(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
                Ok(($($name::read(reader)?,)+))
            }
        }
    };
}
tuple_keys!(A.0);
tuple_keys!(A.0, B.1);
tuple_keys!(A.0, B.1, C.2);
tuple_keys!(A.0, B.1, C.2, D.3);
tuple_keys!(A.0, B.1, C.2, D.3, E.4);

macro_rules! tuple_prefixes {
    ([$($part:ident . $index:tt),+] of [$($all:ident),+]) => {
        impl<$($all: Component),+> Prefix<($($all,)+)> for ($($part,)+) {
            fn write(&self, writer: &mut KeyWriter) {
                $(Component::write(&self.$index, writer);)+
            }
        }
    };
}
tuple_prefixes!([A.0] of [A, B]);
tuple_prefixes!([A.0] of [A, B, C]);
tuple_prefixes!([A.0, B.1] of [A, B, C]);
tuple_prefixes!([A.0] of [A, B, C, D]);
tuple_prefixes!([A.0, B.1] of [A, B, C, D]);
tuple_prefixes!([A.0, B.1, C.2] of [A, B, C, D]);
tuple_prefixes!([A.0] of [A, B, C, D, E]);
tuple_prefixes!([A.0, B.1] of [A, B, C, D, E]);
tuple_prefixes!([A.0, B.1, C.2] of [A, B, C, D, E]);
tuple_prefixes!([A.0, B.1, C.2, D.3] of [A, B, C, D, E]);

#[cfg(test)]
mod tests;
