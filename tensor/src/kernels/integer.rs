//! `y = x · Wᵀ` for quantised weights and inputs: integers are multiplied and added up exactly, a block at a time.
//!
//! A weight is `scale · q + offset` with `q` a small integer, an input `scale_x · p` with `p` another. What the inputs
//! of a *span*, which share a scale, add to an output is therefore
//!
//! ```text
//! Σ (scale·q + offset) · scale_x·p  =  scale_x · Σ (offset · Σp + scale · Σqp)
//! ```
//!
//! with the inner sums over *groups* of weights, which share a scale and an offset. `Σp` is the same for all outputs,
//! and `Σqp` a sum of products of bytes, for which machines have instructions that do 64 and more at a time. They come
//! in *blocks* of 32 inputs: a group is a block, or half of one in Q6_K, and a span some blocks.
//!
//! **Order of summation.** `y[m][n]` starts at zero. For each span in turn `t` starts at zero; for each group in it
//! `t = offset · Σp + t` and then `t = scale · Σqp + t`; then `y = scale_x · t + y`; each rounded once. `Σp` and `Σqp`
//! are exact integers, rounded when they become `f32`, so nothing depends on how they are computed.
//!
//! As with `f32` inputs ([`matmul`](super::matmul)) few rows unpack the weights in registers, once for all of them; for
//! more, the loops of [`blocked`](super::blocked) unpack a micro-panel once for a block of rows, and its tiles are four
//! or eight rows × one panel.

use std::ops::Range;

use super::blocked::{Blocked, Blocking, even_blocks, multiply_blocked};
use super::inputs::{ALL, BLOCK, InputBlock, span_blocks};
use crate::pool::parts::OutputTile;
use crate::simd::{Kernel, LANES, Lanes, Precision, Tile};
use crate::weights::{IntegerBlock, ScaleOffset, eight_words};

/// Rows whose inputs lie side by side in memory. A multiple of every level's tile rows.
pub(crate) const ROWS: usize = 8;

/// How many rows' inputs lie side by side: up to [`ROWS`], one of the numbers that there is a kernel for.
pub(crate) fn rows_side_by_side(rows: usize) -> usize {
    rows.next_power_of_two().min(ROWS)
}

/// kc at most, in blocks of 32 inputs: 15 KiB of unpacked weights, and as much of a tile's inputs, less than a
/// first-level cache.
const KC_BLOCKS: usize = 20;

/// mc: the inputs of 256 rows stay in a second-level cache. A multiple of [`ROWS`].
pub(crate) const MC: usize = 256;

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
    fn run<S: Tile>(self, s: S) {
        match self.tile_rows {
            _ if self.out.rows().len() > self.tile_rows => self.many_rows(s),
            1 => self.few_rows::<S, 1>(s),
            2 => self.few_rows::<S, 2>(s),
            4 => self.few_rows::<S, 4>(s),
            _ => self.few_rows::<S, ROWS>(s),
        }
    }
}

impl<'a, B: IntegerBlock, P: Precision> IntegerMatmul<'a, B, P> {
    /// The blocks of a panel from input `from` on.
    fn panel(&self, panel: usize, from: usize) -> &'a [B] {
        let per_panel = self.inputs / B::K;
        &self.blocks[panel * per_panel..][..per_panel][from / B::K..]
    }

    #[inline(always)]
    fn few_rows<S: Tile, const R: usize>(mut self, s: S) {
        for panel in self.out.panels() {
            s.out_of_line(FewRows::<B, P, R> { job: &mut self, panel });
        }
    }

    #[inline(always)]
    fn many_rows<S: Tile>(self, s: S) {
        let (rows, panels, inputs) = (self.out.rows(), self.out.panels(), self.inputs);
        // Blocks of whole spans, whose sums are not handed on.
        let unit = const { whole_spans(B::K, P::SPAN) };
        let blocking = Blocking {
            rows: even_blocks(rows.len(), ROWS, MC),
            panels: panels.len().max(1),
            k: even_blocks(inputs, unit, KC_BLOCKS * BLOCK),
            tile_panels: 1,
        };
        let mut product = BlockedIntegers { job: self, unpacked: UnpackedPanel::BLANK };
        multiply_blocked(s, &mut product, blocking, rows, panels, inputs);
    }
}

