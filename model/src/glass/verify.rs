//! Verification: runs the model on the ids of a reference and compares every value of the reference.

use std::collections::HashMap;
use std::ops::ControlFlow;

use glassbox_tensor::Tensor;

use super::compare::{Comparator, Comparison, LogitComparator, LogitComparison};
use super::error::Error;
use super::pieces::{Piece, watch};
use super::reference::Reference;
use super::selection::Selection;
use crate::hooks::{HookPoint, Name};
use crate::runtime::Runtime;

/// The result of comparing a run with a reference.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The comparisons of all values in the order of computation; at least one.
    pub comparisons: Vec<Comparison>,
    /// The comparison of the next-token distributions, if the reference has logits.
    pub logits: Option<LogitComparison>,
}

impl Verdict {
    /// Whether all values agree.
    pub fn agrees(&self) -> bool {
        !self.comparisons.is_empty() && self.first_departure().is_none()
    }

    /// The first value in the order of computation that does not agree. Later ones may differ only as a consequence.
    pub fn first_departure(&self) -> Option<&Comparison> {
        self.comparisons.iter().find(|comparison| !comparison.agrees)
    }
}

/// Runs `model` on the ids of `reference` and compares every value of the reference.
///
/// An element agrees if `|Δ| ≤ tolerance · (1 + |reference| + largest / 100)`, with the largest magnitude of its row; a
/// value agrees if all its elements do and `‖Δ‖ ≤ 100 · tolerance · ‖reference‖`.
///
/// # Errors
/// [`Error::UnknownNames`], [`Error::Shapes`] and [`Error::NothingToCompare`] if the reference does not match this
/// model; [`Error::Tensor`] for values of a type that cannot be read; [`Error::Model`] for ids that the model cannot be
/// fed.
pub fn verify(model: &Runtime, reference: &Reference, tolerance: f64) -> Result<Verdict, Error> {
    let mut values = values(model, reference, tolerance)?;
    let order: Vec<Name> =
        Name::all(&model.config).into_iter().filter(|name| values.contains_key(name)).collect();
    let selection: Selection = order.iter().copied().collect();
    let mut logits = LogitComparator::default();
    let mut failed = None;
    // In one chunk every value arrives in order.
    let ids = reference.ids();
    watch(model, ids, ids.len(), &selection, |Piece { name, values: found, .. }| {
        let Some(value) = values.get_mut(&name) else { return ControlFlow::Continue(()) };
        match value.compare(found) {
            Ok(expected) if name.point == HookPoint::Logits => {
                let rows = model.config.vocab_size;
                for (found, expected) in found.chunks_exact(rows).zip(expected.chunks_exact(rows)) {
                    logits.add(found, expected);
                }
            }
            Ok(_) => {}
            Err(error) => failed = Some(error),
        }
        ControlFlow::Continue(())
    })?;
    if let Some(error) = failed {
        return Err(Error::Tensor(error));
    }
    let has_logits = order.iter().any(|name| name.point == HookPoint::Logits);
    let comparisons = order.into_iter().filter_map(|name| {
        let Value { comparator, tensor } = values.remove(&name)?;
        Some(comparator.finish(name, tensor.shape().to_vec()))
    });
    Ok(Verdict { comparisons: comparisons.collect(), logits: has_logits.then(|| logits.finish()) })
}

/// A value of the reference, and the comparison so far.
struct Value {
    tensor: Tensor,
    comparator: Comparator,
}

impl Value {
    /// Compares the next elements of the value; returns those of the reference.
    fn compare(&mut self, found: &[f32]) -> Result<Vec<f32>, glassbox_tensor::Error> {
        let done = self.comparator.compared();
        let all = self.tensor.reshape([self.tensor.elements()])?;
        let expected = all.narrow(0, done..done + found.len())?.try_to_f32()?;
        self.comparator.add(found, &expected);
        Ok(expected)
    }
}

/// The values of a reference, after checking that they match `model`.
fn values(model: &Runtime, reference: &Reference, tolerance: f64) -> Result<HashMap<Name, Value>, Error> {
    let path = || reference.path().to_owned();
    let names: HashMap<String, Name> =
        Name::all(&model.config).into_iter().map(|name| (name.to_string(), name)).collect();
    let unknown: Vec<String> =
        reference.names().filter(|&name| !names.contains_key(name)).map(str::to_owned).collect();
    if !unknown.is_empty() {
        let names = Name::all(&model.config).iter().map(Name::to_string).collect();
        return Err(Error::UnknownNames { path: path(), unknown, names });
    }
    let tokens = reference.ids().len();
    let (mut values, mut different) = (HashMap::new(), Vec::new());
    for text in reference.names() {
        let (name, tensor) = (names[text], reference.file.tensor(text)?);
        let expected = name.shape(&model.config, tokens);
        let comparator = Comparator::new(tolerance, expected.last().copied().unwrap_or(1));
        if tensor.shape().dims() != expected {
            different.push((text.to_owned(), expected, tensor.shape().to_vec()));
        }
        values.insert(name, Value { tensor, comparator });
    }
    if !different.is_empty() {
        return Err(Error::Shapes { path: path(), tokens, different });
    }
    if values.is_empty() {
        return Err(Error::NothingToCompare { path: path() });
    }
    Ok(values)
}
