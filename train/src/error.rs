//! Errors of configurations, parameters and batches.

use std::fmt;

/// An error of the training core.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A configuration with a part that has no backward pass here.
    Unsupported {
        /// The family.
        family: &'static str,
        /// The part without a backward pass.
        what: &'static str,
    },
    /// A configuration whose numbers contradict each other.
    Contradiction {
        /// One sentence.
        problem: String,
    },
    /// A tensor of the network is missing.
    MissingTensor {
        /// Its name.
        name: String,
    },
    /// A tensor has an unexpected shape.
    Shape {
        /// Its name.
        name: String,
        /// The expected shape.
        expected: Vec<usize>,
        /// The shape found.
        found: Vec<usize>,
    },
    /// A tensor that the network does not have.
    SuperfluousTensor {
        /// Its name.
        name: String,
    },
    /// A batch whose lists differ in length.
    BatchLength {
        /// `ids`, `targets` or `weights`.
        what: &'static str,
        /// Sequences times tokens.
        expected: usize,
        /// The value given.
        found: usize,
    },
    /// A batch whose sequences are longer than the context.
    TooLong {
        /// Tokens per sequence.
        tokens: usize,
        /// The model's context length, or its shortest attention window.
        context_length: usize,
    },
    /// A token id outside the vocabulary.
    UnknownToken {
        /// The id.
        id: u32,
        /// The vocabulary's size.
        vocab_size: usize,
    },
    /// A loss is infinite or NaN, so a step would destroy the parameters.
    NotANumber {
        /// The index of the first such sequence of the batch.
        row: usize,
    },
    /// A setting outside its range.
    Setting {
        /// Its name.
        name: &'static str,
        /// The allowed values.
        expected: &'static str,
        /// The value given.
        found: f64,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unsupported { family, what } => {
                write!(f, "training {family}: {what} has no backward pass here")
            }
            Error::Contradiction { problem } => f.write_str(problem),
            Error::MissingTensor { name } => write!(f, "the tensor {name} is missing"),
            Error::Shape { name, expected, found } => {
                write!(f, "the tensor {name} has shape {found:?}, expected {expected:?}")
            }
            Error::SuperfluousTensor { name } => {
                write!(f, "unexpected tensor {name}: the model has no such parameter")
            }
            Error::BatchLength { what, expected, found } => {
                write!(f, "batch: expected {expected} {what}, one per token, found {found}")
            }
            Error::TooLong { tokens, context_length } => {
                write!(f, "batch: sequences of {tokens} tokens exceed the context length of {context_length}")
            }
            Error::UnknownToken { id, vocab_size } => {
                write!(f, "token id {id} is outside the vocabulary of {vocab_size} tokens")
            }
            Error::NotANumber { row } => write!(f, "the loss of sequence {row} of the batch is not finite"),
            Error::Setting { name, expected, found } => {
                write!(f, "{name} is {found}, expected {expected}")
            }
        }
    }
}

impl std::error::Error for Error {}
