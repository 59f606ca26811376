//! Memory for packed weights: with the feature `mmap` large mappings in huge pages, cut up among the matrices.
//!
//! A generated token reads every weight once. With pages of 4 KiB that is far more than the translation lookaside
//! buffer covers, so each page costs a walk through the page tables. Pages of 2 MiB, which the system gives to mappings
//! that ask for them, are five hundred times fewer, and cause as many fewer page faults while the weights are loaded.
//! Most matrices are smaller than that, so they share mappings.
//!
//! [`Region`] owns the bytes and gives each of them out once; [`Blocks`] holds its part of one for ever.

use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;
use crate::pool::Team;

/// Where each matrix begins: at a multiple of this many bytes, a cache line.
const ALIGNMENT: usize = 64;

/// Bytes of memory, each allocated once.
struct Region {
    /// `len` bytes, valid until the region is dropped, aligned to [`ALIGNMENT`]; only reached by those whom `allocate`
    /// gave them to.
    start: NonNull<u8>,
    len: usize,
    used: Mutex<usize>,
    /// Frees the memory when dropped; never accessed.
    _memory: source::Memory,
}

// SAFETY: the pointer is only a number here: the region itself never reads or writes what it points at.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    fn new(len: usize) -> Result<Region, Error> {
        let (memory, start) = source::zeroed(len).map_err(|reason| Error::Memory { bytes: len, reason })?;
        Ok(Region { start, len, used: Mutex::new(0), _memory: memory })
    }

    /// The next `bytes` bytes, which nobody else was or will be given, if there are as many left.
    fn allocate(&self, bytes: usize) -> Option<NonNull<u8>> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let from = *used;
        *used =
            from.checked_add(bytes)?.checked_next_multiple_of(ALIGNMENT).filter(|&end| end <= self.len)?;
        // SAFETY: `from + bytes` is at most the region's length.
        Some(unsafe { self.start.add(from) })
    }
}

#[cfg(feature = "mmap")]
mod source {
    use std::ptr::NonNull;
    use std::sync::{Arc, Mutex, PoisonError, Weak};

    use super::{ALIGNMENT, Region};
    use crate::error::Error;

    pub(super) type Memory = memmap2::MmapMut;

    /// Bytes of a mapping that matrices share. Pages that are never written take no memory.
    pub(super) const SHARED: usize = 64 << 20;

    /// The mapping that the next matrix is allocated from, as long as a matrix lives in it.
    static CURRENT: Mutex<Weak<Region>> = Mutex::new(Weak::new());

    /// A mapping of `len` bytes. Mappings begin at pages, so they are aligned.
    pub(super) fn zeroed(len: usize) -> Result<(Memory, NonNull<u8>), String> {
        let mut map = Memory::map_anon(len).map_err(|error| error.to_string())?;
        #[cfg(target_os = "linux")]
        let _small_pages_do_too = map.advise(memmap2::Advice::HugePage);
        let start = NonNull::from(&mut map[..]).cast();
        Ok((map, start))
    }

    /// `bytes` bytes of a shared mapping, or of a mapping of their own.
    pub(super) fn allocate(bytes: usize) -> Result<(Arc<Region>, NonNull<u8>), Error> {
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(region) = current.upgrade()
            && let Some(start) = region.allocate(bytes)
        {
            return Ok((region, start));
        }
        let region = Arc::new(Region::new(bytes.next_multiple_of(ALIGNMENT).max(SHARED))?);
        let start = region.allocate(bytes).expect("the mapping is large enough");
        *current = Arc::downgrade(&region);
        Ok((region, start))
    }
}

#[cfg(not(feature = "mmap"))]
mod source {
    use std::alloc::{Layout, alloc_zeroed, dealloc};
    use std::ptr::NonNull;
    use std::sync::Arc;

    use super::{ALIGNMENT, Region};
    use crate::error::Error;

    /// Memory of the allocator.
    pub(super) struct Memory {
        start: NonNull<u8>,
        layout: Layout,
    }

    impl Drop for Memory {
        fn drop(&mut self) {
            // SAFETY: `zeroed` has allocated it with this layout, and it is dropped once.
            unsafe { dealloc(self.start.as_ptr(), self.layout) }
        }
    }

    /// `len` bytes, at least one.
    pub(super) fn zeroed(len: usize) -> Result<(Memory, NonNull<u8>), String> {
        let layout =
            Layout::from_size_align(len.max(1), ALIGNMENT).map_err(|_| "an impossible size".to_owned())?;
        // SAFETY: the layout has at least one byte.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) });
        let start = start.ok_or_else(|| "the allocator has no more".to_owned())?;
        Ok((Memory { start, layout }, start))
    }

    /// `bytes` bytes in a region of their own.
    pub(super) fn allocate(bytes: usize) -> Result<(Arc<Region>, NonNull<u8>), Error> {
        let region = Arc::new(Region::new(bytes.next_multiple_of(ALIGNMENT))?);
        let start = region.allocate(bytes).expect("the region is large enough");
        Ok((region, start))
    }
}

/// The blocks of a matrix, in such memory.
pub(crate) struct Blocks<B> {
    /// `len` blocks that are written, aligned, in a range that the region gave to this value alone; dangling if `len`
    /// is 0.
    start: NonNull<B>,
    len: usize,
    /// Keeps the memory; `None` if there is nothing to keep.
    _region: Option<Arc<Region>>,
    blocks: PhantomData<B>,
}

