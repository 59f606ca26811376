//! Activations as integers: 32 inputs share a scale, so that whole numbers can be multiplied with the weights' own.

use std::cell::RefCell;

use crate::simd::{Kernel, LANES, Lanes};

/// Inputs that share a scale.
pub(crate) const GROUP: usize = 32;

/// How many bits an integer has.
pub(crate) trait Precision: Copy + Default + Send + Sync + 'static {
    /// Sixteen inputs as the products want them.
    type Words: Copy + Default + Send + Sync;
    /// The largest integer.
    const LARGEST: f32;

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

/// [`GROUP`] inputs: `x = scale · q`.
#[derive(Clone, Copy, Default)]
pub(crate) struct InputBlock<P: Precision> {
    /// The integers, in halves of sixteen.
    pub(crate) words: [P::Words; 2],
    /// What one step is worth.
    pub(crate) scale: f32,
    /// `scale · Σq` over each half.
    pub(crate) half_sums: [f32; 2],
    /// `scale · Σq` over all.
    pub(crate) sum: f32,
}

/// Rounds some groups of the rows of one tile to integers.
pub(crate) struct Quantize<'a, P: Precision> {
    /// `[rows, inputs]`, with fewer rows than a tile where there are no more.
    pub(crate) x: &'a [f32],
    pub(crate) inputs: usize,
    pub(crate) tile_rows: usize,
    /// The first of the groups.
    pub(crate) first: usize,
    /// `[groups][tile_rows]`; what is there for missing rows stays.
    pub(crate) out: &'a mut [InputBlock<P>],
}

impl<P: Precision> Kernel for Quantize<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        let groups = self.out.len() / self.tile_rows;
        for (row, x) in self.x.chunks_exact(self.inputs).enumerate() {
            let x = &x[self.first * GROUP..][..groups * GROUP];
            let out = self.out[row..].iter_mut().step_by(self.tile_rows);
            let (x, _) = x.as_chunks::<LANES>();
            for (x, out) in x.as_chunks::<2>().0.iter().zip(out) {
                round_group(s, x, out);
            }
        }
    }
}

/// Rounds one group.
#[inline(always)]
fn round_group<S: Lanes, P: Precision>(s: S, x: &[[f32; LANES]; 2], out: &mut InputBlock<P>) {
    let (largest, zero) = (s.splat(P::LARGEST), s.splat(0.0));
    let smallest = s.splat(-P::LARGEST);
    let x = [s.load(&x[0]), s.load(&x[1])];
    let size = |x| s.max(x, s.sub(zero, x));
    // Zero, but NaN where a number is not finite, which must not be lost in a maximum.
    let poison = s.mul_add(x[1], zero, s.mul(x[0], zero));
    let mut sizes = [0.0; LANES];
    s.store(s.add(s.max(size(x[0]), size(x[1])), poison), &mut sizes);
    // The bits of numbers that are not negative are in the numbers' order, with NaN the largest.
    let most = f32::from_bits(sizes.into_iter().fold(0, |most, size| most.max(size.to_bits())));
    out.scale = most / P::LARGEST;
    let inverse = s.splat(if most > 0.0 { P::LARGEST / most } else { 0.0 });
    let mut sums = [0; 2];
    for (half, x) in x.into_iter().enumerate() {
        let q = s.to_integer(s.max(s.min(s.round(s.mul(x, inverse)), largest), smallest));
        out.words[half] = P::words(s, q);
        let mut words = [0; LANES];
        s.store_words(q, &mut words);
        sums[half] = words.into_iter().fold(0, |sum, q| sum + q as i32);
    }
    out.half_sums = sums.map(|sum| out.scale * sum as f32);
    out.sum = out.scale * (sums[0] + sums[1]) as f32;
}
