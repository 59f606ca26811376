//! Records: what each filter did to the candidates and why, and where the random number fell.
//!
//! The recorder is a type parameter of the sampler's inner function. With [`NoRecorder`] its calls compile to nothing.
//! With a recorder, they inspect the candidates between the filters and never change the choice.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::candidates::{Candidate, Candidates, Scratch};
use crate::chain::{Chain, Filter, State};
use crate::draw::{Draw, draw};
use crate::error::Error;
use crate::mirostat::Mirostat;
use crate::numeric::{exp, ln};
use crate::order::FilterName;
use crate::penalties::{History, Penalties};
use crate::rng::Rng;

/// Maximum length of each list in a [`Record`]; the counts beside the lists cover all tokens.
pub const LISTED: usize = 64;

/// How one token was chosen, with everything needed to replay the choice from the same logits.
///
/// All numbers are finite, so JSON can represent them. serde_json restores them exactly with its feature
/// `float_roundtrip`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The token chosen.
    pub id: u32,
    /// What each filter of the chain did, in order.
    pub steps: Vec<Step>,
    /// The remaining candidates in the order of the draw, at most [`LISTED`].
    pub candidates: Vec<Token>,
    /// The number of remaining candidates.
    pub left: usize,
    /// The entropy of the model's own distribution, in nats.
    pub entropy: f64,
    /// The most likely tokens of the model's own distribution, at most [`LISTED`].
    #[serde(default)]
    pub model: Vec<Token>,
    /// The random draw.
    pub draw: Draw,
    /// The number of logits.
    pub vocab_size: usize,
    /// A hash of the logits, checked by [`Record::replay`].
    pub fingerprint: u64,
    /// The chain's filters with their settings.
    pub filters: Vec<Filter>,
    /// The recent tokens and their counts, as used by the penalties.
    pub history: Vec<(u32, u64)>,
    /// Mirostat's ceiling before this token, in bits.
    pub ceiling: f64,
    /// The generator's state before the draw.
    pub rng: Rng,
}

/// What one filter did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The filter.
    pub filter: FilterName,
    /// The numbers that decided.
    pub reason: Reason,
    /// Number of candidates kept.
    pub kept: usize,
    /// Number of candidates removed.
    pub removed: usize,
    /// Total probability of the removed candidates before the filter.
    pub removed_probability: f64,
    /// The most likely removed candidates, as they were before the filter, at most [`LISTED`].
    pub strongest_removed: Vec<Token>,
    /// Number of logits changed.
    pub changed: usize,
    /// The changed candidates with the largest new logits, in descending order, at most [`LISTED`].
    pub strongest_changed: Vec<Change>,
    /// The most likely kept candidates, as they are after the filter, at most [`LISTED`]; none if the filter is off.
    #[serde(default)]
    pub strongest_kept: Vec<Token>,
    /// The entropy of the kept candidates, in nats.
    pub entropy: f64,
}

/// A token with its logit and its probability among the current candidates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// The token.
    pub id: u32,
    /// Its logit.
    pub logit: f64,
    /// Its probability.
    pub probability: f64,
}

impl Token {
    /// The order with the more likely token first, and among equals the lower id.
    pub(crate) fn best_first(&self, other: &Token) -> Ordering {
        other.logit.partial_cmp(&self.logit).unwrap_or(Ordering::Equal).then(self.id.cmp(&other.id))
    }
}

/// A changed logit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The token.
    pub id: u32,
    /// Its logit before.
    pub before: f64,
    /// Its logit after.
    pub after: f64,
}

