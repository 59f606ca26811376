//! `y = x · Wᵀ` for quantised weights and inputs: whole numbers are multiplied and added up exactly, a group at a time.
//!
//! A weight is `scale · q + offset` with `q` a small whole number, an input `step · p` with `p` another. What a group of
//! inputs adds to an output is therefore
//!
//! ```text
//! Σ (scale·q + offset) · step·p  =  offset · (step · Σ p)  +  scale·step · Σ q·p
//! ```
//!
//! with a sum that is the same for all outputs, and a sum of products of bytes, for which machines have instructions that
//! do 64 and more at a time.
//!
//! **Order of summation.** `y[m][n]` starts at zero. For each group in turn, `offset · (step · Σp) + y` and then
//! `(scale · step) · Σqp + y`, each rounded once. `Σqp` is exact, so nothing depends on how it is computed.
//!
//! As with `f32` inputs ([`matmul`](super::matmul)) few rows take the weights apart in registers, once for all of them;
//! for more, a stretch of a panel is taken apart once and then walked by tiles of eight rows, whose sums stay in registers.

use std::ops::Range;

use super::inputs::{InputBlock, Precision};
use super::output::{Output, put, take};
use crate::simd::{Kernel, LANES, Lanes};
use crate::weights::{IntegerBlock, ScaleOffset};

/// Rows of a tile, whose inputs lie side by side in memory.
pub(crate) const TILE_ROWS: usize = 8;

/// How many rows' inputs lie side by side: up to a tile's, one of the numbers that there is a kernel for.
pub(crate) fn rows_side_by_side(rows: usize) -> usize {
    rows.next_power_of_two().min(TILE_ROWS)
}

/// Groups of 32 inputs taken apart at a time, at most: 14 KiB of weights, and as much of a tile's inputs, less than a
/// first-level cache.
const STRETCH: usize = 18;

/// Tiles walked with one stretch: 32 × 8 rows, whose inputs stay in a second-level cache.
const TILE_BLOCK: usize = 32;

/// One thread's share of a product: some rows times some panels.
pub(crate) struct IntegerMatmul<'a, B, P: Precision> {
    /// `[⌈all rows/r⌉][inputs / 32][r]` with `r` of [`rows_side_by_side`], missing rows zero.
    pub(crate) x: &'a [InputBlock<P>],
    /// Whole tiles, but for the last.
    pub(crate) rows: Range<usize>,
    pub(crate) inputs: usize,
    /// All panels of the matrix.
    pub(crate) blocks: &'a [B],
    pub(crate) panels: Range<usize>,
    /// `[all rows, outputs]`
    pub(crate) out: &'a Output<'a>,
}

impl<B: IntegerBlock, P: Precision> Kernel for IntegerMatmul<'_, B, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        match self.rows.len() {
            0 => {}
            1 => self.few_rows::<S, 1>(s),
            2 => self.few_rows::<S, 2>(s),
            3..=4 => self.few_rows::<S, 4>(s),
            5..=8 => self.few_rows::<S, 8>(s),
            _ => self.many_rows(s),
        }
    }
}

impl<B: IntegerBlock, P: Precision> IntegerMatmul<'_, B, P> {
    /// The blocks of a panel from group `from` on.
    fn panel(&self, panel: usize, from: usize) -> &[B] {
        let per_panel = self.inputs / B::K;
        &self.blocks[panel * per_panel..][..per_panel][from * 32 / B::K..]
    }

    #[inline(always)]
    fn few_rows<S: Lanes, const R: usize>(&self, s: S) {
        self.panels.clone().for_each(|panel| s.apart(FewRows::<B, P, R> { job: self, panel }));
    }

    #[inline(always)]
    fn many_rows<S: Lanes>(&self, s: S) {
        let groups = self.inputs / 32;
        let per_block = B::K / 32;
        // Stretches of much the same length: a short last one would not repay the fetching of its sums.
        let blocks = groups / per_block;
        let len = blocks.div_ceil(blocks.div_ceil(STRETCH / per_block)) * per_block;
        let mut stretch = Stretch::BLANK;
        let x = &self.x[self.rows.start * groups..self.rows.end.next_multiple_of(TILE_ROWS) * groups];
        for (block, x) in x.chunks(TILE_BLOCK * TILE_ROWS * groups).enumerate() {
            let first_row = self.rows.start + block * TILE_BLOCK * TILE_ROWS;
            for from in (0..groups).step_by(len) {
                let len = len.min(groups - from);
                for panel in self.panels.clone() {
                    unpack(s, &self.panel(panel, from)[..len / per_block], &mut stretch);
                    let place = Place { end_row: self.rows.end, first_row, groups, from, len, panel };
                    let (weights, out) = (&stretch, self.out);
                    match (B::LARGEST, B::GROUP) {
                        (..=15, _) => s.apart(Tiles::<P, 15, 1> { x, place, weights, out }),
                        (16..=63, 32) => s.apart(Tiles::<P, 63, 1> { x, place, weights, out }),
                        (16..=63, _) => s.apart(Tiles::<P, 63, 2> { x, place, weights, out }),
                        _ => s.apart(Tiles::<P, 255, 1> { x, place, weights, out }),
                    }
                }
            }
        }
    }
}

