//! The parts that every family is put together from: linear layer, norm, embedding.

use glassbox_tensor::{PackedMatrix, Team, ops};

use crate::lora::Detour;

/// `y = x · Wᵀ + b`: asks `outputs` questions of each vector.
pub struct Linear {
    /// `[outputs, inputs]`
    pub weight: PackedMatrix,
    /// `[outputs]`
    pub bias: Option<Vec<f32>>,
    /// What a LoRA adapter adds ([`lora`](crate::lora)); `None` in a model as it comes.
    pub detour: Option<Detour>,
}

impl Linear {
    /// `out = x · Wᵀ + b`: `x` is `[rows, inputs]`, `out` is `[rows, outputs]`.
    pub fn forward(&self, team: &Team<'_>, x: &[f32], out: &mut [f32]) {
        forward_each(team, x, [(self, out)]);
    }

    /// Bytes of weight and bias in memory.
    pub fn size_bytes(&self) -> usize {
        self.weight.size_bytes() + self.bias.as_ref().map_or(0, |bias| size_of_val(bias.as_slice()))
    }
}

/// Several layers' [`Linear::forward`] of the same `x`, as one piece of work.
pub fn forward_each<const N: usize>(team: &Team<'_>, x: &[f32], mut layers: [(&Linear, &mut [f32]); N]) {
    ops::matmul_each(team, x, layers.each_mut().map(|(linear, out)| (&linear.weight, &mut **out)));
    for (linear, out) in layers {
        if let Some(bias) = &linear.bias {
            ops::add_row(team, out, bias);
        }
        if let Some(detour) = &linear.detour {
            detour.add(team, x, out);
        }
    }
}

/// RMS norm: a vector's length is set to `√d`, then each component is scaled by a learned weight.
pub struct RmsNorm {
    /// `[d]`
    pub weight: Vec<f32>,
    /// Added to the mean square.
    pub epsilon: f32,
}

impl RmsNorm {
    /// Norms every row of `x` into `out`, both `[rows, d]`.
    pub fn forward(&self, team: &Team<'_>, x: &[f32], out: &mut [f32]) {
        ops::rms_norm(team, x, &self.weight, self.epsilon, out);
    }
}

/// Layer norm: mean 0 and variance 1, then a learned weight and bias for each component.
pub struct LayerNorm {
    /// `[d]`
    pub weight: Vec<f32>,
    /// `[d]`
    pub bias: Vec<f32>,
    /// Added to the variance.
    pub epsilon: f32,
}

impl LayerNorm {
    /// Norms every row of `x` into `out`, both `[rows, d]`.
    pub fn forward(&self, team: &Team<'_>, x: &[f32], out: &mut [f32]) {
        ops::layer_norm(team, x, &self.weight, &self.bias, self.epsilon, out);
    }
}

/// The vocabulary's vectors: rows in on one end of the model, scores for every token out on the other.
pub struct Vocabulary {
    /// `[vocab_size, d_model]`: row `id` is the vector of token `id`.
    pub embedding: PackedMatrix,
    /// `[vocab_size, d_model]`; `None` if it is the embedding.
    pub unembedding: Option<PackedMatrix>,
}

impl Vocabulary {
    /// Writes the vectors of `ids` to `out`, `[ids.len(), d_model]`.
    pub fn embed(&self, ids: &[u32], out: &mut [f32]) {
        for (&id, out) in ids.iter().zip(out.chunks_exact_mut(self.embedding.inputs())) {
            self.embedding.row(id as usize, out);
        }
    }

    /// One score for every token: `x` is `[rows, d_model]`, `logits` is `[rows, vocab_size]`.
    pub fn unembed(&self, team: &Team<'_>, x: &[f32], logits: &mut [f32]) {
        ops::matmul(team, x, self.unembedding(), logits);
    }

    /// The matrix that scores every token, `[vocab_size, d_model]`.
    pub fn unembedding(&self) -> &PackedMatrix {
        self.unembedding.as_ref().unwrap_or(&self.embedding)
    }

    /// Bytes in memory.
    pub fn size_bytes(&self) -> usize {
        self.embedding.size_bytes() + self.unembedding.as_ref().map_or(0, PackedMatrix::size_bytes)
    }
}
