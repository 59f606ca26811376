//! Keeping values of a run in memory: a row for each token.

use std::collections::HashMap;
use std::ops::Range;

use super::view_error::ViewError;
use crate::hooks::{HookPoint, Observed, Observer};

/// An observer that keeps some values, a row for each token, over all pieces of a prompt and all tokens after it.
///
/// What stands at a point can be put into another run by [`Intervention::Patch`](super::Intervention::Patch).
#[derive(Clone, Debug, Default)]
pub struct Keep {
    positions: Range<usize>,
    rows: HashMap<(HookPoint, Option<usize>), KeptRows>,
}

/// A value of consecutive tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeptRows {
    /// The position of the first.
    pub first_position: usize,
    /// How many numbers belong to one token; of points with heads those of all heads, one after the other.
    pub row_len: usize,
    /// `[tokens, row_len]`
    pub values: Vec<f32>,
}

impl Keep {
    /// Will keep the values at these points of these layers (`None` outside the blocks), of all positions.
    ///
    /// # Errors
    /// [`ViewError::Point`] for the scores and the pattern, which are matrices for each head;
    /// [`AttentionPattern`](super::AttentionPattern) is made for them.
    pub fn new(points: impl IntoIterator<Item = (HookPoint, Option<usize>)>) -> Result<Keep, ViewError> {
        let points: Vec<_> = points.into_iter().collect();
        match points.iter().find(|(point, _)| matches!(point, HookPoint::Scores | HookPoint::Pattern)) {
            Some(&(point, _)) => Err(ViewError::Point { point, expected: "row for each token" }),
            None => Ok(Keep::of_rows(points)),
        }
    }

    /// Of points that are known to have a row for each token.
    pub(super) fn of_rows(points: impl IntoIterator<Item = (HookPoint, Option<usize>)>) -> Keep {
        let rows = points.into_iter().map(|point| (point, KeptRows::default())).collect();
        Keep { positions: 0..usize::MAX, rows }
    }

    /// Of these positions only.
    pub fn at(mut self, positions: Range<usize>) -> Keep {
        self.positions = positions;
        self
    }

    /// What was kept; `None` if it was not wanted or has not been seen.
    pub fn rows(&self, point: HookPoint, layer: Option<usize>) -> Option<&KeptRows> {
        self.rows.get(&(point, layer)).filter(|rows| rows.row_len > 0)
    }
}

impl KeptRows {
    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.row_len).unwrap_or(0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The row of the token at `position`, if it was kept.
    pub fn at(&self, position: usize) -> Option<&[f32]> {
        let row = position.checked_sub(self.first_position)?;
        self.values.chunks_exact(self.row_len.max(1)).nth(row)
    }
}

impl Observer for Keep {
    fn wants(&self, point: HookPoint, layer: Option<usize>) -> bool {
        self.rows.contains_key(&(point, layer))
    }

    fn see(&mut self, observed: Observed<'_>) {
        let [tokens, heads, len] = observed.shape;
        let (row_len, first) = (heads * len, observed.first_position);
        let start = self.positions.start.clamp(first, first + tokens);
        let end = self.positions.end.clamp(start, first + tokens);
        if start == end {
            return;
        }
        if let Some(rows) = self.rows.get_mut(&(observed.point, observed.layer)) {
            if rows.is_empty() {
                (rows.first_position, rows.row_len) = (start, row_len);
            }
            rows.values
                .extend_from_slice(&observed.values[(start - first) * row_len..(end - first) * row_len]);
        }
    }
}
