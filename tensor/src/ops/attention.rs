//! Causal attention with grouped queries over the cached keys and values of one layer.

use std::cell::RefCell;
use std::ops::Range;
use std::thread::LocalKey;

use super::key_values::{HeadCache, KeyValues};
use crate::kernels::attention::{Mix, QUERIES, Scores, Soften, Tile};
use crate::kernels::columns::Columns;
use crate::pool::Team;
use crate::reference;
use crate::simd::LANES;

/// The fixed numbers of an attention layer.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Query heads; a multiple of the cache's key-value heads, which consecutive queries share.
    pub n_heads: usize,
    /// What scores are multiplied by, usually `1/√head_dim`.
    pub scale: f32,
    /// How many positions back a query sees, itself included; `None`: all of them.
    pub window: Option<usize>,
}

/// From this many positions on, a single token's attention is cut finer than by heads.
const LONG: usize = 512;

/// Panels of positions that one part of a cut attention scores.
const PANELS_A_PART: usize = 32;

thread_local! {
    /// A thread's room for the scores and results of one tile, kept between calls.
    static ROOM: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    /// Room for the scores of all queries of a cut attention.
    static ALL_ROWS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Attention of `q` over the cache: `z = softmax(scale · q·kᵀ) · v`, each query seeing the positions up to
/// its own.
///
/// `q` and `z` are `[rows, n_heads, head_dim]`; the rows are the last `rows` positions of the cache, so
/// their keys and values must have been appended.
///
/// # Panics
/// If the lengths do not fit, or there are more rows than cached positions.
pub fn attention(team: &Team<'_>, layer: Attention, q: &[f32], cache: &KeyValues, z: &mut [f32]) {
    let job = Job::new(layer, cache, q.len());
    if team.is_reference() {
        let mut pattern = vec![0.0; layer.n_heads * job.rows * cache.positions];
        attention_scores(team, layer, q, cache, &mut pattern);
        attention_pattern(team, layer, job.rows, cache, &mut pattern);
        return attention_mix(team, layer, &pattern, cache, z);
    }
    let z = Columns::new(z, job.rows * layer.n_heads, job.head_dim());
    if job.tiles == 1 && cache.positions >= LONG && team.threads() > 1 {
        return job.run_cut(team, q, &z);
    }
    job.run(team, |queries, tile, rows, tile_z| {
        score(team, layer, &queries, tile, q, rows);
        team.level().run(Soften { rows: &mut *rows, row_len: tile.row_len(), visible: tile.visible });
        mix(team, tile, rows, tile_z);
        queries.put_z(tile_z, 0, &z);
    });
}

/// The scores of a whole tile.
fn score(team: &Team<'_>, layer: Attention, queries: &Queries, tile: Tile<'_>, q: &[f32], rows: &mut [f32]) {
    let rows = &Columns::new(rows, queries.count, tile.row_len());
    let (vectors, scale, panels) = (queries.vectors(q), layer.scale, tile.panels());
    team.level().run(Scores { tile, queries: &vectors[..queries.count], scale, panels, rows, first_row: 0 });
}

/// The results of a whole tile.
fn mix(team: &Team<'_>, tile: Tile<'_>, rows: &[f32], z: &mut [f32]) {
    let chunks = 0..tile.head_dim.div_ceil(LANES);
    team.level().run(Mix { tile, rows, chunks, z: z.as_chunks_mut::<LANES>().0 });
}

/// The first half of [`attention`], for those who want to see it: the scores `scale · q·kᵀ`,
/// `[n_heads, rows, positions]`; −∞ where a query may not look.
///
/// # Panics
/// As [`attention`].
pub fn attention_scores(team: &Team<'_>, layer: Attention, q: &[f32], cache: &KeyValues, scores: &mut [f32]) {
    let job = Job::new(layer, cache, q.len());
    scores.fill(f32::NEG_INFINITY);
    if team.is_reference() {
        let head_dim = cache.head_dim;
        return job.each_query(|head, kv_head, row, visible| {
            let keys = cache.keys(kv_head);
            let keys: Vec<&[f32]> = keys.chunks_exact(head_dim).collect();
            let query = &q[(row * layer.n_heads + head) * head_dim..][..head_dim];
            let scores = &mut scores[(head * job.rows + row) * cache.positions..][..cache.positions];
            reference::attention_scores(query, &keys, visible, layer.scale, scores);
        });
    }
    let scores = Columns::new(scores, layer.n_heads * job.rows, cache.positions);
    job.run(team, |queries, tile, rows, _| {
        score(team, layer, &queries, tile, q, rows);
        queries.put_rows(rows, tile, &scores);
    });
}

/// The step in the middle of [`attention`]: turns `scores` into the pattern, how much each query takes from
/// each position, in place. `rows` is the number of queries.
///
/// # Panics
/// As [`attention`].
pub fn attention_pattern(
    team: &Team<'_>,
    layer: Attention,
    rows: usize,
    cache: &KeyValues,
    scores: &mut [f32],
) {
    let job = Job::new(layer, cache, rows * layer.n_heads * cache.head_dim);
    if team.is_reference() {
        return job.each_query(|head, _, row, visible| {
            let row = &mut scores[(head * job.rows + row) * cache.positions..][..cache.positions];
            reference::attention_pattern(row, visible);
        });
    }
    let before = scores.to_vec();
    scores.fill(0.0);
    let pattern = Columns::new(scores, layer.n_heads * job.rows, cache.positions);
    job.run(team, |queries, tile, rows, _| {
        queries.take_rows(&before, tile, rows);
        team.level().run(Soften { rows: &mut *rows, row_len: tile.row_len(), visible: tile.visible });
        queries.put_rows(rows, tile, &pattern);
    });
}

/// The second half of [`attention`]: `z = pattern · v`. What the pattern says about positions that a query
/// may not see is not used.
///
/// # Panics
/// As [`attention`].
pub fn attention_mix(team: &Team<'_>, layer: Attention, pattern: &[f32], cache: &KeyValues, z: &mut [f32]) {
    let job = Job::new(layer, cache, z.len());
    assert_eq!(pattern.len(), layer.n_heads * job.rows * cache.positions, "a pattern for each head and row");
    if team.is_reference() {
        let head_dim = cache.head_dim;
        return job.each_query(|head, kv_head, row, visible| {
            let values: Vec<&[f32]> = cache.values(kv_head).collect();
            let pattern = &pattern[(head * job.rows + row) * cache.positions..][..cache.positions];
            let z = &mut z[(row * layer.n_heads + head) * head_dim..][..head_dim];
            reference::attention_mix(pattern, &values, visible, z);
        });
    }
    let z = Columns::new(z, job.rows * layer.n_heads, job.head_dim());
    job.run(team, |queries, tile, rows, tile_z| {
        queries.take_rows(pattern, tile, rows);
        mix(team, tile, rows, tile_z);
        queries.put_z(tile_z, 0, &z);
    });
}

/// Attention cut into parts: the queries of one key-value head, in the order (row, head of the group), in
/// tiles of at most [`QUERIES`].
struct Job<'a> {
    layer: Attention,
    cache: &'a KeyValues,
    rows: usize,
    /// Query heads that share a key-value head.
    group: usize,
    /// Tiles for each key-value head.
    tiles: usize,
}

