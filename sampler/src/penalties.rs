//! Penalties: recent tokens become less likely.
//!
//! - repeat: positive logits are divided by it, others multiplied, once regardless of the number of occurrences
//!   (N. S. Keskar et al., "CTRL: a conditional transformer language model for controllable generation", 2019);
//! - frequency: subtracted once for each occurrence;
//! - presence: subtracted once if the token occurred at all.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::candidates::Candidates;
use crate::error::{Error, check};
use crate::record::Reason;

/// Makes recent tokens less likely, or more likely with settings on the other side of neutral.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Penalties {
    /// Above 0; 1 is neutral.
    pub repeat: f32,
    /// Finite; 0 is neutral.
    pub frequency: f32,
    /// Finite; 0 is neutral.
    pub presence: f32,
    /// Number of last tokens that count: 0 for none, −1 for all.
    pub last_n: i32,
}

impl Penalties {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let Penalties { repeat, frequency, presence, last_n } = *self;
        let good = repeat > 0.0 && repeat.is_finite();
        check(good, "repeat_penalty", "a finite number > 0 (1 is off)", repeat)?;
        check(frequency.is_finite(), "frequency_penalty", "a finite number (0 is off)", frequency)?;
        check(presence.is_finite(), "presence_penalty", "a finite number (0 is off)", presence)?;
        check(last_n >= -1, "penalty_last_n", "−1 (all tokens), 0 (none) or a count", last_n)
    }

    fn is_neutral(&self) -> bool {
        self.repeat == 1.0 && self.frequency == 0.0 && self.presence == 0.0
    }

    pub(crate) fn apply(&self, candidates: &mut Candidates<'_>, history: &History) -> Reason {
        if self.is_neutral() || history.counts.is_empty() {
            return Reason::Off;
        }
        let repeat = f64::from(self.repeat);
        candidates.change(history.counts.keys().copied(), |id, logit| {
            let count = history.counts.get(&id).map_or(0.0, |&count| count as f64);
            let scaled = if logit <= 0.0 { logit * repeat } else { logit / repeat };
            scaled - count * f64::from(self.frequency) - f64::from(self.presence)
        });
        Reason::Penalties { settings: *self, tokens: history.counts.len() }
    }
}

/// The number of occurrences of each recent token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct History {
    /// The tokens in the window, oldest first. Empty if all tokens count, since none leaves the window.
    recent: VecDeque<u32>,
    counts: BTreeMap<u32, u64>,
    last_n: i32,
}

impl History {
    pub(crate) fn new(last_n: i32) -> History {
        History { recent: VecDeque::new(), counts: BTreeMap::new(), last_n }
    }

    /// A fixed history with these counts, for a replay; not for further tokens.
    pub(crate) fn with_counts(counts: impl IntoIterator<Item = (u32, u64)>) -> History {
        History { recent: VecDeque::new(), counts: counts.into_iter().collect(), last_n: -1 }
    }

    pub(crate) fn counts(&self) -> impl Iterator<Item = (u32, u64)> {
        self.counts.iter().map(|(&id, &count)| (id, count))
    }

    pub(crate) fn push(&mut self, id: u32) {
        if self.last_n == 0 {
            return;
        }
        *self.counts.entry(id).or_insert(0) += 1;
        if self.last_n < 0 {
            return;
        }
        self.recent.push_back(id);
        if self.recent.len() > self.last_n as usize
            && let Some(oldest) = self.recent.pop_front()
            && let Some(count) = self.counts.get_mut(&oldest)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&oldest);
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.recent.clear();
        self.counts.clear();
    }
}
