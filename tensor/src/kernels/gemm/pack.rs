//! Packing: copies of parts of the factors, in the order in which a tile reads them.

use std::ops::Range;

use crate::operands::View;
use crate::simd::{Kernel, LANES, Lanes, Tile, TileKernel};

/// Packs the panels `panels` of B: `[panels][k][16]`, zeros where a last panel has no more columns.
pub(crate) struct PackPanels<'a> {
    /// One of its strides is 1.
    pub(crate) b: View<'a>,
    pub(crate) panels: Range<usize>,
    /// `panels · k`
    pub(crate) out: &'a mut [[f32; LANES]],
}

impl Kernel for PackPanels<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        let k = self.b.rows;
        if k == 0 {
            return;
        }
        if self.b.column_stride == 1 {
            return pack_block(s, self.b, self.panels, 0..k, (self.out, k));
        }
        for (panel, out) in self.panels.zip(self.out.chunks_exact_mut(k)) {
            let out = out.as_flattened_mut();
            for lane in 0..LANES {
                let (to, column) = (out.iter_mut().skip(lane).step_by(LANES), panel * LANES + lane);
                if column < self.b.columns {
                    let from = &self.b.data[column * self.b.column_stride..][..k];
                    to.zip(from).for_each(|(to, &from)| *to = from);
                } else {
                    to.for_each(|to| *to = 0.0);
                }
            }
        }
    }
}

/// Packs steps `k` of the panels `panels` of B, whose columns are neighbours: `[k][16]` of each panel, `stride` apart.
/// Reads row after row.
#[inline(always)]
pub(super) fn pack_block<S: Lanes>(
    s: S,
    b: View<'_>,
    panels: Range<usize>,
    k: Range<usize>,
    (out, stride): (&mut [[f32; LANES]], usize),
) {
    for (i, k_step) in k.clone().enumerate() {
        let row = b.line(k_step);
        for panel in panels.clone() {
            let out = &mut out[(panel - panels.start) * stride + i];
            s.store(s.load_partial(&row[panel * LANES..], 0.0), out);
        }
    }
}

/// Packs steps `k` of the rows `rows` of an A whose `k` runs down the columns: `[tiles][k][tile rows]`. A last, lower
/// tile is padded to the size of the others.
pub(super) struct PackRows<'a, 'b> {
    pub(super) a: View<'a>,
    pub(super) rows: Range<usize>,
    pub(super) k: Range<usize>,
    pub(super) out: &'b mut [f32],
}

impl TileKernel for PackRows<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Tile, const ROWS: usize, const PANELS: usize>(self, _: S) {
        let PackRows { a, rows, k, out } = self;
        for (i, k_step) in k.clone().enumerate() {
            let line = &a.data[k_step * a.column_stride..][..a.rows][rows.clone()];
            let (tiles, rest) = line.as_chunks::<ROWS>();
            let mut to = i * ROWS;
            for tile in tiles {
                if let Some(out) = out[to..].first_chunk_mut::<ROWS>() {
                    *out = *tile;
                }
                to += k.len() * ROWS;
            }
            if !rest.is_empty() {
                out[to..to + rest.len()].copy_from_slice(rest);
            }
        }
    }
}
