//! Errors of training data.

use std::fmt;
use std::path::PathBuf;

/// An error while preparing data.
#[derive(Debug)]
pub enum DataError {
    /// A file or folder cannot be read.
    Read {
        /// The path.
        path: PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
    /// A file cannot be mapped or written.
    Tensor {
        /// The tensor crate's error.
        source: glassbox_tensor::Error,
    },
    /// There is no text.
    NoText {
        /// The path that was searched.
        path: PathBuf,
    },
    /// A file is not text.
    NotText {
        /// The path.
        path: PathBuf,
        /// The offset of the first invalid byte.
        at: usize,
        /// What is wrong with that byte.
        what: &'static str,
    },
    /// The text has fewer tokens than one example needs.
    TooShort {
        /// `training` or `validation`.
        part: &'static str,
        /// Tokens found.
        found: usize,
        /// Tokens that one example needs.
        needed: usize,
    },
    /// A file of token ids is invalid or incomplete.
    BrokenTokens {
        /// The path.
        path: PathBuf,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// An error of the tokenizer.
    Tokenizer {
        /// The tokenizer crate's error.
        source: glassbox_tokenizer::Error,
    },
    /// An invalid fine-tuning example.
    Example {
        /// Its file and line.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The tokenizer has no token that ends a document.
    NoEnd {
        /// The token that was expected.
        looked_for: String,
    },
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataError::Read { path, source } => write!(f, "{}: {source}", path.display()),
            DataError::Tensor { source } => source.fmt(f),
            DataError::NoText { path } => write!(f, "{}: no text found", path.display()),
            DataError::NotText { path, at, what } => {
                write!(f, "{}: expected UTF-8 text, but byte {at} {what}", path.display())
            }
            DataError::TooShort { part, found, needed } => write!(
                f,
                "the {part} text has {found} tokens, but one example needs {needed}, the context and one more; \
                 use more text or a shorter context_length"
            ),
            DataError::BrokenTokens { path, expected, found } => {
                write!(f, "{}: expected {expected}, found {found}", path.display())
            }
            DataError::Tokenizer { source } => source.fmt(f),
            DataError::Example { place, problem } => write!(f, "{place}: {problem}"),
            DataError::NoEnd { looked_for } => write!(
                f,
                "the tokenizer has no token that ends a document: expected {looked_for} or an end of sequence"
            ),
        }
    }
}

impl std::error::Error for DataError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DataError::Read { source, .. } => Some(source),
            DataError::Tensor { source } => Some(source),
            DataError::Tokenizer { source } => Some(source),
            _ => None,
        }
    }
}

impl From<glassbox_tokenizer::Error> for DataError {
    fn from(source: glassbox_tokenizer::Error) -> DataError {
        DataError::Tokenizer { source }
    }
}

impl From<glassbox_tensor::Error> for DataError {
    fn from(source: glassbox_tensor::Error) -> DataError {
        DataError::Tensor { source }
    }
}
