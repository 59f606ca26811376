//! `C = A · B` for matrices in memory as they are: the three products of a linear layer that learns.
//!
//! **Order of summation.** `C[m][n]` starts where [`Start`] says, and for `k = 0, 1, 2, …` becomes
//! `A[m][k] · B[k][n] + C[m][n]`, rounded once; at last the bias is added. One chain an output.
//!
//! As in [`matmul`](super::matmul), outputs run across the lanes, and a tile of rows × panels of sixteen
//! outputs stays in registers while it walks a stretch of `k`. What differs is that every matrix changes from
//! step to step, so that all copying counts:
//! - `B` is brought into panels as a whole if many rows will use it ([`PackPanels`]), else a stretch of some
//!   panels at a time, for the second-level cache;
//! - the rows of `A` are read where they stand if `k` runs along them; if `k` runs down the columns (the
//!   gradient of a weight), a block of `A` is copied first, for the second-level cache.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;

use crate::simd::{Kernel, LANES, Lanes};

/// Steps of `k` walked at a time: two panels × 256 × 16 `f32` are 32 KiB.
const STRETCH: usize = 256;

/// Rows walked with one stretch of panels: 264 × 256 `f32` are 264 KiB of `A`. A multiple of [`ROWS`].
pub(crate) const ROW_BLOCK: usize = 264;

/// Panels copied at a time: 16 × 256 × 16 `f32` are 256 KiB of `B`.
const PANEL_BLOCK: usize = 16;

/// A multiple of the rows of every level's tile.
pub(crate) const ROWS: usize = 12;

/// A matrix in a slice: element `(r, c)` is `data[r · row_step + c · column_step]`.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row_step: usize,
    pub(crate) column_step: usize,
}

impl<'a> View<'a> {
    /// The matrix `[rows, columns]` that `data` holds row after row.
    ///
    /// # Panics
    /// If `data` has another length.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> View<'a> {
        assert_eq!(data.len(), rows * columns, "a matrix of {rows} × {columns}");
        View { data, rows, columns, row_step: columns, column_step: 1 }
    }

    /// How many rows the matrix has.
    pub fn rows(self) -> usize {
        self.rows
    }

    /// Columns `columns` of this matrix.
    ///
    /// # Panics
    /// If it has fewer.
    pub fn columns(self, columns: Range<usize>) -> View<'a> {
        assert!(columns.start <= columns.end && columns.end <= self.columns, "columns of the matrix");
        let data = &self.data[(columns.start * self.column_step).min(self.data.len())..];
        View { data, columns: columns.len(), ..self }
    }

    /// Rows and columns exchanged.
    pub fn transposed(self) -> View<'a> {
        let View { data, rows, columns, row_step, column_step } = self;
        View { data, rows: columns, columns: rows, row_step: column_step, column_step: row_step }
    }

    pub(crate) fn at(self, row: usize, column: usize) -> f32 {
        self.data[row * self.row_step + column * self.column_step]
    }

    /// Whether every element lies in `data`.
    pub(crate) fn is_whole(self) -> bool {
        let last = |count: usize, step: usize| count.saturating_sub(1) * step;
        self.rows == 0
            || self.columns == 0
            || last(self.rows, self.row_step) + last(self.columns, self.column_step) < self.data.len()
    }
}

/// Where the sums of a product start.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// At zero.
    Zero,
    /// At what the output holds: the product is added to it.
    Out,
    /// At another matrix of the output's shape.
    At(View<'a>),
}

/// The output matrix, of which every part of a job writes other elements.
pub(crate) struct Out<'a> {
    start: *mut f32,
    rows: usize,
    columns: usize,
    row_step: usize,
    matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: the only access is `stripe`, whose caller promises that stripes handed out at the same time
// are disjoint.
unsafe impl Sync for Out<'_> {}