impl<'a> Job<'a> {
    fn new(layer: Attention, cache: &'a KeyValues, q_len: usize) -> Job<'a> {
        let rows = super::rows_of("attention's queries", q_len, layer.n_heads * cache.head_dim);
        assert!(
            rows <= cache.positions,
            "attention: {rows} queries, but {} cached positions",
            cache.positions
        );
        assert!(
            !cache.heads.is_empty() && layer.n_heads.is_multiple_of(cache.heads.len()),
            "attention: {} query heads do not share {} key-value heads evenly",
            layer.n_heads,
            cache.heads.len()
        );
        let group = layer.n_heads / cache.heads.len();
        Job { layer, cache, rows, group, tiles: (rows * group).div_ceil(QUERIES) }
    }

    fn head_dim(&self) -> usize {
        self.cache.head_dim
    }

    /// The positions that the query of row `row` may see.
    fn visible(&self, row: usize) -> Range<usize> {
        let end = self.cache.positions - self.rows + row + 1;
        self.layer.window.map_or(0, |window| end.saturating_sub(window))..end
    }

    /// Calls `query(head, kv_head, row, visible)` for every query, one after the other.
    fn each_query(&self, mut query: impl FnMut(usize, usize, usize, Range<usize>)) {
        for head in 0..self.layer.n_heads {
            for row in 0..self.rows {
                query(head, head / self.group, row, self.visible(row));
            }
        }
    }

    /// Calls `part(queries, tile, rows, z)` for every tile, shared out over the team; `rows` and `z` are room
    /// for its scores and its results.
    fn run(&self, team: &Team<'_>, part: impl Fn(Queries, Tile<'_>, &mut [f32], &mut [f32]) + Sync) {
        team.run(self.cache.heads.len() * self.tiles, |i| {
            self.with_tile(i, |queries, tile| {
                let rows_len = queries.count * tile.row_len();
                let z_len = queries.count * self.head_dim().next_multiple_of(LANES);
                with_room(&ROOM, rows_len + z_len, |room| {
                    let (rows, z) = room.split_at_mut(rows_len);
                    part(queries, tile, rows, z);
                });
            });
        });
    }

