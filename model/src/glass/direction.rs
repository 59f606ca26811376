//! What a vector that is added to the residual stream does to a logit.
//!
//! The final norm divides by the size of the whole stream. With this scale held constant, a logit is a linear function
//! of the stream, so each vector that was added to it has a direct effect of its own.

use crate::adapted::MatrixOf;
use crate::hooks::ViewError;
use crate::linear::Linear;
use crate::norm::Norm;
use crate::runtime::Runtime;
use crate::spec::{Role, Site};

/// The direction in the residual stream `x`, `[d_model]`, whose dot product with a vector added to it is the vector's
/// direct effect on the logit of `token`. `x` is the stream after the last layer.
pub(super) fn of_logit(model: &Runtime, x: &[f32], token: u32) -> Result<Vec<f64>, ViewError> {
    Ok(model.adapted_final_norm().frozen(x).transposed(&unembedding(model, token)?))
}

/// The share of the final norm's bias in the logit of `token`.
pub(super) fn bias_of_logit(model: &Runtime, token: u32) -> Result<f64, ViewError> {
    Ok(dot(&unembedding(model, token)?, model.adapted_final_norm().bias()))
}

/// The unembedding row of `token`.
fn unembedding(model: &Runtime, token: u32) -> Result<Vec<f64>, ViewError> {
    let mut row = vec![0.0; model.config.d_model];
    model.adapted_vocabulary(Role::Unembedding)?.row(token as usize, &mut row);
    Ok(widened(&row))
}

/// A norm behind the layer at `role` in `layer`, with the adapter's changes.
pub(super) fn post_norm<'m>(
    model: &'m Runtime,
    role: Role,
    layer: usize,
    norm: Option<&'m Norm>,
) -> Option<&'m Norm> {
    norm.map(|norm| model.adapted_norm(Site::inside(role, layer), norm))
}

/// The direction in a layer's output before the post norm, given that in the residual stream; `output` is the layer's
/// output in the run.
pub(super) fn before_post_norm(post: Option<&Norm>, output: &[f32], direction: &[f64]) -> Vec<f64> {
    match post {
        Some(norm) => norm.frozen(output).transposed(direction),
        None => direction.to_vec(),
    }
}

/// The rows of a linear layer's weight in `f32`, with the adapter's changes.
pub(super) struct WeightRows<'m>(MatrixOf<'m>);

impl<'m> WeightRows<'m> {
    pub(super) fn of(model: &'m Runtime, linear: &'m Linear) -> Result<WeightRows<'m>, ViewError> {
        Ok(WeightRows(model.adapted_weight(linear.site, &linear.weight)?))
    }

    /// Calls `each(output, row)` for every row, `[inputs]`.
    pub(super) fn each(&self, mut each: impl FnMut(usize, &[f32])) {
        let mut row = vec![0.0; self.0.inputs()];
        for output in 0..self.0.outputs() {
            self.0.row(output, &mut row);
            each(output, &row);
        }
    }

    /// All rows, `[outputs, inputs]`.
    pub(super) fn to_f32(&self) -> Vec<f32> {
        let mut all = Vec::with_capacity(self.0.outputs() * self.0.inputs());
        self.each(|_, row| all.extend_from_slice(row));
        all
    }

    /// Maps a direction in the outputs to the inputs: `Wᵀ · direction`.
    pub(super) fn transposed(&self, direction: &[f64]) -> Vec<f64> {
        let mut inputs = vec![0.0; self.0.inputs()];
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
