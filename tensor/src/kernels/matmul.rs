//! `y = x · Wᵀ` for packed weights: outputs run across the lanes, each adding up its inputs in order.
//!
//! **Order of summation.** `y[m][n]` starts at zero, and for `k = 0, 1, 2, …` becomes
//! `x[m][k] · W[n][k] + y[m][n]`, rounded once. One chain an output: neither the sizes of blocks and tiles, nor how
//! many rows there are, nor who computes it, changes a bit.
//!
//! There are two ways to get there:
//! - **few rows** (a token being generated): each weight is used once or twice, so it is unpacked in registers and
//!   multiplied on the spot. Memory is the limit. Some panels go side by side, because one chain of dependent
//!   multiply-adds would leave the arithmetic units waiting.
//! - **many rows** (a prompt): the loops of [`blocked`](super::blocked), in which a micro-panel is unpacked to `f32`
//!   once for a block of rows; weights that are `f32` are read where they lie. Arithmetic is the limit.

use std::ops::Range;

use super::blocked::{Blocked, Blocking, even_blocks, multiply_blocked};
use super::tile::{BlockOfRows, Tiles};
use crate::operands::Start;
use crate::pool::parts::OutputTile;
use crate::simd::{Kernel, LANES, Lanes, Tile, TileSizes};
use crate::weights::Block;

/// From this many rows on, unpacking a micro-panel pays.
pub(crate) const MANY_ROWS: usize = 3;

/// kc at most: two panels of 1024 × 16 `f32` are 128 KiB, which a second-level cache holds. The first level cannot, but
/// shorter blocks cost more than they save: a tile loads its sums anew for each.
const KC: usize = 1024;

/// Vectors of the scratch buffer for a micro-panel.
pub(crate) const SCRATCH: usize = 2 * KC;

/// mc, a multiple of [`ROWS`].
pub(crate) const MC: usize = 264;

/// nc in panels: their sums stay in the second-level cache from one block of `k` to the next.
const NC_PANELS: usize = 8;

/// A multiple of the rows of every level's tile.
pub(crate) const ROWS: usize = 12;

/// One thread's share of a matmul: some rows times some panels.
pub(crate) struct Matmul<'a, B> {
    /// `[all rows, x_stride]`, of which the first `inputs` columns count.
    pub(crate) x: &'a [f32],
    pub(crate) x_stride: usize,
    pub(crate) inputs: usize,
    /// All panels of the matrix.
    pub(crate) blocks: &'a [B],
    /// [`SCRATCH`] vectors, for weights that are unpacked.
    pub(crate) scratch: &'a mut [[f32; LANES]],
    /// Which rows and panels of `[all rows, outputs]` to compute.
    pub(crate) out: OutputTile<'a>,
}

impl<B: Block> Kernel for Matmul<'_, B> {
    type Output = ();

    #[inline(always)]
    fn run<S: Tile>(mut self, s: S) {
        match self.out.rows().len() {
            0 => {}
            1 => self.few_rows::<S, 1>(s),
            2 => self.few_rows::<S, 2>(s),
            rows => {
                let blocking = Blocking {
                    rows: even_blocks(rows, ROWS, MC),
                    panels: NC_PANELS,
                    k: even_blocks(self.inputs, B::K, KC),
                    tile_panels: S::Size::PANELS,
                };
                let (rows, panels, k) = (self.out.rows(), self.out.panels(), self.inputs);
                multiply_blocked(s, &mut self, blocking, rows, panels, k);
            }
        }
    }
}

