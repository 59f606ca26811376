//! The operations of a forward pass by the kernels, their work split over the team.

use super::{attention, gemm, matmul};
use crate::kernels::elementwise::{Activate, Add, Gate, Rotate};
use crate::kernels::rowwise::{LayerNorm, RmsNorm, Softmax};
use crate::operands::{Activation, AttentionShape, Gemm, KeyValues, Rotation, ViewMut};
use crate::operations::{Operations, SequenceAttention};
use crate::pool::Team;
use crate::pool::parts::OutputTile;
use crate::weights::PackedMatrix;

/// Elements of one part of an elementwise operation: fewer cost more to share out than to compute. A multiple of the
/// lanes.
const PIECE: usize = 4096;

/// The kernels as an engine.
pub(super) struct Kernels<'a> {
    pub(super) team: &'a Team<'a>,
}

impl Operations for Kernels<'_> {
    fn matmul(&self, x: &[f32], weights: &[&PackedMatrix], outs: &mut [OutputTile<'_>]) {
        matmul::share_out(self.team, x, weights, outs);
    }

    fn gemm(&self, product: Gemm<'_>, out: ViewMut<'_>) {
        gemm::share_out(self.team, product, out);
    }

    fn add(&self, x: &mut [f32], y: &[f32]) {
        self.team.run_on_pieces(x, PIECE, |i, x| {
            let y = &y[i * PIECE..][..x.len()];
            self.team.level().run(Add { x, y });
        });
    }

    fn add_row(&self, x: &mut [f32], row: &[f32]) {
        self.team.run_on_pieces(x, row.len(), |_, x| self.team.level().run(Add { x, y: row }));
    }

    fn activate(&self, activation: Activation, x: &mut [f32]) {
        self.team.run_on_pieces(x, PIECE, |_, x| self.team.level().run(Activate { activation, x }));
    }

    fn gate(&self, activation: Activation, gate: &mut [f32], up: &[f32]) {
        self.team.run_on_pieces(gate, PIECE, |i, gate| {
            let up = &up[i * PIECE..][..gate.len()];
            self.team.level().run(Gate { activation, gate, up });
        });
    }

    fn softmax(&self, x: &mut [f32], row_len: usize) {
        self.team.run_on_pieces(x, row_len, |_, row| self.team.level().run(Softmax { row }));
    }

    fn rms_norm(&self, x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
        let d = weight.len();
        self.team.run_on_pieces(out, d, |row, out| {
            let x = &x[row * d..][..d];
            self.team.level().run(RmsNorm { x, weight, epsilon, out });
        });
    }

    fn layer_norm(&self, x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32, out: &mut [f32]) {
        let d = weight.len();
        self.team.run_on_pieces(out, d, |row, out| {
            let x = &x[row * d..][..d];
            self.team.level().run(LayerNorm { x, weight, bias, epsilon, out });
        });
    }

    fn rotate(&self, x: &mut [f32], head_dim: usize, rotation: &Rotation, positions: &[usize]) {
        let width = x.len().checked_div(positions.len()).unwrap_or(0).max(1);
        self.team.run_on_pieces(x, width, |row, x| {
            let (cos, sin) = rotation.at(positions[row]);
            for head in x.chunks_exact_mut(head_dim) {
                self.team.level().run(Rotate { head, cos, sin });
            }
        });
    }

    fn attention(&self, sequences: &mut [SequenceAttention<'_>]) {
        attention::share_out(self.team, sequences);
    }

    fn attention_scores(&self, shape: AttentionShape, q: &[f32], cache: &KeyValues, scores: &mut [f32]) {
        attention::scores(self.team, shape, q, cache, scores);
    }

    fn attention_pattern(&self, shape: AttentionShape, cache: &KeyValues, scores: &mut [f32]) {
        attention::pattern(self.team, shape, cache, scores);
    }

    fn attention_mix(&self, shape: AttentionShape, pattern: &[f32], cache: &KeyValues, z: &mut [f32]) {
        attention::weighted_sums(self.team, shape, pattern, cache, z);
    }
}
