//! Warnings: what a checkpoint's files say that has no effect here, or another effect than they say.

use std::fmt;
use std::path::PathBuf;

use crate::error::Error;

/// Something in a checkpoint's files that does not prevent its use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// An optional setting has an invalid value.
    Invalid {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The expected value.
        expected: String,
        /// The value found.
        found: String,
        /// What happens instead, such as `ignored`.
        instead: String,
    },
    /// Keys of the configuration that have no effect.
    UnreadKeys {
        /// The file.
        path: PathBuf,
        /// The keys.
        keys: Vec<String>,
    },
    /// Tensors that no parameter uses.
    UnusedTensors {
        /// The file.
        path: PathBuf,
        /// The tensors' names.
        tensors: Vec<String>,
    },
    /// A token is spelled like an end of a turn, but the file does not mark it as a control token.
    ControlLooking {
        /// The file.
        path: PathBuf,
        /// The token's id.
        id: u32,
        /// Its text.
        token: String,
    },
    /// A list has more elements than there are tokens.
    TooLong {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The number of tokens.
        tokens: usize,
        /// The number of elements.
        found: usize,
    },
    /// Strings in the metadata are not valid UTF-8.
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Their keys, with the replacement character for invalid bytes.
        keys: Vec<String>,
    },
}

impl Warning {
    /// The warning for an optional setting, from the error that it would be for a required one; other errors are
    /// returned.
    pub(crate) fn of(error: Error, instead: &str) -> Result<Warning, Error> {
        match error {
            Error::Config { path, key, expected, found } => {
                Ok(Warning::Invalid { path, key, expected, found, instead: instead.to_owned() })
            }
            other => Err(other),
        }
    }
}

/// The value of an optional setting. An invalid one becomes a warning and counts as missing.
///
/// # Errors
/// Errors other than those about the value.
pub(crate) fn lenient<T>(
    read: Result<Option<T>, Error>,
    warnings: &mut Vec<Warning>,
) -> Result<Option<T>, Error> {
    read.or_else(|error| {
        warnings.push(Warning::of(error, "ignored")?);
        Ok(None)
    })
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::Invalid { path, key, expected, found, instead } => {
                write!(f, "{}: {key}: expected {expected}, found {found}; {instead}", path.display())
            }
            Warning::UnreadKeys { path, keys } => {
                write!(f, "{}: keys without effect: {}", path.display(), Names(keys))
            }
            Warning::UnusedTensors { path, tensors } => {
                write!(f, "{}: tensors that no parameter uses: {}", path.display(), Names(tensors))
            }
            Warning::ControlLooking { path, id, token } => write!(
                f,
                "{}: token {id} {token:?} looks like a control token but is not marked as one; it is treated as one",
                path.display()
            ),
            Warning::TooLong { path, key, tokens, found } => write!(
                f,
                "{}: {key}: expected one element for each of {tokens} tokens, found {found}; the rest is ignored",
                path.display()
            ),
            Warning::NotUtf8 { path, keys } => {
                write!(f, "{}: metadata that are not valid UTF-8: {}", path.display(), Names(keys))
            }
        }
    }
}

/// Names in one line; of a long list, the first ones.
struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 12;
        for (i, name) in self.0.iter().take(SHOWN).enumerate() {
            // Names come from the file and may contain anything.
            write!(f, "{}{}", if i == 0 { "" } else { ", " }, name.escape_debug())?;
        }
        match self.0.len().checked_sub(SHOWN) {
            Some(more @ 1..) => write!(f, " and {more} more"),
            _ => Ok(()),
        }
    }
}
