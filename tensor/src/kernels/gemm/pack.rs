//! Copies of parts of the factors, in the order in which a tile reads them.

use std::ops::Range;

use super::View;
use crate::kernels::rowwise::sixteen;
use crate::simd::{Kernel, LANES, Lanes};

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
            s.store(sixteen(s, row, p * LANES, 0.0), out);
        }
    }
}

/// Copies rows `from..from + len` of some panels of `B`, reading row by row.
#[inline(always)]
pub(super) fn copy_stretch<S: Lanes, const PANELS: usize>(
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
            s.store(sixteen(s, row, panel * LANES, 0.0), &mut out[to]);
        }
    }
}

/// Copies some rows of an `A` whose `k` runs down the columns, so that its rows lie side by side, as `[tiles][len][TILE]`;
/// a last, lower tile keeps the same step.
#[inline(always)]
pub(super) fn copy_rows<const TILE: usize>(
    a: View<'_>,
    rows: Range<usize>,
    from: usize,
    len: usize,
    block: &mut [f32],
) {
    for k in 0..len {
        let line = &a.data[(from + k) * a.column_step..][..a.rows][rows.clone()];
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
