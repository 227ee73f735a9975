//! Values written as people write them: `"24h"`, `"200MB"`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time: a whole number and a unit (`ms`, `s`, `m`, `h`, `d`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    ms: u64,
}

/// A number of bytes: a whole number and a unit (`B`, `kB`, `MB`, `GB`, `TB`: powers of 1000; `KiB`, `MiB`, `GiB`: of 1024).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes {
    bytes: u64,
}

/// A secret: it does not show where the configuration is printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(String);

impl Hidden {
    /// Wraps it.
    #[must_use]
    pub const fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}

/// Longest first, so that a value is printed with the largest unit that divides it.
const SPAN_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const BYTE_UNITS: [(&str, u64); 8] = [
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

impl Span {
    /// So many milliseconds.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self { ms }
    }

    /// So many seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self { ms: seconds * 1_000 }
    }

    /// Milliseconds.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.ms
    }

    /// As the standard library has it.
    #[must_use]
    pub const fn as_duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.ms)
    }
}

impl Bytes {
    /// So many bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self { bytes }
    }

    /// Bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.bytes
    }
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let factor = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn print(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let (name, factor) = units
        .iter()
        .find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor))
        .unwrap_or(&units[units.len() - 1]);
    write!(f, "{}{name}", value / factor)
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text, &SPAN_UNITS).map(Self::from_ms).ok_or_else(|| {
            format!(
                "\"{text}\" is not a length of time: write a whole number and a unit, such as \"24h\", \"10m\" or \"500ms\""
            )
        })
    }
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text, &BYTE_UNITS).map(Self::new).ok_or_else(|| {
            format!("\"{text}\" is not a size: write a whole number and a unit, such as \"200MB\", \"1GB\" or \"512KiB\"")
        })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, self.ms, &SPAN_UNITS)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, self.bytes, &BYTE_UNITS)
    }
}

macro_rules! as_text {
    ($type:ty) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}
as_text!(Span);
as_text!(Bytes);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_they_print() {
        for (text, ms) in [("24h", 86_400_000), ("10m", 600_000), ("20s", 20_000), ("500ms", 500), ("2d", 172_800_000)] {
            assert_eq!(text.parse::<Span>(), Ok(Span::from_ms(ms)), "{text}");
        }
        assert_eq!(Span::from_ms(86_400_000).to_string(), "1d");
        assert_eq!(Span::from_ms(600_000).to_string(), "10m");
        assert_eq!(Span::from_ms(1_500).to_string(), "1500ms");
    }

    #[test]
    fn sizes_read_as_they_print() {
        for (text, bytes) in
            [("200MB", 200_000_000), ("1GB", 1_000_000_000), ("64KiB", 65_536), ("7 B", 7), ("1mb", 1_000_000)]
        {
            assert_eq!(text.parse::<Bytes>(), Ok(Bytes::new(bytes)), "{text}");
        }
        assert_eq!(Bytes::new(200_000_000).to_string(), "200MB");
        assert_eq!(Bytes::new(65_536).to_string(), "64KiB");
    }

    #[test]
    fn what_is_neither_says_how_to_write_it() {
        for text in ["", "24", "h", "-1h", "1.5h", "24 fortnights", "99999999999999999999h", "18446744073709551615d"] {
            let error = text.parse::<Span>().expect_err(text);
            assert!(error.contains("such as"), "{error}");
        }
        for text in ["", "200", "200 X", "MB", "99999999999TB"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }
}
