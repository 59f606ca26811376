//! Where the bytes of tensors are: in memory, in the program itself, or in a file.
//!
//! Storage is cheap to clone and to slice; every clone keeps the bytes alive. The bytes of a file stay in the file:
//! each access reads the range it asks for, so a file of any size can be open in little memory. The system's page cache
//! makes that a copy in memory.
//!
//! **A file that changes while it is open.** Every read gives what the file holds at that moment. A writer that
//! replaces the file by renaming another, as those in this crate do, changes nothing for those who have it open. One
//! that writes into it changes what is read later, and if it shortens the file, reading past the new end is an
//! [`Error::Io`]. What was checked when a file was opened (that a tensor lies inside it, say) is not relied upon for
//! memory safety.
#![cfg_attr(
    feature = "mmap",
    doc = "\nA mapping gives the bytes without a copy, but rests on a promise about the file: [`Storage::map`]."
)]

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(feature = "mmap")]
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
    File(Arc<OpenFile>),
    #[cfg(feature = "mmap")]
    Mapped(Arc<Mmap>),
}

struct OpenFile {
    path: PathBuf,
    file: File,
}

impl Storage {
    /// The bytes of a file, read when they are asked for.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be opened or is not a regular file.
    pub fn open(path: impl AsRef<Path>) -> Result<Storage, Error> {
        let path = path.as_ref();
        let (file, len) = open_regular(path)?;
        Ok(Storage {
            origin: Origin::File(Arc::new(OpenFile { path: path.to_owned(), file })),
            range: 0..len,
        })
    }

    /// The bytes of a file, mapped into memory. Pages take memory once they are read, and the system may drop them
    /// again.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be opened or mapped, or is not a regular file.
    ///
    /// # Safety
    /// Nobody, in this process or another, may change or shorten the file while the storage or a clone of it lives:
    /// [`Storage::in_memory`] gives out its bytes as a slice, whose content must not change. A shortened file also ends
    /// the process by a signal when a page past its end is read. [`Storage::open`] asks for no such promise.
    #[cfg(feature = "mmap")]
    pub unsafe fn map(path: impl AsRef<Path>) -> Result<Storage, Error> {
        let path = path.as_ref();
        let (file, len) = open_regular(path)?;
        if len == 0 {
            return Ok(Storage::from(Vec::new()));
        }
        // SAFETY: the caller promises that the file does not change.
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

    /// The bytes: borrowed if they are in memory, else read from the file.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>, Error> {
        if let Some(bytes) = self.in_memory() {
            return Ok(Cow::Borrowed(bytes));
        }
        let mut bytes = vec![0; self.len()];
        self.read(0, &mut bytes)?;
        Ok(Cow::Owned(bytes))
    }

    /// The bytes, if they are in memory.
    pub fn in_memory(&self) -> Option<&[u8]> {
        let all: &[u8] = match &self.origin {
            Origin::Bytes(bytes) => bytes,
            #[cfg(target_endian = "little")]
            Origin::Floats(values) => {
                // SAFETY: the pointer and the length are those of one live allocation of `4 * len` initialised bytes,
                // a byte has no alignment, and the result borrows `self`, which keeps the allocation alive.
                unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), values.len() * 4) }
            }
            Origin::Static(bytes) => bytes,
            Origin::File(_) => return None,
            #[cfg(feature = "mmap")]
            Origin::Mapped(map) => map,
        };
        Some(&all[self.range.clone()])
    }

    /// Copies bytes `from..from + out.len()` to `out`.
    ///
    /// # Errors
    /// [`Error::Io`] if there are not as many, or the file cannot be read.
    pub fn read(&self, from: usize, out: &mut [u8]) -> Result<(), Error> {
        let inside = from.checked_add(out.len()).is_some_and(|end| end <= self.len());
        let too_short = || io::Error::from(io::ErrorKind::UnexpectedEof);
        match (&self.origin, self.in_memory()) {
            (Origin::File(open), _) => {
                let read = match inside {
                    true => read_exact_at(&open.file, out, (self.range.start + from) as u64),
                    false => Err(too_short()),
                };
                read.map_err(|source| Error::io(&open.path, "read", source))
            }
            (_, Some(bytes)) if inside => {
                out.copy_from_slice(&bytes[from..from + out.len()]);
                Ok(())
            }
            _ => Err(Error::io(Path::new("bytes in memory"), "read", too_short())),
        }
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

    /// Tells the system that these bytes of a mapped file will not be read soon, so that it takes their memory back.
    ///
    /// They can still be read, from the file again. Only whole pages inside `range` are released. Does nothing for
    /// storage that is not mapped, for a range outside it, and on systems other than Unix.
    pub fn release_pages(&self, range: Range<usize>) {
        #[cfg(all(unix, feature = "mmap"))]
        if let (Origin::Mapped(map), Some(part)) = (&self.origin, self.slice(range)) {
            const PAGE: usize = 4096;
            let start = part.range.start.next_multiple_of(PAGE);
            let end = part.range.end / PAGE * PAGE;
            if start < end {
                let advice = memmap2::UncheckedAdvice::DontNeed;
                // SAFETY: MADV_DONTNEED loses what was written to private pages. This mapping is read-only, so every
                // page can be read from the file again, and `map`'s caller has promised that the file is as it was;
                // where pages are larger than 4096 bytes, releasing a neighbour as well costs only its reading again.
                let released = unsafe { map.unchecked_advise_range(advice, start, end - start) };
                // Advice that is refused changes nothing but the memory in use.
                drop(released);
            }
        }
        #[cfg(not(all(unix, feature = "mmap")))]
        let _ = range;
    }
}

/// Opens a file and gives its length. What is not a regular file is an error, not a wait.
fn open_regular(path: &Path) -> Result<(File, usize), Error> {
    // Looked at before opening, since opening a named pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(|source| Error::io(path, "open", source))?;
    if metadata.is_dir() {
        return Err(Error::io(path, "read", io::ErrorKind::IsADirectory.into()));
    }
    if !metadata.is_file() {
        return Err(Error::io(path, "read", io::Error::other("not a regular file")));
    }
    let file = File::open(path).map_err(|source| Error::io(path, "open", source))?;
    let len = file.metadata().map_err(|source| Error::io(path, "open", source))?.len();
    let len =
        usize::try_from(len).map_err(|_| Error::io(path, "open", io::ErrorKind::FileTooLarge.into()))?;
    Ok((file, len))
}

/// Fills `out` from byte `at` on, whatever other threads read at the same time.
#[cfg(unix)]
fn read_exact_at(file: &File, out: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, at)
}

/// Fills `out` from byte `at` on, whatever other threads read at the same time.
#[cfg(windows)]
fn read_exact_at(file: &File, mut out: &mut [u8], mut at: u64) -> io::Result<()> {
    while !out.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, out, at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                out = &mut out[count..];
                at += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Fills `out` from byte `at` on. The position of a file belongs to all who read it, so they take turns.
#[cfg(not(any(unix, windows)))]
fn read_exact_at(mut file: &File, out: &mut [u8], at: u64) -> io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(out)
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
        let kind = match &self.origin {
            Origin::Bytes(_) => "bytes".into(),
            #[cfg(target_endian = "little")]
            Origin::Floats(_) => "floats".into(),
            Origin::Static(_) => "static".into(),
            Origin::File(open) => open.path.to_string_lossy(),
            #[cfg(feature = "mmap")]
            Origin::Mapped(_) => "mapped".into(),
        };
        write!(f, "Storage({kind}, {:?})", self.range)
    }
}
