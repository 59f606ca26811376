//! Which queries are computed together, and what each of them may see.

use std::ops::Range;

use super::Attention;
use crate::kernels::attention::QUERIES;
use crate::kernels::output::Output;
use crate::ops::KeyValues;
use crate::simd::LANES;

/// The numbers of an attention in hand.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) layer: Attention,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    /// Cached positions.
    pub(super) positions: usize,
    /// Tokens that ask, the last of the positions.
    pub(super) rows: usize,
    /// Query heads that share a key-value head.
    pub(super) group: usize,
}

impl Shape {
    /// For `q_len` numbers of queries.
    ///
    /// # Panics
    /// If they are no whole rows, or more rows than positions, or the heads do not share evenly.
    pub(super) fn new(layer: Attention, cache: &KeyValues, q_len: usize) -> Shape {
        let (kv_heads, positions) = (cache.kv_heads(), cache.positions);
        let rows = crate::ops::rows_of("attention's queries", q_len, layer.n_heads * cache.head_dim);
        assert!(rows <= positions, "attention: {rows} queries, but {positions} cached positions");
        assert!(
            kv_heads > 0 && layer.n_heads.is_multiple_of(kv_heads),
            "attention: {} query heads do not share {kv_heads} key-value heads evenly",
            layer.n_heads,
        );
        let group = layer.n_heads / kv_heads;
        Shape { layer, kv_heads, head_dim: cache.head_dim, positions, rows, group }
    }

    /// Queries of a key-value head.
    pub(super) fn queries(&self) -> usize {
        self.rows * self.group
    }

    /// Tiles of a key-value head.
    pub(super) fn tiles(&self) -> usize {
        self.queries().div_ceil(QUERIES)
    }

    /// Tiles of all of them.
    pub(super) fn all_tiles(&self) -> usize {
        self.kv_heads * self.tiles()
    }

    /// The positions that the query of row `row` may see.
    pub(super) fn visible(&self, row: usize) -> Range<usize> {
        let end = self.positions - self.rows + row + 1;
        self.layer.window.map_or(0, |window| end.saturating_sub(window))..end
    }

    /// Calls `query(head, kv_head, row, visible)` for every query, one after the other.
    pub(super) fn each_query(&self, mut query: impl FnMut(usize, usize, usize, Range<usize>)) {
        for head in 0..self.layer.n_heads {
            for row in 0..self.rows {
                query(head, head / self.group, row, self.visible(row));
            }
        }
    }

    /// The queries of tile `tile` of a key-value head: [`QUERIES`] in the order (row, head of the group), or what is left.
    pub(super) fn tile(&self, kv_head: usize, tile: usize) -> Queries {
        let range = tile * QUERIES..self.queries().min((tile + 1) * QUERIES);
        let mut queries = Queries {
            count: range.len(),
            n_heads: self.layer.n_heads,
            n_rows: self.rows,
            places: [(0, 0); QUERIES],
            visible: [const { 0..0 }; QUERIES],
        };
        for (i, query) in range.enumerate() {
            let (row, head) = (query / self.group, kv_head * self.group + query % self.group);
            queries.places[i] = (row, head);
            queries.visible[i] = self.visible(row);
        }
        queries
    }
}

/// The queries of one tile: where they stand among all.
pub(super) struct Queries {
    pub(super) count: usize,
    n_heads: usize,
    n_rows: usize,
    /// `(row, head)` of each.
    places: [(usize, usize); QUERIES],
    visible: [Range<usize>; QUERIES],
}

impl Queries {
    /// The positions each of them may see.
    pub(super) fn visible(&self) -> &[Range<usize>] {
        &self.visible[..self.count]
    }

    /// Their vectors in `q`, `[rows, n_heads, head_dim]`.
    pub(super) fn vectors<'q>(&self, q: &'q [f32]) -> [&'q [f32]; QUERIES] {
        let head_dim = q.len() / (self.n_rows * self.n_heads);
        self.places.map(|(row, head)| &q[(row * self.n_heads + head) * head_dim..][..head_dim])
    }

    /// Copies their rows of scores from `[n_heads, rows, positions]` into the tile's, `[queries][row_len]`.
    pub(super) fn take_rows(&self, from: &[f32], rows: &mut [f32], row_len: usize) {
        let positions = from.len() / (self.n_heads * self.n_rows);
        let rows = rows.chunks_exact_mut(row_len).zip(self.visible());
        for ((to, visible), &(row, head)) in rows.zip(&self.places) {
            to.fill(0.0);
            let from = &from[(head * self.n_rows + row) * positions..][visible.clone()];
            to[visible.clone()].copy_from_slice(from);
        }
    }

    /// Copies the visible part of the tile's rows out to `[n_heads · rows, positions]`.
    pub(super) fn put_rows(&self, rows: &[f32], row_len: usize, to: &Output<'_>) {
        let rows = rows.chunks_exact(row_len).zip(self.visible());
        for ((from, visible), &(row, head)) in rows.zip(&self.places) {
            copy_into_row(to, head * self.n_rows + row, visible.start, &from[visible.clone()]);
        }
    }

    /// Copies the tile's results, from sixteen `first` on, out to `[rows · n_heads, head_dim]`.
    pub(super) fn put_z(&self, tile_z: &[f32], first: usize, to: &Output<'_>) {
        let (padded, at) = (tile_z.len() / self.count, first * LANES);
        for (from, &(row, head)) in tile_z.chunks_exact(padded).zip(&self.places) {
            copy_into_row(to, row * self.n_heads + head, at, &from[..padded.min(to.columns() - at)]);
        }
    }
}

/// Writes a part of one row; the part of the job that calls it is the only one with that row.
fn copy_into_row(to: &Output<'_>, row: usize, at: usize, from: &[f32]) {
    for (chunk, from) in from.chunks(LANES).enumerate() {
        // SAFETY: each row belongs to one query, each query to one part of the job, and the slice ends with
        // this iteration.
        let to = unsafe { to.stripe(row, at + chunk * LANES) };
        to[..from.len()].copy_from_slice(from);
    }
}
