//! The chain: the filters one after the other, each narrowing or changing what the one before has left.

use serde::{Deserialize, Serialize};

use crate::candidates::Candidates;
use crate::error::Error;
use crate::greedy;
use crate::logit_bias::LogitBias;
use crate::min_p::MinP;
use crate::mirostat::Mirostat;
use crate::order::{FilterName, check_order};
use crate::penalties::{History, Penalties};
use crate::record::{Reason, Recorder};
use crate::temperature::Temperature;
use crate::top_k::TopK;
use crate::top_p::TopP;
use crate::typical::Typical;

/// One filter with its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "filter", rename_all = "snake_case")]
pub enum Filter {
    /// Adds to the logits of chosen tokens.
    LogitBias(LogitBias),
    /// Makes recent tokens less likely.
    Penalties(Penalties),
    /// Keeps the k best.
    TopK(TopK),
    /// Keeps the tokens nearest to the entropy.
    Typical(Typical),
    /// Keeps the best up to a probability.
    TopP(TopP),
    /// Keeps those not far less likely than the best.
    MinP(MinP),
    /// Sharpens or flattens the distribution.
    Temperature(Temperature),
    /// Holds the surprise near a target.
    Mirostat(Mirostat),
}

impl Filter {
    /// The filter's name.
    pub fn name(&self) -> FilterName {
        match self {
            Filter::LogitBias(_) => FilterName::LogitBias,
            Filter::Penalties(_) => FilterName::Penalties,
            Filter::TopK(_) => FilterName::TopK,
            Filter::Typical(_) => FilterName::Typical,
            Filter::TopP(_) => FilterName::TopP,
            Filter::MinP(_) => FilterName::MinP,
            Filter::Temperature(_) => FilterName::Temperature,
            Filter::Mirostat(_) => FilterName::Mirostat,
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        match self {
            Filter::LogitBias(filter) => filter.check(),
            Filter::Penalties(filter) => filter.check(),
            Filter::TopK(_) => Ok(()),
            Filter::Typical(filter) => filter.check(),
            Filter::TopP(filter) => filter.check(),
            Filter::MinP(filter) => filter.check(),
            Filter::Temperature(filter) => filter.check(),
            Filter::Mirostat(filter) => filter.check(),
        }
    }
}

/// What the filters look at besides the logits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) history: &'a History,
    /// Mirostat's ceiling, in bits.
    pub(crate) ceiling: f64,
}

/// Filters in the order in which they run, each at most once, all settings checked.
///
/// ```
/// use glassbox_sampler::{Chain, Filter, Sampler, Temperature, TopK};
///
/// let chain = Chain::new(vec![
///     Filter::TopK(TopK { k: 2 }),
///     Filter::Temperature(Temperature { temperature: 0.5 }),
/// ])?;
/// let token = Sampler::from_chain(chain, 7).sample(&[1.0, 3.0, 2.0, -1.0])?;
/// assert!(token == 1 || token == 2);
/// # Ok::<(), glassbox_sampler::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    filters: Vec<Filter>,
    /// Where the choice is greedy, how many of the first filters have a say in it.
    greedy: Option<usize>,
}

impl Chain {
    /// Checks every setting and the order. An empty chain draws from the model's own distribution.
    pub fn new(filters: Vec<Filter>) -> Result<Chain, Error> {
        filters.iter().try_for_each(Filter::check)?;
        check_order(filters.iter().map(Filter::name))?;
        let greedy = greedy::deciding_filters(&filters);
        Ok(Chain { filters, greedy })
    }

    /// The filters, first to last.
    pub fn filters(&self) -> &[Filter] {
        &self.filters
    }

    /// Whether the choice is always the best token, so that neither seed nor truncation has a say.
    pub fn is_greedy(&self) -> bool {
        self.greedy.is_some()
    }

    pub(crate) fn mirostat(&self) -> Option<Mirostat> {
        match self.filters.last() {
            Some(Filter::Mirostat(mirostat)) => Some(*mirostat),
            _ => None,
        }
    }

    /// How far back the penalties look; 0 where the chain has none.
    pub(crate) fn penalty_last_n(&self) -> i32 {
        let of = |filter: &Filter| match filter {
            Filter::Penalties(penalties) => Some(penalties.last_n),
            _ => None,
        };
        self.filters.iter().find_map(of).unwrap_or(0)
    }

    /// Runs every filter, and tells the recorder after each.
    pub(crate) fn run<R: Recorder>(
        &self,
        candidates: &mut Candidates<'_>,
        around: Surroundings<'_>,
        recorder: &mut R,
    ) -> Result<(), Error> {
        for filter in &self.filters {
            let reason = apply(filter, candidates, around)?;
            recorder.after(filter.name(), reason, candidates);
        }
        Ok(())
    }

    /// For a greedy chain: runs the filters that have a say in which token is best. False where the chain is not greedy.
    pub(crate) fn run_greedy(
        &self,
        candidates: &mut Candidates<'_>,
        around: Surroundings<'_>,
    ) -> Result<bool, Error> {
        let Some(deciding) = self.greedy else { return Ok(false) };
        for filter in &self.filters[..deciding] {
            apply(filter, candidates, around)?;
        }
        Ok(true)
    }
}

/// Runs one filter. At least one candidate remains, or it is an error.
fn apply(
    filter: &Filter,
    candidates: &mut Candidates<'_>,
    around: Surroundings<'_>,
) -> Result<Reason, Error> {
    Ok(match filter {
        Filter::LogitBias(filter) => {
            filter.check_ids(candidates.vocab_size())?;
            let reason = filter.apply(candidates);
            if filter.bans() && candidates.best().is_none() {
                return Err(Error::NoCandidates { vocab_size: candidates.vocab_size() });
            }
            reason
        }
        Filter::Penalties(filter) => filter.apply(candidates, around.history),
        Filter::TopK(filter) => filter.apply(candidates),
        Filter::Typical(filter) => filter.apply(candidates),
        Filter::TopP(filter) => filter.apply(candidates),
        Filter::MinP(filter) => filter.apply(candidates),
        Filter::Temperature(filter) => filter.apply(candidates),
        Filter::Mirostat(filter) => filter.apply(candidates, around.ceiling),
    })
}