/// Why a filter kept what it kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reason {
    /// The filter has no effect with its settings.
    Off,
    /// Biases were added to logits; −∞ bans a token.
    LogitBias {
        /// Number of biases.
        biases: usize,
    },
    /// Recent tokens were penalised.
    Penalties {
        /// The penalties.
        settings: Penalties,
        /// Number of distinct recent tokens.
        tokens: usize,
    },
    /// The k most likely candidates were kept.
    TopK {
        /// k.
        k: usize,
        /// The smallest logit kept.
        worst_kept: f64,
    },
    /// The candidates whose surprise is nearest to the entropy were kept.
    Typical {
        /// The probability to exceed.
        p: f32,
        /// The entropy in nats, the typical surprise.
        entropy: f64,
        /// The total probability of the kept candidates.
        reached: f64,
    },
    /// The most likely candidates were kept, up to a probability.
    TopP {
        /// The probability to reach.
        p: f32,
        /// The total probability of the kept candidates.
        reached: f64,
    },
    /// Candidates with at least a fraction of the largest probability were kept.
    MinP {
        /// The fraction.
        p: f32,
        /// The smallest logit that passes.
        least_logit: f64,
    },
    /// All logits were divided; 0 keeps only the most likely candidate.
    Temperature {
        /// The divisor.
        temperature: f32,
    },
    /// Candidates whose surprise is too large were removed.
    Mirostat {
        /// Target and rate.
        settings: Mirostat,
        /// The largest surprise allowed, in bits.
        ceiling: f64,
    },
}

impl Record {
    /// Repeats the choice from the same logits. The returned record equals this one.
    ///
    /// # Errors
    /// [`Error::OtherLogits`] if the logits are not those of the record.
    pub fn replay(&self, logits: &[f32]) -> Result<Record, Error> {
        let found = fingerprint(logits);
        if found != self.fingerprint {
            return Err(Error::OtherLogits { expected: self.fingerprint, found });
        }
        let chain = Chain::new(self.filters.clone())?;
        let history = History::with_counts(self.history.iter().copied());
        let mut candidates = Candidates::new(logits, &mut Scratch::default())?;
        let state = State { history: &history, ceiling: self.ceiling };
        record(&chain, &mut candidates, state, &mut self.rng.clone(), found)
    }
}

/// Runs the chain and the draw and records them.
pub(crate) fn record(
    chain: &Chain,
    candidates: &mut Candidates<'_>,
    state: State<'_>,
    rng: &mut Rng,
    fingerprint: u64,
) -> Result<Record, Error> {
    let rng_before = rng.clone();
    let mut recording = Recording { candidates: snapshot(candidates), steps: Vec::new() };
    let entropy = entropy(&recording.candidates);
    let model = most_likely(&recording.candidates, LISTED);
    chain.run(candidates, state, &mut recording)?;
    let draw = draw(candidates, rng);
    let mut left = with_probabilities(candidates);
    left.truncate(LISTED);
    Ok(Record {
        id: draw.id,
        steps: recording.steps,
        candidates: left,
        left: candidates.count(),
        entropy,
        model,
        draw,
        vocab_size: candidates.vocab_size(),
        fingerprint,
        filters: chain.filters().to_vec(),
        history: state.history.counts().collect(),
        ceiling: state.ceiling,
        rng: rng_before,
    })
}

