//! Rotary embeddings: the frequency of each pair of components, and the scalings for long contexts.
//!
//! Pair `i` of `d/2` rotates by `theta^(-2i/d)` radians per position (Su et al., "RoFormer", 2021). Dividing
//! frequencies extends the context of a trained model: *linear* scaling divides all of them (Chen et al.,
//! 2023); *llama3* and *YaRN* (Peng et al., 2023) keep high frequencies, divide low ones and interpolate in between.
//! All values are computed in `f32`, as in HF transformers.

use std::f32::consts::PI;

use glassbox_tensor::ops::Rotation;

/// The rotary embedding of a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeConfig {
    /// The base of the frequencies `theta^(-2i/dims)`.
    pub theta: f32,
    /// Number of rotated components of a head: all, or with a partial rotary embedding the first `dims`.
    pub dims: usize,
    /// The scaling of the frequencies.
    pub scaling: RopeScaling,
}

/// A scaling of the frequencies for longer contexts.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// No scaling.
    Default,
    /// All divided by `factor`.
    Linear {
        /// The factor.
        factor: f32,
    },
    /// Llama 3.1's: frequencies with wavelengths above `original_context / low_freq_factor` are divided by `factor`,
    /// those below `original_context / high_freq_factor` are kept, with interpolation in between.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f32,
        /// Sets the wavelength above which frequencies are divided.
        low_freq_factor: f32,
        /// Sets the wavelength below which frequencies are kept.
        high_freq_factor: f32,
        /// The context length before scaling.
        original_context: f32,
    },
    /// YaRN: pairs with more than `beta_fast` rotations in the original context are kept, those with fewer than
    /// `beta_slow` are divided by `factor`, with interpolation in between; `attention_factor` scales queries and keys.
    Yarn {
        /// The divisor of low frequencies.
        factor: f32,
        /// The context length before scaling.
        original_context: f32,
        /// Rotations above which a pair is kept.
        beta_fast: f32,
        /// Rotations below which a pair's frequency is divided.
        beta_slow: f32,
        /// Whether the ends of the interpolation are rounded outwards to whole pairs.
        truncate: bool,
        /// Factor of cosines and sines.
        attention_factor: f32,
    },
    /// A divisor for each pair, as GGUF files store the scaling.
    Divisors(Vec<f32>),
}

impl RopeConfig {
    /// The table of angles, with no positions computed yet.
    pub fn rotation(&self) -> Rotation {
        let dims = self.dims;
        let mut frequencies = plain_frequencies(self.theta, dims);
        let mut magnitude = 1.0;
        match &self.scaling {
            RopeScaling::Default => {}
            RopeScaling::Linear { factor } => frequencies.iter_mut().for_each(|f| *f /= factor),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                for f in &mut frequencies {
                    *f = llama3(*f, *factor, *low_freq_factor, *high_freq_factor, *original_context);
                }
            }
            RopeScaling::Yarn {
                factor,
                original_context,
                beta_fast,
                beta_slow,
                truncate,
                attention_factor,
            } => {
                magnitude = *attention_factor;
                let pair_turning = |turns: f32| {
                    dims as f32 * (original_context / (turns * 2.0 * PI)).ln() / (2.0 * self.theta.ln())
                };
                let (mut low, mut high) = (pair_turning(*beta_fast), pair_turning(*beta_slow));
                if *truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                low = low.max(0.0);
                high = high.min(dims as f32 - 1.0);
                if low == high {
                    high += 0.001;
                }
                for (i, f) in frequencies.iter_mut().enumerate() {
                    let scaled = ((i as f32 - low) / (high - low)).clamp(0.0, 1.0);
                    *f = *f / factor * scaled + *f * (1.0 - scaled);
                }
            }
            RopeScaling::Divisors(divisors) => {
                frequencies.iter_mut().zip(divisors).for_each(|(f, divisor)| *f /= divisor);
            }
        }
        Rotation::new(frequencies, magnitude)
    }
}

impl RopeConfig {
    /// The divisor of each pair's frequency, `[dims / 2]`; `None` for other scalings.
    pub(crate) fn divisors(&self) -> Option<Vec<f32>> {
        match &self.scaling {
            RopeScaling::Divisors(divisors) => Some(divisors.clone()),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                let scaled =
                    |f: f32| f / llama3(f, *factor, *low_freq_factor, *high_freq_factor, *original_context);
                Some(plain_frequencies(self.theta, self.dims).into_iter().map(scaled).collect())
            }
            _ => None,
        }
    }
}

/// Radians per position, for each pair of `dims` components, before scaling.
fn plain_frequencies(theta: f32, dims: usize) -> Vec<f32> {
    (0..dims / 2).map(|i| 1.0 / theta.powf((2 * i) as f32 / dims as f32)).collect()
}

fn llama3(frequency: f32, factor: f32, low_freq_factor: f32, high_freq_factor: f32, original: f32) -> f32 {
    let wavelength = 2.0 * PI / frequency;
    if wavelength < original / high_freq_factor {
        frequency
    } else if wavelength > original / low_freq_factor {
        frequency / factor
    } else {
        let kept = (original / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
        (1.0 - kept) * frequency / factor + kept * frequency
    }
}

/// YaRN's attention factor: `0.1·mscale·ln(factor) + 1`.
pub(crate) fn yarn_magnitude(factor: f32, mscale: f32) -> f32 {
    if factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 }
}
