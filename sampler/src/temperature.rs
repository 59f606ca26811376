//! Temperature: divides every logit.
//!
//! Below 1 the likely tokens gain probability, above 1 the unlikely ones. 0 keeps only the most likely token (greedy).

use serde::{Deserialize, Serialize};

use crate::candidates::Candidates;
use crate::error::{Error, check};
use crate::record::Reason;

/// Divides each logit by the temperature; 0 keeps only the candidate with the largest logit, the lowest id among
/// equals.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Temperature {
    /// 0 or more, finite.
    pub temperature: f32,
}

impl Temperature {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let t = self.temperature;
        check(t >= 0.0 && t.is_finite(), "temperature", "a finite number ≥ 0 (0 is greedy)", t)
    }

    pub(crate) fn apply(&self, candidates: &mut Candidates<'_>) -> Reason {
        if self.temperature == 1.0 {
            return Reason::Off;
        }
        if self.temperature == 0.0 {
            candidates.keep_best(1);
        } else {
            let divisor = f64::from(self.temperature);
            candidates.list().iter_mut().for_each(|candidate| candidate.logit /= divisor);
        }
        Reason::Temperature { temperature: self.temperature }
    }
}
