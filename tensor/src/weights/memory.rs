//! Memory for packed weights: large mappings in huge pages, cut up among the matrices.
//!
//! A generated token reads every weight once, far more than the processor's list of recently used pages covers while a
//! page has 4 KiB; then each page costs a walk through the page tables. Pages of 2 MiB, which the system gives to
//! mappings that ask for them, are five hundred times fewer, and come with as many fewer interruptions while the
//! weights are loaded. Most matrices are smaller than that, so they share mappings.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use memmap2::MmapMut;

use crate::error::Error;
use crate::pool::Team;

/// Bytes of a mapping that matrices share. What is not used of it takes no memory.
const SHARED: usize = 64 << 20;

/// Where each matrix begins: at a multiple of this many bytes, a cache line.
const ALIGNMENT: usize = 64;

/// The mapping that the next matrix is cut from, as long as a matrix lives in it.
static CURRENT: Mutex<Weak<Mapping>> = Mutex::new(Weak::new());

/// A mapping, and how many bytes of it are given away.
struct Mapping {
    start: NonNull<u8>,
    len: usize,
    used: Mutex<usize>,
    /// Unmaps it at the end; never looked into.
    _map: MmapMut,
}

// SAFETY: the pointer is only a number here: each stretch that it leads to is given away once, see `take`.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(len: usize) -> Result<Mapping, Error> {
        let failed = |e: std::io::Error| Error::Memory { bytes: len, reason: e.to_string() };
        let mut map = MmapMut::map_anon(len).map_err(failed)?;
        #[cfg(target_os = "linux")]
        let _small_pages_do_too = map.advise(memmap2::Advice::HugePage);
        let start = NonNull::from(&mut map[..]).cast();
        Ok(Mapping { start, len, used: Mutex::new(0), _map: map })
    }

    /// The next `bytes` bytes, zero and nobody else's, if there are as many left.
    fn take(&self, bytes: usize) -> Option<NonNull<u8>> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let from = *used;
        *used =
            from.checked_add(bytes)?.checked_next_multiple_of(ALIGNMENT).filter(|&end| end <= self.len)?;
        // SAFETY: `from + bytes` is at most the mapping's length.
        Some(unsafe { self.start.add(from) })
    }
}

/// `bytes` bytes of a shared mapping, or of one of their own.
fn take(bytes: usize) -> Result<(Arc<Mapping>, NonNull<u8>), Error> {
    let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(mapping) = current.upgrade()
        && let Some(start) = mapping.take(bytes)
    {
        return Ok((mapping, start));
    }
    let mapping = Arc::new(Mapping::new(bytes.next_multiple_of(ALIGNMENT).max(SHARED))?);
    let start = mapping.take(bytes).expect("the mapping is large enough");
    *current = Arc::downgrade(&mapping);
    Ok((mapping, start))
}

/// The blocks of a matrix, in such memory.
pub(crate) struct Blocks<B> {
    start: NonNull<B>,
    len: usize,
    /// `None` if there is nothing to keep.
    _memory: Option<Arc<Mapping>>,
    blocks: PhantomData<B>,
}

// SAFETY: the blocks are owned, as those of a `Vec` are.
unsafe impl<B: Send> Send for Blocks<B> {}
// SAFETY: as above.
unsafe impl<B: Sync> Sync for Blocks<B> {}

impl<B> Default for Blocks<B> {
    fn default() -> Blocks<B> {
        Blocks { start: NonNull::dangling(), len: 0, _memory: None, blocks: PhantomData }
    }
}

impl<B: Copy + Send> Blocks<B> {
    /// `len` blocks, made in pieces of `piece` that are shared out over the team: `make(i, put)` calls `put` with each
    /// block of piece `i` in order.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is not enough.
    ///
    /// # Panics
    /// If `piece` is zero, or not as many blocks are put as a piece has.
    pub(crate) fn build(
        team: &Team<'_>,
        len: usize,
        piece: usize,
        make: impl Fn(usize, &mut dyn FnMut(B)) + Sync,
    ) -> Result<Blocks<B>, Error> {
        const { assert!(align_of::<B>() <= ALIGNMENT) };
        if len == 0 {
            return Ok(Blocks::default());
        }
        let bytes = len.checked_mul(size_of::<B>()).filter(|&bytes| bytes <= isize::MAX as usize);
        let bytes = bytes.ok_or(Error::Memory { bytes: usize::MAX, reason: "an impossible size".into() })?;
        let (memory, start) = take(bytes)?;
        let start: NonNull<B> = start.cast();
        // SAFETY: the stretch is `len` blocks long, aligned, and this function's alone; its blocks need no value yet.
        let blocks: &mut [MaybeUninit<B>] =
            unsafe { std::slice::from_raw_parts_mut(start.cast().as_ptr(), len) };
        team.run_on_pieces(blocks, piece, |i, out| {
            let mut places = out.iter_mut();
            make(i, &mut |block| {
                places.next().expect("no more blocks than the piece has").write(block);
            });
            assert!(places.next().is_none(), "as many blocks as the piece has");
        });
        Ok(Blocks { start, len, _memory: Some(memory), blocks: PhantomData })
    }
}

impl<B> Deref for Blocks<B> {
    type Target = [B];

    fn deref(&self) -> &[B] {
        // SAFETY: `build` has written all `len` blocks, and the memory lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;
    use crate::simd::Level;

    #[test]
    fn blocks_keep_what_was_put_and_share_mappings() {
        let pool = Pool::new(3, Level::Scalar).unwrap();
        let build = |len: usize, first: u32| {
            let make = |i: usize, put: &mut dyn FnMut([u32; 3])| {
                (7 * i..len.min(7 * i + 7)).for_each(|n| put([first, n as u32, i as u32]));
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
        let large = build(SHARED / 12 + 1, 5);
        assert_eq!(large[SHARED / 12], [5, (SHARED / 12) as u32, (SHARED / 12 / 7) as u32]);
    }

    #[test]
    fn more_than_there_is_is_an_error() {
        let pool = Pool::new(1, Level::Scalar).unwrap();
        let build = |len| pool.enter(|team| Blocks::<[u64; 8]>::build(team, len, 1, |_, _| {}).err());
        assert!(matches!(build(usize::MAX / 100), Some(Error::Memory { .. })));
        assert!(matches!(build(usize::MAX), Some(Error::Memory { .. })));
    }
}
