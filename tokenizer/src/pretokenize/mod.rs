//! Splitting text into words. Tokens are merged only within words.
//!
//! A [`PreTokenizer`] is a list of [`Step`]s, each of which splits the pieces of the one before. `cut` executes the
//! steps, [`Pattern`] finds the matches, and `scanners` are fast implementations of well-known patterns.

mod cut;
mod pattern;
pub(crate) mod raw;
pub(crate) mod scanners;
pub(crate) mod seams;
mod split;

pub use pattern::Pattern;
pub use split::Behavior;

/// When a [`Step::Metaspace`] adds its mark in front of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrependScheme {
    /// In front of every piece that lacks one.
    Always,
    /// Only in front of the piece that begins the text.
    First,
    /// Never.
    Never,
}

/// One step of splitting.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Step {
    /// Converts text to bytes, written in the [byte alphabet](crate::byte_alphabet).
    ByteLevel {
        /// Whether to add a space in front of pieces that do not begin with one.
        add_prefix_space: bool,
        /// GPT-2's pattern ([`patterns::GPT2`](crate::patterns::GPT2)), if the step also splits.
        split: Option<Pattern>,
    },
    /// Splits at a pattern.
    Split {
        /// The pattern.
        pattern: Pattern,
        /// What happens to the matches.
        behavior: Behavior,
        /// Whether the text between the matches is treated as the matches.
        invert: bool,
    },
    /// Separates numbers: each digit, or runs of digits.
    Digits {
        /// Whether each digit is separate.
        individual: bool,
    },
    /// Replaces spaces by a mark, `▁`, and splits in front of each.
    Metaspace {
        /// The mark.
        replacement: char,
        /// When a mark is added in front.
        prepend: PrependScheme,
        /// Whether to split.
        split: bool,
    },
    /// Splits into runs of `\w` and runs of other visible characters; white space is dropped.
    Whitespace,
    /// Splits at white space, which is dropped.
    WhitespaceSplit,
    /// Splits at punctuation.
    Punctuation {
        /// What happens to the punctuation.
        behavior: Behavior,
    },
}

impl Step {
    /// GPT-2's own step.
    pub fn byte_level() -> Step {
        let split = Pattern::regex(crate::patterns::GPT2).ok();
        Step::ByteLevel { add_prefix_space: false, split }
    }

    /// The maximum number of bytes that one byte of a text becomes. A prefix counts once per piece, which has at least
    /// one byte.
    pub(crate) fn growth(&self) -> usize {
        match self {
            Step::ByteLevel { add_prefix_space, .. } => {
                if *add_prefix_space {
                    4
                } else {
                    2
                }
            }
            Step::Metaspace { replacement, .. } => 2 * replacement.len_utf8(),
            _ => 1,
        }
    }
}

/// The steps, in order.
#[derive(Debug, Clone, Default)]
pub struct PreTokenizer {
    steps: Vec<Step>,
}

impl PreTokenizer {
    /// A pre-tokenizer of these steps; with none, the whole text is one word.
    pub fn new(steps: Vec<Step>) -> PreTokenizer {
        PreTokenizer { steps }
    }

    /// The steps.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether words are bytes, that is, whether a step is [`Step::ByteLevel`].
    pub fn is_byte_level(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::ByteLevel { .. }))
    }

    /// Whether words are raw text whose bytes are not yet written in the byte alphabet. This is the case if the
    /// byte-level step is the last one, as it nearly always is; then the alphabet is not needed.
    pub(crate) fn leaves_bytes_raw(&self) -> bool {
        matches!(self.steps.last(), Some(Step::ByteLevel { .. }))
    }
}
