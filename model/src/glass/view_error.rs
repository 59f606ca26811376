//! What can be wrong with a question about a run.

use std::fmt;

use crate::hooks::HookPoint;

/// An error of the views and the interventions.
#[derive(Debug)]
#[non_exhaustive]
pub enum ViewError {
    /// Something the model does not have so many of: a layer, a head, a neuron, a token, a position.
    OutOfRange {
        /// What is counted.
        what: &'static str,
        /// The number that was asked for, counted from 0.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// An attention edge to a later token: there is none.
    LooksAhead {
        /// The position that looks.
        query: usize,
        /// The position that is looked at.
        key: usize,
    },
    /// Numbers that do not fit the point where they are to go.
    Length {
        /// The point.
        point: HookPoint,
        /// How long one row there is.
        expected: usize,
        /// How many numbers there are.
        found: usize,
    },
    /// A point that has no row for each token, or no row for each head, or that the model does not have.
    Point {
        /// The point.
        point: HookPoint,
        /// What it would have to have.
        expected: &'static str,
    },
    /// The run itself.
    Model(crate::Error),
}

impl fmt::Display for ViewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ViewError::OutOfRange { what, index, count: 0 } => {
                write!(f, "there is no {what} {index}: there are none")
            }
            ViewError::OutOfRange { what, index, count } => {
                write!(f, "there is no {what} {index}: they are counted from 0 to {}", count - 1)
            }
            ViewError::LooksAhead { query, key } => {
                write!(f, "position {query} cannot look ahead at position {key}")
            }
            ViewError::Length { point, expected, found } => {
                write!(f, "{}: expected rows of {expected} numbers, found {found} numbers", point.name())
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

/// That `index` is one of `count`.
pub(super) fn check(what: &'static str, index: usize, count: usize) -> Result<(), ViewError> {
    if index < count { Ok(()) } else { Err(ViewError::OutOfRange { what, index, count }) }
}
