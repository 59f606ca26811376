//! Where the bytes of tensors lie: in memory of their own, in the program itself, or in a mapped file.
//!
//! Storage is cheap to clone and to slice; every clone keeps the bytes alive. A mapped file costs no memory until its
//! pages are read, and the system may drop them again, because the file still has them.
//!
//! **Hazard.** A mapped file must not be changed while it is in use. If another process shortens it, reading past its
//! new end raises SIGBUS and ends this process; if another process writes to it, values change under the reader.
//! Writers in this crate therefore never write into an existing file: they write beside it and rename.

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use crate::error::Error;

/// A range of bytes, shared.
#[derive(Clone)]
pub struct Storage {
    origin: Origin,
    range: Range<usize>,
}

#[derive(Clone)]
enum Origin {
    Bytes(Arc<Vec<u8>>),
    #[cfg(target_endian = "little")]
    Floats(Arc<Vec<f32>>),
    Static(&'static [u8]),
    Mapped(Arc<Mmap>),
}

impl Storage {
    /// Maps a file into memory, read-only. An empty file gives empty storage.
    pub fn map(path: impl AsRef<Path>) -> Result<Storage, Error> {
        let path = path.as_ref();
        // Looked at before opening, since opening a named pipe would wait for its writer.
        let metadata = std::fs::metadata(path).map_err(|source| Error::io(path, "open", source))?;
        if metadata.is_dir() {
            return Err(Error::io(path, "read", std::io::ErrorKind::IsADirectory.into()));
        }
        if !metadata.is_file() {
            return Err(Error::io(path, "map", std::io::Error::other("not a regular file")));
        }
        let file = File::open(path).map_err(|source| Error::io(path, "open", source))?;
        if metadata.len() == 0 {
            return Ok(Storage::from(Vec::new()));
        }
        // SAFETY: the mapping is read-only and we hand out only shared slices of it. What remains is the file being
        // changed by somebody else while it is mapped, which no program can rule out: the hazard is stated in the
        // documentation of this module and of everything that opens files.
        let map = unsafe { Mmap::map(&file) }.map_err(|source| Error::io(path, "map", source))?;
        let range = 0..map.len();
        Ok(Storage { origin: Origin::Mapped(Arc::new(map)), range })
    }

    /// Storage for f32 values, in little-endian order. On a little-endian machine nothing is copied.
    pub fn from_f32(values: Vec<f32>) -> Storage {
        #[cfg(target_endian = "little")]
        {
            let range = 0..values.len() * 4;
            Storage { origin: Origin::Floats(Arc::new(values)), range }
        }
        #[cfg(not(target_endian = "little"))]
        Storage::from(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        let all: &[u8] = match &self.origin {
            Origin::Bytes(bytes) => bytes,
            #[cfg(target_endian = "little")]
            Origin::Floats(values) => {
                // SAFETY: the pointer and the length are those of one live allocation of `4 * len` initialised bytes,
                // a byte has no alignment, and the result borrows `self`, which keeps the allocation alive.
                unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), values.len() * 4) }
            }
            Origin::Static(bytes) => bytes,
            Origin::Mapped(map) => map,
        };
        &all[self.range.clone()]
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// A part of these bytes, without copying; `None` if `range` is not inside `0..self.len()`.
    pub fn slice(&self, range: Range<usize>) -> Option<Storage> {
        if range.start > range.end || range.end > self.len() {
            return None;
        }
        let range = self.range.start + range.start..self.range.start + range.end;
        Some(Storage { origin: self.origin.clone(), range })
    }

    /// Whether the bytes lie in a mapped file.
    pub fn is_mapped(&self) -> bool {
        matches!(self.origin, Origin::Mapped(_))
    }

    /// Tells the system that these bytes of a mapped file will not be read soon, so that it takes their memory back.
    ///
    /// They can still be read, from the file again. Only whole pages inside `range` are released. Does nothing for
    /// storage that is not mapped, for a range outside it, and on systems other than Unix.
    pub fn release_pages(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let (Origin::Mapped(map), Some(part)) = (&self.origin, self.slice(range)) {
            const PAGE: usize = 4096;
            let start = part.range.start.next_multiple_of(PAGE);
            let end = part.range.end / PAGE * PAGE;
            if start < end {
                let advice = memmap2::UncheckedAdvice::DontNeed;
                // SAFETY: MADV_DONTNEED loses what was written to private pages. This mapping is read-only, so every
                // page can be read from the file again and no reference sees other bytes than before; where pages are
                // larger than 4096 bytes, releasing a neighbour as well costs only its reading again.
                let released = unsafe { map.unchecked_advise_range(advice, start, end - start) };
                // Advice that is refused changes nothing but the memory in use.
                drop(released);
            }
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

impl From<Vec<u8>> for Storage {
    fn from(bytes: Vec<u8>) -> Storage {
        let range = 0..bytes.len();
        Storage { origin: Origin::Bytes(Arc::new(bytes)), range }
    }
}

impl From<&'static [u8]> for Storage {
    fn from(bytes: &'static [u8]) -> Storage {
        Storage { origin: Origin::Static(bytes), range: 0..bytes.len() }
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.origin {
            Origin::Bytes(_) => "bytes",
            #[cfg(target_endian = "little")]
            Origin::Floats(_) => "floats",
            Origin::Static(_) => "static",
            Origin::Mapped(_) => "mapped",
        };
        write!(f, "Storage({kind}, {:?})", self.range)
    }
}
