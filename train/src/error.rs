//! What can be wrong with what a network is made of or fed with.

use std::fmt;

/// An error of the training core.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A configuration with a part that cannot be trained here.
    Unsupported {
        /// The family.
        family: &'static str,
        /// The part.
        what: &'static str,
    },
    /// A configuration whose numbers contradict each other.
    Contradiction {
        /// One sentence.
        problem: String,
    },
    /// A tensor the network needs is not there.
    MissingTensor {
        /// Its name.
        name: String,
    },
    /// A tensor has another shape than the network needs.
    Shape {
        /// Its name.
        name: String,
        /// The shape that is needed.
        expected: Vec<usize>,
        /// The shape that is there.
        found: Vec<usize>,
    },
    /// A tensor the network does not know.
    SuperfluousTensor {
        /// Its name.
        name: String,
    },
    /// A batch whose lists differ in length.
    BatchLength {
        /// `ids`, `targets` or `weights`.
        what: &'static str,
        /// Rows times tokens.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// A batch with longer texts than the model has positions for.
    TooLong {
        /// Tokens a row.
        tokens: usize,
        /// The model's context length.
        context_length: usize,
    },
    /// A token id outside the vocabulary.
    UnknownToken {
        /// The id.
        id: u32,
        /// The vocabulary's size.
        vocab_size: usize,
    },
    /// A loss that is no number, so that a step would ruin the parameters.
    NotANumber {
        /// The first row of the batch that has one.
        row: usize,
    },
    /// A setting outside its range.
    Setting {
        /// Its name.
        name: &'static str,
        /// What is allowed.
        expected: &'static str,
        /// What was given.
        found: f64,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unsupported { family, what } => write!(f, "a {family} with {what} cannot be trained here"),
            Error::Contradiction { problem } => f.write_str(problem),
            Error::MissingTensor { name } => write!(f, "the tensor {name} is missing"),
            Error::Shape { name, expected, found } => {
                write!(f, "the tensor {name} has shape {found:?}, expected {expected:?}")
            }
            Error::SuperfluousTensor { name } => {
                write!(f, "the tensor {name} belongs to no part of the model")
            }
            Error::BatchLength { what, expected, found } => {
                write!(f, "a batch of {expected} tokens has {found} {what}")
            }
            Error::TooLong { tokens, context_length } => {
                write!(f, "rows of {tokens} tokens, but the model has {context_length} positions")
            }
            Error::UnknownToken { id, vocab_size } => {
                write!(f, "token id {id} in a vocabulary of {vocab_size}")
            }
            Error::NotANumber { row } => write!(f, "the loss of row {row} is not a number"),
            Error::Setting { name, expected, found } => {
                write!(f, "{name} is {found}, expected {expected}")
            }
        }
    }
}

impl std::error::Error for Error {}
