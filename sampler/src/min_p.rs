//! Min-p: removes tokens less than p times as likely as the most likely one
//! (N. N. Minh et al., "Turning up the heat: min-p sampling for creative and coherent LLM outputs", 2024).

use serde::{Deserialize, Serialize};

use crate::candidates::Candidates;
use crate::error::{Error, check};
use crate::numeric::ln;
use crate::record::Reason;

/// Keeps the candidates whose probability is at least `p` times the largest probability.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MinP {
    /// Between 0 and 1; 0 keeps all, 1 only the most likely and its equals.
    pub p: f32,
    /// Minimum number of candidates to keep, if there are as many. At least 1.
    pub min_keep: usize,
}

impl MinP {
    pub(crate) fn check(&self) -> Result<(), Error> {
        check((0.0..=1.0).contains(&self.p), "min_p", "a number from 0 to 1 (0 is off)", self.p)?;
        check(self.min_keep >= 1, "min_keep", "at least 1", self.min_keep)
    }

    /// p_i ≥ p·p_max is equivalent to logit_i ≥ logit_max + ln p, so no probability is computed.
    pub(crate) fn apply(&self, candidates: &mut Candidates<'_>) -> Reason {
        if self.p <= 0.0 {
            return Reason::Off;
        }
        let best = candidates.best().map_or(0.0, |best| best.logit);
        let least = best + ln(f64::from(self.p));
        let mut passing = 0;
        candidates.for_each(|candidate| passing += usize::from(candidate.logit >= least));
        if passing < self.min_keep {
            candidates.keep_best(self.min_keep);
        } else {
            candidates.retain(|candidate| candidate.logit >= least);
        }
        Reason::MinP { p: self.p, least_logit: least }
    }
}
