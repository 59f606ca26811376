//! Softmax, RMS norm and layer norm over the rows of a matrix.

use crate::kernels::rowwise::{LayerNorm, RmsNorm, Softmax};
use crate::pool::Team;
use crate::reference;

/// Turns each row of `row_len` scores in `x` into probabilities, in place.
///
/// # Panics
/// If `x` is not whole rows.
pub fn softmax(team: &Team<'_>, x: &mut [f32], row_len: usize) {
    super::rows_of("softmax", x.len(), row_len);
    if team.is_reference() {
        return x.chunks_exact_mut(row_len).for_each(reference::softmax);
    }
    team.run_on_pieces(x, row_len, |_, row| team.level().run(Softmax { row }));
}

/// RMS norm of each row: `out[i] = weight[i] · x[i] / √(mean(x²) + epsilon)`; `x` and `out` are
/// `[rows, d]`, `weight` is `[d]`.
///
/// # Panics
/// If the lengths do not fit.
pub fn rms_norm(team: &Team<'_>, x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "rms_norm: as many outputs as inputs");
    super::rows_of("rms_norm", x.len(), weight.len());
    team.run_on_pieces(out, weight.len(), |row, out| {
        let x = &x[row * weight.len()..][..weight.len()];
        if team.is_reference() {
            return reference::rms_norm(x, weight, epsilon, out);
        }
        team.level().run(RmsNorm { x, weight, epsilon, out });
    });
}

/// Layer norm of each row: `out[i] = (x[i] - mean) / √(variance + epsilon) · weight[i] + bias[i]`; `x` and
/// `out` are `[rows, d]`, `weight` and `bias` are `[d]`.
///
/// # Panics
/// If the lengths do not fit.
pub fn layer_norm(team: &Team<'_>, x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32, out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "layer_norm: as many outputs as inputs");
    assert_eq!(weight.len(), bias.len(), "layer_norm: a bias for each weight");
    super::rows_of("layer_norm", x.len(), weight.len());
    team.run_on_pieces(out, weight.len(), |row, out| {
        let x = &x[row * weight.len()..][..weight.len()];
        if team.is_reference() {
            return reference::layer_norm(x, weight, bias, epsilon, out);
        }
        team.level().run(LayerNorm { x, weight, bias, epsilon, out });
    });
}
