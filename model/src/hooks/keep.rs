//! Records values of a run in memory, a row per token.

use std::collections::HashMap;
use std::ops::Range;

use super::point::{HookPoint, Observed, Observer};
use super::view_error::ViewError;

/// An observer that records selected values, a row per token, over all chunks of a prompt and all later tokens.
///
/// [`Intervention::Patch`](super::Intervention::Patch) patches recorded values into another run.
#[derive(Clone, Debug, Default)]
pub struct Keep {
    positions: Range<usize>,
    rows: HashMap<(HookPoint, Option<usize>), KeptRows>,
}

/// The recorded rows of consecutive tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeptRows {
    /// The position of the first row.
    pub first_position: usize,
    /// Elements per token; at points with heads, those of all heads.
    pub row_len: usize,
    /// `[tokens, row_len]`
    pub values: Vec<f32>,
}

impl Keep {
    /// Records the values at these points of these layers (`None` outside the blocks), at all positions.
    ///
    /// # Errors
    /// [`ViewError::Point`] for the scores and the pattern, which are matrices per head; use
    /// [`AttentionPattern`](crate::glass::AttentionPattern) for them.
    pub fn new(points: impl IntoIterator<Item = (HookPoint, Option<usize>)>) -> Result<Keep, ViewError> {
        let points: Vec<_> = points.into_iter().collect();
        match points.iter().find(|(point, _)| matches!(point, HookPoint::Scores | HookPoint::Pattern)) {
            Some(&(point, _)) => Err(ViewError::Point { point, expected: "row for each token" }),
            None => Ok(Keep::of_rows(points)),
        }
    }

    /// For points that are known to have a row per token.
    pub(crate) fn of_rows(points: impl IntoIterator<Item = (HookPoint, Option<usize>)>) -> Keep {
        let rows = points.into_iter().map(|point| (point, KeptRows::default())).collect();
        Keep { positions: 0..usize::MAX, rows }
    }

    /// Restricts the recording to these positions.
    pub fn at(mut self, positions: Range<usize>) -> Keep {
        self.positions = positions;
        self
    }

    /// The recorded rows; `None` if the point was not selected or not computed yet.
    pub fn rows(&self, point: HookPoint, layer: Option<usize>) -> Option<&KeptRows> {
        self.rows.get(&(point, layer)).filter(|rows| rows.row_len > 0)
    }
}

impl KeptRows {
    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.row_len).unwrap_or(0)
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The row of the token at `position`, if it was recorded.
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
