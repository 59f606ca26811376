//! The operations of a forward pass as one trait. It has two implementations: the kernels, whose work is split
//! over the threads of a team ([`ops`](crate::ops)), and the plain loops of [`reference`](mod@crate::reference). Both
//! give the same bits.
//!
//! The functions of [`ops`](crate::ops) check the lengths of what they are given and then call one of the two, so an
//! implementation can rely on the shapes that are written here.

use crate::operands::{Activation, AttentionShape, Gemm, KeyValues, Rotation, ViewMut};
use crate::pool::parts::OutputTile;
use crate::weights::PackedMatrix;

/// One sequence of an [`Operations::attention`].
pub(crate) struct SequenceAttention<'a> {
    pub(crate) shape: AttentionShape,
    pub(crate) cache: &'a KeyValues,
    /// `[rows, n_heads, head_dim]`
    pub(crate) q: &'a [f32],
    /// `[rows, n_heads, head_dim]`
    pub(crate) z: &'a mut [f32],
}

/// The operations of a forward pass; [`ops`](crate::ops) has their definitions.
pub(crate) trait Operations {
    /// `outs[i] = x · weights[i]ᵀ`: `x` is `[rows, inputs]`, each weight `[outputs, inputs]`, its output
    /// `[rows, outputs]`.
    fn matmul(&self, x: &[f32], weights: &[&PackedMatrix], outs: &mut [OutputTile<'_>]);
    /// `out = start + a · b + bias`.
    fn gemm(&self, product: Gemm<'_>, out: ViewMut<'_>);
    /// `x ← x + y`; both have one length.
    fn add(&self, x: &mut [f32], y: &[f32]);
    /// Adds `row` `[d]` to each row of `x` `[rows, d]`.
    fn add_row(&self, x: &mut [f32], row: &[f32]);
    /// `x ← activation(x)`.
    fn activate(&self, activation: Activation, x: &mut [f32]);
    /// `gate ← activation(gate) · up`; both have one length.
    fn gate(&self, activation: Activation, gate: &mut [f32], up: &[f32]);
    /// Softmax of each row of `x` `[rows, row_len]`, in place.
    fn softmax(&self, x: &mut [f32], row_len: usize);
    /// RMS norm of each row; `x` and `out` are `[rows, d]`, `weight` is `[d]`.
    fn rms_norm(&self, x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]);
    /// Layer norm of each row; `x` and `out` are `[rows, d]`, `weight` and `bias` are `[d]`.
    fn layer_norm(&self, x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32, out: &mut [f32]);
    /// Rotates every head of `x` `[rows, heads, head_dim]`; row `r` is at `positions[r]`.
    fn rotate(&self, x: &mut [f32], head_dim: usize, rotation: &Rotation, positions: &[usize]);
    /// Attention of each sequence over its own cache.
    fn attention(&self, sequences: &mut [SequenceAttention<'_>]);
    /// Scaled scores `[n_heads, rows, positions]` of the queries `q`; −∞ where a query does not attend.
    fn attention_scores(&self, shape: AttentionShape, q: &[f32], cache: &KeyValues, scores: &mut [f32]);
    /// Softmax of scores `[n_heads, rows, positions]`, in place, over the positions that each query attends to; zero
    /// elsewhere.
    fn attention_pattern(&self, shape: AttentionShape, cache: &KeyValues, scores: &mut [f32]);
    /// Weighted sums of the cached values; `pattern` is `[n_heads, rows, positions]`, `z` is
    /// `[rows, n_heads, head_dim]`.
    fn attention_mix(&self, shape: AttentionShape, pattern: &[f32], cache: &KeyValues, z: &mut [f32]);
}
