//! The two precisions of integer activations, for kernels that are compiled for each.

use super::Tile;

/// The integers that activations are quantised to.
pub(crate) trait Precision: Copy + Default + Send + Sync + 'static {
    /// Sixteen inputs as the dot products want them.
    type Words: Copy + Default + Send + Sync;
    /// The largest integer.
    const LARGEST: f32;
    /// Inputs of a row that share a scale. The last span of a row may have fewer.
    const SPAN: usize;

    /// Arranges sixteen integers.
    fn words<S: Tile>(s: S, x: S::I) -> Self::Words;
    /// For each of `R` rows, in each lane the sum of `16 · N` products with weights of at most `MAX`.
    fn dot<S: Tile, const N: usize, const MAX: u32, const R: usize>(
        s: S,
        weights: &[[S::I; 4]; N],
        inputs: [&[Self::Words; N]; R],
    ) -> [S::I; R];
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
    const SPAN: usize = 32;

    #[inline(always)]
    fn words<S: Tile>(s: S, x: S::I) -> [u32; 4] {
        s.inputs8(x)
    }
    #[inline(always)]
    fn dot<S: Tile, const N: usize, const MAX: u32, const R: usize>(
        s: S,
        weights: &[[S::I; 4]; N],
        inputs: [&[[u32; 4]; N]; R],
    ) -> [S::I; R] {
        s.dot8::<N, MAX, R>(weights, inputs)
    }
}

impl Precision for Int16 {
    type Words = [u32; 8];
    const LARGEST: f32 = 32512.0;
    const SPAN: usize = 128;

    #[inline(always)]
    fn words<S: Tile>(s: S, x: S::I) -> [u32; 8] {
        s.inputs16(x)
    }
    #[inline(always)]
    fn dot<S: Tile, const N: usize, const MAX: u32, const R: usize>(
        s: S,
        weights: &[[S::I; 4]; N],
        inputs: [&[[u32; 8]; N]; R],
    ) -> [S::I; R] {
        s.dot16::<N, R>(weights, inputs)
    }
}
