//! `C = A · B` for matrices in memory as they are: the three products of a linear layer that learns.
//!
//! **Order of summation.** `C[m][n]` starts where [`Start`] says, and for `k = 0, 1, 2, …` becomes
//! `A[m][k] · B[k][n] + C[m][n]`, rounded once; at last the bias is added. One chain an output.
//!
//! As in [`matmul`](super::matmul), outputs run across the lanes, and a tile of rows × panels of sixteen
//! outputs stays in registers while it walks a stretch of `k`. What differs is that every matrix changes from
//! step to step, so that all copying counts:
//! - `B` is brought into panels as a whole if many rows will use it ([`PackPanels`]), else a stretch of some
//!   panels at a time;
//! - the rows of `A` are read where they stand if `k` runs along them; if `k` runs down the columns (the
//!   gradient of a weight), a block of `A` is copied first.

mod matrix;
mod pack;

use std::cell::RefCell;
use std::ops::Range;

pub use self::matrix::{Start, View};
pub(crate) use self::pack::PackPanels;
use super::rowwise::sixteen;
use crate::pool::parts::OutputTile;
use crate::simd::{Kernel, LANES, Lanes};

/// Steps of `k` walked at a time: a tile fetches its sums anew for each stretch, so a stretch is long.
const STRETCH: usize = 1024;

/// Rows walked with one stretch of panels: 264 × 1024 `f32` are 1 MiB of `A`. A multiple of [`ROWS`].
pub(crate) const ROW_BLOCK: usize = 264;

/// Panels copied at a time: 48 × 1024 × 16 `f32` are 3 MiB of `B`. Fewer would be nearer to the core, but then the rows of a
/// gradient's `A` are copied more often, and that costs more.
const PANEL_BLOCK: usize = 48;

/// A multiple of the rows of every level's tile.
pub(crate) const ROWS: usize = 12;

/// The second factor, `[k, n]`.
#[derive(Clone, Copy)]
pub(crate) enum Factor<'a> {
    /// As it lies in memory; its column step is 1.
    View(View<'a>),
    /// In the order of [`PackPanels`].
    Packed {
        panels: &'a [[f32; LANES]],
        /// Rows that were packed; at least as many as the product needs.
        inner: usize,
    },
}

/// One thread's share of a product: some rows × some panels of sixteen columns.
pub(crate) struct Gemm<'a> {
    /// `[m, k]`; one of its steps is 1.
    pub(crate) a: View<'a>,
    pub(crate) b: Factor<'a>,
    pub(crate) start: Start<'a>,
    /// `[n]`
    pub(crate) bias: Option<&'a [f32]>,
    /// Which rows and panels of `[m, n]` to compute; starts at an even panel.
    pub(crate) out: OutputTile<'a>,
}

thread_local! {
    /// A thread's room for a block of `A` and for some panels of `B`, kept between calls.
    static ROOM: RefCell<(Vec<f32>, Vec<[f32; LANES]>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

impl Kernel for Gemm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        ROOM.with_borrow_mut(|(block, panels)| {
            block.resize(ROW_BLOCK * STRETCH, 0.0);
            panels.resize(PANEL_BLOCK * STRETCH, [0.0; LANES]);
            s.apart(Inside { gemm: self, block, panels });
        });
    }
}

struct Inside<'a, 'b> {
    gemm: Gemm<'a>,
    block: &'b mut [f32],
    panels: &'b mut [[f32; LANES]],
}

impl Kernel for Inside<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(mut self, s: S) {
        match S::TILE_ROWS {
            12 => self.gemm.blocks::<S, 12, 2>(s, self.block, self.panels),
            6 => self.gemm.blocks::<S, 6, 1>(s, self.block, self.panels),
            _ => self.gemm.blocks::<S, 4, 1>(s, self.block, self.panels),
        }
    }
}

/// The rows of a tile: row `r`'s element `k` is `data[r · row_step + k · step]`.
#[derive(Clone, Copy)]
struct Rows<'a> {
    data: &'a [f32],
    row_step: usize,
    step: usize,
}

