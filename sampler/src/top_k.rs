//! Top-k: keeps the k most likely tokens (A. Fan, M. Lewis, Y. Dauphin, "Hierarchical neural story generation", 2018).

use serde::{Deserialize, Serialize};

use crate::candidates::Candidates;
use crate::record::Reason;

/// Keeps the `k` candidates with the largest logits, the lower id first among equals.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopK {
    /// Number of candidates to keep; 0 keeps all.
    pub k: usize,
}

impl TopK {
    pub(crate) fn apply(&self, candidates: &mut Candidates<'_>) -> Reason {
        if self.k == 0 || self.k >= candidates.vocab_size() {
            return Reason::Off;
        }
        candidates.keep_best(self.k);
        let worst_kept = candidates.list().last().map_or(f64::NEG_INFINITY, |c| c.logit);
        Reason::TopK { k: self.k, worst_kept }
    }
}
