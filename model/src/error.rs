//! Everything that can go wrong between a path and a token.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// An error of the model crate.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file that is no JSON.
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's error, with line and column.
        source: serde_json::Error,
    },
    /// A directory or file in which no checkpoint is to be found.
    NotACheckpoint {
        /// The path that was given.
        path: PathBuf,
        /// What is missing there.
        missing: &'static str,
    },
    /// A value of the configuration that is missing or cannot be what it says.
    Config {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What is needed.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Values of the configuration that contradict each other.
    Contradiction {
        /// The file.
        path: PathBuf,
        /// One sentence each.
        problems: Vec<String>,
    },
    /// A family of models that does not run here.
    UnknownFamily {
        /// The file.
        path: PathBuf,
        /// What it says it is.
        found: String,
        /// What it could say.
        known: Vec<&'static str>,
    },
    /// A model of a known family with parts that do not run here.
    Unsupported {
        /// The file.
        path: PathBuf,
        /// All of them.
        parts: Vec<String>,
    },
    /// Tensors that are missing, have the wrong shape or an unknown format, or have no place in the model.
    Tensors {
        /// The file.
        path: PathBuf,
        /// All of them, one sentence each.
        problems: Vec<String>,
    },
    /// A tensor whose values another number format cannot hold.
    Unconvertible {
        /// The tensor, under the name it was to have.
        tensor: String,
        /// What is wrong with its values.
        source: glassbox_tensor::Error,
    },
    /// The container or its tensors.
    Tensor(glassbox_tensor::Error),
    /// The tokenizer.
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: glassbox_tokenizer::Error,
    },
    /// The chat template.
    Template {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: crate::chat::Error,
    },
    /// Nothing to feed.
    NoTokens,
    /// A token id that the vocabulary does not have.
    TokenOutOfRange {
        /// The id.
        id: u32,
        /// Ids are below this.
        vocab_size: usize,
    },
    /// A sequence for a batch without a free slot.
    BatchFull {
        /// How many slots there are.
        slots: usize,
    },
    /// A slot that is not in use in this batch.
    UnknownSlot {
        /// What is wrong with it.
        why: &'static str,
    },
    /// A slot named twice in one step.
    SlotTwice,
    /// More tokens than fit the context.
    ContextFull {
        /// Tokens there would be.
        needed: usize,
        /// Tokens that fit.
        context: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Error::Json { path, source } => write!(f, "{}: not valid JSON: {source}", path.display()),
            Error::NotACheckpoint { path, missing } => {
                write!(f, "{} is no checkpoint: {missing}", path.display())
            }
            Error::Config { path, key, expected, found } => {
                write!(f, "{}: {key} must be {expected}, found {found}", path.display())
            }
            Error::Contradiction { path, problems } => {
                write!(f, "{}: {}", path.display(), problems.join("; "))
            }
            Error::UnknownFamily { path, found, known } => {
                write!(f, "{}: models of type {found:?} do not run here; ", path.display())?;
                write!(f, "the families that do: {}", known.join(", "))
            }
            Error::Unsupported { path, parts } => {
                write!(f, "{}: not supported: {}", path.display(), parts.join("; "))
            }
            Error::Tensors { path, problems } => {
                write!(f, "{}: the tensors do not fit the configuration:", path.display())?;
                // A checkpoint of the wrong kind has hundreds of wrong tensors; the first tell enough.
                let shown = problems.len().min(40);
                for problem in &problems[..shown] {
                    write!(f, "\n  {problem}")?;
                }
                if shown < problems.len() {
                    write!(f, "\n  … and {} more", problems.len() - shown)?;
                }
                Ok(())
            }
            Error::Unconvertible { tensor, source } => write!(f, "{tensor}: {source}"),
            Error::Tensor(source) => source.fmt(f),
            Error::Tokenizer { path, source } => write!(f, "{}: {source}", path.display()),
            Error::Template { path, source } => write!(f, "{}: {source}", path.display()),
            Error::NoTokens => f.write_str("there are no tokens to feed: the prompt is empty"),
            Error::TokenOutOfRange { id, vocab_size } => {
                write!(f, "token id {id} is outside the vocabulary of {vocab_size} tokens")
            }
            Error::BatchFull { slots } => write!(f, "all {slots} slots of the batch are taken"),
            Error::UnknownSlot { why } => write!(f, "the slot cannot be used: {why}"),
            Error::SlotTwice => f.write_str("a slot is named twice in one step"),
            Error::ContextFull { needed, context } => {
                write!(f, "{needed} tokens do not fit a context of {context}")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            Error::Json { source, .. } => Some(source),
            Error::Unconvertible { source, .. } => Some(source),
            Error::Tokenizer { source, .. } => Some(source),
            Error::Template { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<glassbox_tensor::Error> for Error {
    fn from(error: glassbox_tensor::Error) -> Error {
        Error::Tensor(error)
    }
}
