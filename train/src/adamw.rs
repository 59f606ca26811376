//! AdamW: an adaptive step size for each parameter, and weight decay decoupled from the gradient.
//!
//! Loshchilov and Hutter, "Decoupled weight decay regularization" (2019), after Kingma and Ba, "Adam" (2015).

use glassbox_tensor::Pool;

use crate::error::Error;
use crate::tensors::{Gradients, PIECE, ParameterKind, Parameters, Tensors};

/// The hyperparameters that are constant over a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// Decay rate of the running mean of the gradient (first moment).
    pub beta1: f64,
    /// Decay rate of the running mean of the squared gradient (second moment).
    pub beta2: f64,
    /// Added to the square root of the second moment, against division by zero.
    pub epsilon: f64,
    /// Each step multiplies parameters by `1 − learning rate · weight_decay`.
    pub weight_decay: f64,
    /// Whether norms, biases and embeddings decay too, not only weight matrices.
    pub decay_all: bool,
}

impl Default for AdamWConfig {
    fn default() -> AdamWConfig {
        AdamWConfig { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01, decay_all: false }
    }
}

/// The optimiser and its state, which a checkpoint stores beside the parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamW {
    config: AdamWConfig,
    steps: u64,
    first: Tensors,
    second: Tensors,
}

impl AdamW {
    /// A new optimiser for `parameters`: step 0, both moments zero.
    pub fn new(config: AdamWConfig, parameters: &Parameters) -> AdamW {
        AdamW { config, steps: 0, first: parameters.zeros_like(), second: parameters.zeros_like() }
    }

    /// Restores the state after `steps` steps.
    ///
    /// # Errors
    /// [`Error::Contradiction`] if the two moments have different layouts.
    pub fn restore(config: AdamWConfig, steps: u64, first: Tensors, second: Tensors) -> Result<AdamW, Error> {
        if first.layout() != second.layout() {
            return Err(Error::Contradiction {
                problem: "AdamW's two moments have different tensors".into(),
            });
        }
        Ok(AdamW { config, steps, first, second })
    }

    /// The settings.
    pub fn config(&self) -> AdamWConfig {
        self.config
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The first moment: the running mean of the gradient.
    pub fn first_moment(&self) -> &Tensors {
        &self.first
    }

    /// The second moment: the running mean of the squared gradient.
    pub fn second_moment(&self) -> &Tensors {
        &self.second
    }

    /// One update. With the gradient `g` and `t` the number of steps including this one:
    ///
    /// ```text
    /// m ← β₁·m + (1 − β₁)·g          v ← β₂·v + (1 − β₂)·g²
    /// p ← p − rate·decay·p − rate · (m/(1 − β₁ᵗ)) / (√(v/(1 − β₂ᵗ)) + ε)
    /// ```
    ///
    /// # Panics
    /// If parameters or gradients have another layout than this optimiser was created with.
    pub fn step(&mut self, pool: &Pool, parameters: &mut Parameters, gradients: &Gradients, rate: f64) {
        assert!(
            parameters.layout() == self.first.layout() && gradients.layout() == self.first.layout(),
            "AdamW::step: parameters or gradients have another layout than the optimiser"
        );
        self.steps += 1;
        let AdamWConfig { beta1, beta2, epsilon, weight_decay, decay_all } = self.config;
        let power = self.steps.min(i32::MAX as u64) as i32;
        let correction = (1.0 - beta2.powi(power)).sqrt();
        let mut update = Update {
            keep: 1.0,
            beta1: beta1 as f32,
            new1: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            new2: (1.0 - beta2) as f32,
            by_root: (1.0 / correction) as f32,
            epsilon: epsilon as f32,
            rate: (rate / (1.0 - beta1.powi(power))) as f32,
        };
        let layout = self.first.layout().clone();
        for slot in layout.slots() {
            let decays = decay_all || slot.kind == ParameterKind::Weight;
            update.keep = if decays { (1.0 - rate * weight_decay) as f32 } else { 1.0 };
            let p = &mut parameters.values_mut()[slot.range.clone()];
            let m = &mut self.first.values_mut()[slot.range.clone()];
            let v = &mut self.second.values_mut()[slot.range.clone()];
            let g = &gradients.values()[slot.range.clone()];
            // Elementwise, so the split among threads does not change the result.
            let mut pieces: Vec<_> = p
                .chunks_mut(PIECE)
                .zip(m.chunks_mut(PIECE))
                .zip(v.chunks_mut(PIECE))
                .zip(g.chunks(PIECE))
                .collect();
            pool.enter(|team| {
                team.run_on_pieces(&mut pieces, 1, |_, piece| {
                    let (((p, m), v), g) = &mut piece[0];
                    update.run(p, m, v, g);
                });
            });
        }
    }
}

#[derive(Clone, Copy)]
struct Update {
    keep: f32,
    beta1: f32,
    new1: f32,
    beta2: f32,
    new2: f32,
    by_root: f32,
    epsilon: f32,
    rate: f32,
}

impl Update {
    fn run(self, p: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32]) {
        for (((p, m), v), &g) in p.iter_mut().zip(m).zip(v).zip(g) {
            *m = self.beta1 * *m + self.new1 * g;
            *v = self.beta2 * *v + self.new2 * (g * g);
            *p = self.keep * *p - self.rate * *m / (v.sqrt() * self.by_root + self.epsilon);
        }
    }
}

/// Scales all gradients so that their global L2 norm is at most `limit` (Pascanu et al., 2013). Returns the norm
/// before scaling.
pub fn clip_by_global_norm(pool: &Pool, gradients: &mut Gradients, limit: f64) -> f64 {
    pool.enter(|team| {
        let norm = gradients.norm(team);
        if norm > limit {
            gradients.scale(team, (limit / norm) as f32);
        }
        norm
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::Layout;
    use glassbox_tensor::Level;
    use std::sync::Arc;

    #[test]
    fn the_first_step_has_size_of_the_rate_and_only_weights_decay() {
        let mut layout = Layout::default();
        layout.push("w", &[2], ParameterKind::Weight);
        layout.push("b", &[2], ParameterKind::Bias);
        let mut parameters = Tensors::zeros(Arc::new(layout));
        parameters.values_mut().fill(1.0);
        let mut gradients = parameters.zeros_like();
        gradients.values_mut().copy_from_slice(&[5.0, -0.01, 5.0, -0.01]);
        let config = AdamWConfig { weight_decay: 0.5, ..AdamWConfig::default() };
        let mut adamw = AdamW::new(config, &parameters);
        adamw.step(&Pool::new(1, Level::Scalar).unwrap(), &mut parameters, &gradients, 0.1);
        for (found, expected) in parameters.values().iter().zip([0.85, 1.05, 0.9, 1.1]) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn clipping_keeps_the_direction() {
        let mut layout = Layout::default();
        layout.push("w", &[2], ParameterKind::Weight);
        let mut gradients = Tensors::zeros(Arc::new(layout));
        gradients.values_mut().copy_from_slice(&[3.0, 4.0]);
        let pool = Pool::new(1, Level::Scalar).unwrap();
        assert_eq!(clip_by_global_norm(&pool, &mut gradients, 10.0), 5.0);
        assert_eq!(gradients.values(), [3.0, 4.0]);
        assert_eq!(clip_by_global_norm(&pool, &mut gradients, 2.5), 5.0);
        assert_eq!(gradients.values(), [1.5, 2.0]);
    }
}
