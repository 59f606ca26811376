//! The sampler: a chain, a generator and the memory of recent tokens; from it comes one token at a time.

use crate::candidates::{Candidates, Scratch};
use crate::chain::{Chain, Surroundings};
use crate::config::SamplerConfig;
use crate::draw::draw;
use crate::error::Error;
use crate::penalties::History;
use crate::record::{Record, Token, Unrecorded, fingerprint, record, with_probabilities};
use crate::rng::Rng;

/// Chooses tokens from logits.
///
/// For each token call [`sample`](Sampler::sample) and then [`accept`](Sampler::accept) with the token that the text
/// goes on with. They are apart because a caller may put another token in the place of the one chosen.
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
    /// A sampler with these settings; one out of its range is an error that names it.
    pub fn new(config: SamplerConfig) -> Result<Sampler, Error> {
        Ok(Sampler::from_chain(Chain::new(config.filters()?)?, config.seed))
    }

    /// A sampler with this chain, its random sequence beginning at `seed`.
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

    /// Chooses one token from the logits of the whole vocabulary, `logits[id]` being that of token `id`.
    ///
    /// −∞ bans a token. NaN, +∞, no logits, and nothing but −∞ are errors.
    pub fn sample(&mut self, logits: &[f32]) -> Result<u32, Error> {
        let mut candidates = Candidates::new(logits, &mut self.scratch)?;
        let id = self.choose(&mut candidates);
        candidates.recycle(&mut self.scratch);
        id
    }

    /// As [`sample`](Sampler::sample), with a record of each step: the same token, and the same tokens after it.
    pub fn sample_recorded(&mut self, logits: &[f32]) -> Result<Record, Error> {
        let mut candidates = Candidates::new(logits, &mut self.scratch)?;
        let around = Surroundings { history: &self.history, ceiling: self.ceiling };
        let record = record(&self.chain, &mut candidates, around, &mut self.rng, fingerprint(logits));
        candidates.recycle(&mut self.scratch);
        if let Ok(record) = &record {
            self.steer(record.draw.probability);
        }
        record
    }

    /// The candidates that the filters leave, best first, with their probabilities. Nothing is drawn.
    pub fn distribution(&mut self, logits: &[f32]) -> Result<Vec<Token>, Error> {
        let mut candidates = Candidates::new(logits, &mut self.scratch)?;
        let around = Surroundings { history: &self.history, ceiling: self.ceiling };
        let result = self.chain.run(&mut candidates, around, &mut Unrecorded).map(|()| {
            candidates.sort();
            with_probabilities(&mut candidates)
        });
        candidates.recycle(&mut self.scratch);
        result
    }

    /// Adds a token of the text to the history that the penalties look at.
    pub fn accept(&mut self, id: u32) {
        self.history.push(id);
    }

    /// Adds the tokens of a prompt to the history, first to last.
    pub fn prime(&mut self, prompt: &[u32]) {
        prompt.iter().for_each(|&id| self.accept(id));
    }

    /// Begins again: the random sequence at the seed, no history, mirostat's ceiling at its start.
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
        let around = Surroundings { history: &self.history, ceiling: self.ceiling };
        if self.chain.run_greedy(candidates, around)? {
            let best = candidates.best();
            return best
                .map(|best| best.id)
                .ok_or(Error::NoCandidates { vocab_size: candidates.vocab_size() });
        }
        self.chain.run(candidates, around, &mut Unrecorded)?;
        let draw = draw(candidates, &mut self.rng);
        self.steer(draw.probability);
        Ok(draw.id)
    }

    /// Lets mirostat answer to the token drawn.
    fn steer(&mut self, probability: f64) {
        if let Some(mirostat) = self.chain.mirostat() {
            self.ceiling = mirostat.next_ceiling(self.ceiling, probability);
        }
    }
}

fn first_ceiling(chain: &Chain) -> f64 {
    chain.mirostat().map_or(0.0, |mirostat| mirostat.first_ceiling())
}