/// How many inputs are whole blocks of weights and whole spans.
const fn whole_spans(weights: usize, span: usize) -> usize {
    let unit = if weights > span { weights } else { span };
    assert!(unit.is_multiple_of(weights) && unit.is_multiple_of(span) && unit <= KC_BLOCKS * BLOCK);
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
    fn run<S: Tile>(self, s: S) {
        let FewRows { job, panel } = self;
        let (rows, span) = (job.out.rows(), const { span_blocks::<P>() });
        let (x, _): (&[[InputBlock<P>; R]], _) = job.x.as_chunks();
        let blocks = job.panel(panel, 0);
        let per_row = job.inputs / BLOCK;
        let x = &x[rows.start / R * per_row..][..per_row];
        let mut sums = [s.splat(0.0); R];
        for (i_span, x) in x.chunks(span).enumerate() {
            let mut span_sums = [s.splat(0.0); R];
            for (i, x) in x.iter().enumerate() {
                let (at, per_block) = (i_span * span + i, B::K / BLOCK);
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

/// What a span adds: `y = scale_x · t + y` for each row.
#[inline(always)]
fn add_span<S: Lanes, P: Precision, const R: usize>(
    s: S,
    inputs: &[InputBlock<P>; R],
    span_sums: [S::F; R],
    sums: &mut [S::F; R],
) {
    for r in 0..R {
        sums[r] = s.mul_add(s.splat(inputs[r].scale), span_sums[r], sums[r]);
    }
}

/// A block of `k` of one panel, unpacked: the same for all formats. Aligned, so that no vector lies across two cache
/// lines.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct UnpackedPanel {
    words: [[[u32; LANES]; 8]; KC_BLOCKS],
    /// One for each block, or one for each half of it.
    scales: [[f32; LANES]; 2 * KC_BLOCKS],
    offsets: [[f32; LANES]; 2 * KC_BLOCKS],
}

impl UnpackedPanel {
    const BLANK: UnpackedPanel = UnpackedPanel {
        words: [[[0; LANES]; 8]; KC_BLOCKS],
        scales: [[0.0; LANES]; 2 * KC_BLOCKS],
        offsets: [[0.0; LANES]; 2 * KC_BLOCKS],
    };

    #[inline(always)]
    fn scale_offset<S: Lanes>(&self, s: S, at: usize) -> ScaleOffset<S> {
        ScaleOffset { scale: s.load(&self.scales[at]), offset: s.load(&self.offsets[at]) }
    }

    #[inline(always)]
    fn unpack<S: Lanes, B: IntegerBlock>(&mut self, s: S, blocks: &[B]) {
        let (per_block, scales) = (B::K / BLOCK, B::K / B::GROUP);
        for (b, block) in blocks.iter().enumerate() {
            for i in 0..per_block {
                let words = block.words(s, i);
                for (word, out) in words.as_flattened().iter().zip(&mut self.words[b * per_block + i]) {
                    s.store_words(*word, out);
                }
            }
            for g in 0..scales {
                let ScaleOffset { scale, offset } = block.scale_offset(s, g);
                s.store(scale, &mut self.scales[b * scales + g]);
                s.store(offset, &mut self.offsets[b * scales + g]);
            }
        }
    }
}

struct BlockedIntegers<'a, B, P: Precision> {
    job: IntegerMatmul<'a, B, P>,
    unpacked: UnpackedPanel,
}

impl<B: IntegerBlock, P: Precision> Blocked for BlockedIntegers<'_, B, P> {
    #[inline(always)]
    fn multiply<S: Tile>(&mut self, s: S, rows: Range<usize>, panels: Range<usize>, k: Range<usize>) {
        let (panel, blocks) = (panels.start, self.job.inputs / BLOCK);
        self.unpacked.unpack(s, &self.job.panel(panel, k.start)[..k.len() / B::K]);
        let x = &self.job.x[rows.start * blocks..rows.end.next_multiple_of(ROWS) * blocks];
        let k = k.start / BLOCK..k.end / BLOCK;
        let (weights, out) = (&self.unpacked, self.job.out.reborrow());
        match (B::LARGEST, B::GROUP) {
            (..=15, _) => s.out_of_line(Tiles::<P, 15, 1> { x, blocks, rows, panel, k, weights, out }),
            (16..=63, BLOCK) => s.out_of_line(Tiles::<P, 63, 1> { x, blocks, rows, panel, k, weights, out }),
            (16..=63, _) => s.out_of_line(Tiles::<P, 63, 2> { x, blocks, rows, panel, k, weights, out }),
            _ => s.out_of_line(Tiles::<P, 255, 1> { x, blocks, rows, panel, k, weights, out }),
        }
    }
}

/// Loop 1: one block of rows times one unpacked panel, of weights of at most `LARGEST` with `SCALES` scales in a block
/// of 32 inputs.
struct Tiles<'a, P: Precision, const LARGEST: u32, const SCALES: usize> {
    /// `[tiles][blocks][8]`, the block of rows.
    x: &'a [InputBlock<P>],
    /// Blocks of 32 inputs in a row.
    blocks: usize,
    rows: Range<usize>,
    panel: usize,
    /// Which blocks of 32 inputs.
    k: Range<usize>,
    weights: &'a UnpackedPanel,
    out: OutputTile<'a>,
}

