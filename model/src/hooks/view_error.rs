//! Errors of views and interventions.

use std::fmt;

use super::part::Part;
use super::point::HookPoint;

/// An error of the views and the interventions.
#[derive(Debug)]
#[non_exhaustive]
pub enum ViewError {
    /// The index of a layer, head, neuron, token or position is out of range.
    OutOfRange {
        /// The kind of index.
        what: &'static str,
        /// The index, counted from 0.
        index: usize,
        /// The number of items.
        count: usize,
    },
    /// The layer has no such head, neuron or expert.
    NoSuchPart {
        /// The part.
        part: Part,
        /// The number of parts of its kind in a layer.
        count: usize,
    },
    /// An intervention changes a value that comes after the residual stream, which the view reads.
    AfterStream {
        /// The point.
        point: HookPoint,
    },
    /// An attention edge to a later token, which the causal mask excludes.
    FutureKey {
        /// The query's position.
        query: usize,
        /// The key's position.
        key: usize,
    },
    /// The number of values does not match the hook point.
    Length {
        /// The point.
        point: HookPoint,
        /// The length of a row at that point.
        expected: usize,
        /// The number of values given.
        found: usize,
    },
    /// The hook point has no row for each token or head, or the model does not have it.
    Point {
        /// The point.
        point: HookPoint,
        /// What it lacks.
        expected: &'static str,
    },
    /// An error of the run.
    Model(crate::Error),
}

impl fmt::Display for ViewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ViewError::OutOfRange { what, index, count } => {
                write!(f, "there is no {what} {index}: {}", Expected(*count))
            }
            ViewError::NoSuchPart { part, count } => {
                let (kind, layer) = (part.kind().name(), part.layer());
                let index = part.index().unwrap_or(layer);
                write!(f, "there is no {kind} {index} in layer {layer}: {}", Expected(*count))
            }
            ViewError::AfterStream { point } => {
                let name = point.name();
                write!(
                    f,
                    "{name} is computed from the residual stream, which this view reads; patching it shows nothing here"
                )
            }
            ViewError::FutureKey { query, key } => {
                write!(f, "position {query} cannot attend to the later position {key}")
            }
            ViewError::Length { point, expected, found } => {
                write!(f, "{}: expected rows of {expected} values, found {found} values", point.name())
            }
            ViewError::Point { point, expected } => write!(f, "{} has no {expected}", point.name()),
            ViewError::Model(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ViewError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ViewError::Model(error) => std::error::Error::source(error),
            _ => None,
        }
    }
}

impl From<crate::Error> for ViewError {
    fn from(error: crate::Error) -> ViewError {
        ViewError::Model(error)
    }
}

/// The indices of that many items.
struct Expected(usize);

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("this model has none"),
            count => write!(f, "expected 0 to {}", count - 1),
        }
    }
}

/// Checks that `index` is below `count`.
pub(crate) fn check(what: &'static str, index: usize, count: usize) -> Result<(), ViewError> {
    if index < count { Ok(()) } else { Err(ViewError::OutOfRange { what, index, count }) }
}
