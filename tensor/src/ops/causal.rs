//! Causal attention over whole sequences, forward and backward, as training needs it.
//!
//! The pattern of a sequence has tokens² numbers a head, so it is not stored: the forward pass stores the maximum and
//! the sum of each row of the softmax, from which the backward pass recomputes the same pattern (Dao et al.,
//! "FlashAttention", 2022). Queries are taken in blocks, and a block only attends to the keys up to its end.
//!
//! One part of the job is a sequence and a key-value head, with all query heads that share it; so each gradient
//! is summed by one thread, in order of query heads and of queries.

use std::cell::RefCell;

use crate::kernels::backward::{Dot, MaxAndSum, ScaledSoftmax, SoftmaxBackward};
use crate::kernels::gemm::{Factor, GemmPart, PackPanels};
use crate::operands::{Start, View};
use crate::pool::Team;
use crate::pool::parts::{Cut, Grid, OutputTile, Pieces};
use crate::simd::{LANES, Level};

/// Queries taken together. Part of the order of summation.
const QUERIES: usize = 64;

/// The shape of causal attention over sequences of one length.
#[derive(Clone, Copy, Debug)]
pub struct Causal {
    /// Tokens in each sequence.
    pub tokens: usize,
    /// Query heads.
    pub heads: usize,
    /// Key-value heads; consecutive query heads share one.
    pub kv_heads: usize,
    /// Components of a head.
    pub head_dim: usize,
    /// What scores are multiplied by.
    pub scale: f32,
}

