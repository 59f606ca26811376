//! Causal attention with grouped queries over the cached keys and values of one layer.

mod job;
mod queries;

use self::job::{Job, blocks};
use self::queries::Shape;
use super::key_values::{Heads, KeyValues, with_heads};
use crate::pool::Team;
use crate::pool::parts::Chain;
use crate::reference;

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

/// Attention of `q` over the cache: `z = softmax(scale · q·kᵀ) · v`, each query seeing the positions up to
/// its own.
///
/// `q` and `z` are `[rows, n_heads, head_dim]`; the rows are the last `rows` positions of the cache, so
/// their keys and values must have been appended.
///
/// # Panics
/// If the lengths do not fit, or there are more rows than cached positions.
pub fn attention(team: &Team<'_>, layer: Attention, q: &[f32], cache: &KeyValues, z: &mut [f32]) {
    let shape = Shape::new(layer, cache, q.len());
    if team.is_reference() {
        let mut pattern = vec![0.0; layer.n_heads * shape.rows * cache.positions];
        attention_scores(team, layer, q, cache, &mut pattern);
        attention_pattern(team, layer, shape.rows, cache, &mut pattern);
        return attention_mix(team, layer, &pattern, cache, z);
    }
    with_heads!(&cache.heads, heads => Job { shape, heads }.attention(team, q, z));
}

/// The [`attention`] of several texts, each over a cache of its own, shared out as one piece of work.
///
/// `q` and `z` are `[rows, n_heads, head_dim]`, the rows of one text behind those of another: as many as stand beside
/// its cache.
///
/// # Panics
/// As [`attention`], and if the texts' rows are not those of `q` and `z`.
pub fn attention_each(
    team: &Team<'_>,
    layer: Attention,
    q: &[f32],
    texts: &[(&KeyValues, usize)],
    z: &mut [f32],
) {
    let (mut q, mut z) = (q, z);
    let mut jobs = Vec::with_capacity(texts.len());
    for &(cache, rows) in texts {
        let (text_q, rest_of_q) = q.split_at(rows * layer.n_heads * cache.head_dim);
        let (text_z, rest_of_z) = std::mem::take(&mut z).split_at_mut(text_q.len());
        (q, z) = (rest_of_q, rest_of_z);
        if team.is_reference() {
            attention(team, layer, text_q, cache, text_z);
            continue;
        }
        let shape = Shape::new(layer, cache, text_q.len());
        jobs.push((shape, &cache.heads, text_q, text_z));
    }
    assert!(q.is_empty() && z.is_empty(), "attention: {} elements belong to no text", q.len().max(z.len()));
    let parts: usize = jobs.iter().map(|(shape, ..)| shape.all_tiles()).sum();
    // Too few to keep all threads busy: each text by itself may be cut finer.
    if parts < 2 * team.threads() {
        for (shape, heads, q, z) in jobs {
            with_heads!(heads, heads => Job { shape, heads }.attention(team, q, z));
        }
        return;
    }
    let (mut queries, mut parts) = (Vec::with_capacity(jobs.len()), Vec::with_capacity(jobs.len()));
    for (shape, heads, q, z) in jobs {
        queries.push((shape, heads, q));
        parts.push(blocks(shape.z_rows(z), 1));
    }
    team.run_on_parts(Chain(parts), |_, (text, i, z)| {
        let (shape, heads, q) = queries[text];
        with_heads!(heads, heads => Job { shape, heads }.attend_block(team, i, 1, q, z));
    });
}

/// The first half of [`attention`], for those who want to see it: the scores `scale · q·kᵀ`,
/// `[n_heads, rows, positions]`; −∞ where a query may not look.
///
/// # Panics
/// As [`attention`].
pub fn attention_scores(team: &Team<'_>, layer: Attention, q: &[f32], cache: &KeyValues, scores: &mut [f32]) {
    let shape = Shape::new(layer, cache, q.len());
    scores.fill(f32::NEG_INFINITY);
    if team.is_reference() {
        let head_dim = cache.head_dim;
        return shape.each_query(|head, kv_head, row, visible| {
            let keys = cache.keys(kv_head);
            let keys: Vec<&[f32]> = keys.chunks_exact(head_dim).collect();
            let query = &q[(row * layer.n_heads + head) * head_dim..][..head_dim];
            let scores = &mut scores[(head * shape.rows + row) * cache.positions..][..cache.positions];
            reference::attention_scores(query, &keys, visible, layer.scale, scores);
        });
    }
    with_heads!(&cache.heads, heads => {
        let job = Job { shape, heads };
        job.run(team, shape.score_rows(scores), |block, rows, _, scores| {
            job.score(team, block, q, rows);
            job.put_rows(block, rows, scores);
        });
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
    let shape = Shape::new(layer, cache, rows * layer.n_heads * cache.head_dim);
    if team.is_reference() {
        return shape.each_query(|head, _, row, visible| {
            let row = &mut scores[(head * shape.rows + row) * cache.positions..][..cache.positions];
            reference::attention_pattern(row, visible);
        });
    }
    let before = scores.to_vec();
    scores.fill(0.0);
    with_heads!(&cache.heads, heads => {
        let job = Job { shape, heads };
        job.run(team, shape.score_rows(scores), |block, rows, _, pattern| {
            job.take_rows(block, &before, rows);
            job.soften(team, block, rows);
            job.put_rows(block, rows, pattern);
        });
    });
}

/// The second half of [`attention`]: `z = pattern · v`. What the pattern says about positions that a query
/// may not see is not used.
///
/// # Panics
/// As [`attention`].
pub fn attention_mix(team: &Team<'_>, layer: Attention, pattern: &[f32], cache: &KeyValues, z: &mut [f32]) {
    let shape = Shape::new(layer, cache, z.len());
    assert_eq!(
        pattern.len(),
        layer.n_heads * shape.rows * cache.positions,
        "a pattern for each head and row"
    );
    if team.is_reference() {
        let head_dim = cache.head_dim;
        return shape.each_query(|head, kv_head, row, visible| {
            let values = cache.values(kv_head);
            let values: Vec<&[f32]> = values.chunks_exact(head_dim).collect();
            let pattern = &pattern[(head * shape.rows + row) * cache.positions..][..cache.positions];
            let z = &mut z[(row * layer.n_heads + head) * head_dim..][..head_dim];
            reference::attention_mix(pattern, &values, visible, z);
        });
    }
    with_heads!(&cache.heads, heads => {
        let job = Job { shape, heads };
        job.run(team, shape.z_rows(z), |block, rows, block_z, z| {
            job.take_rows(block, pattern, rows);
            job.mix(team, block, rows, block_z);
            job.put_z(block, block_z, z);
        });
    });
}