impl<'a, B: Block> Matmul<'a, B> {
    fn panel(&self, panel: usize) -> &'a [B] {
        let per_panel = self.inputs / B::K;
        &self.blocks[panel * per_panel..][..per_panel]
    }

    #[inline(always)]
    fn few_rows<S: Lanes, const ROWS: usize>(&mut self, s: S) {
        let first_row = self.out.rows().start;
        let mut x = [self.x; ROWS];
        for (row, x) in x.iter_mut().enumerate() {
            *x = &self.x[(first_row + row) * self.x_stride..][..self.inputs];
        }
        let Range { start: mut panel, end: last } = self.out.panels();
        while panel + 4 <= last && B::PANELS >= 4 {
            self.chains::<S, ROWS, 4>(s, &x, panel);
            panel += 4;
        }
        while panel + 2 <= last && B::PANELS == 2 {
            self.chains::<S, ROWS, 2>(s, &x, panel);
            panel += 2;
        }
        while panel < last {
            self.chains::<S, ROWS, 1>(s, &x, panel);
            panel += 1;
        }
    }

    /// `ROWS` rows times `PANELS` panels from `first` on, all sums in registers.
    #[inline(always)]
    fn chains<S: Lanes, const ROWS: usize, const PANELS: usize>(
        &mut self,
        s: S,
        x: &[&[f32]; ROWS],
        first: usize,
    ) {
        let mut panels = [self.panel(first); PANELS];
        for (i, panel) in panels.iter_mut().enumerate() {
            *panel = self.panel(first + i);
        }
        let mut sums = [[s.splat(0.0); PANELS]; ROWS];
        for b in 0..self.inputs / B::K {
            for group in 0..B::K / B::GROUP {
                let mut scales = [panels[0][b].scales(s, group); PANELS];
                for p in 1..PANELS {
                    scales[p] = panels[p][b].scales(s, group);
                }
                for word in 0..B::GROUP / B::WORD {
                    for i in 0..B::WORD {
                        let k = group * B::GROUP + word * B::WORD + i;
                        for p in 0..PANELS {
                            let weights = panels[p][b].weights(s, scales[p], k);
                            for row in 0..ROWS {
                                let input = s.splat(x[row][b * B::K + k]);
                                sums[row][p] = s.mul_add(input, weights, sums[row][p]);
                            }
                        }
                    }
                }
            }
        }
        let first_row = self.out.rows().start;
        for (row, sums) in sums.into_iter().enumerate() {
            for (p, sum) in sums.into_iter().enumerate() {
                self.out.store_partial(s, first_row + row, first + p, sum);
            }
        }
    }
}

impl<B: Block> Blocked for Matmul<'_, B> {
    #[inline(always)]
    fn multiply<S: Tile>(&mut self, s: S, rows: Range<usize>, panels: Range<usize>, k: Range<usize>) {
        let blocks = k.start / B::K..k.end / B::K;
        let (left, right) = self.scratch.split_at_mut(KC);
        let per_panel = self.inputs / B::K;
        let panel = |panel: usize| &self.blocks[panel * per_panel..][blocks.clone()];
        let mut b = [unpack(s, panel(panels.start), left); 2];
        if panels.len() == 2 {
            b[1] = unpack(s, panel(panels.start + 1), right);
        }
        s.out_of_line(Tiles {
            a: BlockOfRows::InPlace {
                data: &self.x[rows.start * self.x_stride + k.start..],
                row_stride: self.x_stride,
            },
            b,
            k: k.len(),
            rows,
            panels,
            start: if k.start == 0 { Start::Zero } else { Start::Out },
            bias: None,
            out: self.out.reborrow(),
        });
    }
}

/// The weights of some blocks of a panel as `f32`, `[k][16]`: unpacked into `scratch`, if they are not `f32` already.
#[inline(always)]
fn unpack<'w, S: Lanes, B: Block>(
    s: S,
    blocks: &'w [B],
    scratch: &'w mut [[f32; LANES]],
) -> &'w [[f32; LANES]] {
    if let Some(floats) = B::as_floats(blocks) {
        return floats;
    }
    for (block, out) in blocks.iter().zip(scratch.chunks_exact_mut(B::K)) {
        for (group, out) in out.chunks_exact_mut(B::GROUP).enumerate() {
            let scales = block.scales(s, group);
            for (word, out) in out.chunks_exact_mut(B::WORD).enumerate() {
                for (i, out) in out.iter_mut().enumerate() {
                    s.store(block.weights(s, scales, group * B::GROUP + word * B::WORD + i), out);
                }
            }
        }
    }
    &scratch[..blocks.len() * B::K]
}