/// What a tile of outputs needs besides the rows: which outputs, and which stretch of `k`.
#[derive(Clone, Copy)]
struct Spot<'a> {
    row: usize,
    panel: usize,
    /// `[len][PANELS]` sixteens of `B`.
    weights: &'a [[f32; LANES]],
    len: usize,
    first: bool,
    last: bool,
}

impl Gemm<'_> {
    #[inline(always)]
    fn blocks<S: Lanes, const TILE: usize, const PANELS: usize>(
        &mut self,
        s: S,
        block: &mut [f32],
        panels: &mut [[f32; LANES]],
    ) {
        let inner = self.a.columns;
        let (all_rows, all_panels) = (self.out.rows(), self.out.panels());
        let at_once = match self.b {
            Factor::View(_) => PANEL_BLOCK,
            Factor::Packed { .. } => all_panels.len().max(1),
        };
        for panel in all_panels.clone().step_by(at_once) {
            let some = panel..all_panels.end.min(panel + at_once);
            // With nothing to sum up the outputs still have to be written.
            for from in (0..inner.max(1)).step_by(STRETCH) {
                let len = STRETCH.min(inner - from);
                if let Factor::View(b) = self.b {
                    pack::copy_stretch::<S, PANELS>(s, b, some.clone(), from, len, panels);
                }
                for row in all_rows.clone().step_by(ROW_BLOCK) {
                    let rows = row..all_rows.end.min(row + ROW_BLOCK);
                    if self.a.column_step != 1 {
                        pack::copy_rows::<TILE>(self.a, rows.clone(), from, len, block);
                    }
                    self.tiles::<S, TILE, PANELS>(s, rows, some.clone(), from, len, block, panels);
                }
            }
        }
    }

    /// A stretch of `k` for some rows and panels, `block` and `panels` holding copies where copies are needed.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn tiles<S: Lanes, const TILE: usize, const PANELS: usize>(
        &mut self,
        s: S,
        rows: Range<usize>,
        panels: Range<usize>,
        from: usize,
        len: usize,
        block: &[f32],
        copied: &[[f32; LANES]],
    ) {
        for panel in panels.clone().step_by(PANELS) {
            let count = PANELS.min(panels.end - panel);
            let weights = match self.b {
                Factor::View(_) => &copied[(panel - panels.start) * len..][..count * len],
                Factor::Packed { panels, inner } => &panels[panel * inner + from * count..][..count * len],
            };
            for tile in rows.clone().step_by(TILE) {
                let height = TILE.min(rows.end - tile);
                let spot = Spot {
                    row: tile,
                    panel,
                    weights,
                    len,
                    first: from == 0,
                    last: from + len == self.a.columns,
                };
                let (whole, both) = (height == TILE, count == PANELS);
                if self.a.column_step != 1 {
                    let data = &block[(tile - rows.start) * len..];
                    let data = Rows { data, row_step: 1, step: TILE };
                    match (whole, both) {
                        (true, true) => self.tile::<S, TILE, PANELS>(s, data, spot),
                        (true, false) => self.tile::<S, TILE, 1>(s, data, spot),
                        (false, _) => self.rest::<S, PANELS>(s, data, spot, height, both),
                    }
                } else {
                    let data = &self.a.data[tile * self.a.row_step + from..];
                    let data = Rows { data, row_step: self.a.row_step, step: 1 };
                    match (whole, both) {
                        (true, true) => self.tile::<S, TILE, PANELS>(s, data, spot),
                        (true, false) => self.tile::<S, TILE, 1>(s, data, spot),
                        (false, _) => self.rest::<S, PANELS>(s, data, spot, height, both),
                    }
                }
            }
        }
    }

    /// The rows that no whole tile is left for, four or one at a time.
    #[inline(always)]
    fn rest<S: Lanes, const PANELS: usize>(
        &mut self,
        s: S,
        data: Rows<'_>,
        spot: Spot<'_>,
        height: usize,
        whole: bool,
    ) {
        let mut row = 0;
        while row < height {
            let data = Rows { data: &data.data[row * data.row_step..], ..data };
            let spot = Spot { row: spot.row + row, ..spot };
            let four = row + 4 <= height;
            match (four, whole) {
                (true, true) => self.tile::<S, 4, PANELS>(s, data, spot),
                (true, false) => self.tile::<S, 4, 1>(s, data, spot),
                (false, true) => self.tile::<S, 1, PANELS>(s, data, spot),
                (false, false) => self.tile::<S, 1, 1>(s, data, spot),
            }
            row += if four { 4 } else { 1 };
        }
    }

    /// Adds a stretch of `k` to `TILE` × `PANELS` × 16 outputs.
    #[inline(always)]
    fn tile<S: Lanes, const TILE: usize, const PANELS: usize>(
        &mut self,
        s: S,
        rows: Rows<'_>,
        spot: Spot<'_>,
    ) {
        let mut sums = [[s.splat(0.0); PANELS]; TILE];
        for (r, sums) in sums.iter_mut().enumerate() {
            for (p, sum) in sums.iter_mut().enumerate() {
                *sum = self.begin(s, spot.row + r, spot.panel + p, spot.first);
            }
        }
        multiply(s, rows, spot.weights, spot.len, &mut sums);
        for (r, sums) in sums.into_iter().enumerate() {
            for (p, mut sum) in sums.into_iter().enumerate() {
                if let (Some(bias), true) = (self.bias, spot.last) {
                    sum = s.add(sum, sixteen(s, bias, (spot.panel + p) * LANES, 0.0));
                }
                self.out.store_partial(s, spot.row + r, spot.panel + p, sum);
            }
        }
    }

    /// Where a stretch finds sixteen sums.
    #[inline(always)]
    fn begin<S: Lanes>(&mut self, s: S, row: usize, panel: usize, first: bool) -> S::F {
        match self.start {
            Start::Zero if first => s.splat(0.0),
            Start::At(view) if first => {
                sixteen(s, &view.data[row * view.row_step..][..view.columns], panel * LANES, 0.0)
            }
            _ => self.out.load_partial(s, row, panel),
        }
    }
}