impl<'a> Out<'a> {
    /// The first `columns` columns of the matrix of `rows` rows of `row_step` that `data` holds.
    pub(crate) fn new(data: &'a mut [f32], rows: usize, columns: usize, row_step: usize) -> Out<'a> {
        let enough = rows == 0 || (rows - 1) * row_step + columns <= data.len();
        assert!(enough && columns <= row_step, "an output of {rows} × {columns}, {row_step} apart");
        Out { start: data.as_mut_ptr(), rows, columns, row_step, matrix: PhantomData }
    }

    /// The up to sixteen columns of panel `panel` in row `row`.
    ///
    /// # Safety
    /// No other slice of these elements may be alive.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    unsafe fn stripe(&self, row: usize, panel: usize) -> &mut [f32] {
        let from = panel * LANES;
        assert!(row < self.rows && from < self.columns);
        let width = LANES.min(self.columns - from);
        // SAFETY: row and columns lie inside the matrix by the assertion and the cut above; that nobody
        // else holds them is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.row_step + from), width) }
    }
}

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
    pub(crate) rows: Range<usize>,
    /// Starts at an even panel.
    pub(crate) panels: Range<usize>,
    pub(crate) start: Start<'a>,
    /// `[n]`
    pub(crate) bias: Option<&'a [f32]>,
    /// `[m, n]`
    pub(crate) out: &'a Out<'a>,
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
    fn run<S: Lanes>(self, s: S) {
        match S::TILE_ROWS {
            12 => self.gemm.blocks::<S, 12, 2>(s, self.block, self.panels),
            6 => self.gemm.blocks::<S, 6, 1>(s, self.block, self.panels),
            _ => self.gemm.blocks::<S, 4, 1>(s, self.block, self.panels),
        }
    }
}

/// How many panels lie side by side at this level: two where a tile of them has registers, because then one
/// broadcast serves two multiply-adds.
const fn side_by_side<S: Lanes>() -> usize {
    if S::TILE_ROWS == 12 { 2 } else { 1 }
}

/// Brings panels `panels` of a `B` into the order the product reads: `[panels/2][k][2][16]` if two lie side by
/// side (a last odd one alone), else `[panels][k][16]`; filled up with zeros.
pub(crate) struct PackPanels<'a> {
    /// One of its steps is 1.
    pub(crate) b: View<'a>,
    /// Starts at an even panel.
    pub(crate) panels: Range<usize>,
    /// `panels · k`
    pub(crate) out: &'a mut [[f32; LANES]],
}

impl Kernel for PackPanels<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        let inner = self.b.rows;
        if inner == 0 {
            return;
        }
        for panel in self.panels.clone().step_by(side_by_side::<S>()) {
            let count = side_by_side::<S>().min(self.panels.end - panel);
            let out = &mut self.out[(panel - self.panels.start) * inner..][..count * inner];
            if self.b.column_step == 1 {
                copy_panels(s, self.b, panel, count, 0, out);
                continue;
            }
            let first = panel * LANES;
            let lines = out.as_flattened_mut();
            for column in 0..count * LANES {
                let to = lines.iter_mut().skip(column).step_by(count * LANES);
                if first + column < self.b.columns {
                    let from = &self.b.data[(first + column) * self.b.column_step..][..inner];
                    to.zip(from).for_each(|(to, &from)| *to = from);
                } else {
                    to.for_each(|to| *to = 0.0);
                }
            }
        }
    }
}

