//! Which queries are computed together, and which positions each of them attends to.

use std::ops::Range;

use crate::kernels::attention::QUERIES;
use crate::operands::AttentionShape;
use crate::pool::parts::{RowBlock, Rows};

impl AttentionShape {
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

    /// `z`, `[rows, n_heads, head_dim]`, by key-value head, row and head of the group.
    ///
    /// # Panics
    /// If it has another length.
    pub(super) fn z_rows<'a>(&self, z: &'a mut [f32]) -> Rows<'a> {
        let AttentionShape { kv_heads, rows, group, head_dim, .. } = *self;
        assert_eq!(z.len(), kv_heads * rows * group * head_dim, "attention: z for each query");
        let steps = [group * head_dim, kv_heads * group * head_dim, head_dim];
        Rows::new(z, [kv_heads, rows, group], steps, head_dim)
    }

    /// Scores or a pattern, `[n_heads, rows, positions]`, by key-value head, row and head of the group.
    ///
    /// # Panics
    /// If there are not as many.
    pub(super) fn score_rows<'a>(&self, scores: &'a mut [f32]) -> Rows<'a> {
        let AttentionShape { kv_heads, rows, group, positions, .. } = *self;
        assert_eq!(scores.len(), kv_heads * rows * group * positions, "attention: scores for each query");
        let steps = [group * rows * positions, positions, rows * positions];
        Rows::new(scores, [kv_heads, rows, group], steps, positions)
    }

    /// The queries of tile `tile` of a key-value head: [`QUERIES`] in the order (row, head of the group), or what is
    /// left.
    pub(super) fn tile(&self, kv_head: usize, tile: usize) -> Queries {
        let range = tile * QUERIES..self.queries().min((tile + 1) * QUERIES);
        let mut queries = Queries {
            count: range.len(),
            first: range.start,
            n_heads: self.layer.n_heads,
            n_rows: self.rows,
            row_and_head: [(0, 0); QUERIES],
            visible: [const { 0..0 }; QUERIES],
        };
        for (i, query) in range.enumerate() {
            let (row, head) = (query / self.group, kv_head * self.group + query % self.group);
            queries.row_and_head[i] = (row, head);
            queries.visible[i] = self.visible(row);
        }
        queries
    }
}

/// The queries of one tile.
pub(super) struct Queries {
    pub(super) count: usize,
    /// The number of the first among those of its key-value head; the others follow.
    first: usize,
    n_heads: usize,
    n_rows: usize,
    /// `(row, head)` of each.
    row_and_head: [(usize, usize); QUERIES],
    visible: [Range<usize>; QUERIES],
}

impl Queries {
    /// The positions each of them attends to.
    pub(super) fn visible(&self) -> &[Range<usize>] {
        &self.visible[..self.count]
    }

    /// Their vectors in `q`, `[rows, n_heads, head_dim]`.
    pub(super) fn vectors<'q>(&self, q: &'q [f32]) -> [&'q [f32]; QUERIES] {
        let head_dim = q.len() / (self.n_rows * self.n_heads);
        self.row_and_head.map(|(row, head)| &q[(row * self.n_heads + head) * head_dim..][..head_dim])
    }

    /// Copies their rows of scores from `[n_heads, rows, positions]` into the tile's, `[queries][row_len]`.
    pub(super) fn load_rows(&self, from: &[f32], rows: &mut [f32], row_len: usize) {
        let positions = from.len() / (self.n_heads * self.n_rows);
        let rows = rows.chunks_exact_mut(row_len).zip(self.visible());
        for ((to, visible), &(row, head)) in rows.zip(&self.row_and_head) {
            to.fill(0.0);
            let from = &from[(head * self.n_rows + row) * positions..][visible.clone()];
            to[visible.clone()].copy_from_slice(from);
        }
    }

    /// Copies the visible part of the tile's rows of scores out, `[queries][row_len]`.
    pub(super) fn store_rows(&self, rows: &[f32], row_len: usize, to: &mut RowBlock<'_>) {
        let rows = rows.chunks_exact(row_len).zip(self.visible());
        for (query, (from, visible)) in (self.first..).zip(rows) {
            to.row(query, visible.start, visible.end).copy_from_slice(&from[visible.clone()]);
        }
    }

    /// Copies the tile's results, `[queries][⌈columns/16⌉ · 16]`, out to the columns that the block has.
    pub(super) fn store_z(&self, tile_z: &[f32], to: &mut RowBlock<'_>) {
        let (padded, columns) = (tile_z.len() / self.count, to.columns());
        for (query, from) in (self.first..).zip(tile_z.chunks_exact(padded)) {
            to.row(query, columns.start, columns.end).copy_from_slice(&from[..columns.len()]);
        }
    }
}
