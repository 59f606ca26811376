//! The number format of cached keys and values.

use std::fmt;
use std::str::FromStr;

/// The number format of cached keys and values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CacheFormat {
    /// 32-bit floating point: numbers are stored as they are.
    #[default]
    F32,
    /// Half precision: half the memory. Each number is rounded once, when it is appended, to eleven significant bits,
    /// to nearest, ties to even. Magnitudes above 65,504 become 65,504, infinity too: an infinite value would turn the
    /// results of queries into NaN that do not even attend to it.
    F16,
    /// Signed bytes with a scale for every 32 components of a key or value, as in the number format of that name: a
    /// good quarter of the memory.
    Q8_0,
}

impl CacheFormat {
    /// All of them.
    pub const ALL: [CacheFormat; 3] = [CacheFormat::F32, CacheFormat::F16, CacheFormat::Q8_0];

    /// The name, as [`CacheFormat::from_str`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            CacheFormat::F32 => "f32",
            CacheFormat::F16 => "f16",
            CacheFormat::Q8_0 => "q8_0",
        }
    }

    /// Bytes of some numbers, with their scales.
    pub fn bytes_of(self, numbers: usize) -> usize {
        match self {
            CacheFormat::F32 => 4 * numbers,
            CacheFormat::F16 => 2 * numbers,
            CacheFormat::Q8_0 => numbers + numbers / 32 * size_of::<f32>(),
        }
    }
}

impl fmt::Display for CacheFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The error of a name that no [`CacheFormat`] has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheFormatError {
    asked: String,
}

impl fmt::Display for CacheFormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = CacheFormat::ALL.into_iter().map(CacheFormat::name).collect();
        write!(f, "unknown format of cached keys and values {:?}; known are {}", self.asked, names.join(", "))
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