    /// The attention of a few queries that look far back, one tile a key-value head. Shared out by heads alone, most
    /// threads would wait for the one with a head more: so the scores are cut by positions too, the softmax by
    /// queries, and the results by components.
    fn run_cut(&self, team: &Team<'_>, q: &[f32], z: &Columns<'_>) {
        let (heads, count) = (self.cache.heads.len(), self.rows * self.group);
        let (layer, row_len) = (self.layer, self.cache.positions.next_multiple_of(LANES));
        with_room(&ALL_ROWS, heads * count * row_len, |all| {
            let shares = (row_len / LANES).div_ceil(PANELS_A_PART);
            let rows = &Columns::new(all, heads * count, row_len);
            team.run(heads * shares, |i| {
                self.with_tile(i / shares, |queries, tile| {
                    let (seen, from) = (tile.panels(), i % shares * PANELS_A_PART);
                    let panels = seen.start.max(from)..seen.end.min(from + PANELS_A_PART);
                    let (vectors, first_row) = (queries.vectors(q), i / shares * count);
                    let (queries, scale) = (&vectors[..count], layer.scale);
                    team.level().run(Scores { tile, queries, scale, panels, rows, first_row });
                });
            });
            team.run_on_pieces(all, row_len, |i, row| {
                let visible = self.visible(i % count / self.group);
                team.level().run(Soften { rows: row, row_len, visible: &[visible] });
            });
            let chunks = self.head_dim().div_ceil(LANES);
            let halves = chunks.min(2);
            team.run(heads * halves, |i| {
                self.with_tile(i / halves, |queries, tile| {
                    let chunks = i % halves * chunks / halves..(i % halves + 1) * chunks / halves;
                    let rows = &all[i / halves * count * row_len..][..count * row_len];
                    with_room(&ROOM, count * chunks.len() * LANES, |part_z| {
                        let first = chunks.start;
                        team.level().run(Mix { tile, rows, chunks, z: part_z.as_chunks_mut::<LANES>().0 });
                        queries.put_z(part_z, first, z);
                    });
                });
            });
        });
    }

