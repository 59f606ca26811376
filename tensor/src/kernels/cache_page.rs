//! The micro-kernel of attention over one page of the cache, for each number format.

use super::tile::multiply_tile;
use crate::element::Element;
use crate::operands::{FloatPage, INTERLEAVED, PAGE, Page, Q8Page, SCALED};
use crate::simd::{LANES, Lanes};

/// A page that kernels read.
pub(crate) trait PageKernel: Page {
    /// `sums[r][p] += Σ_d queries[r][d] · key[d]`, lane by lane for the sixteen keys of panel `first + p`, in order of
    /// the components.
    fn add_scores<S: Lanes, const N: usize, const SIDE: usize>(
        &self,
        s: S,
        queries: [&[f32]; N],
        first: usize,
        sums: &mut [[S::F; SIDE]; N],
    );

    /// `sums[r][p] += Σ_j pattern[r][j] · value_j`, for the sixteen components of chunk `first + p` of each value, in
    /// order of the positions, of which the first is `position`.
    fn add_values<S: Lanes, const N: usize, const SIDE: usize>(
        &self,
        s: S,
        pattern: [&[f32]; N],
        position: usize,
        first: usize,
        sums: &mut [[S::F; SIDE]; N],
    );
}

/// The slices of `vectors` that begin at `first`, `first + 1`, ….
#[inline(always)]
fn from_each<T, const SIDE: usize>(vectors: &[T], first: usize) -> [&[T]; SIDE] {
    let mut slices = [vectors; SIDE];
    for (i, slice) in slices.iter_mut().enumerate() {
        *slice = &vectors[first + i..];
    }
    slices
}

impl<E: Element> PageKernel for FloatPage<E> {
    #[inline(always)]
    fn add_scores<S: Lanes, const N: usize, const SIDE: usize>(
        &self,
        s: S,
        queries: [&[f32]; N],
        first: usize,
        sums: &mut [[S::F; SIDE]; N],
    ) {
        let keys = from_each(self.keys(), first);
        multiply_tile(s, queries[0].len(), (queries, 1), (keys, INTERLEAVED), sums);
    }

    #[inline(always)]
    fn add_values<S: Lanes, const N: usize, const SIDE: usize>(
        &self,
        s: S,
        pattern: [&[f32]; N],
        position: usize,
        first: usize,
        sums: &mut [[S::F; SIDE]; N],
    ) {
        let values = self.values();
        let chunks = values.len() / PAGE;
        let values = from_each(values, position * chunks + first);
        multiply_tile(s, pattern[0].len(), (pattern, 1), (values, chunks), sums);
    }
}

/// Adds `inputs[r] · scales[p] · bytes[p]` to each sum; the product of byte and scale is exact.
#[inline(always)]
fn add_scaled<S: Lanes, const N: usize, const SIDE: usize>(
    s: S,
    inputs: [f32; N],
    scales: [S::F; SIDE],
    bytes: [&[i8; LANES]; SIDE],
    sums: &mut [[S::F; SIDE]; N],
) {
    for p in 0..SIDE {
        let column = s.mul(s.to_f32(s.load_i8(bytes[p])), scales[p]);
        for r in 0..N {
            sums[r][p] = s.mul_add(s.splat(inputs[r]), column, sums[r][p]);
        }
    }
}

impl PageKernel for Q8Page {
    #[inline(always)]
    fn add_scores<S: Lanes, const N: usize, const SIDE: usize>(
        &self,
        s: S,
        queries: [&[f32]; N],
        first: usize,
        sums: &mut [[S::F; SIDE]; N],
    ) {
        let head_dim = queries[0].len();
        for (block, from) in (0..head_dim).step_by(SCALED).enumerate() {
            let mut scales = [s.splat(0.0); SIDE];
            for (p, scale) in scales.iter_mut().enumerate() {
                *scale = s.load(&self.0.key_scales[block * INTERLEAVED + first + p]);
            }
            for d in from..head_dim.min(from + SCALED) {
                let keys: &[[i8; LANES]] = &self.0.keys[d * INTERLEAVED + first..][..SIDE];
                let mut bytes = [&keys[0]; SIDE];
                bytes.iter_mut().zip(keys).for_each(|(to, key)| *to = key);
                add_scaled(s, queries.map(|query| query[d]), scales, bytes, sums);
            }
        }
    }

    #[inline(always)]
    fn add_values<S: Lanes, const N: usize, const SIDE: usize>(
        &self,
        s: S,
        pattern: [&[f32]; N],
        position: usize,
        first: usize,
        sums: &mut [[S::F; SIDE]; N],
    ) {
        let chunks = self.0.values.len() / PAGE;
        let blocks = self.0.value_scales.len() / PAGE;
        for j in 0..pattern[0].len() {
            let values: &[[i8; LANES]] = &self.0.values[(position + j) * chunks + first..][..SIDE];
            let scales = &self.0.value_scales[(position + j) * blocks..][..blocks];
            let (mut bytes, mut each) = ([&values[0]; SIDE], [s.splat(0.0); SIDE]);
            for p in 0..SIDE {
                bytes[p] = &values[p];
                each[p] = s.splat(scales[(first + p) * LANES / SCALED]);
            }
            add_scaled(s, pattern.map(|pattern| pattern[j]), each, bytes, sums);
        }
    }
}
