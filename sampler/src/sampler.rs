//! The sampler: a chain of filters, a random generator and the history of recent tokens.

use crate::candidates::{Candidates, Scratch};
use crate::chain::{Chain, State};
use crate::config::SamplerConfig;
use crate::draw::draw;
use crate::error::Error;
use crate::penalties::History;
use crate::record::{NoRecorder, Record, Token, fingerprint, record, with_probabilities};
use crate::rng::Rng;

/// Chooses tokens from logits.
///
/// For each token, call [`sample`](Sampler::sample), then [`accept`](Sampler::accept) with the token that continues the
/// text. They are separate because a caller may replace the sampled token.
#[derive(Clone, Debug)]
pub struct Sampler {
    chain: Chain,
    seed: u64,
    rng: Rng,
    history: History,
    /// Mirostat's ceiling, in bits.
    ceiling: f64,
    scratch: Scratch,
}

impl Sampler {
    /// A sampler with these settings.
    ///
    /// # Errors
    /// [`Error::Setting`] names a setting that is out of range; there are further errors for invalid orders of filters.
    pub fn new(config: SamplerConfig) -> Result<Sampler, Error> {
        Ok(Sampler::from_chain(Chain::new(config.filters()?)?, config.seed))
    }

    /// A sampler with this chain and random seed.
    pub fn from_chain(chain: Chain, seed: u64) -> Sampler {
        Sampler {
            seed,
            rng: Rng::new(seed),
            history: History::new(chain.penalty_last_n()),
            ceiling: first_ceiling(&chain),
            scratch: Scratch::default(),
            chain,
        }
    }

    /// Chooses one token. `logits` covers the whole vocabulary: `logits[id]` is the logit of token `id`, and −∞ bans
    /// it.
    ///
    /// # Errors
    /// If a logit is NaN or +∞, if there are no logits, or if all tokens are banned.
    pub fn sample(&mut self, logits: &[f32]) -> Result<u32, Error> {
        let mut candidates = Candidates::new(logits, &mut self.scratch)?;
        let id = self.choose(&mut candidates);
        candidates.recycle(&mut self.scratch);
        id
    }

    /// As [`sample`](Sampler::sample), with a record of each step. This token and all later ones are the same as with
    /// `sample`.
    pub fn sample_recorded(&mut self, logits: &[f32]) -> Result<Record, Error> {
        let mut candidates = Candidates::new(logits, &mut self.scratch)?;
        let state = State { history: &self.history, ceiling: self.ceiling };
        let record = record(&self.chain, &mut candidates, state, &mut self.rng, fingerprint(logits));
        candidates.recycle(&mut self.scratch);
        if let Ok(record) = &record {
            self.update_ceiling(record.draw.probability);
        }
        record
    }

    /// The candidates that the filters keep, most likely first, with their probabilities: those of
    /// [`Record::candidates`], bit for bit. Nothing is drawn.
    pub fn distribution(&mut self, logits: &[f32]) -> Result<Vec<Token>, Error> {
        let mut candidates = Candidates::new(logits, &mut self.scratch)?;
        let state = State { history: &self.history, ceiling: self.ceiling };
        let result = self.chain.run(&mut candidates, state, &mut NoRecorder).map(|()| {
            // Added up in the order of the draw.
            let mut tokens = with_probabilities(&mut candidates);
            tokens.sort_unstable_by(Token::best_first);
            tokens
        });
        candidates.recycle(&mut self.scratch);
        result
    }

    /// Adds a token of the text to the history for the penalties.
    pub fn accept(&mut self, id: u32) {
        self.history.push(id);
    }

    /// Adds the tokens of a prompt to the history, first to last.
    pub fn prime(&mut self, prompt: &[u32]) {
        prompt.iter().for_each(|&id| self.accept(id));
    }

    /// Resets the random generator to the seed, the history to empty and mirostat's ceiling to its initial value.
    pub fn reset(&mut self) {
        self.rng = Rng::new(self.seed);
        self.history.clear();
        self.ceiling = first_ceiling(&self.chain);
    }

    /// The filters.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    fn choose(&mut self, candidates: &mut Candidates<'_>) -> Result<u32, Error> {
        let state = State { history: &self.history, ceiling: self.ceiling };
        if self.chain.run_greedy(candidates, state)? {
            let best = candidates.best();
            return best
                .map(|best| best.id)
                .ok_or(Error::NoCandidates { vocab_size: candidates.vocab_size() });
        }
        self.chain.run(candidates, state, &mut NoRecorder)?;
        let draw = draw(candidates, &mut self.rng);
        self.update_ceiling(draw.probability);
        Ok(draw.id)
    }

    /// Updates mirostat's ceiling after a token of this probability was drawn.
    fn update_ceiling(&mut self, probability: f64) {
        if let Some(mirostat) = self.chain.mirostat() {
            self.ceiling = mirostat.next_ceiling(self.ceiling, probability);
        }
    }
}

fn first_ceiling(chain: &Chain) -> f64 {
    chain.mirostat().map_or(0.0, |mirostat| mirostat.first_ceiling())
}
