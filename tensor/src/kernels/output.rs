//! Sixteen outputs of a matrix product at a time: what a register of sums is loaded from and stored to.

use crate::pool::parts::OutputTile;
use crate::simd::{LANES, Lanes};

impl OutputTile<'_> {
    /// Writes the sixteen outputs of row `row` and panel `panel`, or as many as the tile has there.
    ///
    /// # Panics
    /// If the tile has none there.
    #[inline(always)]
    pub(crate) fn store_partial<S: Lanes>(&mut self, s: S, row: usize, panel: usize, outputs: S::F) {
        s.store_partial(outputs, self.panel(row, panel));
    }

    /// Reads the sixteen outputs of row `row` and panel `panel`, or as many as the tile has there and zeros.
    ///
    /// # Panics
    /// If the tile has none there.
    #[inline(always)]
    pub(crate) fn load_partial<S: Lanes>(&mut self, s: S, row: usize, panel: usize) -> S::F {
        s.load_partial(self.panel(row, panel), 0.0)
    }

    #[inline(always)]
    fn panel(&mut self, row: usize, panel: usize) -> &mut [f32] {
        let from = panel * LANES;
        self.row(row, from, self.columns().end.min(from + LANES))
    }
}
