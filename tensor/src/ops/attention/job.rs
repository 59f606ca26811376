//! How attention is cut into parts for threads, so that the cache of keys and values is read from memory seldom.
//!
//! A tile is as many queries as the kernels compute together; reading the cache anew for each would cost more than its
//! arithmetic. So a part is a block of tiles, which all go through one piece of the keys, then of the values, while it
//! is near the core, and then through the next. Which queries share a block changes no bit.

use std::cell::RefCell;
use std::ops::Range;

use super::queries::Queries;
use crate::kernels::attention::{MaskedSoftmax, QUERIES, QueryTile, Scores, WeightedSum};
use crate::kernels::cache_page::PageKernel;
use crate::operands::{AttentionShape, HeadCache, INTERLEAVED};
use crate::ops::with_scratch;
use crate::pool::Team;
use crate::pool::parts::{Cut, Grid, OutputTile, RowBlock, RowBlocks, Rows};
use crate::simd::LANES;

/// From this many positions on, the attention of a single token is split finer than by heads.
const LONG: usize = 512;

/// Panels of positions in a part of an attention that is cut finer than by heads.
const CUT_PANELS: usize = INTERLEAVED;

/// Panels of positions in a piece of the cache that all tiles of a block go through.
const PANELS: usize = 32;

/// Scores that a block has at most, if it is more than one tile: half a megabyte.
const BLOCK_SCORES: usize = 1 << 17;

/// Parts a thread that there are at least, if there are so many tiles.
const PARTS_A_THREAD: usize = 4;

thread_local! {
    /// A scratch buffer for the scores and results of one part.
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    /// A scratch buffer for the scores of all queries of a cut attention.
    static ALL_ROWS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// An attention over heads of one number format.
pub(super) struct Job<'a, P> {
    pub(super) shape: AttentionShape,
    pub(super) heads: &'a [HeadCache<P>],
}

/// Some tiles of one key-value head, and how long the rows of their scores are.
#[derive(Clone)]
pub(super) struct Block {
    kv_head: usize,
    tiles: Range<usize>,
    row_len: usize,
}

