//! Softmax, RMS norm and layer norm over the rows of a matrix.

use super::operations;
use crate::pool::Team;

/// Turns each row of `row_len` scores in `x` into probabilities, in place.
///
/// # Panics
/// If the length of `x` is not a multiple of `row_len`.
pub fn softmax(team: &Team<'_>, x: &mut [f32], row_len: usize) {
    super::rows_of("softmax", x.len(), row_len);
    operations(team).softmax(x, row_len);
}

/// RMS norm of each row: `out[i] = weight[i] · x[i] / √(mean(x²) + epsilon)`; `x` and `out` are
/// `[rows, d]`, `weight` is `[d]`.
///
/// # Panics
/// If the lengths do not fit.
pub fn rms_norm(team: &Team<'_>, x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "rms_norm: lengths of x and out");
    super::rows_of("rms_norm", x.len(), weight.len());
    operations(team).rms_norm(x, weight, epsilon, out);
}

/// Layer norm of each row: `out[i] = (x[i] - mean) / √(variance + epsilon) · weight[i] + bias[i]`; `x` and
/// `out` are `[rows, d]`, `weight` and `bias` are `[d]`.
///
/// # Panics
/// If the lengths do not fit.
pub fn layer_norm(team: &Team<'_>, x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32, out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "layer_norm: lengths of x and out");
    assert_eq!(weight.len(), bias.len(), "layer_norm: lengths of weight and bias");
    super::rows_of("layer_norm", x.len(), weight.len());
    operations(team).layer_norm(x, weight, bias, epsilon, out);
}