/// Copies as many rows of `count` panels of `B` as `out` has, from row `from` on, side by side.
#[inline(always)]
fn copy_panels<S: Lanes>(
    s: S,
    b: View<'_>,
    panel: usize,
    count: usize,
    from: usize,
    out: &mut [[f32; LANES]],
) {
    for (k, out) in out.chunks_exact_mut(count).enumerate() {
        let row = &b.data[(from + k) * b.row_step..][..b.columns][panel * LANES..];
        for (p, out) in out.iter_mut().enumerate() {
            s.store(some(s, &row[p * LANES..]), out);
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
        &self,
        s: S,
        block: &mut [f32],
        panels: &mut [[f32; LANES]],
    ) {
        let inner = self.a.columns;
        let at_once = match self.b {
            Factor::View(_) => PANEL_BLOCK,
            Factor::Packed { .. } => self.panels.len().max(1),
        };
        for panel in self.panels.clone().step_by(at_once) {
            let some = panel..self.panels.end.min(panel + at_once);
            // With nothing to sum up the outputs still have to be written.
            for from in (0..inner.max(1)).step_by(STRETCH) {
                let len = STRETCH.min(inner - from);
                if let Factor::View(b) = self.b {
                    self.copy_stretch::<S, PANELS>(s, b, some.clone(), from, len, panels);
                }
                for row in self.rows.clone().step_by(ROW_BLOCK) {
                    let rows = row..self.rows.end.min(row + ROW_BLOCK);
                    if self.a.column_step != 1 {
                        self.copy_rows::<TILE>(rows.clone(), from, len, block);
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
        &self,
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
        &self,
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
    fn tile<S: Lanes, const TILE: usize, const PANELS: usize>(&self, s: S, rows: Rows<'_>, spot: Spot<'_>) {
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
                    sum = s.add(sum, some(s, &bias[(spot.panel + p) * LANES..]));
                }
                self.put(s, spot.row + r, spot.panel + p, sum);
            }
        }
    }

    /// Where a stretch finds sixteen sums.
    #[inline(always)]
    fn begin<S: Lanes>(&self, s: S, row: usize, panel: usize, first: bool) -> S::F {
        match self.start {
            Start::Zero if first => s.splat(0.0),
            Start::At(view) if first => {
                some(s, &view.data[row * view.row_step..][..view.columns][panel * LANES..])
            }
            // SAFETY: a share alone has its rows and panels, and the slice ends with this call.
            _ => some(s, unsafe { self.out.stripe(row, panel) }),
        }
    }

    #[inline(always)]
    fn put<S: Lanes>(&self, s: S, row: usize, panel: usize, sum: S::F) {
        // SAFETY: as in `begin`.
        let out = unsafe { self.out.stripe(row, panel) };
        match <&mut [f32; LANES]>::try_from(&mut *out) {
            Ok(out) => s.store(sum, out),
            Err(_) => {
                let mut sixteen = [0.0; LANES];
                s.store(sum, &mut sixteen);
                out.copy_from_slice(&sixteen[..out.len()]);
            }
        }
    }

    /// Copies rows `from..from + len` of some panels of `B`, reading row by row.
    #[inline(always)]
    fn copy_stretch<S: Lanes, const PANELS: usize>(
        &self,
        s: S,
        b: View<'_>,
        panels: Range<usize>,
        from: usize,
        len: usize,
        out: &mut [[f32; LANES]],
    ) {
        for k in 0..len {
            let row = &b.data[(from + k) * b.row_step..][..b.columns];
            for panel in panels.clone() {
                let pair = (panel - panels.start) / PANELS * PANELS;
                let count = PANELS.min(panels.len() - pair);
                let to = pair * len + k * count + (panel - panels.start) % PANELS;
                s.store(some(s, &row[panel * LANES..]), &mut out[to]);
            }
        }
    }

    /// Copies columns `rows` of `Aᵀ`, which lie side by side, as `[tiles][len][TILE]`; a last, lower tile
    /// keeps the same step.
    #[inline(always)]
    fn copy_rows<const TILE: usize>(&self, rows: Range<usize>, from: usize, len: usize, block: &mut [f32]) {
        for k in 0..len {
            let line = &self.a.data[(from + k) * self.a.column_step..][..self.a.rows][rows.clone()];
            let (tiles, rest) = line.as_chunks::<TILE>();
            let mut to = k * TILE;
            for tile in tiles {
                if let Some(out) = block[to..].first_chunk_mut::<TILE>() {
                    *out = *tile;
                }
                to += len * TILE;
            }
            if !rest.is_empty() {
                block[to..to + rest.len()].copy_from_slice(rest);
            }
        }
    }
}

/// Sixteen numbers, or as many as there are and zeros.
#[inline(always)]
fn some<S: Lanes>(s: S, x: &[f32]) -> S::F {
    match x.first_chunk::<LANES>() {
        Some(sixteen) => s.load(sixteen),
        None => {
            let mut sixteen = [0.0; LANES];
            sixteen[..x.len()].copy_from_slice(x);
            s.load(&sixteen)
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