impl<P: PageKernel> Job<'_, P> {
    /// `q` and `z` are `[rows, n_heads, head_dim]`.
    pub(super) fn attention(&self, team: &Team<'_>, q: &[f32], z: &mut [f32]) {
        let z = self.shape.z_rows(z);
        let shape = &self.shape;
        if shape.tiles() == 1 && shape.positions >= LONG && team.threads() > 1 {
            return self.run_cut(team, q, z);
        }
        let most = (BLOCK_SCORES / (QUERIES * shape.positions)).max(1);
        let tiles = (shape.all_tiles() / (PARTS_A_THREAD * team.threads())).clamp(1, most);
        team.run_on_parts(blocks(z, tiles), |i, z| self.attend_block(team, i, tiles, q, z));
    }

    /// The attention of block `i` of those that have `tiles` tiles, and `z` its rows of the result.
    pub(super) fn attend_block(
        &self,
        team: &Team<'_>,
        i: usize,
        tiles: usize,
        q: &[f32],
        mut z: RowBlock<'_>,
    ) {
        self.with_block(i, tiles, |block, rows, block_z| {
            self.score(team, block, q, rows);
            self.softmax(team, block, rows);
            self.weighted_sums(team, block, rows, block_z);
            self.store_z(block, block_z, &mut z);
        });
    }

    /// Calls `part(block, rows, z, out)` for each tile, split over the team; `rows` and `z` are scratch buffers
    /// for the scores and the results of the tile's queries, `out` is their rows of `out`.
    pub(super) fn run(
        &self,
        team: &Team<'_>,
        out: Rows<'_>,
        part: impl Fn(&Block, &mut [f32], &mut [f32], &mut RowBlock<'_>) + Sync,
    ) {
        team.run_on_parts(blocks(out, 1), |i, mut out| {
            self.with_block(i, 1, |block, rows, z| part(block, rows, z, &mut out));
        });
    }

    /// Calls `part(block, rows, z)` for block `i` of those that have `tiles` tiles, with scratch buffers as in
    /// [`Job::run`].
    fn with_block(&self, i: usize, tiles: usize, part: impl FnOnce(&Block, &mut [f32], &mut [f32])) {
        let shape = &self.shape;
        // By rows, then by heads: rows of the queries are near the core that computed them.
        let (kv_head, from) = (i % shape.kv_heads, i / shape.kv_heads * tiles);
        let tiles = from..shape.tiles().min(from + tiles);
        let last = shape.tile(kv_head, tiles.end - 1);
        let row_len = self.tile(kv_head, &last).row_len();
        let block = Block { kv_head, tiles, row_len };
        let queries = (block.tiles.len() - 1) * QUERIES + last.count;
        let z_len = queries * self.chunks() * LANES;
        with_scratch(&SCRATCH, queries * row_len + z_len, |scratch| {
            let (rows, z) = scratch.split_at_mut(queries * row_len);
            part(&block, rows, z);
        });
    }

    /// The scores of a block.
    pub(super) fn score(&self, team: &Team<'_>, block: &Block, q: &[f32], rows: &mut [f32]) {
        let row_len = block.row_len;
        let count = rows.len() / row_len;
        let mut all = OutputTile::new(rows, count, row_len, row_len);
        for from in (0..row_len / LANES).step_by(PANELS) {
            self.each_tile(block, |first_row, queries| {
                let (tile, vectors) = (self.tile(block.kv_head, queries), queries.vectors(q));
                let (queries, scale) = (&vectors[..queries.count], self.shape.layer.scale);
                let panels = part_of(tile.panels(), from..from + PANELS);
                let rows = all.reborrow();
                team.level().run(Scores { tile, queries, scale, panels, rows, first_row });
            });
        }
    }

    /// A block's scores become its pattern.
    pub(super) fn softmax(&self, team: &Team<'_>, block: &Block, rows: &mut [f32]) {
        let row_len = block.row_len;
        self.each_tile(block, |first_row, queries| {
            let rows = &mut rows[first_row * row_len..][..queries.count * row_len];
            team.level().run(MaskedSoftmax { rows, row_len, visible: queries.visible() });
        });
    }

    /// The results of a block.
    pub(super) fn weighted_sums(&self, team: &Team<'_>, block: &Block, rows: &[f32], z: &mut [f32]) {
        let (row_len, chunks) = (block.row_len, 0..self.chunks());
        let (z, _) = z.as_chunks_mut::<LANES>();
        z.fill([0.0; LANES]);
        for from in (0..row_len).step_by(PANELS * LANES) {
            self.each_tile(block, |first_row, queries| {
                let tile = self.tile(block.kv_head, queries);
                let rows = &rows[first_row * row_len..][..queries.count * row_len];
                let z = &mut z[first_row * chunks.len()..][..queries.count * chunks.len()];
                let (positions, chunks) = (from..from + PANELS * LANES, chunks.clone());
                team.level().run(WeightedSum { tile, rows, row_len, positions, chunks, z });
            });
        }
    }

    /// Copies a block's results out to `[rows · n_heads, head_dim]`.
    pub(super) fn store_z(&self, block: &Block, z: &[f32], to: &mut RowBlock<'_>) {
        let len = self.chunks() * LANES;
        self.each_tile(block, |first_row, queries| {
            queries.store_z(&z[first_row * len..][..queries.count * len], to);
        });
    }

    /// Copies a block's rows of scores from `[n_heads, rows, positions]`.
    pub(super) fn load_rows(&self, block: &Block, from: &[f32], rows: &mut [f32]) {
        let row_len = block.row_len;
        self.each_tile(block, |first_row, queries| {
            queries.load_rows(from, &mut rows[first_row * row_len..], row_len);
        });
    }

    /// Copies a block's rows of scores out to `[n_heads · rows, positions]`.
    pub(super) fn store_rows(&self, block: &Block, rows: &[f32], to: &mut RowBlock<'_>) {
        let row_len = block.row_len;
        self.each_tile(block, |first_row, queries| {
            queries.store_rows(&rows[first_row * row_len..], row_len, to);
        });
    }

    /// The attention of a few queries that attend to many positions, one tile a key-value head. Split by heads alone,
    /// most threads would wait for the one with a head more. So scores are split by positions too, and the softmax by
    /// queries. Results can only be split by components, and are where there are enough threads; splitting further is
    /// slower, because a part strides through the values, which lie position by position.
    fn run_cut(&self, team: &Team<'_>, q: &[f32], z: Rows<'_>) {
        let (shape, heads, count) = (&self.shape, self.heads.len(), self.shape.queries());
        let (scale, row_len) = (shape.layer.scale, shape.positions.next_multiple_of(LANES));
        with_scratch(&ALL_ROWS, heads * count * row_len, |all| {
            let scores = OutputTile::new(all, heads * count, row_len, row_len);
            let (by_head, by_panels) =
                (Cut::every(heads * count, count), Cut::every(row_len, CUT_PANELS * LANES));
            team.run_on_parts(Grid::new(scores, by_head, by_panels), |_, rows| {
                let first_row = rows.rows().start;
                let kv_head = first_row / count;
                let queries = shape.tile(kv_head, 0);
                let (tile, vectors) = (self.tile(kv_head, &queries), queries.vectors(q));
                let (panels, queries) = (part_of(tile.panels(), rows.panels()), &vectors[..count]);
                team.level().run(Scores { tile, queries, scale, panels, rows, first_row });
            });
            team.run_on_pieces(all, row_len, |i, row| {
                let visible = shape.visible(i % count / shape.group);
                team.level().run(MaskedSoftmax { rows: row, row_len, visible: &[visible] });
            });
            let cuts = (team.threads() / heads).clamp(1, self.chunks());
            team.run_on_parts(z.blocks(count, Cut::new(shape.head_dim, LANES, cuts)), |i, mut z| {
                let kv_head = i / cuts;
                let queries = shape.tile(kv_head, 0);
                let tile = self.tile(kv_head, &queries);
                let chunks = z.columns().start / LANES..z.columns().end.div_ceil(LANES);
                let rows = &all[kv_head * count * row_len..][..count * row_len];
                with_scratch(&SCRATCH, count * chunks.len() * LANES, |part_z| {
                    part_z.fill(0.0);
                    let (z_lanes, _) = part_z.as_chunks_mut::<LANES>();
                    team.level().run(WeightedSum {
                        tile,
                        rows,
                        row_len,
                        positions: 0..row_len,
                        chunks,
                        z: z_lanes,
                    });
                    queries.store_z(part_z, &mut z);
                });
            });
        });
    }

    /// Calls `f(first_row, queries)` for each tile of a block, `first_row` being that of its first query in the block.
    fn each_tile(&self, block: &Block, mut f: impl FnMut(usize, &Queries)) {
        for (i, tile) in block.tiles.clone().enumerate() {
            f(i * QUERIES, &self.shape.tile(block.kv_head, tile));
        }
    }

    fn tile<'t>(&'t self, kv_head: usize, queries: &'t Queries) -> QueryTile<'t, P> {
        let pages = &self.heads[kv_head].pages;
        QueryTile { pages, visible: queries.visible() }
    }

    /// Vectors of sixteen components in a value.
    fn chunks(&self) -> usize {
        self.shape.head_dim.div_ceil(LANES)
    }
}

/// The rows of each key-value head's queries, in blocks of `tiles` tiles.
pub(super) fn blocks(rows: Rows<'_>, tiles: usize) -> RowBlocks<'_> {
    rows.whole_blocks(tiles * QUERIES)
}

/// The intersection of two ranges.
fn part_of(all: Range<usize>, part: Range<usize>) -> Range<usize> {
    let start = all.start.max(part.start);
    start..all.end.min(part.end).max(start)
}
