//! How fast each pair of components turns: the rotary embedding's frequencies and the ways to stretch them.
//!
//! Pair `i` of `d/2` turns by `theta^(-2i/d)` radians a position. A model made for short texts reads longer
//! ones if its angles are squeezed: *linear* divides all of them (Chen et al., 2023); *llama3* and *YaRN*
//! (Peng et al., 2023) leave fast pairs alone, divide slow ones and blend in between. All numbers are
//! computed in `f32`, as the reference does.

use std::f32::consts::PI;

use glassbox_tensor::ops::Rotation;

/// The rotary embedding of a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeConfig {
    /// The base: the slowest pair turns `theta` times more slowly than the fastest.
    pub theta: f32,
    /// How many of a head's components are turned: all, or with partial rotary positions the first `dims`.
    pub dims: usize,
    /// How frequencies are stretched.
    pub scaling: RopeScaling,
}

/// A way to stretch the frequencies over longer texts.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// As they are.
    Default,
    /// All divided by `factor`.
    Linear {
        /// The stretch.
        factor: f32,
    },
    /// Llama 3.1's: wavelengths above `original / low_freq_factor` stretched, below
    /// `original / high_freq_factor` kept, blended in between.
    Llama3 {
        /// The stretch of slow pairs.
        factor: f32,
        /// Sets the wavelength above which a pair is stretched.
        low_freq_factor: f32,
        /// Sets the wavelength below which a pair is kept.
        high_freq_factor: f32,
        /// The context length before stretching.
        original_context: f32,
    },
    /// YaRN: pairs that turn more than `beta_fast` times in the original context kept, less than
    /// `beta_slow` times stretched, blended in between; attention sharpened by `attention_factor`.
    Yarn {
        /// The stretch of slow pairs.
        factor: f32,
        /// The context length before stretching.
        original_context: f32,
        /// Turns above which a pair is kept.
        beta_fast: f32,
        /// Turns below which a pair is stretched.
        beta_slow: f32,
        /// Whether the ends of the blend are rounded outwards to whole pairs.
        truncate: bool,
        /// What cosines and sines are multiplied by.
        attention_factor: f32,
    },
    /// Each pair's frequency divided by a number of its own, as GGUF files store stretching.
    Divisors(Vec<f32>),
}

impl RopeConfig {
    /// The table of angles, its positions yet to be computed.
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
                    let stretched = ((i as f32 - low) / (high - low)).clamp(0.0, 1.0);
                    *f = *f / factor * stretched + *f * (1.0 - stretched);
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
    /// What each pair's frequency is divided by, `[dims / 2]`; `None` for a scaling that is not a list of divisors.
    pub(crate) fn divisors(&self) -> Option<Vec<f32>> {
        match &self.scaling {
            RopeScaling::Divisors(divisors) => Some(divisors.clone()),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                let stretched =
                    |f: f32| f / llama3(f, *factor, *low_freq_factor, *high_freq_factor, *original_context);
                Some(plain_frequencies(self.theta, self.dims).into_iter().map(stretched).collect())
            }
            _ => None,
        }
    }
}

/// Radians per position, for each pair of `dims` components, before any stretching.
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

/// YaRN's sharpening of attention for a stretch: `0.1·mscale·ln(factor) + 1`.
pub(crate) fn yarn_magnitude(factor: f32, mscale: f32) -> f32 {
    if factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 }
}