// SAFETY: the blocks are owned, as those of a `Vec` are.
unsafe impl<B: Send> Send for Blocks<B> {}
// SAFETY: as above.
unsafe impl<B: Sync> Sync for Blocks<B> {}

impl<B> Default for Blocks<B> {
    fn default() -> Blocks<B> {
        Blocks { start: NonNull::dangling(), len: 0, _region: None, blocks: PhantomData }
    }
}

impl<B: Copy + Send> Blocks<B> {
    /// `len` blocks, made in pieces of `piece` that are split over the team: `make(i, push)` calls `push` with
    /// each block of piece `i` in order.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is not enough, or the first error of `make`.
    ///
    /// # Panics
    /// If `piece` is zero, or not as many blocks are pushed as a piece has.
    pub(crate) fn build(
        team: &Team<'_>,
        len: usize,
        piece: usize,
        make: impl Fn(usize, &mut dyn FnMut(B)) -> Result<(), Error> + Sync,
    ) -> Result<Blocks<B>, Error> {
        const { assert!(align_of::<B>() <= ALIGNMENT) };
        if len == 0 {
            return Ok(Blocks::default());
        }
        let bytes = len.checked_mul(size_of::<B>()).filter(|&bytes| bytes <= isize::MAX as usize);
        let bytes = bytes.ok_or(Error::Memory { bytes: usize::MAX, reason: "an impossible size".into() })?;
        let (region, start) = source::allocate(bytes)?;
        let start: NonNull<B> = start.cast();
        // SAFETY: `allocate` gave `len` blocks of bytes, aligned by the assertion above, to this function alone, and
        // `region` keeps them; a `MaybeUninit` needs no value yet.
        let blocks: &mut [MaybeUninit<B>] =
            unsafe { std::slice::from_raw_parts_mut(start.cast().as_ptr(), len) };
        let failed = Mutex::new(None);
        team.run_on_pieces(blocks, piece, |i, out| {
            let mut places = out.iter_mut();
            let made = make(i, &mut |block| {
                places.next().expect("no more blocks than the piece has").write(block);
            });
            match made {
                Ok(()) => assert!(places.next().is_none(), "as many blocks as the piece has"),
                Err(error) => {
                    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        });
        if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        // Every piece was made without an error, so all its blocks are written.
        Ok(Blocks { start, len, _region: Some(region), blocks: PhantomData })
    }
}

impl<B> Deref for Blocks<B> {
    type Target = [B];

    fn deref(&self) -> &[B] {
        // SAFETY: `len` written, aligned blocks of this value alone, see the field, and `_region` keeps their memory.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<B> fmt::Debug for Blocks<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} blocks of {} bytes", self.len, size_of::<B>())
    }
}

#[cfg(test)]
mod tests {
    /// More than matrices share.
    const LARGE: usize = 65 << 20;

    use super::*;
    use crate::pool::Pool;
    use crate::simd::Level;

    #[test]
    fn blocks_keep_what_was_put_and_share_mappings() {
        let pool = Pool::new(3, Level::Scalar).unwrap();
        let build = |len: usize, first: u32| {
            let make = |i: usize, put: &mut dyn FnMut([u32; 3])| {
                (7 * i..len.min(7 * i + 7)).for_each(|n| put([first, n as u32, i as u32]));
                Ok(())
            };
            pool.enter(|team| Blocks::build(team, len, 7, make)).unwrap()
        };
        let all: Vec<_> = (0..100).map(|n| (n, build(n * 13, n as u32))).collect();
        for (n, blocks) in &all {
            assert_eq!(blocks.len(), n * 13);
            assert_eq!(blocks.as_ptr() as usize % align_of::<u32>(), 0);
            assert!(blocks.iter().enumerate().all(|(i, b)| *b == [*n as u32, i as u32, (i / 7) as u32]));
        }
        // Larger than a shared mapping.
        let large = build(LARGE / 12 + 1, 5);
        assert_eq!(large[LARGE / 12], [5, (LARGE / 12) as u32, (LARGE / 12 / 7) as u32]);
    }

    #[test]
    fn more_than_there_is_is_an_error() {
        let pool = Pool::new(1, Level::Scalar).unwrap();
        let build = |len| pool.enter(|team| Blocks::<[u64; 8]>::build(team, len, 1, |_, _| Ok(())).err());
        assert!(matches!(build(usize::MAX / 100), Some(Error::Memory { .. })));
        assert!(matches!(build(usize::MAX), Some(Error::Memory { .. })));
    }

    #[test]
    fn an_error_in_a_piece_is_the_error_of_all() {
        let pool = Pool::new(2, Level::Scalar).unwrap();
        let make = |i: usize, put: &mut dyn FnMut(u64)| {
            if i == 3 {
                return Err(Error::Rank { expected: 2, shape: vec![i] });
            }
            put(i as u64);
            Ok(())
        };
        let built = pool.enter(|team| Blocks::build(team, 8, 1, make).map(|blocks| blocks.len()));
        assert!(matches!(built, Err(Error::Rank { shape, .. }) if shape == [3]));
    }
}
