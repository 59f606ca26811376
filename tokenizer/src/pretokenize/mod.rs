//! Cutting the text into words, within which alone tokens are merged.
//!
//! A [`PreTokenizer`] is a list of [`Step`]s, each of which cuts every piece that the one before it left. What a step does
//! is in `cut`, what it looks for in [`Pattern`], and the quick ways of finding the well-known patterns in `scanners`.

mod cut;
mod pattern;
pub(crate) mod raw;
pub(crate) mod scanners;
pub(crate) mod seams;
mod split;

pub use pattern::Pattern;
pub use split::Behavior;

/// When a [`Step::Metaspace`] puts its mark in front of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrependScheme {
    /// In front of every piece that lacks one.
    Always,
    /// Only in front of the piece that begins the text.
    First,
    /// Never.
    Never,
}

/// One way of cutting.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Step {
    /// From here on text is bytes, written in the [byte alphabet](crate::byte_alphabet).
    ByteLevel {
        /// Puts a space in front of pieces that do not begin with one.
        add_prefix_space: bool,
        /// GPT-2's pattern ([`patterns::GPT2`](crate::patterns::GPT2)), where the step also cuts.
        split: Option<Pattern>,
    },
    /// Cuts at a pattern.
    Split {
        /// What to look for.
        pattern: Pattern,
        /// What becomes of it.
        behavior: Behavior,
        /// Whether the text between the matches counts as the match.
        invert: bool,
    },
    /// Cuts numbers off, each digit alone or all that stand together.
    Digits {
        /// Each digit alone.
        individual: bool,
    },
    /// Writes spaces as a mark, `▁`, and cuts in front of each.
    Metaspace {
        /// The mark.
        replacement: char,
        /// Where a mark is added.
        prepend: PrependScheme,
        /// Whether to cut.
        split: bool,
    },
    /// Cuts off runs of `\w` and runs of other visible characters; white space is dropped.
    Whitespace,
    /// Cuts at white space, which is dropped.
    WhitespaceSplit,
    /// Cuts at punctuation.
    Punctuation {
        /// What becomes of the punctuation.
        behavior: Behavior,
    },
}

impl Step {
    /// GPT-2's own step.
    pub fn byte_level() -> Step {
        let split = Pattern::regex(crate::patterns::GPT2).ok();
        Step::ByteLevel { add_prefix_space: false, split }
    }

    /// How many bytes one byte of a text can become. A prefix counts once for every piece, which has a byte at least.
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

    /// Whether words are bytes: some step is [`Step::ByteLevel`].
    pub fn is_byte_level(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::ByteLevel { .. }))
    }

    /// Whether words come out as raw text whose bytes are still to be written in the byte alphabet. That is so when
    /// the byte-level step is the last one, as nearly always: then nobody needs to see the alphabet.
    pub(crate) fn leaves_bytes_raw(&self) -> bool {
        matches!(self.steps.last(), Some(Step::ByteLevel { .. }))
    }
}
