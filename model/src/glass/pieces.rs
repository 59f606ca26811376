//! The values of a run as pieces of whole tensors: a prompt is fed in chunks, and each chunk has some rows of each.

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::error::Error;
use super::selection::Selection;
use crate::hooks::{HookPoint, Name, Observed, Observer};
use crate::runtime::Runtime;

/// Consecutive elements of a value.
pub(super) struct Piece<'a> {
    /// The value.
    pub(super) name: Name,
    /// The index of the first of the elements in the value, whose shape is [`Name::shape`] with all tokens.
    pub(super) first: usize,
    /// The elements.
    pub(super) values: &'a [f32],
}

/// Runs `model` on `ids`, `chunk` tokens at a time, with an observer of `selection`. Every element of every value
/// arrives once. With one chunk, logits arrive in several pieces, in order, and every other value in one.
///
/// `see` may break to stop observing.
///
/// # Errors
/// [`Error::Model`] as [`Session::feed`](crate::Session::feed).
pub(super) fn watch(
    model: &Runtime,
    ids: &[u32],
    chunk: usize,
    selection: &Selection,
    see: impl FnMut(Piece<'_>) -> ControlFlow<()> + Send,
) -> Result<(), Error> {
    let tokens = ids.len();
    let mut watcher =
        Watcher { selection, tokens, seen: HashMap::new(), rows: Vec::new(), stopped: false, see };
    let mut session = model.session(model.config.context_length).with_chunk(chunk);
    if selection.wants(Name { point: HookPoint::Logits, layer: None }) {
        session.feed_all_observed(ids, &mut watcher, |_, _| {})?;
    } else {
        session.feed_observed(ids, &mut watcher)?;
    }
    Ok(())
}

struct Watcher<'a, F> {
    selection: &'a Selection,
    /// Number of tokens of all chunks.
    tokens: usize,
    /// Number of elements seen of the values that have a row per token.
    seen: HashMap<Name, usize>,
    /// Scratch buffer for rows of a matrix.
    rows: Vec<f32>,
    stopped: bool,
    see: F,
}

impl<F: FnMut(Piece<'_>) -> ControlFlow<()> + Send> Observer for Watcher<'_, F> {
    fn wants(&self, point: HookPoint, layer: Option<usize>) -> bool {
        !self.stopped && self.selection.wants(Name { point, layer })
    }

    fn see(&mut self, observed: Observed<'_>) {
        let name = Name { point: observed.point, layer: observed.layer };
        let seen = match observed.point {
            HookPoint::Scores => self.matrix(name, &observed, f32::NEG_INFINITY),
            HookPoint::Pattern => self.matrix(name, &observed, 0.0),
            _ => {
                let seen = self.seen.entry(name).or_default();
                let first = *seen;
                *seen += observed.values.len();
                (self.see)(Piece { name, first, values: observed.values })
            }
        };
        self.stopped = seen.is_break();
    }
}

impl<F: FnMut(Piece<'_>) -> ControlFlow<()> + Send> Watcher<'_, F> {
    /// Rows of each head's matrix, `[heads, rows, positions]` of a value `[heads, tokens, tokens]`. Later chunks have
    /// further positions, which are masked for these rows: their elements are `masked`.
    fn matrix(&mut self, name: Name, observed: &Observed<'_>, masked: f32) -> ControlFlow<()> {
        let ([_, rows, positions], tokens) = (observed.shape, self.tokens);
        if rows == tokens {
            return (self.see)(Piece { name, first: 0, values: observed.values });
        }
        for (head, values) in observed.values.chunks_exact((rows * positions).max(1)).enumerate() {
            let first = (head * tokens + observed.first_position) * tokens;
            if positions == tokens {
                (self.see)(Piece { name, first, values })?;
                continue;
            }
            self.rows.clear();
            for row in values.chunks_exact(positions) {
                self.rows.extend(row);
                self.rows.resize(self.rows.len() + tokens - positions, masked);
            }
            (self.see)(Piece { name, first, values: &self.rows })?;
        }
        ControlFlow::Continue(())
    }
}
