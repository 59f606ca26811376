//! Errors of views and interventions.

use std::fmt;

use crate::hooks::HookPoint;

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
            ViewError::OutOfRange { what, index, count: 0 } => {
                write!(f, "{what} {index} is out of range: there are none")
            }
            ViewError::OutOfRange { what, index, count } => {
                write!(f, "{what} {index} is out of range: expected 0 to {}", count - 1)
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

/// Checks that `index` is below `count`.
pub(super) fn check(what: &'static str, index: usize, count: usize) -> Result<(), ViewError> {
    if index < count { Ok(()) } else { Err(ViewError::OutOfRange { what, index, count }) }
}
