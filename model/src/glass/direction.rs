//! What a vector that is added to the residual stream does to a logit.
//!
//! The final norm divides by the size of the whole stream. With this scale held constant, a logit is a linear function
//! of the stream, so each vector that was added to it has a direct effect of its own.

use glassbox_tensor::PackedMatrix;

use crate::linear::Linear;
use crate::norm::Norm;
use crate::runtime::Runtime;

/// The direction in the residual stream `x`, `[d_model]`, whose dot product with a vector added to it is the vector's
/// direct effect on the logit of `token`. `x` is the stream after the last layer.
pub(super) fn of_logit(model: &Runtime, x: &[f32], token: u32) -> Vec<f64> {
    model.decoder.final_norm.frozen(x).transposed(&unembedding(model, token))
}

/// The share of the final norm's bias in the logit of `token`.
pub(super) fn bias_of_logit(model: &Runtime, token: u32) -> f64 {
    dot(&unembedding(model, token), model.decoder.final_norm.bias())
}

/// The unembedding row of `token`.
fn unembedding(model: &Runtime, token: u32) -> Vec<f64> {
    let mut row = vec![0.0; model.config.d_model];
    model.vocabulary().unembedding().row(token as usize, &mut row);
    widened(&row)
}

/// The direction in a layer's output before the post norm, given that in the residual stream; `output` is the layer's
/// output in the run.
pub(super) fn before_post_norm(post: Option<&Norm>, output: &[f32], direction: &[f64]) -> Vec<f64> {
    match post {
        Some(norm) => norm.frozen(output).transposed(direction),
        None => direction.to_vec(),
    }
}

/// The rows of a linear layer's weight in `f32`, including the adapter's branch.
pub(super) struct WeightRows<'a> {
    linear: &'a Linear,
    /// The branch: `up`, `[outputs, rank]`, and the elements of `down`, `[rank, inputs]`.
    branch: Option<(&'a PackedMatrix, Vec<f32>)>,
}

impl<'a> WeightRows<'a> {
    pub(super) fn of(model: &'a Runtime, linear: &'a Linear) -> WeightRows<'a> {
        let branch = model.adapter.as_deref().and_then(|adapter| adapter.branch(linear.site));
        WeightRows { linear, branch: branch.map(|branch| (&branch.up, branch.down.to_f32())) }
    }

    /// Calls `each(output, row)` for every row, `[inputs]`.
    pub(super) fn each(&self, mut each: impl FnMut(usize, &[f32])) {
        let weight = &self.linear.weight;
        let mut row = vec![0.0; weight.inputs()];
        let mut ranks = vec![0.0; self.branch.as_ref().map_or(0, |(up, _)| up.inputs())];
        for output in 0..weight.outputs() {
            weight.row(output, &mut row);
            if let Some((up, down)) = &self.branch {
                up.row(output, &mut ranks);
                for (&factor, down) in ranks.iter().zip(down.chunks_exact(row.len().max(1))) {
                    row.iter_mut().zip(down).for_each(|(weight, &down)| *weight += factor * down);
                }
            }
            each(output, &row);
        }
    }

    /// All rows, `[outputs, inputs]`.
    pub(super) fn to_f32(&self) -> Vec<f32> {
        let mut all = Vec::with_capacity(self.linear.weight.outputs() * self.linear.weight.inputs());
        self.each(|_, row| all.extend_from_slice(row));
        all
    }

    /// Maps a direction in the outputs to the inputs: `Wᵀ · direction`.
    pub(super) fn transposed(&self, direction: &[f64]) -> Vec<f64> {
        let mut inputs = vec![0.0; self.linear.weight.inputs()];
        self.each(|output, row| {
            let factor = direction[output];
            inputs.iter_mut().zip(row).for_each(|(sum, &weight)| *sum += factor * f64::from(weight));
        });
        inputs
    }
}

pub(super) fn dot(direction: &[f64], x: &[f32]) -> f64 {
    direction.iter().zip(x).map(|(d, &x)| d * f64::from(x)).sum()
}

pub(super) fn widened(x: &[f32]) -> Vec<f64> {
    x.iter().copied().map(f64::from).collect()
}

pub(super) fn narrowed(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&x| x as f32).collect()
}
