//! Activations quantised to integers, one scale per span: the inputs of products with the weights' integers.

use std::cell::RefCell;

use crate::simd::{Int8, Int16, Kernel, LANES, Lanes, Precision, Tile, fold_sum};

/// Inputs of an [`InputBlock`].
pub(crate) const BLOCK: usize = 32;

/// Blocks of inputs in a span, which shares a scale.
pub(crate) const fn span_blocks<P: Precision>() -> usize {
    P::SPAN / BLOCK
}

/// Which of an [`InputBlock`]'s sums is that over all of it.
pub(crate) const ALL: usize = 2;

/// [`BLOCK`] inputs: `x = scale · p` with integers `p`.
#[derive(Clone, Copy, Default)]
pub(crate) struct InputBlock<P: Precision> {
    /// The integers, in halves of sixteen.
    pub(crate) words: [P::Words; 2],
    /// The same in all blocks of a span.
    pub(crate) scale: f32,
    /// `Σp` over each half, and over all.
    pub(crate) sums: [f32; 3],
}

/// A precision for whose blocks a thread keeps a scratch buffer.
pub(crate) trait InputPrecision: Precision {
    /// Calls `body` with the thread's scratch buffer.
    fn with_scratch<R>(body: impl FnOnce(&mut Vec<InputBlock<Self>>) -> R) -> R;
}

macro_rules! scratch_buffer {
    ($precision:ty) => {
        impl InputPrecision for $precision {
            fn with_scratch<R>(body: impl FnOnce(&mut Vec<InputBlock<Self>>) -> R) -> R {
                thread_local! {
                    static SCRATCH: RefCell<Vec<InputBlock<$precision>>> = const { RefCell::new(Vec::new()) };
                }
                SCRATCH.with_borrow_mut(body)
            }
        }
    };
}
scratch_buffer!(Int8);
scratch_buffer!(Int16);

/// Quantises some blocks of the rows of one tile to integers.
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
    fn run<S: Tile>(self, s: S) {
        let span = const { span_blocks::<P>() };
        assert!(self.first.is_multiple_of(span), "spans are the same however blocks are split");
        let blocks = self.out.len() / self.tile_rows;
        for (row, x) in self.x.chunks_exact(self.inputs).enumerate() {
            let (x, _) = x[self.first * BLOCK..][..blocks * BLOCK].as_chunks::<LANES>();
            let (x, _) = x.as_chunks::<2>();
            for (x, out) in x.chunks(span).zip(self.out.chunks_mut(span * self.tile_rows)) {
                let most = largest(s, x.as_flattened());
                let inverse = P::LARGEST / most;
                // All zero, or so small that it counts as zero; or NaN, which the scale keeps.
                let inverse = s.splat(if inverse.is_finite() { inverse } else { 0.0 });
                for (x, out) in x.iter().zip(out[row..].iter_mut().step_by(self.tile_rows)) {
                    round_block(s, x, inverse, out);
                    out.scale = most / P::LARGEST;
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
    let sizes = s.to_array(s.add(most, poison));
    // The bits of numbers that are not negative are in the numbers' order, with NaN the largest.
    f32::from_bits(sizes.into_iter().fold(0, |most, size| most.max(size.to_bits())))
}

/// Rounds the inputs of one block times `inverse` to integers; the scale is left to the caller.
#[inline(always)]
fn round_block<S: Tile, P: Precision>(s: S, x: &[[f32; LANES]; 2], inverse: S::F, out: &mut InputBlock<P>) {
    let (largest, smallest) = (s.splat(P::LARGEST), s.splat(-P::LARGEST));
    for (half, x) in x.iter().enumerate() {
        let p = s.max(s.min(s.round(s.mul(s.load(x), inverse)), largest), smallest);
        out.words[half] = P::words(s, s.to_integer(p));
        // Exact, as all sums of integers below 2²⁴ are.
        out.sums[half] = fold_sum(s.to_array(p));
    }
    out.sums[ALL] = out.sums[0] + out.sums[1];
}
