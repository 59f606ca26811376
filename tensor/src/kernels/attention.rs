//! Attention of some query vectors over the cached keys and values of their head.
//!
//! For a query at position `p` that attends back to position `first`, with `d` = head_dim:
//!
//! ```text
//! scores[j]  = scale · Σ_d q[d]·k[j][d]      j = first..=p, inputs in order, one chain each
//! pattern    = softmax(scores)               lane j mod 16, see `rowwise`; zero outside first..=p
//! z[d]       = Σ_j pattern[j]·v[j][d]        positions in order, one chain each
//! ```
//!
//! Keys lie in panels of sixteen positions and values row by row, so that both products use the micro-kernel of
//! [`tile`](super::tile): some queries × some panels of sixteen positions, then some queries × some vectors of sixteen
//! components of the values. The four panels of a page are interleaved, component by component: a tile that reads them
//! together reads memory in order, as it does the values, and memory is the limit with few queries. A query's result
//! depends on its own row alone: how many are computed together changes no bit, as long as the values are finite.
//! Positions that only another query of the tile attends to have pattern 0 and add `0 · v`, which is NaN for an
//! infinite `v`.

use std::ops::Range;

use super::cache_page::PageKernel;
use super::rowwise::Softmax;
use crate::operands::{INTERLEAVED, PAGE};
use crate::pool::parts::OutputTile;
use crate::simd::{Kernel, LANES, Lanes, Tile, TileSizes};

/// Queries of a tile.
pub(crate) const QUERIES: usize = 6;

/// A key-value head's cache, and the queries of a tile that share it.
pub(crate) struct QueryTile<'a, P> {
    /// One page for every 64 positions, with their keys in four interleaved panels.
    pub(crate) pages: &'a [P],
    /// The positions each query attends to, at most [`QUERIES`] ranges.
    pub(crate) visible: &'a [Range<usize>],
}

impl<P> QueryTile<'_, P> {
    /// The end of the positions that any query attends to, rounded up to sixteen: the least length of a row of scores.
    pub(crate) fn row_len(&self) -> usize {
        self.end().next_multiple_of(LANES)
    }

    /// The panels of sixteen positions that any query attends to.
    pub(crate) fn panels(&self) -> Range<usize> {
        self.start() / LANES..self.end().div_ceil(LANES)
    }

    /// The positions that any query attends to, from the beginning of the first one's panel.
    fn positions(&self) -> Range<usize> {
        self.start()..self.end()
    }

    fn start(&self) -> usize {
        self.visible.iter().map(|visible| visible.start).min().unwrap_or(0) / LANES * LANES
    }

    fn end(&self) -> usize {
        self.visible.iter().map(|visible| visible.end).max().unwrap_or(0)
    }
}

/// `rows[i][j] = scale · q[i]·k[j]`: scaled dot products of each query with each key.
pub(crate) struct Scores<'a, P> {
    pub(crate) tile: QueryTile<'a, P>,
    /// One `[head_dim]` a query.
    pub(crate) queries: &'a [&'a [f32]],
    pub(crate) scale: f32,
    /// Which panels of positions to score; a few before them may be scored too, from a multiple of four on.
    pub(crate) panels: Range<usize>,
    /// `[…][row_len]`
    pub(crate) rows: OutputTile<'a>,
    /// The row of the first query.
    pub(crate) first_row: usize,
}

/// Softmax over the visible part of each row of scores; zero outside it.
pub(crate) struct MaskedSoftmax<'a> {
    /// `[queries][row_len]`: scores in, pattern out.
    pub(crate) rows: &'a mut [f32],
    pub(crate) row_len: usize,
    /// The positions each query attends to.
    pub(crate) visible: &'a [Range<usize>],
}

/// `z[i] = Σ_j rows[i][j] · v[j]`: each query's weighted sum of the values. It may be computed in pieces, the positions
/// in order: a piece continues the sums that those before it left in `z`.
pub(crate) struct WeightedSum<'a, P> {
    pub(crate) tile: QueryTile<'a, P>,
    /// The pattern, `[queries][row_len]`.
    pub(crate) rows: &'a [f32],
    pub(crate) row_len: usize,
    /// The positions of this piece.
    pub(crate) positions: Range<usize>,
    /// Which vectors of sixteen components.
    pub(crate) chunks: Range<usize>,
    /// `[queries][chunks][16]`, zero before the first piece.
    pub(crate) z: &'a mut [[f32; LANES]],
}

/// Calls `$self.$method` with a constant set to the number of queries, one to [`QUERIES`].
macro_rules! with_count {
    ($count:expr, $self:ident.$method:ident::<$S:ident>($s:ident)) => {
        match $count {
            0 => {}
            1 => $self.$method::<$S, 1>($s),
            2 => $self.$method::<$S, 2>($s),
            3 => $self.$method::<$S, 3>($s),
            4 => $self.$method::<$S, 4>($s),
            5 => $self.$method::<$S, 5>($s),
            _ => $self.$method::<$S, QUERIES>($s),
        }
    };
}

/// How many panels `queries` queries go side by side with: as many as leave all sums of the tile in registers, and at
/// most twice those of a matmul's tile, for there are fewer rows.
const fn side_by_side<S: Tile>(queries: usize) -> usize {
    let mut side = 2 * S::Size::PANELS;
    while side > 1 && side * queries > S::Size::SUMS {
        side /= 2;
    }
    side
}

