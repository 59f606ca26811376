//! Why a regular expression is refused, or gives up on a text.

use std::fmt;

/// An error of [`Regex`](super::Regex).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegexError {
    /// The reference refuses the pattern, too.
    Syntax {
        /// The index of the character at which the error was found.
        at: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// The reference accepts the pattern; this crate does not.
    Unsupported {
        /// The construct.
        what: &'static str,
    },
    /// No Unicode property has this name.
    UnknownProperty {
        /// The name.
        name: String,
    },
    /// The compiled pattern would have more instructions than this.
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// Matching took more steps than the limit for a text of this length.
    TooManySteps {
        /// The limit.
        max: u64,
    },
}

impl fmt::Display for RegexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegexError::Syntax { at, reason } => write!(f, "{reason} (character {at})"),
            RegexError::Unsupported { what } => write!(f, "{what} is not supported"),
            RegexError::UnknownProperty { name } => write!(f, "no character property is named {name:?}"),
            RegexError::TooLarge { max } => {
                write!(f, "its repetitions need more than {max} instructions")
            }
            RegexError::TooManySteps { max } => write!(f, "it takes more than {max} steps"),
        }
    }
}

impl std::error::Error for RegexError {}
