//! What can be wrong with the texts to learn from.

use std::fmt;
use std::path::PathBuf;

/// An error while preparing data.
#[derive(Debug)]
pub enum DataError {
    /// A file or folder cannot be read.
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be mapped or written.
    Tensor {
        /// What the tensor crate says.
        source: glassbox_tensor::Error,
    },
    /// There is no text at all.
    NoText {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A file is not text.
    NotText {
        /// Which.
        path: PathBuf,
        /// The offset of the first byte that is not.
        at: usize,
        /// What about that byte.
        what: &'static str,
    },
    /// The text has fewer tokens than one example needs.
    TooShort {
        /// Which part of it.
        part: &'static str,
        /// Tokens that there are.
        found: usize,
        /// Tokens that an example needs.
        needed: usize,
    },
    /// A file of token ids is not what its length or its first bytes say.
    BrokenTokens {
        /// Which.
        path: PathBuf,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// The tokenizer.
    Tokenizer {
        /// What the tokenizer crate says.
        source: glassbox_tokenizer::Error,
    },
    /// An example that cannot be learnt from.
    Example {
        /// Its file and line.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The tokenizer has no token to end a document with.
    NoEnd {
        /// What was looked for.
        looked_for: String,
    },
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataError::Read { path, source } => write!(f, "{}: {source}", path.display()),
            DataError::Tensor { source } => source.fmt(f),
            DataError::NoText { path } => write!(f, "{}: there is no text in it", path.display()),
            DataError::NotText { path, at, what } => {
                write!(f, "{}: expected UTF-8 text, but byte {at} {what}", path.display())
            }
            DataError::TooShort { part, found, needed } => write!(
                f,
                "the {part} text has {found} tokens, but one example needs {needed}: the context and one more; \
                 give more text or choose a shorter context_length"
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
