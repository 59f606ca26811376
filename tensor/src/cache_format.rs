//! In which number format attention remembers keys and values.

use std::fmt;
use std::str::FromStr;

/// The number format of cached keys and values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CacheFormat {
    /// 32-bit floating point: nothing is rounded.
    #[default]
    F32,
    /// Half precision: half the memory, each number rounded once, when it is appended, to the nearest of eleven
    /// significant bits, ties to even. What is larger than 65,504, infinity too, becomes 65,504 with its sign: an infinite
    /// value would make a NaN of the results of queries that may not even see it.
    F16,
}

impl CacheFormat {
    /// All of them.
    pub const ALL: [CacheFormat; 2] = [CacheFormat::F32, CacheFormat::F16];

    /// The name, as [`CacheFormat::from_str`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            CacheFormat::F32 => "f32",
            CacheFormat::F16 => "f16",
        }
    }

    /// Bytes a number takes.
    pub fn bytes(self) -> usize {
        match self {
            CacheFormat::F32 => 4,
            CacheFormat::F16 => 2,
        }
    }
}

impl fmt::Display for CacheFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is none of [`CacheFormat`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheFormatError {
    asked: String,
}

impl fmt::Display for CacheFormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = CacheFormat::ALL.into_iter().map(CacheFormat::name).collect();
        write!(
            f,
            "there is no format of cached keys and values called {:?}, only {}",
            self.asked,
            names.join(", ")
        )
    }
}

impl std::error::Error for CacheFormatError {}

impl FromStr for CacheFormat {
    type Err = CacheFormatError;

    fn from_str(name: &str) -> Result<CacheFormat, CacheFormatError> {
        let found = CacheFormat::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| CacheFormatError { asked: name.to_string() })
    }
}
