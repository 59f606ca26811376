//! Dropout: random activations are set to zero during training, against overfitting.
//!
//! Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting" (2014). As in GPT-2 it
//! applies to the embedding and to the output of each attention and MLP branch.

use super::Float;
use crate::random;

/// The dropout of one pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// The probability that an element is dropped, from 0 to below 1.
    pub rate: f32,
    /// Seed of the mask; use another one for each pass.
    pub seed: u64,
}

/// Where dropout applies. Each site has its own mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropoutSite {
    /// The embedding.
    Embedding,
    /// The output of a block's attention branch.
    Attention(usize),
    /// The output of a block's MLP branch.
    FeedForward(usize),
}

impl Dropout {
    /// The dropout of the pass that starts with example `example` of a run; `None` at rate 0.
    pub(crate) fn of(rate: f64, seed: u64, example: u64) -> Option<Dropout> {
        let seed = random::mix(seed ^ random::mix(example));
        (rate > 0.0).then_some(Dropout { rate: rate as f32, seed })
    }

    /// The factor of element `i` of a site: 0, or `1 / (1 − rate)`, so that the expected value does not change. It
    /// depends only on seed, site and `i`.
    pub fn factor(self, site: DropoutSite, i: usize) -> f32 {
        let stream = match site {
            DropoutSite::Embedding => 0,
            DropoutSite::Attention(layer) => 2 * layer as u64 + 1,
            DropoutSite::FeedForward(layer) => 2 * layer as u64 + 2,
        };
        let bits = random::mix(random::mix(self.seed ^ random::mix(stream)) ^ i as u64) >> 40;
        if (bits as f32) < self.rate * (1u64 << 24) as f32 { 0.0 } else { 1.0 / (1.0 - self.rate) }
    }
}

/// Multiplies `x` by the dropout factors, in place. The operation is linear, so the backward pass is the same.
pub fn apply<F: Float>(dropout: Dropout, site: DropoutSite, x: &mut [F]) {
    for (i, x) in x.iter_mut().enumerate() {
        *x = *x * F::of(f64::from(dropout.factor(site, i)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dropped_share_is_the_rate_and_the_mean_is_preserved() {
        for rate in [0.0, 0.1, 0.5] {
            let dropout = Dropout { rate, seed: 3 };
            let factors: Vec<f32> =
                (0..20_000).map(|i| dropout.factor(DropoutSite::Attention(1), i)).collect();
            let dropped = factors.iter().filter(|&&factor| factor == 0.0).count() as f32 / 20_000.0;
            assert!((dropped - rate).abs() < 0.01, "{dropped} of {rate}");
            let mean = factors.iter().sum::<f32>() / 20_000.0;
            assert!((mean - 1.0).abs() < 0.02, "{mean}");
        }
    }

    #[test]
    fn sites_and_seeds_have_different_masks() {
        let draw = |seed, site| -> Vec<f32> {
            (0..64).map(|i| Dropout { rate: 0.5, seed }.factor(site, i)).collect()
        };
        let one = draw(1, DropoutSite::Embedding);
        assert_eq!(one, draw(1, DropoutSite::Embedding));
        for other in [
            draw(2, DropoutSite::Embedding),
            draw(1, DropoutSite::Attention(0)),
            draw(1, DropoutSite::FeedForward(0)),
        ] {
            assert_ne!(one, other);
        }
    }
}
