//! From tokens back to text, step by step.
//!
//! A [`Decoder`] is a list of steps. Each takes the tokens one after the other and hands on what it can already say, so
//! that decoding everything at once and decoding as a stream are the same code.

mod stage;

use crate::pretokenize::Pattern;
use stage::Stage;

/// One step of decoding.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum DecodeStep {
    /// Tokens are bytes in the [byte alphabet](crate::byte_alphabet); all become one text.
    ByteLevel,
    /// The mark becomes a space.
    Metaspace {
        /// The mark.
        replacement: char,
        /// Whether the marks of the first token are dropped.
        strip_first: bool,
    },
    /// Neighbouring byte tokens (`<0xE2>`) become text, or one `�` each where they are not UTF-8.
    ByteFallback,
    /// All tokens become one.
    Fuse,
    /// Puts a text in the place of whatever a pattern matches in a token.
    Replace {
        /// What to look for.
        pattern: Pattern,
        /// What takes its place.
        content: String,
    },
    /// Takes a character from the ends of each token.
    Strip {
        /// The character.
        content: char,
        /// How many at most from the start.
        start: usize,
        /// How many at most from the end.
        stop: usize,
    },
    /// The mark at the end of a word becomes a space, but in the last token nothing.
    Suffix(String),
}

impl DecodeStep {
    /// How many bytes one byte of a token can become.
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

    /// Whether byte tokens stand for bytes.
    pub(crate) fn has_byte_tokens(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, DecodeStep::ByteFallback))
    }

    /// A character that stands for a space, if there is one.
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

/// Decoding under way.
///
/// Tokens go in with [`push`](Decoding::push); bytes come out. With `raw`, bytes that are not UTF-8 come out as they
/// are; otherwise as `�`, and everything that comes out is whole characters.
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
        // Behind a step that makes one token of all, the next steps get that token in fragments.
        let mut fragments = false;
        let mut stages = Vec::with_capacity(decoder.steps.len());
        for step in &decoder.steps {
            stages.push(if fragments { Stage::of_fragments(step, raw) } else { Stage::of_tokens(step, raw) });
            fragments |= matches!(step, DecodeStep::ByteLevel | DecodeStep::Fuse);
        }
        Decoding { stages }
    }

    /// Takes a token in and gives what has become certain.
    pub(crate) fn push(&mut self, token: &str) -> Vec<u8> {
        self.flow(0, vec![token.as_bytes().to_vec()])
    }

    /// Gives what was held back.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        for number in 0..self.stages.len() {
            let mut rest = Vec::new();
            self.stages[number].finish(&mut rest);
            text.extend(self.flow(number + 1, rest));
        }
        text
    }

    /// Sends tokens through the stages from `first` on.
    fn flow(&mut self, first: usize, mut tokens: Vec<Vec<u8>>) -> Vec<u8> {
        for stage in &mut self.stages[first..] {
            let mut next = Vec::with_capacity(tokens.len());
            tokens.into_iter().for_each(|token| stage.push(token, &mut next));
            tokens = next;
        }
        tokens.concat()
    }
}
