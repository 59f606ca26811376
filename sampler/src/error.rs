//! Errors of sampling, with what was expected and what was found.

use std::fmt;

use crate::order::FilterName;

/// Why a sampler could not be built or could not choose a token.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A setting is out of range.
    Setting {
        /// The setting's name, as in [`SamplerConfig`](crate::SamplerConfig).
        name: &'static str,
        /// The values that are allowed.
        expected: &'static str,
        /// The value that was given.
        found: String,
    },
    /// An order of filters names something that is not a filter.
    UnknownFilter {
        /// The unknown name.
        found: String,
    },
    /// A filter appears twice in one chain.
    RepeatedFilter {
        /// The filter's name.
        filter: FilterName,
    },
    /// A filter follows mirostat, which must be last because it measures the drawn token.
    AfterMirostat {
        /// The first filter that follows.
        filter: FilterName,
    },
    /// Mirostat is configured, but the order of filters does not name it.
    MirostatNotInOrder,
    /// There are no logits.
    EmptyLogits,
    /// There are more logits than 32-bit token ids.
    TooManyLogits {
        /// How many there are.
        found: usize,
    },
    /// A logit is NaN or +∞: the model's arithmetic failed before sampling.
    BadLogit {
        /// The first token id with such a logit.
        id: u32,
        /// NaN or +∞.
        found: f32,
    },
    /// Every token is banned: all logits are −∞, as given or because of logit biases.
    NoCandidates {
        /// The number of logits.
        vocab_size: usize,
    },
    /// A logit bias is for a token outside the vocabulary.
    BiasOutsideVocabulary {
        /// The token id of the bias.
        id: u32,
        /// The number of logits.
        vocab_size: usize,
    },
    /// A record is replayed with logits other than those it was made from.
    OtherLogits {
        /// The fingerprint in the record.
        expected: u64,
        /// The fingerprint of the logits given.
        found: u64,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Setting { name, expected, found } => {
                write!(f, "sampler setting `{name}`: expected {expected}, found {found}")
            }
            Error::UnknownFilter { found } => {
                write!(f, "unknown filter `{found}` in the order of filters; expected one of ")?;
                for (i, name) in FilterName::ALL.iter().enumerate() {
                    write!(f, "{}{name}", if i == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Error::RepeatedFilter { filter } => {
                write!(f, "filter `{filter}` appears twice in the order of filters; expected at most once")
            }
            Error::AfterMirostat { filter } => {
                write!(f, "filter `{filter}` follows `mirostat`; expected mirostat to be the last filter")
            }
            Error::MirostatNotInOrder => {
                write!(
                    f,
                    "mirostat is configured, but the order of filters does not name it; add `mirostat` at its end"
                )
            }
            Error::EmptyLogits => {
                write!(f, "no logits: expected one for each token of the vocabulary, found 0")
            }
            Error::TooManyLogits { found } => {
                write!(f, "{found} logits: expected at most {} (token ids have 32 bits)", u32::MAX)
            }
            Error::BadLogit { id, found } => {
                write!(
                    f,
                    "the logit of token {id} is {found}; expected a finite number, or −∞ for a banned token"
                )
            }
            Error::NoCandidates { vocab_size } => {
                write!(f, "all {vocab_size} tokens are banned (logit −∞); expected at least one finite logit")
            }
            Error::BiasOutsideVocabulary { id, vocab_size } => {
                write!(f, "logit bias for token {id}: expected an id below the vocabulary size {vocab_size}")
            }
            Error::OtherLogits { expected, found } => {
                write!(
                    f,
                    "replay on other logits: expected fingerprint {expected:#018x}, found {found:#018x}"
                )
            }
        }
    }
}

impl std::error::Error for Error {}

/// An error for the setting `name`, unless `good`.
pub(crate) fn check(
    good: bool,
    name: &'static str,
    expected: &'static str,
    found: impl fmt::Debug,
) -> Result<(), Error> {
    if good { Ok(()) } else { Err(Error::Setting { name, expected, found: format!("{found:?}") }) }
}
