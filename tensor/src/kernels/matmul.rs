//! `y = x · Wᵀ` for packed weights: outputs run across the lanes, each adding up its inputs in order.
//!
//! **Order of summation.** `y[m][n]` starts at zero, and for `k = 0, 1, 2, …` becomes
//! `x[m][k] · W[n][k] + y[m][n]`, rounded once. One chain an output: neither the tile's size, nor how many
//! rows there are, nor who computes it, changes a bit.
//!
//! There are two ways to get there:
//! - **few rows** (a token being generated): each weight is used once or a few times, so it is unpacked in
//!   registers and multiplied on the spot. Memory is the limit. Some panels go side by side, because one
//!   chain of dependent multiply-adds would leave the arithmetic units waiting.
//! - **many rows** (a prompt): a stretch of two panels is unpacked to `f32` once, into a buffer that stays near the core
//!   (what is `f32` already is read where it lies), and a tile of rows × outputs stays in registers while it walks the
//!   stretch. Arithmetic is the limit. (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008,
//!   is the classic on such blocking.)

use std::ops::Range;

use super::tile::multiply_tile;
use crate::pool::parts::OutputTile;
use crate::simd::{Kernel, LANES, Lanes};
use crate::weights::Block;

/// From this many rows on, unpacking a stretch of a panel pays.
pub(crate) const MANY_ROWS: usize = 3;

/// Inputs walked at a time, at most: two panels of 1024 × 16 `f32` are 128 KiB, which a second-level cache holds. The first
/// level cannot, but shorter stretches cost more than they save: a tile fetches its sums anew for each.
const STRETCH: usize = 1024;

/// Sixteens that a thread's room needs for unpacked weights.
pub(crate) const ROOM: usize = 2 * STRETCH;

/// Rows walked with one stretch, at most. A multiple of every level's tile rows.
const ROW_BLOCK: usize = 264;

/// Panels whose sums stay in the second-level cache from one stretch to the next.
const PANEL_BLOCK: usize = 8;

/// A multiple of every level's tile rows.
pub(crate) const TILE_ROWS: usize = 12;

/// One thread's share of a matmul: some rows times some panels.
pub(crate) struct Matmul<'a, B> {
    /// `[all rows, x_step]`, of which the first `inputs` columns count.
    pub(crate) x: &'a [f32],
    pub(crate) x_step: usize,
    pub(crate) inputs: usize,
    /// All panels of the matrix.
    pub(crate) blocks: &'a [B],
    /// [`ROOM`] sixteens, for weights that are unpacked.
    pub(crate) room: &'a mut [[f32; LANES]],
    /// Which rows and panels of `[all rows, outputs]` to compute.
    pub(crate) out: OutputTile<'a>,
}

