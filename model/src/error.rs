//! Errors of the model crate.

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
        /// The I/O error.
        source: io::Error,
    },
    /// A file is not valid JSON.
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's error, with line and column.
        source: serde_json::Error,
    },
    /// A directory or file is not a checkpoint.
    NotACheckpoint {
        /// The path given.
        path: PathBuf,
        /// What is missing, and what to do.
        missing: String,
    },
    /// A file is something else than its place or name says, such as a web page.
    OtherKind {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do.
        found: String,
    },
    /// A value of the configuration is missing or invalid.
    Config {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The expected value.
        expected: String,
        /// The value found.
        found: String,
    },
    /// Values of the configuration are inconsistent.
    Contradiction {
        /// The file.
        path: PathBuf,
        /// One sentence per problem.
        problems: Vec<String>,
    },
    /// The model's family is not supported.
    UnknownFamily {
        /// The file.
        path: PathBuf,
        /// The name found.
        found: String,
        /// The supported names.
        known: Vec<&'static str>,
    },
    /// A model of a supported family has unsupported parts.
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The unsupported parts.
        parts: Vec<String>,
    },
    /// Tensors are missing, have a wrong shape or an unknown format, or do not belong to the model.
    Tensors {
        /// The file.
        path: PathBuf,
        /// One sentence per problem.
        problems: Vec<String>,
    },
    /// A tensor has values that the new number format cannot represent.
    Unconvertible {
        /// The tensor's new name.
        tensor: String,
        /// The problem with its values.
        source: glassbox_tensor::Error,
    },
    /// An error of a tensor file.
    Tensor(glassbox_tensor::Error),
    /// An error of the tokenizer.
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// The tokenizer crate's error.
        source: glassbox_tokenizer::Error,
    },
    /// An error of the chat template.
    Template {
        /// The file.
        path: PathBuf,
        /// The template's error.
        source: crate::chat::Error,
    },
    /// An empty list of tokens.
    NoTokens,
    /// A token id is outside the vocabulary.
    TokenOutOfRange {
        /// The id.
        id: u32,
        /// The vocabulary's size.
        vocab_size: usize,
    },
    /// The batch has no free slot.
    BatchFull {
        /// The number of slots.
        slots: usize,
    },
    /// The slot is not in use in this batch.
    UnknownSlot {
        /// The reason.
        why: &'static str,
    },
    /// A slot occurs twice in one step.
    SlotTwice,
    /// The tokens exceed the context.
    ContextFull {
        /// Tokens required.
        needed: usize,
        /// Maximum number of tokens.
        context: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Error::Json { path, source } => write!(f, "{}: not valid JSON: {source}", path.display()),
            Error::NotACheckpoint { path, missing } => {
                write!(f, "{} is not a checkpoint: {missing}", path.display())
            }
            Error::OtherKind { path, found } => write!(f, "{}: {found}", path.display()),
            Error::Config { path, key, expected, found } => {
                write!(f, "{}: {key}: expected {expected}, found {found}", path.display())
            }
            Error::Contradiction { path, problems } => {
                write!(f, "{}: {}", path.display(), problems.join("; "))
            }
            Error::UnknownFamily { path, found, known } => {
                write!(f, "{}: unsupported model type {found:?}; ", path.display())?;
                write!(f, "supported: {}", known.join(", "))
            }
            Error::Unsupported { path, parts } => {
                write!(f, "{}: not supported: {}", path.display(), parts.join("; "))
            }
            Error::Tensors { path, problems } => {
                write!(f, "{}: the tensors do not match the configuration:", path.display())?;
                // A checkpoint of the wrong family has hundreds of wrong tensors; the first ones suffice.
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
            Error::NoTokens => f.write_str("no tokens to feed: the prompt is empty"),
            Error::TokenOutOfRange { id, vocab_size } => {
                write!(f, "token id {id} is outside the vocabulary of {vocab_size} tokens")
            }
            Error::BatchFull { slots } => write!(f, "all {slots} slots of the batch are taken"),
            Error::UnknownSlot { why } => write!(f, "invalid slot: {why}"),
            Error::SlotTwice => f.write_str("a slot occurs twice in one step"),
            Error::ContextFull { needed, context } => {
                write!(f, "{needed} tokens exceed the context of {context} tokens")
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
