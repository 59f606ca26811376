//! Errors and warnings, with what was expected and what was found.

use std::fmt;
use std::path::PathBuf;

use crate::regex::RegexError;

/// Why a tokenizer could not be loaded, saved or trained, or a text could not be encoded.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The content of a file is invalid.
    InFile {
        /// The file.
        path: PathBuf,
        /// The error in it.
        error: Box<Error>,
    },
    /// The text is not valid JSON.
    Json(serde_json::Error),
    /// A key is missing or has an invalid value.
    Key {
        /// The path of the key, such as `model.vocab`.
        key: String,
        /// The expected value.
        expected: &'static str,
        /// The value found.
        found: String,
    },
    /// A part of the tokenizer has an unsupported type.
    Unsupported {
        /// The part, such as `model` or `pre_tokenizer`.
        part: String,
        /// Its type.
        found: String,
        /// The supported types.
        supported: &'static str,
    },
    /// A line of a merges or rank file is invalid.
    Line {
        /// The kind of file.
        file: &'static str,
        /// The line number, counted from one.
        line: usize,
        /// The expected value.
        expected: &'static str,
        /// The value found.
        found: String,
    },
    /// A merge uses or produces a token that is not in the vocabulary.
    MergeOutOfVocabulary {
        /// The index of the merge in the list, counted from zero.
        merge: usize,
        /// The missing token.
        token: String,
    },
    /// A token that is used elsewhere is not in the vocabulary.
    UnknownToken {
        /// Where it is used, such as `unk_token`.
        used_by: String,
        /// The token.
        token: String,
    },
    /// An id without a token.
    UnknownId {
        /// Where it is used, such as `bos`.
        used_by: String,
        /// The id.
        id: u32,
    },
    /// Two lists that must have the same length do not.
    Lengths {
        /// The lists.
        lists: &'static str,
        /// Length of the first.
        expected: usize,
        /// Length of the second.
        found: usize,
    },
    /// A size exceeds its limit. Limits are far above what real tokenizers need; more could exhaust memory or time.
    TooLarge {
        /// The quantity.
        what: String,
        /// The limit.
        max: usize,
        /// The size in the file.
        found: usize,
    },
    /// A regular expression does not compile.
    Pattern {
        /// The expression.
        pattern: String,
        /// The reason.
        reason: PatternError,
    },
    /// A regular expression reached its limit of steps on a text.
    Search {
        /// The expression.
        pattern: String,
        /// The reason.
        reason: PatternError,
    },
    /// A byte that is not part of valid UTF-8 and has no token.
    NoByteToken {
        /// The byte.
        byte: u8,
        /// Its offset in the input.
        at: usize,
    },
    /// A training setting is invalid.
    Training {
        /// The setting.
        setting: &'static str,
        /// The expected value.
        expected: String,
        /// The value found.
        found: String,
    },
}

/// Why a regular expression failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum PatternError {
    /// In the dialect of tiktoken.
    Fancy(Box<fancy_regex::Error>),
    /// In the dialect of `tokenizer.json`.
    Oniguruma(RegexError),
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PatternError::Fancy(error) => error.fmt(f),
            PatternError::Oniguruma(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PatternError {}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// This error with the file it occurred in.
    pub(crate) fn in_file(self, path: &std::path::Path) -> Error {
        match self {
            Error::Io { .. } | Error::InFile { .. } => self,
            error => Error::InFile { path: path.to_owned(), error: Box::new(error) },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Error::InFile { path, error } => write!(f, "{}: {error}", path.display()),
            Error::Json(error) => write!(f, "not valid JSON: {error}"),
            Error::Key { key, expected, found } => write!(f, "`{key}`: expected {expected}, found {found}"),
            Error::Unsupported { part, found, supported } => {
                write!(f, "`{part}` has the unsupported type {found}; supported: {supported}")
            }
            Error::Line { file, line, expected, found } => {
                write!(f, "{file}, line {line}: expected {expected}, found {found:?}")
            }
            Error::MergeOutOfVocabulary { merge, token } => {
                write!(f, "merge {merge}: the token {token:?} is not in the vocabulary")
            }
            Error::UnknownToken { used_by, token } => {
                write!(f, "`{used_by}`: the token {token:?} is not in the vocabulary")
            }
            Error::UnknownId { used_by, id } => write!(f, "`{used_by}`: no token has the id {id}"),
            Error::Lengths { lists, expected, found } => {
                write!(f, "{lists} must have the same length: found {expected} and {found} entries")
            }
            Error::TooLarge { what, max, found } => {
                write!(f, "{what} is {found}; the limit is {max}")
            }
            Error::Pattern { pattern, reason } => {
                write!(f, "the pattern {pattern:?} does not compile: {reason}")
            }
            Error::Search { pattern, reason } => {
                write!(f, "matching the pattern {pattern:?} failed on this text: {reason}")
            }
            Error::NoByteToken { byte, at } => {
                write!(f, "byte {at} (0x{byte:02x}) is not valid UTF-8 and has no token")
            }
            Error::Training { setting, expected, found } => {
                write!(f, "training: `{setting}`: expected {expected}, found {found}")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            Error::InFile { error, .. } => Some(error),
            Error::Json(error) => Some(error),
            Error::Pattern { reason, .. } | Error::Search { reason, .. } => Some(reason),
            _ => None,
        }
    }
}

/// A problem in a file that does not prevent loading. Show it to the user.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The GGUF names an unknown splitting rule (`tokenizer.ggml.pre`). The default rule is used, and ids may differ
    /// from the model's own.
    UnknownPre {
        /// The name.
        pre: String,
    },
    /// The GGUF names no splitting rule; the default rule is used.
    MissingPre,
    /// An added token's id in the file differs from the id in use.
    AddedTokenId {
        /// The token.
        token: String,
        /// The id in the file.
        in_file: u32,
        /// The id in use.
        used: u32,
    },
    /// A setting of the file is ignored.
    Ignored {
        /// The setting.
        setting: String,
        /// The reason.
        reason: &'static str,
    },
    /// A rank file's pattern was guessed from its name or size.
    GuessedEncoding {
        /// The encoding used.
        encoding: &'static str,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::UnknownPre { pre } => write!(
                f,
                "unknown pre-tokenizer {pre:?} (tokenizer.ggml.pre): using the default one; ids may be wrong"
            ),
            Warning::MissingPre => {
                write!(f, "the file names no pre-tokenizer (tokenizer.ggml.pre): using the default one")
            }
            Warning::AddedTokenId { token, in_file, used } => {
                write!(f, "added token {token:?}: the file says id {in_file}, the id in use is {used}")
            }
            Warning::Ignored { setting, reason } => write!(f, "`{setting}` is ignored: {reason}"),
            Warning::GuessedEncoding { encoding } => {
                write!(f, "the rank file does not name its encoding: assuming {encoding}")
            }
        }
    }
}
