//! Mirostat 2.0: a controller that keeps the surprise of the text near a target
//! (S. Basu et al., "Mirostat: a neural text decoding algorithm that directly controls perplexity", 2021).
//!
//! Tokens whose surprise −log₂ p exceeds the ceiling μ are removed. After the draw, μ is corrected: down if the
//! surprise of the drawn token exceeded the target τ, up if it was below. μ starts at 2τ.

use serde::{Deserialize, Serialize};

use crate::candidates::Candidates;
use crate::error::{Error, check};
use crate::numeric::ln;
use crate::record::Reason;

/// Removes tokens whose surprise is too large, and adapts to the surprise of the drawn token. The last filter of a
/// chain.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirostat {
    /// τ, the target surprise in bits: a finite number ≥ 0.
    pub target: f32,
    /// η, the learning rate: the fraction of the error by which the ceiling moves. A finite number ≥ 0.
    pub rate: f32,
}

impl Default for Mirostat {
    /// The usual values: τ = 5 bits, η = 0.1.
    fn default() -> Mirostat {
        Mirostat { target: 5.0, rate: 0.1 }
    }
}

impl Mirostat {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let good = |x: f32| x >= 0.0 && x.is_finite();
        check(good(self.target), "mirostat.target", "a finite number ≥ 0, in bits", self.target)?;
        check(good(self.rate), "mirostat.rate", "a finite number ≥ 0", self.rate)
    }

    pub(crate) fn first_ceiling(&self) -> f64 {
        2.0 * f64::from(self.target)
    }

    pub(crate) fn apply(&self, candidates: &mut Candidates<'_>, ceiling: f64) -> Reason {
        candidates.sort();
        let (list, _, total) = candidates.weigh();
        let best = list.first().map_or(0.0, |best| best.logit);
        let ln_total = ln(total);
        let surprise = |logit: f64| (ln_total - (logit - best)) * std::f64::consts::LOG2_E;
        let within = list.partition_point(|candidate| surprise(candidate.logit) <= ceiling);
        candidates.truncate_sorted(within.max(1));
        Reason::Mirostat { settings: *self, ceiling }
    }

    /// The next ceiling, after a token of this probability was drawn.
    pub(crate) fn next_ceiling(&self, ceiling: f64, probability: f64) -> f64 {
        let surprise = -ln(probability) * std::f64::consts::LOG2_E;
        ceiling - f64::from(self.rate) * (surprise - f64::from(self.target))
    }
}