/// At most `R` rows, whose inputs lie side by side, times one panel.
struct FewRows<'a, 'b, B, P: Precision, const R: usize> {
    job: &'a IntegerMatmul<'b, B, P>,
    panel: usize,
}

impl<B: IntegerBlock, P: Precision, const R: usize> Kernel for FewRows<'_, '_, B, P, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        let FewRows { job, panel } = self;
        let mut sums = [s.splat(0.0); R];
        let (x, _): (&[[InputBlock<P>; R]], _) = job.x.as_chunks();
        for (block, x) in job.panel(panel, 0).iter().zip(x.chunks_exact(B::K / 32)) {
            for (g, x) in x.iter().enumerate() {
                let words = block.words(s, g);
                if B::GROUP == 32 {
                    let ScaleOffset { scale, offset } = block.scale_offset(s, g);
                    let products = B::dot::<S, P, 2, R>(s, &words, x.each_ref().map(|x| &x.words));
                    for r in 0..R {
                        sums[r] = s.mul_add(offset, s.splat(x[r].sum), sums[r]);
                        let scale = s.mul(scale, s.splat(x[r].scale));
                        sums[r] = s.mul_add(scale, s.to_f32(products[r]), sums[r]);
                    }
                } else {
                    for (half, words) in words.into_iter().enumerate() {
                        let ScaleOffset { scale, offset } = block.scale_offset(s, 2 * g + half);
                        let inputs = x.each_ref().map(|x| std::array::from_ref(&x.words[half]));
                        let products = B::dot::<S, P, 1, R>(s, &[words], inputs);
                        for r in 0..R {
                            sums[r] = s.mul_add(offset, s.splat(x[r].half_sums[half]), sums[r]);
                            let scale = s.mul(scale, s.splat(x[r].scale));
                            sums[r] = s.mul_add(scale, s.to_f32(products[r]), sums[r]);
                        }
                    }
                }
            }
        }
        for (row, sum) in sums.into_iter().enumerate() {
            if row < job.rows.len() {
                put(s, job.out, row, panel, sum);
            }
        }
    }
}

/// [`STRETCH`] groups of a panel, taken apart: the same for all formats.
#[derive(Clone, Copy)]
struct Stretch {
    words: [[[u32; LANES]; 8]; STRETCH],
    /// One for each group of 32, or one for each half of it.
    scales: [[f32; LANES]; 2 * STRETCH],
    offsets: [[f32; LANES]; 2 * STRETCH],
}

impl Stretch {
    const BLANK: Stretch = Stretch {
        words: [[[0; LANES]; 8]; STRETCH],
        scales: [[0.0; LANES]; 2 * STRETCH],
        offsets: [[0.0; LANES]; 2 * STRETCH],
    };
}

#[inline(always)]
fn unpack<S: Lanes, B: IntegerBlock>(s: S, blocks: &[B], out: &mut Stretch) {
    let (groups, scales) = (B::K / 32, B::K / B::GROUP);
    for (b, block) in blocks.iter().enumerate() {
        for g in 0..groups {
            let words = block.words(s, g);
            for (word, out) in words.as_flattened().iter().zip(&mut out.words[b * groups + g]) {
                s.store_words(*word, out);
            }
        }
        for g in 0..scales {
            let ScaleOffset { scale, offset } = block.scale_offset(s, g);
            s.store(scale, &mut out.scales[b * scales + g]);
            s.store(offset, &mut out.offsets[b * scales + g]);
        }
    }
}

