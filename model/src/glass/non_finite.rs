//! Finds where a run first computes a value that is not finite: a damaged weight, or an overflow.

use std::fmt;

use crate::error::Error;
use crate::hooks::{HookPoint, Name, Observed, Observer};
use crate::runtime::Runtime;

/// A value that is not finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NonFinite {
    /// Its name.
    pub name: Name,
    /// The position of its token.
    pub position: usize,
    /// NaN or an infinity.
    pub value: f32,
}

impl fmt::Display for NonFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has {} at position {}", self.name, self.value, self.position)
    }
}

/// Keeps the first value that is not finite.
#[derive(Default)]
struct First(Option<NonFinite>);

impl Observer for First {
    fn wants(&self, point: HookPoint, _: Option<usize>) -> bool {
        // Masked scores are −∞. What goes wrong in the scores shows in the values that they weight.
        self.0.is_none() && !matches!(point, HookPoint::Scores | HookPoint::Pattern)
    }

    fn see(&mut self, observed: Observed<'_>) {
        let [_, heads, len] = observed.shape;
        // A logit of −∞ bans its token.
        let is_ban = |x: f32| observed.point == HookPoint::Logits && x == f32::NEG_INFINITY;
        let is_bad = |x: &f32| !x.is_finite() && !is_ban(*x);
        if self.0.is_none()
            && let Some(index) = observed.values.iter().position(is_bad)
        {
            let name = Name { point: observed.point, layer: observed.layer };
            let position = observed.first_position + index / (heads * len).max(1);
            self.0 = Some(NonFinite { name, position, value: observed.values[index] });
        }
    }
}

/// The first value, in the order of computation, that is not finite when the model reads `ids`; `None` if all are.
///
/// # Errors
/// As [`Session::feed`](crate::Session::feed).
pub fn first_non_finite(model: &Runtime, ids: &[u32]) -> Result<Option<NonFinite>, Error> {
    let mut first = First::default();
    model.session(ids.len()).feed_all_observed(ids, &mut first, |_, _| {})?;
    Ok(first.0)
}
