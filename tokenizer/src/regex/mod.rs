//! Regular expressions in the dialect of `tokenizer.json`: Oniguruma's, as the reference configures it.
//!
//! Hugging Face's tokenizers hands patterns to Oniguruma 6.9 with its default syntax. Other engines read some of them
//! differently, without an error:
//!
//! - `\p{N}{1,3}+` repeats the interval; elsewhere it is possessive.
//! - `[[:alpha:]]` is Unicode, and `\w` matches `²³¹¼½¾`, although `[\w]` does not.
//! - `^` and `$` match at every line, and `(?m)` is what others call `(?s)`.
//! - `(?i)ss` matches `ß`.
//! - `\h` is a hexadecimal digit, `&&` is the intersection of classes, `(?~ab)` matches as far as `ab` does not follow.
//!
//! So the dialect is read as it is: `parse` builds a tree, `compile` turns it into instructions, and `vm` runs them
//! with a limit of steps.
//!
//! # Not supported
//!
//! These are errors that name the construct: calls of groups (`\g<name>`), callouts, references with a nesting level,
//! the absent operators other than `(?~absent)` and `(?~|absent|one repeated character)`, the options `I`, `L` and `y`,
//! the escapes `\M-x` and `\c\`, several numbers in one `\x{}` of a class, the property `InCB`, nesting deeper than
//! 100, and some combinations in which the reference does not follow its own rules: `\K`, `\R` or `\X` in a lookbehind,
//! an empty lookbehind in another one, an absent operator in another one, a repeated `\G`, and a repeated conditional
//! whose condition is a pattern.

mod ast;
mod blocks;
mod class;
mod compile;
mod error;
mod escape;
mod fold;
mod memo;
mod parse;
mod program;
mod property;
mod quantifier;
mod segment;
mod vm;

use std::ops::Range;
use std::sync::{Arc, LazyLock};

pub use error::RegexError;
use program::{Members, Program};
use vm::Matcher;

/// A regular expression in Oniguruma's dialect.
#[derive(Debug, Clone)]
pub struct Regex {
    program: Arc<Program>,
}

impl Regex {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// [`RegexError::Syntax`] and [`RegexError::UnknownProperty`] for patterns that the reference refuses, too;
    /// [`RegexError::Unsupported`] and [`RegexError::TooLarge`] for others.
    pub fn new(pattern: &str) -> Result<Regex, RegexError> {
        Ok(Regex { program: Arc::new(compile::compile(&parse::parse(pattern)?)?) })
    }

    /// Calls `emit` with every match, in order and without overlaps. A match may be empty, but not where the one before
    /// it ended.
    ///
    /// # Errors
    /// [`RegexError::TooManySteps`], as `failed` converts it, and the errors of `emit`.
    pub fn each_match<E>(
        &self,
        text: &str,
        failed: impl Fn(RegexError) -> E,
        emit: &mut dyn FnMut(Range<usize>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut matcher = Matcher::new(&self.program, text);
        let mut from = 0;
        let mut last = None;
        while let Some(found) = matcher.find(from).map_err(&failed)? {
            if found.is_empty() && last == Some(found.end) {
                let Some(c) = text[from..].chars().next() else { break };
                from += c.len_utf8();
                continue;
            }
            from = found.end;
            last = Some(found.end);
            emit(found)?;
        }
        Ok(())
    }
}

/// Whether `\b` takes a character for a part of a word.
fn is_word(c: char) -> bool {
    static WORDS: LazyLock<Members> = LazyLock::new(|| Members::new(&class::word(parse::Options::default())));
    WORDS.contains(c)
}
