//! The operations of a forward pass by the plain loops: whole matrices, one row, one head and one number at a time.

use std::ops::Range;

use super::{IntegerInputs, matmul_integers};
use crate::activations::Activations;
use crate::operands::{Activation, AttentionShape, Gemm, KeyValues, Rotation, ViewMut};
use crate::operations::{Operations, SequenceAttention};
use crate::pool::parts::OutputTile;
use crate::weights::PackedMatrix;

/// The reference as an engine.
pub(crate) struct Reference {
    /// The number format in which inputs meet quantised weights.
    pub(crate) activations: Activations,
}

impl Operations for Reference {
    fn matmul(&self, x: &[f32], weights: &[&PackedMatrix], outs: &mut [OutputTile<'_>]) {
        for (weight, out) in weights.iter().zip(outs) {
            matmul_packed(self.activations, x, weight, out);
        }
    }

    fn gemm(&self, product: Gemm<'_>, out: ViewMut<'_>) {
        super::gemm(product, out);
    }

    fn add(&self, x: &mut [f32], y: &[f32]) {
        x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
    }

    fn add_row(&self, x: &mut [f32], row: &[f32]) {
        x.chunks_exact_mut(row.len()).for_each(|x| self.add(x, row));
    }

    fn activate(&self, activation: Activation, x: &mut [f32]) {
        x.iter_mut().for_each(|x| *x = super::activate(activation, *x));
    }

    fn gate(&self, activation: Activation, gate: &mut [f32], up: &[f32]) {
        gate.iter_mut().zip(up).for_each(|(gate, up)| *gate = super::activate(activation, *gate) * up);
    }

    fn softmax(&self, x: &mut [f32], row_len: usize) {
        x.chunks_exact_mut(row_len).for_each(super::softmax);
    }

    fn rms_norm(&self, x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
        let d = weight.len();
        for (x, out) in x.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
            super::rms_norm(x, weight, epsilon, out);
        }
    }

    fn layer_norm(&self, x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32, out: &mut [f32]) {
        let d = weight.len();
        for (x, out) in x.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
            super::layer_norm(x, weight, bias, epsilon, out);
        }
    }

    fn rotate(&self, x: &mut [f32], head_dim: usize, rotation: &Rotation, positions: &[usize]) {
        let width = x.len().checked_div(positions.len()).unwrap_or(0).max(1);
        for (row, &position) in x.chunks_exact_mut(width).zip(positions) {
            let (cos, sin) = rotation.at(position);
            row.chunks_exact_mut(head_dim).for_each(|head| super::rotate(head, cos, sin));
        }
    }

    fn attention(&self, sequences: &mut [SequenceAttention<'_>]) {
        for SequenceAttention { shape, cache, q, z } in sequences {
            let mut pattern = vec![0.0; shape.scores()];
            self.attention_scores(*shape, q, cache, &mut pattern);
            self.attention_pattern(*shape, cache, &mut pattern);
            self.attention_mix(*shape, &pattern, cache, z);
        }
    }

    fn attention_scores(&self, shape: AttentionShape, q: &[f32], cache: &KeyValues, scores: &mut [f32]) {
        let (n_heads, head_dim) = (shape.layer.n_heads, shape.head_dim);
        each_query(shape, |head, kv_head, row, visible| {
            let keys = cache.keys(kv_head);
            let keys: Vec<&[f32]> = keys.chunks_exact(head_dim).collect();
            let query = &q[(row * n_heads + head) * head_dim..][..head_dim];
            let scores = &mut scores[(head * shape.rows + row) * shape.positions..][..shape.positions];
            super::attention_scores(query, &keys, visible, shape.layer.scale, scores);
        });
    }

    fn attention_pattern(&self, shape: AttentionShape, _: &KeyValues, scores: &mut [f32]) {
        each_query(shape, |head, _, row, visible| {
            let row = &mut scores[(head * shape.rows + row) * shape.positions..][..shape.positions];
            super::attention_pattern(row, visible);
        });
    }

    fn attention_mix(&self, shape: AttentionShape, pattern: &[f32], cache: &KeyValues, z: &mut [f32]) {
        let (n_heads, head_dim) = (shape.layer.n_heads, shape.head_dim);
        each_query(shape, |head, kv_head, row, visible| {
            let values = cache.values(kv_head);
            let values: Vec<&[f32]> = values.chunks_exact(head_dim).collect();
            let pattern = &pattern[(head * shape.rows + row) * shape.positions..][..shape.positions];
            let z = &mut z[(row * n_heads + head) * head_dim..][..head_dim];
            super::attention_mix(pattern, &values, visible, z);
        });
    }
}

/// Calls `query(head, kv_head, row, visible)` for every query.
fn each_query(shape: AttentionShape, mut query: impl FnMut(usize, usize, usize, Range<usize>)) {
    for head in 0..shape.layer.n_heads {
        for row in 0..shape.rows {
            query(head, head / shape.group, row, shape.visible(row));
        }
    }
}

/// `out = x · Wᵀ`, one output's weights at a time: as integers where both sides are, else as `f32`.
fn matmul_packed(activations: Activations, x: &[f32], weight: &PackedMatrix, out: &mut OutputTile<'_>) {
    let inputs = weight.inputs();
    let mut row = vec![0.0; inputs];
    let mut column = vec![0.0; x.len() / inputs];
    let x_integers = IntegerInputs::round(activations, x, inputs);
    for output in 0..weight.outputs() {
        match (&x_integers, weight.integer_row(output)) {
            (Some(x), Some(weight)) => matmul_integers(x, &weight, &mut column),
            _ => {
                weight.row(output, &mut row);
                super::matmul(x, &row, inputs, &mut column);
            }
        }
        for (row, &value) in column.iter().enumerate() {
            out.row(row, output, output + 1)[0] = value;
        }
    }
}