/// Which part of the product is computed.
#[derive(Clone, Copy)]
struct Place {
    /// The row of the first tile, and where the rows end.
    first_row: usize,
    end_row: usize,
    /// In a row.
    groups: usize,
    /// The first group of the stretch, and how many there are.
    from: usize,
    len: usize,
    panel: usize,
}

/// A stretch of a panel times some tiles of rows. `SCALES` in a group of 32 inputs.
struct Tiles<'a, P: Precision, const LARGEST: u32, const SCALES: usize> {
    /// `[tiles][groups][8]`
    x: &'a [InputBlock<P>],
    place: Place,
    weights: &'a Stretch,
    out: &'a Output<'a>,
}

impl<P: Precision, const LARGEST: u32, const SCALES: usize> Kernel for Tiles<'_, P, LARGEST, SCALES> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        let Place { first_row, end_row, groups, from, len, .. } = self.place;
        for (i, x) in self.x.chunks_exact(groups * TILE_ROWS).enumerate() {
            let (x, row) = (&x.as_chunks().0[from..][..len], first_row + i * TILE_ROWS);
            // A whole tile where its sums have registers, else a half after the other.
            if S::TILE_ROWS >= TILE_ROWS && end_row - row > TILE_ROWS / 2 {
                self.tile::<S, TILE_ROWS>(s, x, 0, row);
            } else {
                for half in (0..TILE_ROWS.min(end_row - row)).step_by(TILE_ROWS / 2) {
                    self.tile::<S, { TILE_ROWS / 2 }>(s, x, half, row + half);
                }
            }
        }
    }
}

impl<P: Precision, const LARGEST: u32, const SCALES: usize> Tiles<'_, P, LARGEST, SCALES> {
    /// Adds the stretch to `ROWS` rows × sixteen outputs; `first` is the first of these rows in its tile, `row` in all.
    #[inline(always)]
    fn tile<S: Lanes, const ROWS: usize>(
        &self,
        s: S,
        x: &[[InputBlock<P>; TILE_ROWS]],
        first: usize,
        row: usize,
    ) {
        let (panel, weights) = (self.place.panel, self.weights);
        let rows = ROWS.min(self.place.end_row - row);
        let mut sums = [s.splat(0.0); ROWS];
        if self.place.from > 0 {
            for (r, sum) in sums.iter_mut().enumerate() {
                if r < rows {
                    *sum = take(s, self.out, row + r, panel);
                }
            }
        }
        for (g, x) in x.iter().take(STRETCH).enumerate() {
            let x: &[InputBlock<P>; ROWS] = x[first..first + ROWS].try_into().expect("rows of the tile");
            let mut words = [[s.load_words(&[0; LANES]); 4]; 2];
            for (word, from) in words.as_flattened_mut().iter_mut().zip(&weights.words[g]) {
                *word = s.load_words(from);
            }
            for half in 0..SCALES {
                let scale = s.load(&weights.scales[g * SCALES + half]);
                let offset = s.load(&weights.offsets[g * SCALES + half]);
                let products: [S::I; ROWS] = if SCALES == 1 {
                    P::dot::<S, 2, LARGEST, ROWS>(s, &words, x.each_ref().map(|x| &x.words))
                } else {
                    let inputs = x.each_ref().map(|x| std::array::from_ref(&x.words[half]));
                    P::dot::<S, 1, LARGEST, ROWS>(s, &[words[half]], inputs)
                };
                for r in 0..ROWS {
                    let inputs_sum = if SCALES == 1 { x[r].sum } else { x[r].half_sums[half] };
                    sums[r] = s.mul_add(offset, s.splat(inputs_sum), sums[r]);
                    sums[r] = s.mul_add(s.mul(scale, s.splat(x[r].scale)), s.to_f32(products[r]), sums[r]);
                }
            }
        }
        for (r, sum) in sums.into_iter().enumerate() {
            if r < rows {
                put(s, self.out, row + r, panel, sum);
            }
        }
    }
}