impl<P: Precision, const LARGEST: u32, const SCALES: usize> Kernel for Tiles<'_, P, LARGEST, SCALES> {
    type Output = ();

    #[inline(always)]
    fn run<S: Tile>(mut self, s: S) {
        for (i, x) in self.x.chunks_exact(self.blocks * ROWS).enumerate() {
            let (x, row) = (&x.as_chunks().0[self.k.clone()], self.rows.start + i * ROWS);
            let rows = self.rows.end - row;
            // A whole tile where its sums have registers, else one half after the other.
            if S::INTEGER_ROWS >= ROWS && rows > ROWS / 2 {
                self.tile::<S, ROWS>(s, x, 0, row);
            } else {
                for half in (0..ROWS.min(rows)).step_by(ROWS / 2) {
                    self.tile::<S, { ROWS / 2 }>(s, x, half, row + half);
                }
            }
        }
    }
}

impl<P: Precision, const LARGEST: u32, const SCALES: usize> Tiles<'_, P, LARGEST, SCALES> {
    /// The micro-kernel: adds the block of `k` to `R` rows × sixteen outputs; `first` is the first of these rows among
    /// those side by side, `row` among all.
    #[inline(always)]
    fn tile<S: Tile, const R: usize>(&mut self, s: S, x: &[[InputBlock<P>; ROWS]], first: usize, row: usize) {
        let (panel, weights) = (self.panel, self.weights);
        let (rows, span) = (R.min(self.rows.end - row), const { span_blocks::<P>() });
        let mut sums = [s.splat(0.0); R];
        if self.k.start > 0 {
            for (r, sum) in sums.iter_mut().enumerate() {
                if r < rows {
                    *sum = self.out.load_partial(s, row + r, panel);
                }
            }
        }
        for (i_span, x) in x[..x.len().min(KC_BLOCKS)].chunks(span).enumerate() {
            let mut span_sums = [s.splat(0.0); R];
            for (i, x) in x.iter().enumerate() {
                let (at, x) = (i_span * span + i, some_rows::<P, R>(x, first));
                let words = eight_words(s, &weights.words[at]);
                if SCALES == 1 {
                    let inputs = x.each_ref().map(|x| &x.words);
                    let products = P::dot::<S, 2, LARGEST, R>(s, &words, inputs);
                    let weights = weights.scale_offset(s, at);
                    add_group(s, weights, x, ALL, products, &mut span_sums);
                } else {
                    // Taken out by an iterator, the words would go through memory.
                    #[allow(clippy::needless_range_loop)]
                    for half in 0..2 {
                        let inputs = x.each_ref().map(|x| std::array::from_ref(&x.words[half]));
                        let products = P::dot::<S, 1, LARGEST, R>(s, &[words[half]], inputs);
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

/// The inputs of `R` of the rows side by side, from row `first` on.
#[inline(always)]
fn some_rows<P: Precision, const R: usize>(x: &[InputBlock<P>; ROWS], first: usize) -> &[InputBlock<P>; R] {
    x[first..first + R].try_into().expect("rows side by side")
}
