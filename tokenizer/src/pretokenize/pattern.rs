//! The pattern of a splitting step: a fixed text, a well-known pattern, or any regular expression.

use std::ops::Range;

use super::scanners::Scanner;
use crate::error::{Error, PatternError, Result};
use crate::regex::Regex;

/// A pattern to search for.
#[derive(Debug, Clone)]
pub struct Pattern {
    source: Source,
    finder: Finder,
}

#[derive(Debug, Clone)]
enum Source {
    Text(String),
    Regex(String),
}

#[derive(Debug, Clone)]
enum Finder {
    Text,
    Scanner(Scanner),
    Regex(Box<fancy_regex::Regex>),
    Oniguruma(Regex),
}

impl Pattern {
    /// Matches exactly this text.
    pub fn text(text: impl Into<String>) -> Pattern {
        Pattern { source: Source::Text(text.into()), finder: Finder::Text }
    }

    /// Matches a regular expression in the dialect of tiktoken: that of the `fancy-regex` crate. Those in
    /// [`patterns`](crate::patterns) are recognised and use scanners.
    pub fn regex(pattern: impl Into<String>) -> Result<Pattern> {
        Pattern::known_or(pattern.into(), Pattern::slow_regex)
    }

    /// As [`Pattern::regex`], but always with the regex engine: the oracle for the scanners.
    pub fn slow_regex(pattern: impl Into<String>) -> Result<Pattern> {
        let pattern = pattern.into();
        match fancy_regex::Regex::new(&pattern) {
            Ok(regex) => {
                Ok(Pattern { source: Source::Regex(pattern), finder: Finder::Regex(Box::new(regex)) })
            }
            Err(reason) => Err(Error::Pattern { pattern, reason: PatternError::Fancy(Box::new(reason)) }),
        }
    }

    /// Matches a regular expression in the dialect of `tokenizer.json`, which is Oniguruma's: see
    /// [`regex`](crate::regex). Those in [`patterns`](crate::patterns) are recognised and use scanners.
    pub fn oniguruma(pattern: impl Into<String>) -> Result<Pattern> {
        Pattern::known_or(pattern.into(), Pattern::slow_oniguruma)
    }

    /// As [`Pattern::oniguruma`], but always with the regex engine.
    pub fn slow_oniguruma(pattern: impl Into<String>) -> Result<Pattern> {
        let pattern = pattern.into();
        match Regex::new(&pattern) {
            Ok(regex) => Ok(Pattern { source: Source::Regex(pattern), finder: Finder::Oniguruma(regex) }),
            Err(reason) => Err(Error::Pattern { pattern, reason: PatternError::Oniguruma(reason) }),
        }
    }

    fn known_or(pattern: String, slow: impl FnOnce(String) -> Result<Pattern>) -> Result<Pattern> {
        match Scanner::for_pattern(&pattern) {
            Some(scanner) => Ok(Pattern { source: Source::Regex(pattern), finder: Finder::Scanner(scanner) }),
            None => slow(pattern),
        }
    }

    /// The fixed text or the regular expression, and whether it is a regular expression.
    pub fn source(&self) -> (&str, bool) {
        match &self.source {
            Source::Text(text) => (text, false),
            Source::Regex(pattern) => (pattern, true),
        }
    }

    /// Whether matching does not use the regex engine.
    pub fn is_recognised(&self) -> bool {
        !matches!(self.finder, Finder::Regex(_) | Finder::Oniguruma(_))
    }

    /// The scanner, if there is one for this pattern.
    pub(super) fn scanner(&self) -> Option<Scanner> {
        match self.finder {
            Finder::Scanner(scanner) => Some(scanner),
            _ => None,
        }
    }

    /// The maximum number of bytes that one byte of a text becomes if `content` replaces every match.
    pub(crate) fn growth(&self, content: &str) -> usize {
        match self.source() {
            // Matches may be empty; then the content is inserted between all characters.
            ("", _) | (_, true) => content.len().saturating_add(1),
            (text, false) => content.len().div_ceil(text.len()),
        }
    }

    /// All matches in order, without overlaps. A match may be empty.
    pub fn find_all(&self, text: &str) -> Result<Vec<Range<usize>>> {
        let mut found = Vec::new();
        self.each_match(text, &mut |range| {
            found.push(range);
            Ok(())
        })?;
        Ok(found)
    }

    /// Calls `emit` with all matches of [`Pattern::find_all`].
    pub(crate) fn each_match(
        &self,
        text: &str,
        emit: &mut dyn FnMut(Range<usize>) -> Result<()>,
    ) -> Result<()> {
        // In the reference, nothing matches in an empty text, not even the empty pattern.
        if text.is_empty() {
            return Ok(());
        }
        match (&self.finder, &self.source) {
            (Finder::Scanner(scanner), _) => {
                let mut from = 0;
                while let Some((start, end)) = scanner.find(text, from) {
                    emit(start..end)?;
                    from = end;
                }
                Ok(())
            }
            (Finder::Regex(regex), source) => regex.find_iter(text).try_for_each(|found| match found {
                Ok(found) => emit(found.start()..found.end()),
                Err(reason) => Err(source.failed(PatternError::Fancy(Box::new(reason)))),
            }),
            (Finder::Oniguruma(regex), source) => {
                regex.each_match(text, |reason| source.failed(PatternError::Oniguruma(reason)), emit)
            }
            (Finder::Text, source) => {
                text.match_indices(source.text()).try_for_each(|(at, found)| emit(at..at + found.len()))
            }
        }
    }
}

impl Source {
    fn failed(&self, reason: PatternError) -> Error {
        Error::Search { pattern: self.text().to_owned(), reason }
    }

    fn text(&self) -> &str {
        match self {
            Source::Text(text) | Source::Regex(text) => text,
        }
    }
}
