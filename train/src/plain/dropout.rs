//! Dropout: while learning, some numbers are left out at random, so that none can be relied upon alone.
//!
//! Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting" (2014). As in GPT-2 it applies
//! to the embedding and to what each attention and feed-forward layer adds to the residual stream.

use super::Float;
use crate::random;

/// What is left out of a pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// The share of numbers left out, from 0 to below 1.
    pub rate: f32,
    /// Decides which; another one for each pass.
    pub seed: u64,
}

/// Where numbers are left out: each place draws its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropoutSite {
    /// The embedding.
    Embedding,
    /// What attention adds in a block.
    Attention(usize),
    /// What the feed-forward layer adds in a block.
    FeedForward(usize),
}

impl Dropout {
    /// For the pass that begins with example number `example` of a training; none at rate 0.
    pub(crate) fn of(rate: f64, seed: u64, example: u64) -> Option<Dropout> {
        let seed = random::mix(seed ^ random::mix(example));
        (rate > 0.0).then_some(Dropout { rate: rate as f32, seed })
    }

    /// What number `i` of a place is multiplied by: 0, or `1 / (1 − rate)`, so that the sum stays what it was on average.
    /// It depends on seed, place and `i` alone.
    pub fn factor(self, place: DropoutSite, i: usize) -> f32 {
        let stream = match place {
            DropoutSite::Embedding => 0,
            DropoutSite::Attention(layer) => 2 * layer as u64 + 1,
            DropoutSite::FeedForward(layer) => 2 * layer as u64 + 2,
        };
        let bits = random::mix(random::mix(self.seed ^ random::mix(stream)) ^ i as u64) >> 40;
        if (bits as f32) < self.rate * (1u64 << 24) as f32 { 0.0 } else { 1.0 / (1.0 - self.rate) }
    }
}

/// Sets the left-out numbers of `x` to zero and scales the rest, in place. The layer is linear and the factors are its slopes,
/// so the way back is the same.
pub fn apply<F: Float>(dropout: Dropout, place: DropoutSite, x: &mut [F]) {
    for (i, x) in x.iter_mut().enumerate() {
        *x = *x * F::of(f64::from(dropout.factor(place, i)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_asked_are_left_out_and_the_sum_stays() {
        for rate in [0.0, 0.1, 0.5] {
            let dropout = Dropout { rate, seed: 3 };
            let factors: Vec<f32> =
                (0..20_000).map(|i| dropout.factor(DropoutSite::Attention(1), i)).collect();
            let left_out = factors.iter().filter(|&&factor| factor == 0.0).count() as f32 / 20_000.0;
            assert!((left_out - rate).abs() < 0.01, "{left_out} of {rate}");
            let mean = factors.iter().sum::<f32>() / 20_000.0;
            assert!((mean - 1.0).abs() < 0.02, "{mean}");
        }
    }

    #[test]
    fn places_and_seeds_draw_their_own() {
        let draw = |seed, place| -> Vec<f32> {
            (0..64).map(|i| Dropout { rate: 0.5, seed }.factor(place, i)).collect()
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
