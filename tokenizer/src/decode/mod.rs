//! Decoding: from tokens to text, in steps.
//!
//! A [`Decoder`] is a list of steps. Each step takes tokens one by one and outputs what is already certain, so decoding
//! all at once and streaming are the same code.

mod stage;

use crate::pretokenize::Pattern;
use stage::Stage;

/// One step of decoding.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum DecodeStep {
    /// Tokens are bytes in the [byte alphabet](crate::byte_alphabet); all are joined to one text.
    ByteLevel,
    /// Replaces the mark by a space.
    Metaspace {
        /// The mark.
        replacement: char,
        /// Whether the marks of the first token are removed instead.
        strip_first: bool,
    },
    /// Converts adjacent byte tokens (`<0xE2>`) to text, or to one `�` each if they are not UTF-8.
    ByteFallback,
    /// Joins all tokens to one.
    Fuse,
    /// Replaces the matches of a pattern in each token.
    Replace {
        /// The pattern.
        pattern: Pattern,
        /// The replacement.
        content: String,
    },
    /// Removes a character from the ends of each token.
    Strip {
        /// The character.
        content: char,
        /// Maximum number removed at the start.
        start: usize,
        /// Maximum number removed at the end.
        stop: usize,
    },
    /// Replaces the end-of-word suffix by a space, and removes it from the last token.
    Suffix(String),
}

impl DecodeStep {
    /// The maximum number of bytes that one byte of a token becomes.
    pub(crate) fn growth(&self) -> usize {
        match self {
            // A byte that is not UTF-8 becomes `�`.
            DecodeStep::ByteLevel => 3,
            DecodeStep::Replace { pattern, content } => pattern.growth(content),
            DecodeStep::Suffix(suffix) if suffix.is_empty() => 2,
            _ => 1,
        }
    }
}

/// The steps, in order.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    steps: Vec<DecodeStep>,
}

impl Decoder {
    /// A decoder of these steps.
    pub fn new(steps: Vec<DecodeStep>) -> Decoder {
        Decoder { steps }
    }

    /// The steps.
    pub fn steps(&self) -> &[DecodeStep] {
        &self.steps
    }

    /// Whether tokens are written in the byte alphabet.
    pub(crate) fn is_byte_level(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, DecodeStep::ByteLevel))
    }

    /// Whether byte tokens are decoded to bytes.
    pub(crate) fn has_byte_tokens(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, DecodeStep::ByteFallback))
    }

    /// The character that represents a space, if there is one.
    pub(crate) fn space_mark(&self) -> Option<char> {
        self.steps.iter().find_map(|step| match step {
            DecodeStep::Metaspace { replacement, .. } => Some(*replacement),
            DecodeStep::Replace { pattern, content } if content == " " => match pattern.source() {
                (text, false) if text.chars().count() == 1 => text.chars().next(),
                _ => None,
            },
            _ => None,
        })
    }
}

/// The state of a decoder.
///
/// [`push`](Decoding::push) takes a token and returns bytes. With `raw`, bytes that are not UTF-8 are returned
/// unchanged; otherwise they become `�`, and all output consists of complete characters.
#[derive(Debug, Clone)]
pub(crate) struct Decoding<'d> {
    stages: Vec<Stage<'d>>,
}

impl<'d> Decoding<'d> {
    /// Without a decoder, tokens are joined with spaces.
    pub(crate) fn new(decoder: Option<&'d Decoder>, raw: bool) -> Decoding<'d> {
        let Some(decoder) = decoder else {
            return Decoding { stages: vec![Stage::JoinWithSpaces { begun: false }] };
        };
        // After a step that joins all tokens, the following steps get that token in fragments.
        let mut fragments = false;
        let mut stages = Vec::with_capacity(decoder.steps.len());
        for step in &decoder.steps {
            stages.push(if fragments { Stage::of_fragments(step, raw) } else { Stage::of_tokens(step, raw) });
            fragments |= matches!(step, DecodeStep::ByteLevel | DecodeStep::Fuse);
        }
        Decoding { stages }
    }

    /// Takes a token and returns the output that is certain.
    pub(crate) fn push(&mut self, token: &str) -> Vec<u8> {
        self.flow(0, vec![token.as_bytes().to_vec()])
    }

    /// Returns the output held back.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        for number in 0..self.stages.len() {
            let mut rest = Vec::new();
            self.stages[number].finish(&mut rest);
            text.extend(self.flow(number + 1, rest));
        }
        text
    }

    /// Passes tokens through the stages from `first` on.
    fn flow(&mut self, first: usize, mut tokens: Vec<Vec<u8>>) -> Vec<u8> {
        for stage in &mut self.stages[first..] {
            let mut next = Vec::with_capacity(tokens.len());
            tokens.into_iter().for_each(|token| stage.push(token, &mut next));
            tokens = next;
        }
        tokens.concat()
    }
}
