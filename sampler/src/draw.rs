//! The draw: a random number chooses a candidate according to the probabilities.
//!
//! The candidates' weights are laid end to end on the interval [0, total). A uniform random number is scaled to a point
//! of it, and the candidate whose subinterval contains the point is chosen. A single candidate uses no random number.

use serde::{Deserialize, Serialize};

use crate::candidates::Candidates;
use crate::rng::Rng;

/// How a candidate was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draw {
    /// The token chosen.
    pub id: u32,
    /// Its probability among the remaining candidates.
    pub probability: f64,
    /// Its index among them, in the order of the draw.
    pub place: usize,
    /// The random number in [0, 1); `None` for a single candidate.
    pub unit: Option<f64>,
    /// The sum of all weights; the largest weight is 1.
    pub total: f64,
    /// Start of the chosen candidate's subinterval.
    pub from: f64,
    /// Its end. `from ≤ unit · total < to`.
    pub to: f64,
}

/// Chooses one of the candidates; the chain guarantees that there is at least one.
pub(crate) fn draw(candidates: &mut Candidates<'_>, rng: &mut Rng) -> Draw {
    let (list, weights, total) = candidates.weigh();
    let unit = (list.len() > 1).then(|| rng.next_unit());
    let target = unit.unwrap_or(0.0) * total;
    let mut chosen = Draw { id: 0, probability: 0.0, place: 0, unit, total, from: 0.0, to: 0.0 };
    let mut sum = 0.0;
    for (place, (candidate, &weight)) in list.iter().zip(weights).enumerate() {
        // A weight that underflowed to zero has an empty subinterval.
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
