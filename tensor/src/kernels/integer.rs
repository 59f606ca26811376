//! `y = x · Wᵀ` for quantised weights and inputs: whole numbers are multiplied and added up exactly, a block at a time.
//!
//! A weight is `scale · q + offset` with `q` a small whole number, an input `step · p` with `p` another. What the inputs
//! of a *span*, which share a step, add to an output is therefore
//!
//! ```text
//! Σ (scale·q + offset) · step·p  =  step · Σ (offset · Σp + scale · Σqp)
//! ```
//!
//! with the inner sums over *groups* of weights, which share a scale and an offset. `Σp` is the same for all outputs, and
//! `Σqp` a sum of products of bytes, for which machines have instructions that do 64 and more at a time. They come in
//! *blocks* of 32 inputs: a group is a block, or half of one in Q6_K, and a span some blocks.
//!
//! **Order of summation.** `y[m][n]` starts at zero. For each span in turn `t` starts at zero; for each group in it
//! `t = offset · Σp + t` and then `t = scale · Σqp + t`; then `y = step · t + y`; each rounded once. `Σp` and `Σqp` are
//! exact whole numbers, rounded when they become `f32`, so nothing depends on how they are computed.
//!
//! As with `f32` inputs ([`matmul`](super::matmul)) few rows take the weights apart in registers, once for all of them;
//! for more, a stretch of a panel is taken apart once and then walked by tiles of eight rows, whose sums stay in registers.

use super::inputs::{ALL, BLOCK, InputBlock, Precision};
use crate::pool::parts::OutputTile;
use crate::simd::{Kernel, LANES, Lanes};
use crate::weights::{IntegerBlock, ScaleOffset, eight_words};

/// Rows of a tile, whose inputs lie side by side in memory.
pub(crate) const TILE_ROWS: usize = 8;

/// How many rows' inputs lie side by side: up to a tile's, one of the numbers that there is a kernel for.
pub(crate) fn rows_side_by_side(rows: usize) -> usize {
    rows.next_power_of_two().min(TILE_ROWS)
}

/// Blocks of inputs taken apart at a time, at most: 15 KiB of weights, and as much of a tile's inputs, less than a
/// first-level cache.
const STRETCH: usize = 20;

/// Tiles walked with one stretch: 32 × 8 rows, whose inputs stay in a second-level cache.
const TILE_BLOCK: usize = 32;

/// One thread's share of a product: some rows times some panels.
pub(crate) struct IntegerMatmul<'a, B, P: Precision> {
    /// `[⌈all rows/tile_rows⌉][inputs / 32][tile_rows]`; what stands in missing rows is ignored.
    pub(crate) x: &'a [InputBlock<P>],
    /// Of [`rows_side_by_side`].
    pub(crate) tile_rows: usize,
    pub(crate) inputs: usize,
    /// All panels of the matrix.
    pub(crate) blocks: &'a [B],
    /// Which rows and panels of `[all rows, outputs]` to compute; the rows are whole tiles, but for the last.
    pub(crate) out: OutputTile<'a>,
}

impl<B: IntegerBlock, P: Precision> Kernel for IntegerMatmul<'_, B, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        match self.tile_rows {
            _ if self.out.rows().len() > self.tile_rows => self.many_rows(s),
            1 => self.few_rows::<S, 1>(s),
            2 => self.few_rows::<S, 2>(s),
            4 => self.few_rows::<S, 4>(s),
            _ => self.few_rows::<S, TILE_ROWS>(s),
        }
    }
}

