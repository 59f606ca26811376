//! Norms: each vector is normalised, then each component is scaled by a learned weight.

use glassbox_tensor::{Team, ops};

/// A norm of vectors with `d` components.
#[derive(Clone, Debug)]
pub enum Norm {
    /// RMS norm: `w · x / √(mean(x²) + ε)`.
    ///
    /// Zhang and Sennrich, "Root mean square layer normalization" (2019).
    Rms {
        /// `[d]`
        weight: Vec<f32>,
        /// ε
        epsilon: f32,
    },
    /// Layer norm: `w · (x − mean(x)) / √(variance(x) + ε) + b`.
    ///
    /// Ba et al., "Layer normalization" (2016).
    Layer {
        /// `[d]`
        weight: Vec<f32>,
        /// `[d]`
        bias: Vec<f32>,
        /// ε
        epsilon: f32,
    },
}

impl Norm {
    /// Applies the norm to every row of `x`; `x` and `out` are `[rows, d]`.
    pub fn forward(&self, team: &Team<'_>, x: &[f32], out: &mut [f32]) {
        match self {
            Norm::Rms { weight, epsilon } => ops::rms_norm(team, x, weight, *epsilon, out),
            Norm::Layer { weight, bias, epsilon } => ops::layer_norm(team, x, weight, bias, *epsilon, out),
        }
    }

    /// The norm at `x`, `[d]`, with its scale held constant: a linear map (without the bias, which is
    /// [`Norm::bias`]).
    pub fn frozen(&self, x: &[f32]) -> FrozenNorm<'_> {
        let count = x.len() as f64;
        let mean_square = |mean: f64| x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
        match self {
            Norm::Rms { weight, epsilon } => {
                let scale = 1.0 / (mean_square(0.0) + f64::from(*epsilon)).sqrt();
                FrozenNorm { weight, scale, centred: false }
            }
            Norm::Layer { weight, epsilon, .. } => {
                let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
                let scale = 1.0 / (mean_square(mean) + f64::from(*epsilon)).sqrt();
                FrozenNorm { weight, scale, centred: true }
            }
        }
    }

    /// The bias, `[d]`; empty if the norm has none.
    pub fn bias(&self) -> &[f32] {
        match self {
            Norm::Rms { .. } => &[],
            Norm::Layer { bias, .. } => bias,
        }
    }
}

/// A norm whose scale is held constant: `y ↦ scale · w · (y − mean(y))`, without the mean for an RMS norm.
///
/// It is linear, so it can be applied to each part of a vector: the parts' results add up to the norm of the whole,
/// without the bias.
#[derive(Clone, Copy, Debug)]
pub struct FrozenNorm<'a> {
    /// `[d]`
    weight: &'a [f32],
    /// The reciprocal of the size of the whole vector.
    pub scale: f64,
    /// Whether the mean is subtracted.
    centred: bool,
}

impl FrozenNorm<'_> {
    /// The norm's output for the part `y`, `[d]`.
    pub fn apply(&self, y: &[f64]) -> Vec<f64> {
        let mean = if self.centred { mean(y) } else { 0.0 };
        y.iter().zip(self.weight).map(|(y, &weight)| self.scale * f64::from(weight) * (y - mean)).collect()
    }

    /// The direction `d'` with `direction · apply(y) = d' · y` for every `y`, all `[d]`.
    pub fn transposed(&self, direction: &[f64]) -> Vec<f64> {
        let weighted =
            direction.iter().zip(self.weight).map(|(d, &weight)| d * f64::from(weight) * self.scale);
        let mut weighted: Vec<f64> = weighted.collect();
        if self.centred {
            // d · (y − mean(y)) = (d − mean(d)) · y
            let mean = mean(&weighted);
            weighted.iter_mut().for_each(|d| *d -= mean);
        }
        weighted
    }
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len().max(1) as f64
}
