//! Activations as whole multiples of a step that a span of them shares, so that whole numbers can be multiplied with the
//! weights' own.

use std::cell::RefCell;

use crate::simd::{Kernel, LANES, Lanes, fold_sum};

/// Inputs of an [`InputBlock`].
pub(crate) const BLOCK: usize = 32;

/// How many bits an integer has.
pub(crate) trait Precision: Copy + Default + Send + Sync + 'static {
    /// Sixteen inputs as the products want them.
    type Words: Copy + Default + Send + Sync;
    /// The largest integer.
    const LARGEST: f32;
    /// Blocks of a row that share a step: a span. The last of the row may have fewer.
    const SPAN_BLOCKS: usize;

    /// Arranges sixteen integers.
    fn words<S: Lanes>(s: S, x: S::I) -> Self::Words;
    /// For each of `R` rows, in each lane the sum of `16 · N` products with weights of at most `MAX`.
    fn dot<S: Lanes, const N: usize, const MAX: u32, const R: usize>(
        s: S,
        weights: &[[S::I; 4]; N],
        inputs: [&[Self::Words; N]; R],
    ) -> [S::I; R];
    /// Hands over a buffer that this thread keeps.
    fn with_room<R>(body: impl FnOnce(&mut Vec<InputBlock<Self>>) -> R) -> R;
}

/// Integers in `-127..=127`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Int8;

/// Integers in `-32512..=32512`: `255 · 127 + 127`, so that two signed bytes can hold one.
#[derive(Clone, Copy, Default)]
pub(crate) struct Int16;

impl Precision for Int8 {
    type Words = [u32; 4];
    const LARGEST: f32 = 127.0;
    const SPAN_BLOCKS: usize = 1;

    #[inline(always)]
    fn words<S: Lanes>(s: S, x: S::I) -> [u32; 4] {
        s.inputs8(x)
    }
    #[inline(always)]
    fn dot<S: Lanes, const N: usize, const MAX: u32, const R: usize>(
        s: S,
        weights: &[[S::I; 4]; N],
        inputs: [&[[u32; 4]; N]; R],
    ) -> [S::I; R] {
        s.dot8::<N, MAX, R>(weights, inputs)
    }
    fn with_room<R>(body: impl FnOnce(&mut Vec<InputBlock<Int8>>) -> R) -> R {
        thread_local!(static ROOM: RefCell<Vec<InputBlock<Int8>>> = const { RefCell::new(Vec::new()) });
        ROOM.with_borrow_mut(body)
    }
}

impl Precision for Int16 {
    type Words = [u32; 8];
    const LARGEST: f32 = 32512.0;
    const SPAN_BLOCKS: usize = 4;

    #[inline(always)]
    fn words<S: Lanes>(s: S, x: S::I) -> [u32; 8] {
        s.inputs16(x)
    }
    #[inline(always)]
    fn dot<S: Lanes, const N: usize, const MAX: u32, const R: usize>(
        s: S,
        weights: &[[S::I; 4]; N],
        inputs: [&[[u32; 8]; N]; R],
    ) -> [S::I; R] {
        s.dot16::<N, R>(weights, inputs)
    }
    fn with_room<R>(body: impl FnOnce(&mut Vec<InputBlock<Int16>>) -> R) -> R {
        thread_local!(static ROOM: RefCell<Vec<InputBlock<Int16>>> = const { RefCell::new(Vec::new()) });
        ROOM.with_borrow_mut(body)
    }
}

/// Which of an [`InputBlock`]'s sums is that over all of it.
pub(crate) const ALL: usize = 2;

/// [`BLOCK`] inputs: `x = step · p` with whole `p`.
#[derive(Clone, Copy, Default)]
pub(crate) struct InputBlock<P: Precision> {
    /// The integers, in halves of sixteen.
    pub(crate) words: [P::Words; 2],
    /// What `p = 1` is worth, the same in all blocks of a span.
    pub(crate) step: f32,
    /// `Σp` over each half, and over all.
    pub(crate) sums: [f32; 3],
}

/// Rounds some blocks of the rows of one tile to integers.
pub(crate) struct Quantize<'a, P: Precision> {
    /// `[rows, inputs]`, with fewer rows than a tile where there are no more.
    pub(crate) x: &'a [f32],
    pub(crate) inputs: usize,
    pub(crate) tile_rows: usize,
    /// The first of the blocks; a span begins there.
    pub(crate) first: usize,
    /// `[blocks][tile_rows]`; what is there for missing rows stays.
    pub(crate) out: &'a mut [InputBlock<P>],
}

impl<P: Precision> Kernel for Quantize<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        assert!(
            self.first.is_multiple_of(P::SPAN_BLOCKS),
            "spans are the same however blocks are shared out"
        );
        let blocks = self.out.len() / self.tile_rows;
        for (row, x) in self.x.chunks_exact(self.inputs).enumerate() {
            let (x, _) = x[self.first * BLOCK..][..blocks * BLOCK].as_chunks::<LANES>();
            let (x, _) = x.as_chunks::<2>();
            for (x, out) in x.chunks(P::SPAN_BLOCKS).zip(self.out.chunks_mut(P::SPAN_BLOCKS * self.tile_rows))
            {
                let most = largest(s, x.as_flattened());
                let inverse = P::LARGEST / most;
                // Nothing but zeros, or so small that it counts as zero; or NaN, which the step keeps.
                let inverse = s.splat(if inverse.is_finite() { inverse } else { 0.0 });
                for (x, out) in x.iter().zip(out[row..].iter_mut().step_by(self.tile_rows)) {
                    round_block(s, x, inverse, out);
                    out.step = most / P::LARGEST;
                }
            }
        }
    }
}

/// The largest magnitude, NaN if a number is not finite.
#[inline(always)]
fn largest<S: Lanes>(s: S, x: &[[f32; LANES]]) -> f32 {
    let zero = s.splat(0.0);
    let (mut most, mut poison) = (zero, zero);
    for x in x {
        let x = s.load(x);
        most = s.max(most, s.max(x, s.sub(zero, x)));
        // Zero, but NaN where a number is not finite, which must not be lost in a maximum.
        poison = s.mul_add(x, zero, poison);
    }
    let mut sizes = [0.0; LANES];
    s.store(s.add(most, poison), &mut sizes);
    // The bits of numbers that are not negative are in the numbers' order, with NaN the largest.
    f32::from_bits(sizes.into_iter().fold(0, |most, size| most.max(size.to_bits())))
}

/// Rounds one block to whole multiples of `1 / inverse`; the step is left to the caller.
#[inline(always)]
fn round_block<S: Lanes, P: Precision>(s: S, x: &[[f32; LANES]; 2], inverse: S::F, out: &mut InputBlock<P>) {
    let (largest, smallest) = (s.splat(P::LARGEST), s.splat(-P::LARGEST));
    for (half, x) in x.iter().enumerate() {
        let p = s.max(s.min(s.round(s.mul(s.load(x), inverse)), largest), smallest);
        out.words[half] = P::words(s, s.to_integer(p));
        let mut lanes = [0.0; LANES];
        s.store(p, &mut lanes);
        // Exact, as all sums of whole numbers below 2²⁴ are.
        out.sums[half] = fold_sum(lanes);
    }
    out.sums[ALL] = out.sums[0] + out.sums[1];
}