impl<'a, B: IntegerBlock, P: Precision> IntegerMatmul<'a, B, P> {
    /// The blocks of a panel from the `from`-th 32 inputs on.
    fn panel(&self, panel: usize, from: usize) -> &'a [B] {
        let per_panel = self.inputs / B::K;
        &self.blocks[panel * per_panel..][..per_panel][from * BLOCK / B::K..]
    }

    #[inline(always)]
    fn few_rows<S: Lanes, const R: usize>(mut self, s: S) {
        self.out.panels().for_each(|panel| s.apart(FewRows::<B, P, R> { job: &mut self, panel }));
    }

    #[inline(always)]
    fn many_rows<S: Lanes>(mut self, s: S) {
        let blocks = self.inputs / BLOCK;
        let per_block = B::K / BLOCK;
        // Stretches of whole spans, whose sums are not handed on, and of much the same length: a short last one would not
        // repay the fetching of its sums.
        let unit = const { whole_spans(B::K / BLOCK, P::SPAN_BLOCKS) };
        let units = blocks.div_ceil(unit);
        let len = units.div_ceil(units.div_ceil(STRETCH / unit)) * unit;
        let mut stretch = Stretch::BLANK;
        let (rows, panels) = (self.out.rows(), self.out.panels());
        let x = &self.x[rows.start * blocks..rows.end.next_multiple_of(TILE_ROWS) * blocks];
        for (i, x) in x.chunks(TILE_BLOCK * TILE_ROWS * blocks).enumerate() {
            let first_row = rows.start + i * TILE_BLOCK * TILE_ROWS;
            for from in (0..blocks).step_by(len) {
                let len = len.min(blocks - from);
                for panel in panels.clone() {
                    unpack(s, &self.panel(panel, from)[..len / per_block], &mut stretch);
                    let place = Place { end_row: rows.end, first_row, blocks, from, len, panel };
                    let (weights, out) = (&stretch, self.out.reborrow());
                    match (B::LARGEST, B::GROUP) {
                        (..=15, _) => s.apart(Tiles::<P, 15, 1> { x, place, weights, out }),
                        (16..=63, BLOCK) => s.apart(Tiles::<P, 63, 1> { x, place, weights, out }),
                        (16..=63, _) => s.apart(Tiles::<P, 63, 2> { x, place, weights, out }),
                        _ => s.apart(Tiles::<P, 255, 1> { x, place, weights, out }),
                    }
                }
            }
        }
    }
}

/// How many blocks of inputs are whole blocks of weights and whole spans.
const fn whole_spans(weights: usize, span: usize) -> usize {
    let unit = if weights > span { weights } else { span };
    assert!(unit.is_multiple_of(weights) && unit.is_multiple_of(span) && unit <= STRETCH);
    unit
}

/// At most `R` rows, whose inputs lie side by side, times one panel.
struct FewRows<'a, 'b, B, P: Precision, const R: usize> {
    job: &'a mut IntegerMatmul<'b, B, P>,
    panel: usize,
}

impl<B: IntegerBlock, P: Precision, const R: usize> Kernel for FewRows<'_, '_, B, P, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        let FewRows { job, panel } = self;
        let (x, _): (&[[InputBlock<P>; R]], _) = job.x.as_chunks();
        let blocks = job.panel(panel, 0);
        let per_row = job.inputs / BLOCK;
        let rows = job.out.rows();
        let x = &x[rows.start / R * per_row..][..per_row];
        let mut sums = [s.splat(0.0); R];
        for (span, x) in x.chunks(P::SPAN_BLOCKS).enumerate() {
            let mut span_sums = [s.splat(0.0); R];
            for (i, x) in x.iter().enumerate() {
                let (at, per_block) = (span * P::SPAN_BLOCKS + i, B::K / BLOCK);
                let (block, i) = (&blocks[at / per_block], at % per_block);
                let words = block.words(s, i);
                if B::GROUP == BLOCK {
                    let inputs = x.each_ref().map(|x| &x.words);
                    let products = B::dot::<S, P, 2, R>(s, &words, inputs);
                    let weights = block.scale_offset(s, i);
                    add_group(s, weights, x, ALL, products, &mut span_sums);
                } else {
                    // Taken out by an iterator, the words would go through memory.
                    #[allow(clippy::needless_range_loop)]
                    for half in 0..2 {
                        let inputs = x.each_ref().map(|x| std::array::from_ref(&x.words[half]));
                        let products = B::dot::<S, P, 1, R>(s, &[words[half]], inputs);
                        let weights = block.scale_offset(s, 2 * i + half);
                        add_group(s, weights, x, half, products, &mut span_sums);
                    }
                }
            }
            add_span(s, &x[0], span_sums, &mut sums);
        }
        for (row, sum) in sums.into_iter().enumerate() {
            if row < rows.len() {
                job.out.store_partial(s, rows.start + row, panel, sum);
            }
        }
    }
}

/// What a group adds, a block or half of one: `t = offset · Σp + t`, then `t = scale · Σqp + t`, for each row.
#[inline(always)]
fn add_group<S: Lanes, P: Precision, const R: usize>(
    s: S,
    weights: ScaleOffset<S>,
    x: &[InputBlock<P>; R],
    part: usize,
    products: [S::I; R],
    sums: &mut [S::F; R],
) {
    for r in 0..R {
        sums[r] = s.mul_add(weights.offset, s.splat(x[r].sums[part]), sums[r]);
        sums[r] = s.mul_add(weights.scale, s.to_f32(products[r]), sums[r]);
    }
}

