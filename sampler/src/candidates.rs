//! The candidates: the tokens that the filters have not removed.
//!
//! At first they are the whole vocabulary, and copying it would cost more than most filters. So the candidates start as
//! a view of the caller's logits plus a short list of changed ones (biases, penalties), and become an owned list when a
//! filter first removes or scales them.
//!
//! The list is in one of two orders: by ascending id, or best first. *Better* is one total order everywhere: the larger
//! logit, and among equal logits the lower id. So the same logits always give the same order, with any sorting
//! algorithm. Tokens with logit −∞ are banned and never candidates.

use std::cmp::Ordering;

use crate::error::Error;
use crate::numeric::exp;

/// A token and its logit. An f64 can hold any f32 divided by any temperature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) id: u32,
    pub(crate) logit: f64,
}

impl Candidate {
    /// The order with the better candidate first.
    pub(crate) fn best_first(&self, other: &Candidate) -> Ordering {
        other.logit.partial_cmp(&self.logit).unwrap_or(Ordering::Equal).then(self.id.cmp(&other.id))
    }

    fn is_better_than(&self, other: &Candidate) -> bool {
        self.best_first(other) == Ordering::Less
    }
}

/// Scratch buffers that a sampler reuses between tokens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    list: Vec<Candidate>,
    spare: Vec<Candidate>,
    weights: Vec<f64>,
}

/// The candidates of one token.
#[derive(Debug)]
pub(crate) struct Candidates<'a> {
    logits: &'a [f32],
    /// The largest of the logits.
    largest: f32,
    /// No candidate has been removed: the candidates are `logits`, and `list` holds the changed ones by ascending id.
    whole: bool,
    best_first: bool,
    list: Vec<Candidate>,
    spare: Vec<Candidate>,
    weights: Vec<f64>,
}

impl<'a> Candidates<'a> {
    /// All tokens with a finite logit. It is an error if a logit is NaN or +∞, or if there is no candidate.
    pub(crate) fn new(logits: &'a [f32], scratch: &mut Scratch) -> Result<Candidates<'a>, Error> {
        if logits.is_empty() {
            return Err(Error::EmptyLogits);
        }
        if u32::try_from(logits.len()).is_err() {
            return Err(Error::TooManyLogits { found: logits.len() });
        }
        let Some(largest) = largest(logits) else {
            let is_bad = |x: f32| x.is_nan() || x == f32::INFINITY;
            let id = logits.iter().position(|&x| is_bad(x)).unwrap_or(0);
            return Err(Error::BadLogit { id: id as u32, found: logits[id] });
        };
        if largest == f32::NEG_INFINITY {
            return Err(Error::NoCandidates { vocab_size: logits.len() });
        }
        let mut list = std::mem::take(&mut scratch.list);
        list.clear();
        Ok(Candidates {
            logits,
            largest,
            whole: true,
            best_first: false,
            list,
            spare: std::mem::take(&mut scratch.spare),
            weights: std::mem::take(&mut scratch.weights),
        })
    }

    /// Returns the buffers for the next token.
    pub(crate) fn recycle(self, scratch: &mut Scratch) {
        scratch.list = self.list;
        scratch.spare = self.spare;
        scratch.weights = self.weights;
    }

    /// The number of logits, which is the size of the vocabulary.
    pub(crate) fn vocab_size(&self) -> usize {
        self.logits.len()
    }

    /// Calls `visit` with each candidate, in the current order.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(Candidate)) {
        if !self.whole {
            self.list.iter().copied().for_each(visit);
            return;
        }
        let mut next = 0;
        let end = Candidate { id: self.logits.len() as u32, logit: f64::NEG_INFINITY };
        for changed in self.list.iter().chain([&end]) {
            let unchanged = self.logits.get(next..changed.id as usize).unwrap_or(&[]);
            for (id, &logit) in (next as u32..).zip(unchanged) {
                if logit > f32::NEG_INFINITY {
                    visit(Candidate { id, logit: f64::from(logit) });
                }
            }
            if changed.logit > f64::NEG_INFINITY {
                visit(*changed);
            }
            next = changed.id as usize + 1;
        }
    }

    /// The number of candidates.
    pub(crate) fn count(&self) -> usize {
        if !self.whole {
            return self.list.len();
        }
        let mut count = 0;
        self.for_each(|_| count += 1);
        count
    }

    /// The best candidate; `None` if biases have banned all.
    pub(crate) fn best(&self) -> Option<Candidate> {
        if self.best_first {
            return self.list.first().copied();
        }
        if self.whole && self.list.is_empty() {
            // The lowest id among equals.
            let id = self.logits.iter().position(|&x| x == self.largest)?;
            return Some(Candidate { id: id as u32, logit: f64::from(self.largest) });
        }
        let mut best: Option<Candidate> = None;
        self.for_each(|candidate| {
            if best.is_none_or(|best| candidate.is_better_than(&best)) {
                best = Some(candidate);
            }
        });
        best
    }

