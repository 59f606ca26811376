//! The draw: one random number chooses a candidate with its probability.
//!
//! The candidates' weights are laid end to end along a line; a uniform random number points at a place on it; the
//! candidate that lies there is chosen. A single candidate is chosen without spending a random number.

use serde::{Deserialize, Serialize};

use crate::candidates::Candidates;
use crate::rng::Rng;

/// How one candidate came to be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draw {
    /// The token chosen.
    pub id: u32,
    /// Its probability among the candidates that were left.
    pub probability: f64,
    /// Its place among them, counted from 0 in the order in which they were laid out.
    pub place: usize,
    /// The random number in [0, 1); none when a single candidate was left.
    pub unit: Option<f64>,
    /// The summed weight of all candidates; the best one's weight is 1.
    pub total: f64,
    /// Where on the line from 0 to `total` the chosen candidate begins.
    pub from: f64,
    /// Where it ends. `from ≤ unit · total < to`.
    pub to: f64,
}

/// Chooses one of the candidates; the chain has seen to it that there is one.
pub(crate) fn draw(candidates: &mut Candidates<'_>, rng: &mut Rng) -> Draw {
    let (list, weights, total) = candidates.weigh();
    let unit = (list.len() > 1).then(|| rng.next_unit());
    let target = unit.unwrap_or(0.0) * total;
    let mut chosen = Draw { id: 0, probability: 0.0, place: 0, unit, total, from: 0.0, to: 0.0 };
    let mut sum = 0.0;
    for (place, (candidate, &weight)) in list.iter().zip(weights).enumerate() {
        // A weight that underflowed to zero occupies no place on the line.
        if weight == 0.0 {
            continue;
        }
        let from = sum;
        sum += weight;
        chosen = Draw { id: candidate.id, probability: weight / total, place, from, to: sum, ..chosen };
        if sum > target {
            break;
        }
    }
    chosen
}