/// What a span adds: `y = step · t + y` for each row.
#[inline(always)]
fn add_span<S: Lanes, P: Precision, const R: usize>(
    s: S,
    inputs: &[InputBlock<P>; R],
    span_sums: [S::F; R],
    sums: &mut [S::F; R],
) {
    for r in 0..R {
        sums[r] = s.mul_add(s.splat(inputs[r].step), span_sums[r], sums[r]);
    }
}

/// [`STRETCH`] blocks of 32 inputs of a panel, taken apart: the same for all formats.
#[derive(Clone, Copy)]
struct Stretch {
    words: [[[u32; LANES]; 8]; STRETCH],
    /// One for each block, or one for each half of it.
    scales: [[f32; LANES]; 2 * STRETCH],
    offsets: [[f32; LANES]; 2 * STRETCH],
}

impl Stretch {
    const BLANK: Stretch = Stretch {
        words: [[[0; LANES]; 8]; STRETCH],
        scales: [[0.0; LANES]; 2 * STRETCH],
        offsets: [[0.0; LANES]; 2 * STRETCH],
    };

    #[inline(always)]
    fn scale_offset<S: Lanes>(&self, s: S, at: usize) -> ScaleOffset<S> {
        ScaleOffset { scale: s.load(&self.scales[at]), offset: s.load(&self.offsets[at]) }
    }
}

#[inline(always)]
fn unpack<S: Lanes, B: IntegerBlock>(s: S, blocks: &[B], out: &mut Stretch) {
    let (per_block, scales) = (B::K / BLOCK, B::K / B::GROUP);
    for (b, block) in blocks.iter().enumerate() {
        for i in 0..per_block {
            let words = block.words(s, i);
            for (word, out) in words.as_flattened().iter().zip(&mut out.words[b * per_block + i]) {
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
    blocks: usize,
    /// The first block of the stretch, and how many there are.
    from: usize,
    len: usize,
    panel: usize,
}

/// A stretch of a panel times some tiles of rows. `SCALES` in a block of 32 inputs.
struct Tiles<'a, P: Precision, const LARGEST: u32, const SCALES: usize> {
    /// `[tiles][blocks][8]`
    x: &'a [InputBlock<P>],
    place: Place,
    weights: &'a Stretch,
    out: OutputTile<'a>,
}

impl<P: Precision, const LARGEST: u32, const SCALES: usize> Kernel for Tiles<'_, P, LARGEST, SCALES> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(mut self, s: S) {
        let Place { first_row, end_row, blocks, from, len, .. } = self.place;
        for (i, x) in self.x.chunks_exact(blocks * TILE_ROWS).enumerate() {
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
        &mut self,
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
                    *sum = self.out.load_partial(s, row + r, panel);
                }
            }
        }
        for (span, x) in x[..x.len().min(STRETCH)].chunks(P::SPAN_BLOCKS).enumerate() {
            let mut span_sums = [s.splat(0.0); ROWS];
            for (i, x) in x.iter().enumerate() {
                let (at, x) = (span * P::SPAN_BLOCKS + i, some_rows::<P, ROWS>(x, first));
                let words = eight_words(s, &weights.words[at]);
                if SCALES == 1 {
                    let inputs = x.each_ref().map(|x| &x.words);
                    let products = P::dot::<S, 2, LARGEST, ROWS>(s, &words, inputs);
                    let weights = weights.scale_offset(s, at);
                    add_group(s, weights, x, ALL, products, &mut span_sums);
                } else {
                    // Taken out by an iterator, the words would go through memory.
                    #[allow(clippy::needless_range_loop)]
                    for half in 0..2 {
                        let inputs = x.each_ref().map(|x| std::array::from_ref(&x.words[half]));
                        let products = P::dot::<S, 1, LARGEST, ROWS>(s, &[words[half]], inputs);
                        let weights = weights.scale_offset(s, 2 * at + half);
                        add_group(s, weights, x, half, products, &mut span_sums);
                    }
                }
            }
            add_span(s, some_rows(&x[0], first), span_sums, &mut sums);
        }
        for (r, sum) in sums.into_iter().enumerate() {
            if r < rows {
                self.out.store_partial(s, row + r, panel, sum);
            }
        }
    }
}

/// The inputs of `ROWS` rows of a tile, from row `first` on.
#[inline(always)]
fn some_rows<P: Precision, const ROWS: usize>(
    x: &[InputBlock<P>; TILE_ROWS],
    first: usize,
) -> &[InputBlock<P>; ROWS] {
    x[first..first + ROWS].try_into().expect("rows of the tile")
}