    /// Replaces the logits of the given tokens, each id once. −∞ bans the token. Ids that are not candidates are
    /// skipped.
    pub(crate) fn change(&mut self, ids: impl Iterator<Item = u32>, new_logit: impl Fn(u32, f64) -> f64) {
        for id in ids {
            if self.whole {
                let found = self.list.binary_search_by_key(&id, |c| c.id);
                let logit = match found {
                    Ok(at) => self.list[at].logit,
                    Err(_) => self.logits.get(id as usize).map_or(f64::NEG_INFINITY, |&x| f64::from(x)),
                };
                if logit == f64::NEG_INFINITY {
                    continue;
                }
                let changed = Candidate { id, logit: new_logit(id, logit) };
                match found {
                    Ok(at) => self.list[at] = changed,
                    Err(at) => self.list.insert(at, changed),
                }
            } else if let Some(at) = self.position(id) {
                self.list[at].logit = new_logit(id, self.list[at].logit);
            }
        }
        if !self.whole {
            self.list.retain(|c| c.logit > f64::NEG_INFINITY);
            if self.best_first {
                self.list.sort_unstable_by(Candidate::best_first);
            }
        }
    }

    fn position(&self, id: u32) -> Option<usize> {
        if self.best_first {
            self.list.iter().position(|c| c.id == id)
        } else {
            self.list.binary_search_by_key(&id, |c| c.id).ok()
        }
    }

    /// The candidates as a list that may be changed in place, as long as its order stays valid.
    pub(crate) fn list(&mut self) -> &mut Vec<Candidate> {
        if self.whole {
            let mut all = self.take_spare();
            self.for_each(|candidate| all.push(candidate));
            self.become_list(all, false);
        }
        &mut self.list
    }

    fn become_list(&mut self, list: Vec<Candidate>, best_first: bool) {
        self.whole = false;
        self.best_first = best_first;
        self.spare = std::mem::replace(&mut self.list, list);
    }

    fn take_spare(&mut self) -> Vec<Candidate> {
        let mut spare = std::mem::take(&mut self.spare);
        spare.clear();
        spare
    }

    /// Keeps the candidates that `keep` accepts, in their order. The caller guarantees that one remains.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(Candidate) -> bool) {
        if self.whole {
            let mut kept = self.take_spare();
            self.for_each(|candidate| {
                if keep(candidate) {
                    kept.push(candidate);
                }
            });
            self.become_list(kept, false);
        } else {
            self.list.retain(|candidate| keep(*candidate));
        }
    }

    /// Keeps the `n` best, best first. Takes time linear in the candidates, plus sorting `n`.
    ///
    /// A buffer of 2·`n` collects candidates that are better than the worst of the best `n` seen so far; when it is
    /// full, a selection halves it. Most tokens cost a single comparison.
    pub(crate) fn keep_best(&mut self, n: usize) {
        if self.best_first {
            self.list.truncate(n);
            return;
        }
        let n = n.min(self.logits.len());
        let mut buffer = self.take_spare();
        let mut worst: Option<Candidate> = None;
        self.for_each(|candidate| {
            if worst.is_some_and(|worst| !candidate.is_better_than(&worst)) {
                return;
            }
            buffer.push(candidate);
            if buffer.len() >= 2 * n {
                let (_, nth, _) = buffer.select_nth_unstable_by(n - 1, Candidate::best_first);
                worst = Some(*nth);
                buffer.truncate(n);
            }
        });
        buffer.sort_unstable_by(Candidate::best_first);
        buffer.truncate(n);
        self.become_list(buffer, true);
    }

    /// Sorts all candidates, best first.
    pub(crate) fn sort(&mut self) {
        if !self.best_first {
            self.list().sort_unstable_by(Candidate::best_first);
            self.best_first = true;
        }
    }

    /// Extends a list whose first `start` candidates are sorted, best first, to `end` sorted ones; the rest follows in
    /// any order. Once `end` reaches the count, the whole list is sorted.
    pub(crate) fn sort_further(&mut self, start: usize, end: usize) {
        if self.best_first {
            return;
        }
        let rest = &mut self.list()[start..];
        let n = end - start;
        if n < rest.len() {
            rest.select_nth_unstable_by(n, Candidate::best_first);
            rest[..n].sort_unstable_by(Candidate::best_first);
        } else {
            rest.sort_unstable_by(Candidate::best_first);
            self.best_first = true;
        }
    }

    /// Truncates a list to its first `n` candidates, which are sorted best first.
    pub(crate) fn truncate_sorted(&mut self, n: usize) {
        self.list.truncate(n);
        self.best_first = true;
    }

    /// The candidates in their current order, their weights e^(logit − largest logit), and the sum of the weights in
    /// that order. A candidate's probability is its weight divided by the sum.
    pub(crate) fn weigh(&mut self) -> (&[Candidate], &[f64], f64) {
        let best = self.best().map_or(0.0, |best| best.logit);
        self.list();
        self.weights.clear();
        self.weights.extend(self.list.iter().map(|c| exp(c.logit - best)));
        let total = self.weights.iter().sum();
        (&self.list, &self.weights, total)
    }
}

/// The largest logit; `None` if one is NaN or +∞. One pass over sixteen lanes, without an early exit.
fn largest(logits: &[f32]) -> Option<f32> {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let mut bad = [false; 16];
    let mut update = |lane: usize, x: f32| {
        lanes[lane] = if x > lanes[lane] { x } else { lanes[lane] };
        bad[lane] |= x.is_nan();
    };
    let (chunks, rest) = logits.as_chunks::<16>();
    for chunk in chunks {
        (0..16).for_each(|lane| update(lane, chunk[lane]));
    }
    rest.iter().enumerate().for_each(|(lane, &x)| update(lane, x));
    let largest = lanes.into_iter().fold(f32::NEG_INFINITY, f32::max);
    (largest < f32::INFINITY && !bad.contains(&true)).then_some(largest)
}