/// Calls `$self.$method::<$S, $N, SIDE>` with SIDE set to [`side_by_side`].
macro_rules! with_panels {
    ($self:ident.$method:ident::<$S:ident, $N:ident>($($argument:expr),*)) => {
        match const { side_by_side::<$S>($N) } {
            4 => $self.$method::<$S, $N, 4>($($argument),*),
            2 => $self.$method::<$S, $N, 2>($($argument),*),
            _ => $self.$method::<$S, $N, 1>($($argument),*),
        }
    };
}

impl<P: PageKernel> Kernel for Scores<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Tile>(self, s: S) {
        with_count!(self.queries.len(), self.score::<S>(s));
    }
}

impl Kernel for MaskedSoftmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Tile>(self, s: S) {
        for (row, visible) in self.rows.chunks_exact_mut(self.row_len).zip(self.visible) {
            masked_softmax(s, row, visible.clone());
        }
    }
}

impl<P: PageKernel> Kernel for WeightedSum<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Tile>(self, s: S) {
        with_count!(self.tile.visible.len(), self.sum::<S>(s));
    }
}

impl<P: PageKernel> Scores<'_, P> {
    #[inline(always)]
    fn score<S: Tile, const N: usize>(self, s: S) {
        with_panels!(self.score_all::<S, N>(s));
    }

    #[inline(always)]
    fn score_all<S: Lanes, const N: usize, const SIDE: usize>(mut self, s: S) {
        // Nothing to score: rounded down, an empty range would begin with panels of another part.
        if self.panels.is_empty() {
            return;
        }
        let queries: [&[f32]; N] = self.queries.try_into().expect("N queries");
        let mut panel = self.panels.start / SIDE * SIDE;
        while panel + SIDE <= self.panels.end {
            self.score_panels::<S, N, SIDE>(s, queries, panel);
            panel += SIDE;
        }
        while panel < self.panels.end {
            self.score_panels::<S, N, 1>(s, queries, panel);
            panel += 1;
        }
    }

    #[inline(always)]
    fn score_panels<S: Lanes, const N: usize, const SIDE: usize>(
        &mut self,
        s: S,
        queries: [&[f32]; N],
        first: usize,
    ) {
        // Panels side by side are in one page: `first` is a multiple of SIDE, which divides INTERLEAVED.
        let page = &self.tile.pages[first / INTERLEAVED];
        let mut sums = [[s.splat(0.0); SIDE]; N];
        page.add_scores(s, queries, first % INTERLEAVED, &mut sums);
        for (row, sums) in sums.into_iter().enumerate() {
            for (i, sum) in sums.into_iter().enumerate() {
                let scores = s.mul(sum, s.splat(self.scale));
                self.rows.store_partial(s, self.first_row + row, first + i, scores);
            }
        }
    }
}

impl<P: PageKernel> WeightedSum<'_, P> {
    #[inline(always)]
    fn sum<S: Tile, const N: usize>(self, s: S) {
        with_panels!(self.sum_all::<S, N>(s));
    }

    #[inline(always)]
    fn sum_all<S: Lanes, const N: usize, const SIDE: usize>(mut self, s: S) {
        let visible = self.tile.positions();
        let (from, to) = (self.positions.start.max(visible.start), self.positions.end.min(visible.end));
        if from >= to {
            return;
        }
        let mut pattern = [&self.rows[..0]; N];
        for (row, pattern) in self.rows.chunks_exact(self.row_len).zip(&mut pattern) {
            *pattern = &row[from..to];
        }
        let mut chunk = self.chunks.start;
        while chunk + SIDE <= self.chunks.end {
            self.sum_chunks::<S, N, SIDE>(s, pattern, from, chunk);
            chunk += SIDE;
        }
        while chunk < self.chunks.end {
            self.sum_chunks::<S, N, 1>(s, pattern, from, chunk);
            chunk += 1;
        }
    }

    #[inline(always)]
    fn sum_chunks<S: Lanes, const N: usize, const SIDE: usize>(
        &mut self,
        s: S,
        pattern: [&[f32]; N],
        position: usize,
        first: usize,
    ) {
        let at = first - self.chunks.start;
        let mut sums = [[s.splat(0.0); SIDE]; N];
        for (z, sums) in self.z.chunks_exact(self.chunks.len()).zip(&mut sums) {
            for (z, sum) in z[at..].iter().zip(sums) {
                *sum = s.load(z);
            }
        }
        let mut done = 0;
        while done < pattern[0].len() {
            let (page, from) = ((position + done) / PAGE, (position + done) % PAGE);
            let len = (PAGE - from).min(pattern[0].len() - done);
            let pattern = pattern.map(|pattern| &pattern[done..done + len]);
            self.tile.pages[page].add_values(s, pattern, from, first, &mut sums);
            done += len;
        }
        for (z, sums) in self.z.chunks_exact_mut(self.chunks.len()).zip(sums) {
            for (z, sum) in z[at..].iter_mut().zip(sums) {
                s.store(sum, z);
            }
        }
    }
}

/// The sum runs in the lanes of absolute positions: it begins at a multiple of sixteen. Positions there that are not
/// visible take part as −∞, whose exponential (10⁻³⁸ here) vanishes beside the largest, which is 1.
#[inline(always)]
fn masked_softmax<S: Tile>(s: S, row: &mut [f32], visible: Range<usize>) {
    let from = visible.start / LANES * LANES;
    row[..visible.start].fill(f32::NEG_INFINITY);
    Softmax { row: &mut row[from..visible.end] }.run(s);
    row[..visible.start].fill(0.0);
    row[visible.end..].fill(0.0);
}
