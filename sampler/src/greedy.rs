//! Greedy choice: the token with the largest logit, the lowest id among equals, without copying or sorting.
//!
//! A temperature of 0 leaves one candidate, so later filters have no effect. Before it, biases and penalties may change
//! which token is best; top-k, top-p and min-p never remove the best one. So a chain that begins with biases and
//! penalties, and then only truncates until a temperature of 0, need not truncate at all. Other chains run in full:
//! typical can remove the best token, and a bias after a truncation cannot restore a removed token.

use crate::chain::Filter;

/// The number of leading filters that decide the choice, if the chain is greedy.
pub(crate) fn deciding_filters(filters: &[Filter]) -> Option<usize> {
    let moves_the_best = |filter: &Filter| matches!(filter, Filter::LogitBias(_) | Filter::Penalties(_));
    let deciding = filters.iter().take_while(|filter| moves_the_best(filter)).count();
    let decisive = filters[deciding..].iter().find(|filter| !always_keeps_the_best(filter))?;
    matches!(decisive, Filter::Temperature(t) if t.temperature == 0.0).then_some(deciding)
}

/// Whether the filter never changes which token is best.
fn always_keeps_the_best(filter: &Filter) -> bool {
    match filter {
        Filter::TopK(_) | Filter::TopP(_) | Filter::MinP(_) => true,
        Filter::Typical(typical) => typical.p >= 1.0,
        Filter::LogitBias(_) | Filter::Penalties(_) | Filter::Temperature(_) | Filter::Mirostat(_) => false,
    }
}