/// For `k = 0, 1, 2, …`: `sums[r][p] = rows[r][k] · weights[k][p] + sums[r][p]`, rounded once.
#[inline(always)]
fn multiply<S: Lanes, const TILE: usize, const PANELS: usize>(
    s: S,
    rows: Rows<'_>,
    weights: &[[f32; LANES]],
    len: usize,
    sums: &mut [[S::F; PANELS]; TILE],
) {
    if len == 0 {
        return;
    }
    let (row_step, step) = (rows.row_step, rows.step);
    let end = (TILE - 1) * row_step + (len - 1) * step;
    assert!(end < rows.data.len() && len * PANELS <= weights.len(), "a tile's lengths fit");
    // A pointer a row: then no address is computed from another.
    let mut inputs = [rows.data.as_ptr(); TILE];
    for (r, input) in inputs.iter_mut().enumerate() {
        // SAFETY: `r · row_step` is at most `end`, inside `data` by the assertion.
        *input = unsafe { input.add(r * row_step) };
    }
    for k in 0..len {
        let mut columns = [s.splat(0.0); PANELS];
        for (p, column) in columns.iter_mut().enumerate() {
            // SAFETY: `k < len` and `p < PANELS`, so by the assertion it is inside `weights`.
            *column = s.load(unsafe { weights.get_unchecked(k * PANELS + p) });
        }
        for (input, sums) in inputs.iter().zip(sums.iter_mut()) {
            // SAFETY: `k < len`, so row `r` reads at most `end`, inside `data` by the assertion.
            let input = s.splat(unsafe { *input.add(k * step) });
            for (sum, &column) in sums.iter_mut().zip(&columns) {
                *sum = s.mul_add(input, column, *sum);
            }
        }
    }
}
