//! Locally typical sampling: keeps tokens whose surprise is close to the entropy
//! (C. Meister et al., "Locally typical sampling", 2023).
//!
//! People seldom use the most predictable word, or the least predictable one. The surprise of a token is −ln p, and its
//! expectation is the entropy of the distribution. Tokens are kept in order of their distance from it until their
//! summed probability exceeds p.

use serde::{Deserialize, Serialize};

use crate::candidates::{Candidate, Candidates};
use crate::error::{Error, check};
use crate::numeric::ln;
use crate::record::Reason;

/// Keeps the candidates whose surprise is nearest to the entropy, until their summed probability exceeds `p`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Typical {
    /// Between 0 and 1; 1 keeps all.
    pub p: f32,
    /// Minimum number of candidates to keep, if there are as many. At least 1.
    pub min_keep: usize,
}

impl Typical {
    pub(crate) fn check(&self) -> Result<(), Error> {
        check((0.0..=1.0).contains(&self.p), "typical_p", "a number from 0 to 1 (1 is off)", self.p)?;
        check(self.min_keep >= 1, "min_keep", "at least 1", self.min_keep)
    }

    pub(crate) fn apply(&self, candidates: &mut Candidates<'_>) -> Reason {
        if self.p >= 1.0 {
            return Reason::Off;
        }
        candidates.sort();
        let (list, weights, total) = candidates.weigh();
        let ln_total = ln(total);
        let best = list.first().map_or(0.0, |best| best.logit);
        // −ln p from the logits: it stays finite even if the probability underflows to zero.
        let surprise = |candidate: &Candidate| ln_total - (candidate.logit - best);
        let entropy: f64 = list.iter().zip(weights).map(|(c, weight)| weight / total * surprise(c)).sum();

        let mut by_distance: Vec<usize> = (0..list.len()).collect();
        let distance: Vec<f64> = list.iter().map(|c| (surprise(c) - entropy).abs()).collect();
        by_distance.sort_by(|&a, &b| distance[a].total_cmp(&distance[b]));

        let goal = f64::from(self.p) * total;
        let mut sum = 0.0;
        let mut kept = vec![false; list.len()];
        for (taken, &i) in by_distance.iter().enumerate() {
            if taken >= self.min_keep && sum > goal {
                break;
            }
            sum += weights[i];
            kept[i] = true;
        }
        let mut kept = kept.into_iter();
        candidates.retain(|_| kept.next() == Some(true));
        Reason::Typical { p: self.p, entropy, reached: sum / total }
    }
}
