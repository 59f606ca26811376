//! From arguments to words: one word, several, or a sum.

use std::ffi::OsString;

use anyhow::anyhow;
use glassbox_model::glass::Term;
use glassbox_tokenizer::Tokenizer;

use crate::commands::words::word_token;
use crate::exit::Usage;

/// A word that became a token.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Word {
    pub(super) id: u32,
    /// Its factor in a sum.
    pub(super) factor: f64,
}

impl Word {
    pub(super) fn term(&self) -> Term {
        Term { id: self.id, factor: self.factor }
    }
}

/// What is asked about.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Question {
    /// The neighbours of a word.
    One(Word),
    /// The similarity of several words.
    Table(Vec<Word>),
    /// The neighbours of a sum.
    Sum(Vec<Word>),
}

impl Question {
    pub(super) fn of_ids(ids: &[u32]) -> Question {
        let word = |&id: &u32| Word { id, factor: 1.0 };
        match ids {
            [id] => Question::One(word(id)),
            ids => Question::Table(ids.iter().map(word).collect()),
        }
    }

    pub(super) fn of_words(arguments: &[OsString], tokenizer: &Tokenizer) -> anyhow::Result<Question> {
        let parts: Vec<&[u8]> = match arguments {
            // A sum in one argument, such as "king - man + woman".
            [sum] if pieces(sum).iter().any(|piece| sign(piece).is_some()) && pieces(sum).len() > 1 => {
                pieces(sum)
            }
            arguments => arguments.iter().map(|argument| argument.as_encoded_bytes()).collect(),
        };
        let word = |text: &[u8], factor: f64| -> anyhow::Result<Word> {
            Ok(Word { id: word_token(tokenizer, text)?, factor })
        };
        // A sign alone is a word: its neighbours are other punctuation.
        if parts.len() == 1 {
            let signs = parts[0].iter().skip(1).any(|byte| matches!(byte, b'+' | b'-'));
            return word(parts[0], 1.0).map(Question::One).map_err(|error| match signs {
                true => anyhow!("{error}; for a sum, put spaces around + and -, as in king - man + woman"),
                false => error,
            });
        }
        if !parts.iter().any(|part| sign(part).is_some()) {
            return Ok(Question::Table(parts.iter().map(|part| word(part, 1.0)).collect::<Result<_, _>>()?));
        }
        let mut words = Vec::new();
        let mut factor = Some(1.0);
        for (i, part) in parts.iter().enumerate() {
            match (sign(part), factor.take()) {
                (Some(sign), None) => factor = Some(sign),
                (Some(sign), Some(_)) if i == 0 => factor = Some(sign),
                (None, Some(factor)) => words.push(word(part, factor)?),
                _ => return Err(usage("expected + or - between two words")),
            }
        }
        if factor.is_some() {
            return Err(usage("expected a word after the last + or -"));
        }
        Ok(Question::Sum(words))
    }

    pub(super) fn words(&self) -> &[Word] {
        match self {
            Question::One(word) => std::slice::from_ref(word),
            Question::Table(words) | Question::Sum(words) => words,
        }
    }
}

fn usage(problem: &str) -> anyhow::Error {
    Usage(format!("{problem}, as in king - man + woman")).into()
}

/// The factor that a sign gives to the word after it.
fn sign(part: &[u8]) -> Option<f64> {
    match part {
        b"+" => Some(1.0),
        b"-" => Some(-1.0),
        part if part == "−".as_bytes() => Some(-1.0),
        _ => None,
    }
}

/// The parts of an argument, separated by spaces.
fn pieces(argument: &OsString) -> Vec<&[u8]> {
    let bytes = argument.as_encoded_bytes();
    bytes.split(|&byte| byte == b' ').filter(|piece| !piece.is_empty()).collect()
}