    /// Calls `f` with tile `i` of all, those of a key-value head side by side.
    fn with_tile(&self, i: usize, f: impl FnOnce(Queries, Tile<'_>)) {
        let (kv_head, tile) = (i / self.tiles, i % self.tiles);
        let range = tile * QUERIES..(self.rows * self.group).min((tile + 1) * QUERIES);
        let mut queries = Queries {
            count: range.len(),
            n_heads: self.layer.n_heads,
            n_rows: self.rows,
            places: [(0, 0); QUERIES],
        };
        let mut visible = [const { 0..0 }; QUERIES];
        for (i, query) in range.enumerate() {
            let (row, head) = (query / self.group, kv_head * self.group + query % self.group);
            queries.places[i] = (row, head);
            visible[i] = self.visible(row);
        }
        let HeadCache { keys, values } = &self.cache.heads[kv_head];
        let (head_dim, visible) = (self.head_dim(), &visible[..queries.count]);
        f(queries, Tile { keys, values, head_dim, visible });
    }
}

/// Calls `f` with `len` elements of a thread's room.
fn with_room(room: &'static LocalKey<RefCell<Vec<f32>>>, len: usize, f: impl FnOnce(&mut [f32])) {
    room.with_borrow_mut(|room| {
        if room.len() < len {
            room.resize(len, 0.0);
        }
        f(&mut room[..len]);
    });
}

/// The queries of one tile: where they stand among all.
#[derive(Clone, Copy)]
struct Queries {
    count: usize,
    n_heads: usize,
    n_rows: usize,
    /// `(row, head)` of each.
    places: [(usize, usize); QUERIES],
}

impl Queries {
    /// Their vectors in `q`, `[rows, n_heads, head_dim]`.
    fn vectors<'q>(&self, q: &'q [f32]) -> [&'q [f32]; QUERIES] {
        let head_dim = q.len() / (self.n_rows * self.n_heads);
        self.places.map(|(row, head)| &q[(row * self.n_heads + head) * head_dim..][..head_dim])
    }

    /// Copies their rows of scores from `[n_heads, rows, positions]` into the tile's, which are longer.
    fn take_rows(&self, from: &[f32], tile: Tile<'_>, rows: &mut [f32]) {
        let positions = from.len() / (self.n_heads * self.n_rows);
        let rows = rows.chunks_exact_mut(tile.row_len()).zip(tile.visible);
        for ((to, visible), &(row, head)) in rows.zip(&self.places) {
            to.fill(0.0);
            let from = &from[(head * self.n_rows + row) * positions..][visible.clone()];
            to[visible.clone()].copy_from_slice(from);
        }
    }

    /// Copies the visible part of the tile's rows out to `[n_heads · rows, positions]`.
    fn put_rows(&self, rows: &[f32], tile: Tile<'_>, to: &Columns<'_>) {
        let rows = rows.chunks_exact(tile.row_len()).zip(tile.visible);
        for ((from, visible), &(row, head)) in rows.zip(&self.places) {
            copy_into_row(to, head * self.n_rows + row, visible.start, &from[visible.clone()]);
        }
    }

    /// Copies the tile's results, from sixteen `first` on, out to `[rows · n_heads, head_dim]`.
    fn put_z(&self, tile_z: &[f32], first: usize, to: &Columns<'_>) {
        let (padded, at) = (tile_z.len() / self.count, first * LANES);
        for (from, &(row, head)) in tile_z.chunks_exact(padded).zip(&self.places) {
            copy_into_row(to, row * self.n_heads + head, at, &from[..padded.min(to.columns() - at)]);
        }
    }
}

/// Writes a part of one row; the part of the job that calls it is the only one with that row.
fn copy_into_row(to: &Columns<'_>, row: usize, at: usize, from: &[f32]) {
    for (chunk, from) in from.chunks(LANES).enumerate() {
        // SAFETY: each row belongs to one query, each query to one part of the job, and the slice ends with
        // this iteration.
        let to = unsafe { to.stripe(row, at + chunk * LANES) };
        to[..from.len()].copy_from_slice(from);
    }
}
