//! The `f32` micro-kernel, and loop 1 of a blocked product around it.

use std::ops::Range;

use crate::element::Element;
use crate::operands::Start;
use crate::pool::parts::OutputTile;
use crate::simd::{Kernel, LANES, Lanes, Tile, TileKernel, TileSizes};

/// The micro-kernel of every `f32` product here: a few rows × some panels of sixteen columns, all sums in registers.
///
/// For `k = 0, 1, …, len - 1`: `sums[r][p] = x[r][k · x_stride] · weights[p][k · stride] + sums[r][p]`, rounded once.
/// Panels side by side share the broadcast of an input, and keep the arithmetic units busy where there are few rows.
///
/// # Panics
/// If a row or a panel does not reach to the last `k`.
#[inline(always)]
pub(crate) fn multiply_tile<S: Lanes, E: Element, const ROWS: usize, const PANELS: usize>(
    s: S,
    len: usize,
    (x, x_stride): ([&[f32]; ROWS], usize),
    (weights, stride): ([&[[E; LANES]]; PANELS], usize),
    sums: &mut [[S::F; PANELS]; ROWS],
) {
    if len == 0 {
        return;
    }
    assert!(x.iter().all(|x| (len - 1) * x_stride < x.len()), "an input of each row for each k");
    assert!(weights.iter().all(|weights| (len - 1) * stride < weights.len()), "weights for each k");
    // A pointer a row: then no address is computed from another.
    let x = x.each_ref().map(|x| x.as_ptr());
    for k in 0..len {
        let mut columns = [s.splat(0.0); PANELS];
        for p in 0..PANELS {
            // SAFETY: `k · stride` is at most `(len - 1) · stride`, inside every `weights[p]` by the assertion above.
            columns[p] = E::load(s, unsafe { weights[p].get_unchecked(k * stride) });
        }
        for r in 0..ROWS {
            // SAFETY: `k · x_stride` is at most `(len - 1) · x_stride`, inside every `x[r]` by the assertion above.
            let input = s.splat(unsafe { *x[r].add(k * x_stride) });
            for p in 0..PANELS {
                sums[r][p] = s.mul_add(input, columns[p], sums[r][p]);
            }
        }
    }
}

/// The `k` steps of a block of rows, as tiles read them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BlockOfRows<'a> {
    /// Row after row where they lie, each `k` after `k`.
    InPlace { data: &'a [f32], row_stride: usize },
    /// Packed: `[tiles][k][tile rows]`.
    Packed(&'a [f32]),
}

/// Loop 1: one block of rows times one micro-panel.
pub(crate) struct Tiles<'a> {
    pub(crate) a: BlockOfRows<'a>,
    /// `[k][16]` of each panel of the micro-panel, the first [`Tiles::panels`] of them.
    pub(crate) b: [&'a [[f32; LANES]]; 2],
    /// Steps of `k` in the block.
    pub(crate) k: usize,
    /// Which outputs.
    pub(crate) rows: Range<usize>,
    pub(crate) panels: Range<usize>,
    /// What their sums start from.
    pub(crate) start: Start<'a>,
    /// Added at the end, `[all columns]`.
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) out: OutputTile<'a>,
}

impl Kernel for Tiles<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Tile>(self, s: S) {
        S::Size::run(s, self);
    }
}

impl TileKernel for Tiles<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Tile, const ROWS: usize, const PANELS: usize>(mut self, s: S) {
        match (self.a, self.panels.len() == PANELS) {
            (BlockOfRows::InPlace { .. }, true) => self.rows::<S, ROWS, PANELS, false>(s),
            (BlockOfRows::InPlace { .. }, false) => self.rows::<S, ROWS, 1, false>(s),
            (BlockOfRows::Packed(_), true) => self.rows::<S, ROWS, PANELS, true>(s),
            (BlockOfRows::Packed(_), false) => self.rows::<S, ROWS, 1, true>(s),
        }
    }
}

impl Tiles<'_> {
    /// All rows in tiles of `ROWS`; those that are left over four or one at a time.
    #[inline(always)]
    fn rows<S: Tile, const ROWS: usize, const PANELS: usize, const PACKED: bool>(&mut self, s: S) {
        let (data, row_stride, tile_stride) = match self.a {
            BlockOfRows::InPlace { data, row_stride } => (data, row_stride, ROWS * row_stride),
            BlockOfRows::Packed(data) => (data, 1, ROWS * self.k),
        };
        let Range { start: first, end } = self.rows;
        let mut row = first;
        let mut data = data;
        while row + ROWS <= end {
            self.tile::<S, ROWS, PANELS, PACKED>(s, (data, row_stride), row);
            row += ROWS;
            data = &data[tile_stride.min(data.len())..];
        }
        while row + 4 <= end {
            self.tile::<S, 4, PANELS, PACKED>(s, (data, row_stride), row);
            row += 4;
            data = &data[(4 * row_stride).min(data.len())..];
        }
        while row < end {
            self.tile::<S, 1, PANELS, PACKED>(s, (data, row_stride), row);
            row += 1;
            data = &data[row_stride.min(data.len())..];
        }
    }

    /// Adds the block's steps of `k` to `ROWS` × `PANELS` · 16 outputs, from row `row` on; `data` begins there.
    #[inline(always)]
    fn tile<S: Tile, const ROWS: usize, const PANELS: usize, const PACKED: bool>(
        &mut self,
        s: S,
        (data, row_stride): (&[f32], usize),
        row: usize,
    ) {
        let panel = self.panels.start;
        let mut sums = [[s.splat(0.0); PANELS]; ROWS];
        match self.start {
            Start::Zero => {}
            Start::Out => {
                for (r, sums) in sums.iter_mut().enumerate() {
                    for (p, sum) in sums.iter_mut().enumerate() {
                        *sum = self.out.load_partial(s, row + r, panel + p);
                    }
                }
            }
            Start::At(view) => {
                for (r, sums) in sums.iter_mut().enumerate() {
                    for (p, sum) in sums.iter_mut().enumerate() {
                        *sum = s.load_partial(&view.line(row + r)[(panel + p) * LANES..], 0.0);
                    }
                }
            }
        }
        if self.k > 0 {
            let mut x = [data; ROWS];
            for (r, x) in x.iter_mut().enumerate() {
                *x = &data[r * if PACKED { 1 } else { row_stride }..];
            }
            let mut b = [self.b[0]; PANELS];
            b.copy_from_slice(&self.b[..PANELS]);
            // A constant, so that no address has to be computed from it.
            let k_stride = if PACKED { S::Size::ROWS } else { 1 };
            multiply_tile(s, self.k, (x, k_stride), (b, 1), &mut sums);
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (p, mut sum) in sums.into_iter().enumerate() {
                if let Some(bias) = self.bias {
                    sum = s.add(sum, s.load_partial(&bias[(panel + p) * LANES..], 0.0));
                }
                self.out.store_partial(s, row + r, panel + p, sum);
            }
        }
    }
}
