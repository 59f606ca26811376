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

    /// Linearises the norm at `x` with its scale held constant: returns the direction `d'` and the number `b` such that
    /// `direction · norm(y) = d' · y + b` for every `y`, if the scale of `x` is used. All vectors are `[d]`.
    pub fn linearised(&self, x: &[f32], direction: &[f64]) -> (Vec<f64>, f64) {
        let count = x.len() as f64;
        let weighted = |weight: &[f32], scale: f64| -> Vec<f64> {
            direction.iter().zip(weight).map(|(d, &weight)| d * f64::from(weight) * scale).collect()
        };
        let mean_square = |mean: f64| x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
        match self {
            Norm::Rms { weight, epsilon } => {
                (weighted(weight, 1.0 / (mean_square(0.0) + f64::from(*epsilon)).sqrt()), 0.0)
            }
            Norm::Layer { weight, bias, epsilon } => {
                let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
                let scale = 1.0 / (mean_square(mean) + f64::from(*epsilon)).sqrt();
                let mut direction_in = weighted(weight, scale);
                // d · (y − mean(y)) = (d − mean(d)) · y
                let mean = direction_in.iter().sum::<f64>() / count;
                direction_in.iter_mut().for_each(|d| *d -= mean);
                (direction_in, direction.iter().zip(bias).map(|(d, &bias)| d * f64::from(bias)).sum())
            }
        }
    }
}
