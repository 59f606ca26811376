//! Everything that can go wrong, with what was expected and what was found.

use std::fmt;
use std::path::PathBuf;

/// Why a tokenizer could not be read, or a text not be encoded.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something is wrong inside a file.
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: Box<Error>,
    },
    /// The text is not JSON.
    Json(serde_json::Error),
    /// A key is absent, or its value is not what it must be.
    Key {
        /// The way to the key, as in `model.vocab`.
        key: String,
        /// What must be there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A part of the tokenizer is of a kind that this crate does not know.
    Unsupported {
        /// The part, as in `model` or `pre_tokenizer`.
        part: String,
        /// The kind it is.
        found: String,
        /// The kinds that are known.
        supported: &'static str,
    },
    /// A line of a merges or rank file cannot be read.
    Line {
        /// The kind of file.
        file: &'static str,
        /// Counted from one.
        line: usize,
        /// What must be there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A merge names a token, or makes one, that the vocabulary lacks.
    MergeOutOfVocabulary {
        /// The place of the merge in the list, counted from zero.
        merge: usize,
        /// The token that is not in the vocabulary.
        token: String,
    },
    /// A token that another part relies on is not in the vocabulary.
    UnknownToken {
        /// What relies on it, as in `unk_token`.
        used_by: String,
        /// The token.
        token: String,
    },
    /// An id that has no token.
    UnknownId {
        /// What relies on it, as in `bos`.
        used_by: String,
        /// The id.
        id: u32,
    },
    /// Two lists that must be equally long are not.
    Lengths {
        /// The lists.
        lists: &'static str,
        /// Length of the first.
        expected: usize,
        /// Length of the second.
        found: usize,
    },
    /// A part is larger than any honest file needs, and could exhaust memory or time.
    TooLarge {
        /// The quantity.
        what: String,
        /// Its bound.
        most: usize,
        /// What the file asks for.
        found: usize,
    },
    /// A regular expression cannot be compiled.
    Pattern {
        /// The expression.
        pattern: String,
        /// What the regex engine said.
        reason: Box<fancy_regex::Error>,
    },
    /// A regular expression gave up on a text (its backtracking has a limit).
    Search {
        /// The expression.
        pattern: String,
        /// What the regex engine said.
        reason: Box<fancy_regex::Error>,
    },
    /// A byte that no token stands for, in bytes that are not UTF-8.
    NoByteToken {
        /// The byte.
        byte: u8,
        /// Where it stands.
        at: usize,
    },
    /// The training settings ask for something impossible.
    Training {
        /// The setting.
        setting: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The same error, saying which file it is in.
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
                write!(f, "`{part}` is of the unsupported kind {found}; supported: {supported}")
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
                write!(f, "{lists} must be equally long: {expected} and {found} entries found")
            }
            Error::TooLarge { what, most, found } => {
                write!(f, "{what} is {found}; at most {most} is allowed")
            }
            Error::Pattern { pattern, reason } => {
                write!(f, "the pattern {pattern:?} cannot be compiled: {reason}")
            }
            Error::Search { pattern, reason } => {
                write!(f, "the pattern {pattern:?} gave up on this text: {reason}")
            }
            Error::NoByteToken { byte, at } => {
                write!(f, "byte {at} (0x{byte:02x}) is not UTF-8 and no token stands for it")
            }
            Error::Training { setting, expected, found } => {
                write!(f, "training: `{setting}` must be {expected}, it is {found}")
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

/// Something in a file that does not stop the loading, but that the user must see.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The GGUF names a splitting rule (`tokenizer.ggml.pre`) that is not known; the default rule stands in for it and
    /// ids may differ from the model's own.
    UnknownPre {
        /// The name.
        pre: String,
    },
    /// The GGUF names no splitting rule at all; the default rule is used.
    MissingPre,
    /// An added token's id in the file is not the id that it gets.
    AddedTokenId {
        /// The token.
        token: String,
        /// The id that the file gives.
        in_file: u32,
        /// The id in use.
        used: u32,
    },
    /// A setting of the file that has no effect here.
    Ignored {
        /// The setting.
        setting: String,
        /// Why.
        reason: &'static str,
    },
    /// A rank file's pattern was guessed from its name or size.
    GuessedEncoding {
        /// The encoding taken.
        encoding: &'static str,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::UnknownPre { pre } => write!(
                f,
                "unknown pre-tokenizer {pre:?} (tokenizer.ggml.pre): the default one is used, ids may be wrong"
            ),
            Warning::MissingPre => {
                write!(f, "the file names no pre-tokenizer (tokenizer.ggml.pre): the default one is used")
            }
            Warning::AddedTokenId { token, in_file, used } => {
                write!(f, "added token {token:?}: the file says id {in_file}, but its id is {used}")
            }
            Warning::Ignored { setting, reason } => write!(f, "`{setting}` is ignored: {reason}"),
            Warning::GuessedEncoding { encoding } => {
                write!(f, "the rank file does not say how to split text: taken for {encoding}")
            }
        }
    }
}
