//! Causal attention with grouped queries over the cached keys and values of one layer.

mod job;
mod queries;

use self::job::{Job, blocks};
use super::operations;
use crate::operands::{Attention, AttentionShape, Heads, KeyValues, with_heads};
use crate::operations::SequenceAttention;
use crate::pool::Team;
use crate::pool::parts::Chain;

/// Attention of `q` over the cache: `z = softmax(scale · q·kᵀ) · v`, each query attending to the positions up to its
/// own.
///
/// `q` and `z` are `[rows, n_heads, head_dim]`; the rows are the last `rows` positions of the cache, so
/// their keys and values must have been appended.
///
/// # Panics
/// If the lengths do not fit, or there are more rows than cached positions.
pub fn attention(team: &Team<'_>, layer: Attention, q: &[f32], cache: &KeyValues, z: &mut [f32]) {
    let shape = AttentionShape::new(layer, cache, q.len());
    assert_eq!(z.len(), q.len(), "attention: lengths of q and z");
    operations(team).attention(&mut [SequenceAttention { shape, cache, q, z }]);
}

/// The [`attention`] of several sequences, each over a cache of its own, split over the team as one job.
///
/// `q` and `z` are `[rows, n_heads, head_dim]`, the rows of one sequence after those of another; `sequences` has the
/// cache and the number of rows of each.
///
/// # Panics
/// As [`attention`], and if the rows of all sequences are not those of `q` and `z`.
pub fn attention_each(
    team: &Team<'_>,
    layer: Attention,
    q: &[f32],
    sequences: &[(&KeyValues, usize)],
    z: &mut [f32],
) {
    let rows: usize = sequences.iter().map(|&(cache, rows)| rows * layer.n_heads * cache.head_dim()).sum();
    assert!(rows == q.len() && rows == z.len(), "attention: q and z have the rows of all sequences");
    let (mut q, mut z) = (q, z);
    let mut each = Vec::with_capacity(sequences.len());
    for &(cache, rows) in sequences {
        let (its_q, rest_of_q) = q.split_at(rows * layer.n_heads * cache.head_dim());
        let (its_z, rest_of_z) = std::mem::take(&mut z).split_at_mut(its_q.len());
        (q, z) = (rest_of_q, rest_of_z);
        let shape = AttentionShape::new(layer, cache, its_q.len());
        each.push(SequenceAttention { shape, cache, q: its_q, z: its_z });
    }
    operations(team).attention(&mut each);
}

/// The first step of [`attention`], for inspection: the scores `scale · q·kᵀ`, `[n_heads, rows, positions]`; −∞ where a
/// query does not attend.
///
/// # Panics
/// As [`attention`].
pub fn attention_scores(team: &Team<'_>, layer: Attention, q: &[f32], cache: &KeyValues, scores: &mut [f32]) {
    let shape = AttentionShape::new(layer, cache, q.len());
    assert_eq!(scores.len(), shape.scores(), "attention: scores for each head, row and position");
    operations(team).attention_scores(shape, q, cache, scores);
}

/// The second step of [`attention`]: turns `scores` into the pattern, the attention weights of each query, in place.
/// `rows` is the number of rows of queries.
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
    let shape = AttentionShape::new(layer, cache, rows * layer.n_heads * cache.head_dim());
    assert_eq!(scores.len(), shape.scores(), "attention: scores for each head, row and position");
    operations(team).attention_pattern(shape, cache, scores);
}

/// The third step of [`attention`]: `z = pattern · v`. Attention weights of positions that a query does not attend to
/// are not used.
///
/// # Panics
/// As [`attention`].
pub fn attention_mix(team: &Team<'_>, layer: Attention, pattern: &[f32], cache: &KeyValues, z: &mut [f32]) {
    let shape = AttentionShape::new(layer, cache, z.len());
    assert_eq!(pattern.len(), shape.scores(), "attention: attention weights for each head, row and position");
    operations(team).attention_mix(shape, pattern, cache, z);
}

/// The attention of some sequences by the kernels.
pub(super) fn share_out(team: &Team<'_>, sequences: &mut [SequenceAttention<'_>]) {
    let parts: usize = sequences.iter().map(|sequence| sequence.shape.all_tiles()).sum();
    // Too few to keep all threads busy: each sequence by itself may be cut finer, and into larger blocks.
    if sequences.len() == 1 || parts < 2 * team.threads() {
        for SequenceAttention { shape, cache, q, z } in sequences {
            with_heads!(cache.heads(), heads => Job { shape: *shape, heads }.attention(team, q, z));
        }
        return;
    }
    let (mut queries, mut parts) = (Vec::with_capacity(sequences.len()), Vec::with_capacity(sequences.len()));
    for SequenceAttention { shape, cache, q, z } in sequences {
        queries.push((*shape, cache.heads(), *q));
        parts.push(blocks(shape.z_rows(z), 1));
    }
    team.run_on_parts(Chain(parts), |_, (sequence, i, z)| {
        let (shape, heads, q) = queries[sequence];
        with_heads!(heads, heads => Job { shape, heads }.attend_block(team, i, 1, q, z));
    });
}

/// The scores by the kernels.
pub(super) fn scores(
    team: &Team<'_>,
    shape: AttentionShape,
    q: &[f32],
    cache: &KeyValues,
    scores: &mut [f32],
) {
    scores.fill(f32::NEG_INFINITY);
    with_heads!(cache.heads(), heads => {
        let job = Job { shape, heads };
        job.run(team, shape.score_rows(scores), |block, rows, _, scores| {
            job.score(team, block, q, rows);
            job.store_rows(block, rows, scores);
        });
    });
}

/// The pattern by the kernels.
pub(super) fn pattern(team: &Team<'_>, shape: AttentionShape, cache: &KeyValues, scores: &mut [f32]) {
    let before = scores.to_vec();
    scores.fill(0.0);
    with_heads!(cache.heads(), heads => {
        let job = Job { shape, heads };
        job.run(team, shape.score_rows(scores), |block, rows, _, pattern| {
            job.load_rows(block, &before, rows);
            job.softmax(team, block, rows);
            job.store_rows(block, rows, pattern);
        });
    });
}

/// The weighted sums of values by the kernels.
pub(super) fn weighted_sums(
    team: &Team<'_>,
    shape: AttentionShape,
    pattern: &[f32],
    cache: &KeyValues,
    z: &mut [f32],
) {
    with_heads!(cache.heads(), heads => {
        let job = Job { shape, heads };
        job.run(team, shape.z_rows(z), |block, rows, block_z, z| {
            job.load_rows(block, pattern, rows);
            job.weighted_sums(team, block, rows, block_z);
            job.store_z(block, block_z, z);
        });
    });
}
