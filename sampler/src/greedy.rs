//! Greedy choice: the best token, the lowest id among equals, without copying or sorting anything.
//!
//! A temperature of 0 leaves one candidate, so that nothing after it matters. Before it, biases and penalties may make
//! another token the best one; top-k, top-p and min-p never remove the best. So a chain that begins with biases and
//! penalties, and then only truncates until a temperature of 0, need not truncate at all. Typical can remove the best
//! token, and a bias after a truncation can no longer raise what is gone: such chains run in full.

use crate::chain::Filter;

/// How many of the first filters decide, when the chain's choice is greedy.
pub(crate) fn deciding_filters(filters: &[Filter]) -> Option<usize> {
    let moves_the_best = |filter: &Filter| matches!(filter, Filter::LogitBias(_) | Filter::Penalties(_));
    let deciding = filters.iter().take_while(|filter| moves_the_best(filter)).count();
    let decisive = filters[deciding..].iter().find(|filter| !always_keeps_the_best(filter))?;
    matches!(decisive, Filter::Temperature(t) if t.temperature == 0.0).then_some(deciding)
}

/// Whether the filter leaves the best token the best.
fn always_keeps_the_best(filter: &Filter) -> bool {
    match filter {
        Filter::TopK(_) | Filter::TopP(_) | Filter::MinP(_) => true,
        Filter::Typical(typical) => typical.p >= 1.0,
        Filter::LogitBias(_) | Filter::Penalties(_) | Filter::Temperature(_) | Filter::Mirostat(_) => false,
    }
}
