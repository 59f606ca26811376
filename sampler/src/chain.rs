//! The chain: filters in sequence, each removing candidates or changing logits.

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
    /// Keeps the k most likely tokens.
    TopK(TopK),
    /// Keeps the tokens whose surprise is nearest to the entropy.
    Typical(Typical),
    /// Keeps the most likely tokens up to a probability.
    TopP(TopP),
    /// Keeps the tokens at least p times as likely as the most likely one.
    MinP(MinP),
    /// Sharpens or flattens the distribution.
    Temperature(Temperature),
    /// Keeps the surprise near a target.
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

/// The sampler's state that filters depend on besides the logits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State<'a> {
    pub(crate) history: &'a History,
    /// Mirostat's ceiling, in bits.
    pub(crate) ceiling: f64,
}

/// Filters in the order in which they run, each at most once, with checked settings.
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
    /// If the choice is greedy, the number of leading filters that can affect it.
    greedy: Option<usize>,
}

impl Chain {
    /// A chain of these filters. An empty chain draws from the model's own distribution.
    ///
    /// # Errors
    /// If a setting is out of range or the order is invalid.
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

    /// Whether the choice is always the most likely token, so that neither the seed nor truncation affects it.
    pub fn is_greedy(&self) -> bool {
        self.greedy.is_some()
    }

    pub(crate) fn mirostat(&self) -> Option<Mirostat> {
        match self.filters.last() {
            Some(Filter::Mirostat(mirostat)) => Some(*mirostat),
            _ => None,
        }
    }

    /// The penalties' window in tokens; 0 if the chain has no penalties.
    pub(crate) fn penalty_last_n(&self) -> i32 {
        let of = |filter: &Filter| match filter {
            Filter::Penalties(penalties) => Some(penalties.last_n),
            _ => None,
        };
        self.filters.iter().find_map(of).unwrap_or(0)
    }

    /// Runs every filter and notifies the recorder after each.
    pub(crate) fn run<R: Recorder>(
        &self,
        candidates: &mut Candidates<'_>,
        state: State<'_>,
        recorder: &mut R,
    ) -> Result<(), Error> {
        for filter in &self.filters {
            let reason = apply(filter, candidates, state)?;
            recorder.after(filter.name(), reason, candidates);
        }
        Ok(())
    }

    /// For a greedy chain: runs the filters that can change the most likely token. Returns false if the chain is not
    /// greedy.
    pub(crate) fn run_greedy(
        &self,
        candidates: &mut Candidates<'_>,
        state: State<'_>,
    ) -> Result<bool, Error> {
        let Some(deciding) = self.greedy else { return Ok(false) };
        for filter in &self.filters[..deciding] {
            apply(filter, candidates, state)?;
        }
        Ok(true)
    }
}

/// Runs one filter. It is an error if no candidate remains.
fn apply(filter: &Filter, candidates: &mut Candidates<'_>, state: State<'_>) -> Result<Reason, Error> {
    Ok(match filter {
        Filter::LogitBias(filter) => {
            filter.check_ids(candidates.vocab_size())?;
            let reason = filter.apply(candidates);
            if filter.bans() && candidates.best().is_none() {
                return Err(Error::NoCandidates { vocab_size: candidates.vocab_size() });
            }
            reason
        }
        Filter::Penalties(filter) => filter.apply(candidates, state.history),
        Filter::TopK(filter) => filter.apply(candidates),
        Filter::Typical(filter) => filter.apply(candidates),
        Filter::TopP(filter) => filter.apply(candidates),
        Filter::MinP(filter) => filter.apply(candidates),
        Filter::Temperature(filter) => filter.apply(candidates),
        Filter::Mirostat(filter) => filter.apply(candidates, state.ceiling),
    })
}