/// Is notified after each filter.
pub(crate) trait Recorder {
    fn after(&mut self, filter: FilterName, reason: Reason, candidates: &Candidates<'_>);
}

/// The empty recorder.
pub(crate) struct NoRecorder;

impl Recorder for NoRecorder {
    #[inline(always)]
    fn after(&mut self, _: FilterName, _: Reason, _: &Candidates<'_>) {}
}

/// The recorder that compares the candidates before and after each filter.
struct Recording {
    /// The candidates before the next filter, by ascending id.
    candidates: Vec<Candidate>,
    steps: Vec<Step>,
}

impl Recorder for Recording {
    fn after(&mut self, filter: FilterName, reason: Reason, candidates: &Candidates<'_>) {
        let after = snapshot(candidates);
        let before = std::mem::replace(&mut self.candidates, after);
        let best = best_logit(&before);
        let total: f64 = before.iter().map(|c| exp(c.logit - best)).sum();
        let mut removed = Vec::new();
        let mut changed = Vec::new();
        let mut left = self.candidates.iter().peekable();
        for candidate in &before {
            match left.next_if(|next| next.id == candidate.id) {
                None => removed.push(Token {
                    id: candidate.id,
                    logit: candidate.logit,
                    probability: exp(candidate.logit - best) / total,
                }),
                Some(next) if next.logit != candidate.logit => {
                    changed.push(Change { id: candidate.id, before: candidate.logit, after: next.logit });
                }
                Some(_) => {}
            }
        }
        let (removed_count, changed_count) = (removed.len(), changed.len());
        let removed_probability = removed.iter().map(|token| token.probability).fold(0.0, |sum, p| sum + p);
        removed.sort_by(|a, b| b.logit.total_cmp(&a.logit).then(a.id.cmp(&b.id)));
        removed.truncate(LISTED);
        changed.sort_by(|a, b| b.after.total_cmp(&a.after).then(a.id.cmp(&b.id)));
        changed.truncate(LISTED);
        let listed = if reason == Reason::Off { 0 } else { LISTED };
        self.steps.push(Step {
            filter,
            reason,
            kept: self.candidates.len(),
            removed: removed_count,
            removed_probability,
            strongest_removed: removed,
            changed: changed_count,
            strongest_changed: changed,
            strongest_kept: most_likely(&self.candidates, listed),
            entropy: entropy(&self.candidates),
        });
    }
}

/// The candidates by ascending id.
fn snapshot(candidates: &Candidates<'_>) -> Vec<Candidate> {
    let mut all = Vec::new();
    candidates.for_each(|candidate| all.push(candidate));
    all.sort_unstable_by_key(|candidate| candidate.id);
    all
}

/// The candidates in their current order, with probabilities.
pub(crate) fn with_probabilities(candidates: &mut Candidates<'_>) -> Vec<Token> {
    let (list, weights, total) = candidates.weigh();
    let token =
        |(c, weight): (&Candidate, &f64)| Token { id: c.id, logit: c.logit, probability: weight / total };
    list.iter().zip(weights).map(token).collect()
}

/// The model's own distribution, most likely first: the softmax of the logits, without any filter. The probabilities
/// are those of [`Record::model`], bit for bit.
///
/// # Errors
/// As [`Sampler::sample`](crate::Sampler::sample).
pub fn probabilities(logits: &[f32]) -> Result<Vec<Token>, Error> {
    let all = snapshot(&Candidates::new(logits, &mut Scratch::default())?);
    Ok(most_likely(&all, all.len()))
}

/// The `listed` most likely of `candidates`, which are sorted by ascending id, with their probabilities among all.
fn most_likely(candidates: &[Candidate], listed: usize) -> Vec<Token> {
    let best = best_logit(candidates);
    let total: f64 = candidates.iter().map(|c| exp(c.logit - best)).sum();
    let mut order: Vec<Candidate> = candidates.to_vec();
    if listed < order.len() {
        order.select_nth_unstable_by(listed, Candidate::best_first);
        order.truncate(listed);
    }
    order.sort_unstable_by(Candidate::best_first);
    let token = |c: &Candidate| Token { id: c.id, logit: c.logit, probability: exp(c.logit - best) / total };
    order.iter().map(token).collect()
}

fn best_logit(candidates: &[Candidate]) -> f64 {
    candidates.iter().map(|c| c.logit).fold(f64::NEG_INFINITY, f64::max)
}

/// Σ −p·ln p = ln total − Σ weight·(logit − best) / total.
fn entropy(candidates: &[Candidate]) -> f64 {
    let best = best_logit(candidates);
    let (mut total, mut sum) = (0.0, 0.0);
    for candidate in candidates {
        let below = candidate.logit - best;
        total += exp(below);
        sum += exp(below) * below;
    }
    ln(total) - sum / total
}

/// FNV-1a over the logits' bits (G. Fowler, L. C. Noll, K.-P. Vo), a word at a time.
pub(crate) fn fingerprint(logits: &[f32]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325_u64;
    logits.iter().fold(start, |hash, x| (hash ^ u64::from(x.to_bits())).wrapping_mul(0x0000_0100_0000_01b3))
}
