//! Top-p (nucleus) sampling: keeps the fewest most likely tokens whose probabilities reach p
//! (A. Holtzman et al., "The curious case of neural text degeneration", 2020).

use serde::{Deserialize, Serialize};

use crate::candidates::Candidates;
use crate::error::{Error, check};
use crate::numeric::exp;
use crate::record::Reason;

/// Keeps the most likely candidates, up to and including the one at which their summed probability reaches `p`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopP {
    /// Between 0 and 1; 1 keeps all, 0 only the most likely.
    pub p: f32,
    /// Minimum number of candidates to keep, if there are as many. At least 1.
    pub min_keep: usize,
}

impl TopP {
    pub(crate) fn check(&self) -> Result<(), Error> {
        check((0.0..=1.0).contains(&self.p), "top_p", "a number from 0 to 1 (1 is off)", self.p)?;
        check(self.min_keep >= 1, "min_keep", "at least 1", self.min_keep)
    }

    /// The total is summed in the candidates' current order, the kept share from the most likely downwards. A few
    /// hundred tokens usually reach `p`, so the list is sorted only as far as needed.
    pub(crate) fn apply(&self, candidates: &mut Candidates<'_>) -> Reason {
        if self.p >= 1.0 {
            return Reason::Off;
        }
        let best = candidates.best().map_or(0.0, |best| best.logit);
        let (list, _, total) = candidates.weigh();
        let count = list.len();
        let goal = f64::from(self.p) * total;
        let mut sum = 0.0;
        let mut kept = 0;
        let mut sorted = 0;
        while kept < count && (kept < self.min_keep || sum < goal) {
            if kept == sorted {
                let end = (4 * sorted).max(256).min(count);
                candidates.sort_further(sorted, end);
                sorted = end;
            }
            sum += exp(candidates.list()[kept].logit - best);
            kept += 1;
        }
        candidates.truncate_sorted(kept);
        Reason::TopP { p: self.p, reached: sum / total }
    }
}