impl Causal {
    /// Columns of the matrix with queries, keys and values side by side.
    pub fn width(self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    fn sequences(self, qkv: &[f32], z: &[f32]) -> usize {
        let sequences = super::rows_of("causal attention", qkv.len(), self.tokens * self.width());
        assert_eq!(z.len(), sequences * self.tokens * self.heads * self.head_dim, "causal attention: z");
        assert!(self.kv_heads > 0 && self.heads.is_multiple_of(self.kv_heads), "causal attention: heads");
        sequences
    }
}

/// Thread-local scratch buffers for one head.
#[derive(Default)]
struct Scratch {
    /// Keys and values as second factors, with tokens or components running across the lanes.
    keys: Vec<[f32; LANES]>,
    values: Vec<[f32; LANES]>,
    keys_across: Vec<[f32; LANES]>,
    values_across: Vec<[f32; LANES]>,
    /// `[QUERIES, tokens]`
    scores: Vec<f32>,
    dscores: Vec<f32>,
    /// `[tokens, head_dim]`
    z: Vec<f32>,
    dk: Vec<f32>,
    dv: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// `z[t] = Σ_j softmax(scale · q[t]·k[j])_j · v[j]` over `j ≤ t`, within each sequence.
///
/// `qkv` is `[sequences, tokens, heads + 2 · kv_heads, head_dim]`, `z` is `[sequences, tokens, heads, head_dim]`;
/// `row_stats` `[sequences, heads, tokens]` receives the maximum and the sum of each softmax row, for the backward
/// pass.
///
/// # Panics
/// If the lengths do not fit.
pub fn causal_attention(
    team: &Team<'_>,
    shape: Causal,
    qkv: &[f32],
    z: &mut [f32],
    row_stats: &mut [[f32; 2]],
) {
    let Causal { tokens, heads, kv_heads, head_dim: d, scale } = shape;
    let (sequences, width, group) = (shape.sequences(qkv, z), shape.width(), heads / kv_heads);
    assert_eq!(row_stats.len(), sequences * heads * tokens, "causal attention: row_stats");
    let z = by_sequence_and_heads(
        OutputTile::new(z, sequences * tokens, heads * d, heads * d),
        tokens,
        group * d,
    );
    team.run_on_parts((Pieces::new(row_stats, group * tokens), z), |part, (row_stats, mut z)| {
        let (sequence, kv) = (part / kv_heads, part % kv_heads);
        let qkv = rows_of_sequence(qkv, sequence, tokens, width);
        let column = |head: usize| qkv.columns(head * d..(head + 1) * d);
        SCRATCH.with_borrow_mut(|scratch| {
            let (key, value) = (column(heads + kv), column(heads + kv_heads + kv));
            let level = team.level();
            let keys_across = pack(level, key.transposed(), &mut scratch.keys_across);
            let values = pack(level, value, &mut scratch.values);
            scratch.scores.resize(QUERIES * tokens, 0.0);
            for (head, row_stats) in (kv * group..).zip(row_stats.chunks_exact_mut(tokens)) {
                for from in (0..tokens).step_by(QUERIES) {
                    let to = tokens.min(from + QUERIES);
                    let scores = &mut scratch.scores[..(to - from) * to];
                    product(level, rows(column(head), from, to), keys_across, to, Start::Zero, scores);
                    for ((t, row), peak) in
                        (from..).zip(scores.chunks_exact_mut(to)).zip(&mut row_stats[from..])
                    {
                        *peak = level.run(ScaledSoftmax { row: &mut row[..=t], scale });
                        row[t + 1..].fill(0.0);
                    }
                    scratch.z.resize((to - from) * d, 0.0);
                    let pattern = View::new(scores, to - from, to);
                    product(level, pattern, values, d, Start::Zero, &mut scratch.z);
                    for (t, row) in (sequence * tokens + from..).zip(scratch.z.chunks_exact(d)) {
                        z.row(t, head * d, (head + 1) * d).copy_from_slice(row);
                    }
                }
            }
        });
    });
}

/// Backward of [`causal_attention`]: fills `dqkv`, of `qkv`'s shape, from `dz`, of `z`'s.
///
/// # Panics
/// If the lengths do not fit.
pub fn causal_attention_backward(
    team: &Team<'_>,
    shape: Causal,
    qkv: &[f32],
    z: &[f32],
    row_stats: &[[f32; 2]],
    dz: &[f32],
    dqkv: &mut [f32],
) {
    let Causal { tokens, heads, kv_heads, head_dim: d, scale } = shape;
    let (sequences, width, group) = (shape.sequences(qkv, z), shape.width(), heads / kv_heads);
    let fits =
        row_stats.len() == sequences * heads * tokens && dz.len() == z.len() && dqkv.len() == qkv.len();
    assert!(fits, "causal attention: one shape");
    let (dq, dkv) = OutputTile::new(dqkv, sequences * tokens, width, width).split_columns(heads * d);
    let (dk, dv) = dkv.split_columns((heads + kv_heads) * d);
    let out = (
        by_sequence_and_heads(dq, tokens, group * d),
        (by_sequence_and_heads(dk, tokens, d), by_sequence_and_heads(dv, tokens, d)),
    );
    team.run_on_parts(out, |part, (mut dq_out, (mut dk_out, mut dv_out))| {
        let (sequence, kv) = (part / kv_heads, part % kv_heads);
        let level = team.level();
        let qkv = rows_of_sequence(qkv, sequence, tokens, width);
        let z = rows_of_sequence(z, sequence, tokens, heads * d);
        let dz = rows_of_sequence(dz, sequence, tokens, heads * d);
        let column = |head: usize| qkv.columns(head * d..(head + 1) * d);
        let write = |out: &mut OutputTile<'_>, head: usize, from: usize, values: &[f32]| {
            for (t, row) in (sequence * tokens + from..).zip(values.chunks_exact(d)) {
                out.row(t, head * d, (head + 1) * d).copy_from_slice(row);
            }
        };
        SCRATCH.with_borrow_mut(|scratch| {
            let Scratch { keys, keys_across, values_across, scores, dscores, z: dq, dk, dv, .. } = scratch;
            let (key, value) = (column(heads + kv), column(heads + kv_heads + kv));
            let keys = pack(level, key, keys);
            let keys_across = pack(level, key.transposed(), keys_across);
            let values_across = pack(level, value.transposed(), values_across);
            scores.resize(QUERIES * tokens, 0.0);
            dscores.resize(QUERIES * tokens, 0.0);
            for sum in [&mut *dk, &mut *dv] {
                sum.clear();
                sum.resize(tokens * d, 0.0);
            }
            for head in kv * group..(kv + 1) * group {
                let row_stats: &[MaxAndSum] = &row_stats[(sequence * heads + head) * tokens..][..tokens];
                let (z, dz) = (z.columns(head * d..(head + 1) * d), dz.columns(head * d..(head + 1) * d));
                for from in (0..tokens).step_by(QUERIES) {
                    let to = tokens.min(from + QUERIES);
                    let (query, dz) = (rows(column(head), from, to), rows(dz, from, to));
                    let (scores, dscores) =
                        (&mut scores[..(to - from) * to], &mut dscores[..(to - from) * to]);
                    product(level, query, keys_across, to, Start::Zero, scores);
                    product(level, dz, values_across, to, Start::Zero, dscores);
                    let pairs = scores.chunks_exact_mut(to).zip(dscores.chunks_exact_mut(to));
                    for (t, (row, d_row)) in (from..).zip(pairs) {
                        let mean = level.run(Dot { a: line(z, t), b: line(dz, t - from) });
                        let (row, hidden) = row.split_at_mut(t + 1);
                        let (d_row, d_hidden) = d_row.split_at_mut(t + 1);
                        level.run(SoftmaxBackward { row, d: d_row, scale, max_and_sum: row_stats[t], mean });
                        hidden.fill(0.0);
                        d_hidden.fill(0.0);
                    }
                    let pattern = View::new(scores, to - from, to);
                    let dscores = View::new(dscores, to - from, to);
                    product(level, pattern.transposed(), Factor::View(dz), d, Start::Out, &mut dv[..to * d]);
                    product(
                        level,
                        dscores.transposed(),
                        Factor::View(query),
                        d,
                        Start::Out,
                        &mut dk[..to * d],
                    );
                    dq.resize((to - from) * d, 0.0);
                    product(level, dscores, keys, d, Start::Zero, dq);
                    write(&mut dq_out, head, from, dq);
                }
            }
            write(&mut dk_out, heads + kv, 0, dk);
            write(&mut dv_out, heads + kv_heads + kv, 0, dv);
        });
    });
}

/// A matrix `[sequences · tokens, heads · head_dim]` cut into the rows of each sequence and `columns` columns.
fn by_sequence_and_heads(matrix: OutputTile<'_>, tokens: usize, columns: usize) -> Grid<'_> {
    let rows = Cut::every(matrix.rows().len(), tokens);
    let columns = Cut::every(matrix.columns().len(), columns);
    Grid::new(matrix, rows, columns)
}

/// The rows of one sequence.
fn rows_of_sequence(x: &[f32], sequence: usize, tokens: usize, width: usize) -> View<'_> {
    View::new(&x[sequence * tokens * width..][..tokens * width], tokens, width)
}

/// Rows `from..to` of a matrix with its columns side by side.
fn rows(x: View<'_>, from: usize, to: usize) -> View<'_> {
    x.row_range(from..to)
}

/// One row of a matrix with its columns side by side.
fn line(x: View<'_>, row: usize) -> &[f32] {
    x.line(row)
}

/// A matrix as the second factor of products.
fn pack<'a>(level: Level, b: View<'_>, out: &'a mut Vec<[f32; LANES]>) -> Factor<'a> {
    let panels = 0..b.columns.div_ceil(LANES);
    out.resize(panels.len() * b.rows, [0.0; LANES]);
    level.run(PackPanels { b, panels, out });
    Factor::Packed { panels: out, k: b.rows }
}

/// `out = start + a · b` on this thread, for the first `columns` columns of `b`.
fn product(level: Level, a: View<'_>, b: Factor<'_>, columns: usize, start: Start<'_>, out: &mut [f32]) {
    let out = OutputTile::new(out, a.rows, columns, columns);
    level.run(GemmPart { a, b, start, bias: None, out });
}
