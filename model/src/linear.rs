//! The linear layer, `y = x · Wᵀ + b`.

use glassbox_tensor::{PackedMatrix, Team, ops};

use crate::adapter::AdapterRows;
use crate::spec::Site;

/// `y = x · Wᵀ + b`: a dot product per output.
pub struct Linear {
    /// Its site in the model.
    pub site: Site,
    /// `[outputs, inputs]`
    pub weight: PackedMatrix,
    /// `[outputs]`
    pub bias: Option<Vec<f32>>,
}

impl Linear {
    /// `out = x · Wᵀ + b`: `x` is `[rows, inputs]`, `out` is `[rows, outputs]`.
    pub fn forward(&self, team: &Team<'_>, x: &[f32], out: &mut [f32]) {
        forward_each(team, &AdapterRows::default(), x, [(self, out)]);
    }

    /// Bytes of weight and bias in memory.
    pub fn size_bytes(&self) -> usize {
        self.weight.size_bytes() + self.bias.as_ref().map_or(0, |bias| size_of_val(bias.as_slice()))
    }
}

/// [`Linear::forward`] of several layers on the same `x`, distributed over the threads together, with the rows'
/// adapters.
pub(crate) fn forward_each<const N: usize>(
    team: &Team<'_>,
    adapters: &AdapterRows<'_>,
    x: &[f32],
    mut layers: [(&Linear, &mut [f32]); N],
) {
    ops::matmul_each(team, x, layers.each_mut().map(|(linear, out)| (&linear.weight, &mut **out)));
    for (linear, out) in layers {
        if let Some(bias) = &linear.bias {
            ops::add_row(team, out, bias);
        }
        adapters.add(team, linear.site, x, out);
    }
}