impl<B: Block> Kernel for Matmul<'_, B> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(mut self, s: S) {
        match self.out.rows().len() {
            0 => {}
            1 => self.few_rows::<S, 1>(s),
            2 => self.few_rows::<S, 2>(s),
            _ => self.many_rows(s),
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
            *x = &self.x[(first_row + row) * self.x_step..][..self.inputs];
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
                for step in 0..B::GROUP / B::STEP {
                    for i in 0..B::STEP {
                        let k = group * B::GROUP + step * B::STEP + i;
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

    #[inline(always)]
    fn many_rows<S: Lanes>(mut self, s: S) {
        let (left, right) = std::mem::take(&mut self.room).split_at_mut(STRETCH);
        // Stretches of much the same length: a short last one would not repay the fetching of its sums.
        let stretches = self.inputs.div_ceil(STRETCH / B::K * B::K).max(1);
        let stretch = self.inputs.div_ceil(stretches).next_multiple_of(B::K).max(B::K);
        // Blocks of much the same length too.
        let (rows, panels) = (self.out.rows(), self.out.panels());
        let block = rows.len().div_ceil(rows.len().div_ceil(ROW_BLOCK)).next_multiple_of(TILE_ROWS);
        for block_start in rows.clone().step_by(block) {
            let block_end = (block_start + block).min(rows.end);
            for first in panels.clone().step_by(PANEL_BLOCK) {
                let last = panels.end.min(first + PANEL_BLOCK);
                for from in (0..self.inputs).step_by(stretch) {
                    let len = stretch.min(self.inputs - from);
                    for panel in (first..last).step_by(2) {
                        let panels = 2.min(last - panel);
                        let blocks = |p| &self.panel(panel + p)[from / B::K..][..len / B::K];
                        let mut weights = [floats(s, blocks(0), left); 2];
                        if panels == 2 {
                            weights[1] = floats(s, blocks(1), right);
                        }
                        s.apart(Tiles {
                            x: self.x,
                            x_step: self.x_step,
                            rows: block_start..block_end,
                            from,
                            weights,
                            panels,
                            panel,
                            out: self.out.reborrow(),
                        });
                    }
                }
            }
        }
    }
}

/// One stretch of one or two panels, unpacked, times a block of rows.
struct Tiles<'a> {
    /// `[all rows, x_step]`
    x: &'a [f32],
    x_step: usize,
    rows: Range<usize>,
    /// The first input of the stretch.
    from: usize,
    /// `[stretch][16]` of each panel.
    weights: [&'a [[f32; LANES]]; 2],
    /// How many panels there are, one or two.
    panels: usize,
    /// The first of them.
    panel: usize,
    out: OutputTile<'a>,
}

impl Kernel for Tiles<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(mut self, s: S) {
        match (S::TILE_ROWS, self.panels) {
            // Two panels where a tile of them has registers: one broadcast of an input then serves both.
            (12, 2) => {
                self.tiles::<S, 12, 2>(s, 0);
                self.tiles::<S, 4, 2>(s, 0);
                self.tiles::<S, 1, 2>(s, 0);
            }
            (_, panels) => {
                let rows = self.rows.clone();
                for p in 0..panels {
                    self.rows = rows.clone();
                    if S::TILE_ROWS >= 12 {
                        self.tiles::<S, 12, 1>(s, p);
                    }
                    if S::TILE_ROWS >= 6 {
                        self.tiles::<S, 6, 1>(s, p);
                    }
                    self.tiles::<S, 4, 1>(s, p);
                    self.tiles::<S, 1, 1>(s, p);
                }
            }
        }
    }
}

impl Tiles<'_> {
    /// Takes tiles of `ROWS` rows × `PANELS` panels from the `p`th on off the front of the rows while there are that many.
    #[inline(always)]
    fn tiles<S: Lanes, const ROWS: usize, const PANELS: usize>(&mut self, s: S, p: usize) {
        while self.rows.len() >= ROWS {
            self.tile::<S, ROWS, PANELS>(s, self.rows.start, p);
            self.rows.start += ROWS;
        }
    }

    /// Adds the stretch of inputs to `ROWS` × `PANELS` · 16 outputs.
    #[inline(always)]
    fn tile<S: Lanes, const ROWS: usize, const PANELS: usize>(&mut self, s: S, row: usize, p: usize) {
        let mut weights = [self.weights[p]; PANELS];
        weights.copy_from_slice(&self.weights[p..p + PANELS]);
        let mut sums = [[s.splat(0.0); PANELS]; ROWS];
        if self.from > 0 {
            for (r, sums) in sums.iter_mut().enumerate() {
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum = self.out.load_partial(s, row + r, self.panel + p + i);
                }
            }
        }
        let mut x = [self.x; ROWS];
        for (r, x) in x.iter_mut().enumerate() {
            *x = &self.x[(row + r) * self.x_step + self.from..][..weights[0].len()];
        }
        multiply_tile(s, x, weights, 1, &mut sums);
        for (r, sums) in sums.into_iter().enumerate() {
            for (i, sum) in sums.into_iter().enumerate() {
                self.out.store_partial(s, row + r, self.panel + p + i, sum);
            }
        }
    }
}

/// The weights of some blocks of a panel as `f32`, input after input: unpacked into `room`, if they are not `f32` already.
#[inline(always)]
fn floats<'w, S: Lanes, B: Block>(s: S, blocks: &'w [B], room: &'w mut [[f32; LANES]]) -> &'w [[f32; LANES]] {
    if let Some(floats) = B::as_floats(blocks) {
        return floats;
    }
    for (block, out) in blocks.iter().zip(room.chunks_exact_mut(B::K)) {
        for (group, out) in out.chunks_exact_mut(B::GROUP).enumerate() {
            let scales = block.scales(s, group);
            for (step, out) in out.chunks_exact_mut(B::STEP).enumerate() {
                for (i, out) in out.iter_mut().enumerate() {
                    s.store(block.weights(s, scales, group * B::GROUP + step * B::STEP + i), out);
                }
            }
        }
    }
    &room[..blocks.len() * B::K]
}
