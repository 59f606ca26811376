//! The loops of a blocked matrix product, the same for all of them.
//!
//! A product `C = A · B`, `[m, k] · [k, n]`, is computed in blocks, so that what the innermost loop reads stays in
//! registers and near caches (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008; Van Zee
//! and van de Geijn, "BLIS", 2015, whose names these are):
//!
//! ```text
//! loop 5   nc columns of B                                       panels of sixteen columns
//! loop 4     kc steps of k               pack B: kc × nc         third-level cache
//! loop 3       mc rows of A              pack A: mc × kc         second-level cache
//! loop 2         nr columns              a micro-panel: kc × nr  first-level cache
//! loop 1           mr rows               a tile: mr × nr         registers
//! kernel             the micro-kernel: kc steps of k
//! ```
//!
//! Each output adds up its products in order of `k`, because loop 4 goes through `k` in order and a tile continues the
//! sums that the block before it stored. The sizes of blocks and tiles change no bit.

use std::ops::Range;

use crate::simd::Tile;

/// The sizes of blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocking {
    /// mc: a multiple of the tile's rows.
    pub(crate) rows: usize,
    /// nc in panels of sixteen columns: a multiple of the tile's panels.
    pub(crate) panels: usize,
    /// kc
    pub(crate) k: usize,
    /// nr in panels of sixteen columns.
    pub(crate) tile_panels: usize,
}

/// A product that is computed in blocks.
pub(crate) trait Blocked {
    /// Loop 4: brings steps `k` of the panels `panels` of B into the order in which tiles read them, if need be.
    #[inline(always)]
    fn pack_b<S: Tile>(&mut self, _: S, _panels: Range<usize>, _k: Range<usize>) {}

    /// Loop 3: brings steps `k` of the rows `rows` of A into the order in which tiles read them, if need be.
    #[inline(always)]
    fn pack_a<S: Tile>(&mut self, _: S, _rows: Range<usize>, _k: Range<usize>) {}

    /// Loop 1: adds steps `k` to the outputs of `rows` × `panels`, at most [`Blocking::tile_panels`] of them.
    fn multiply<S: Tile>(&mut self, s: S, rows: Range<usize>, panels: Range<usize>, k: Range<usize>);
}

/// Computes rows `rows` × panels `panels` of a product with `k` steps; with none, outputs are still written.
#[inline(always)]
pub(crate) fn multiply_blocked<S: Tile>(
    s: S,
    product: &mut impl Blocked,
    blocking: Blocking,
    rows: Range<usize>,
    panels: Range<usize>,
    k: usize,
) {
    // Loop 5.
    for first_panel in panels.clone().step_by(blocking.panels) {
        let block_panels = first_panel..panels.end.min(first_panel + blocking.panels);
        // Loop 4.
        for first_k in (0..k.max(1)).step_by(blocking.k) {
            let block_k = first_k..k.min(first_k + blocking.k);
            product.pack_b(s, block_panels.clone(), block_k.clone());
            // Loop 3.
            for first_row in rows.clone().step_by(blocking.rows) {
                let block_rows = first_row..rows.end.min(first_row + blocking.rows);
                product.pack_a(s, block_rows.clone(), block_k.clone());
                // Loop 2.
                for panel in block_panels.clone().step_by(blocking.tile_panels) {
                    let tile_panels = panel..block_panels.end.min(panel + blocking.tile_panels);
                    product.multiply(s, block_rows.clone(), tile_panels, block_k.clone());
                }
            }
        }
    }
}

/// The size of blocks of `total` things: as few blocks as there must be with at most `most` things each, and these of
/// much the same size, a multiple of `unit`. A short last block would not repay the loading of its sums.
pub(crate) const fn even_blocks(total: usize, unit: usize, most: usize) -> usize {
    let blocks = total.div_ceil(most / unit * unit);
    let size = if blocks == 0 { 0 } else { total.div_ceil(blocks).next_multiple_of(unit) };
    if size == 0 { unit } else { size }
}

#[cfg(test)]
mod tests {
    use super::even_blocks;

    #[test]
    fn blocks_are_few_and_even() {
        for (total, unit, most, expected) in [
            (0, 4, 16, 4),
            (1, 4, 16, 4),
            (16, 4, 16, 16),
            (17, 4, 16, 12),
            (18, 4, 20, 20),
            (48, 4, 20, 16),
            (1100, 1, 1024, 550),
            (100, 32, 79, 64),
        ] {
            assert_eq!(
                even_blocks(total, unit, most),
                expected,
                "{total} in multiples of {unit} up to {most}"
            );
        }
    }
}
