//! What a splitting step looks for: a fixed text, a known pattern, or any regular expression.

use std::ops::Range;

use super::scanners::Scanner;
use crate::error::{Error, Result};

/// A thing to look for in a text.
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
}

impl Pattern {
    /// Looks for exactly this text.
    pub fn text(text: impl Into<String>) -> Pattern {
        Pattern { source: Source::Text(text.into()), finder: Finder::Text }
    }

    /// Looks for a regular expression; the known ones of [`patterns`](crate::patterns) are recognised.
    pub fn regex(pattern: impl Into<String>) -> Result<Pattern> {
        let pattern = pattern.into();
        match Scanner::for_pattern(&pattern) {
            Some(scanner) => Ok(Pattern { source: Source::Regex(pattern), finder: Finder::Scanner(scanner) }),
            None => Pattern::slow_regex(pattern),
        }
    }

    /// As [`Pattern::regex`], in the dialect of tokenizer.json (Oniguruma), where `^` and `$` match at line ends too.
    pub fn line_regex(pattern: impl Into<String>) -> Result<Pattern> {
        let pattern = pattern.into();
        if Scanner::for_pattern(&pattern).is_some() || !pattern.contains(['^', '$']) {
            return Pattern::regex(pattern);
        }
        let by_line = Pattern::slow_regex(format!("(?m:{pattern})"))?;
        Ok(Pattern { source: Source::Regex(pattern), ..by_line })
    }

    /// As [`Pattern::regex`], but always by the regex engine: the oracle for the scanners.
    pub fn slow_regex(pattern: impl Into<String>) -> Result<Pattern> {
        let pattern = pattern.into();
        match fancy_regex::Regex::new(&pattern) {
            Ok(regex) => {
                Ok(Pattern { source: Source::Regex(pattern), finder: Finder::Regex(Box::new(regex)) })
            }
            Err(reason) => Err(Error::Pattern { pattern, reason: Box::new(reason) }),
        }
    }

    /// The fixed text or the regular expression, and whether it is an expression.
    pub fn source(&self) -> (&str, bool) {
        match &self.source {
            Source::Text(text) => (text, false),
            Source::Regex(pattern) => (pattern, true),
        }
    }

    /// Whether a hand-written scanner, not the regex engine, does the work.
    pub fn is_recognised(&self) -> bool {
        !matches!(self.finder, Finder::Regex(_))
    }

    /// The scanner that does the work, where one does.
    pub(super) fn scanner(&self) -> Option<Scanner> {
        match self.finder {
            Finder::Scanner(scanner) => Some(scanner),
            _ => None,
        }
    }

    /// How many bytes one byte of a text can become where `content` takes the place of every match.
    pub(crate) fn growth(&self, content: &str) -> usize {
        match self.source() {
            // Some matches may be empty; then the content is put between all characters.
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

    /// Tells `emit` all matches, as [`Pattern::find_all`] lists them.
    pub(crate) fn each_match(
        &self,
        text: &str,
        emit: &mut dyn FnMut(Range<usize>) -> Result<()>,
    ) -> Result<()> {
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
                Err(reason) => {
                    Err(Error::Search { pattern: source.text().to_owned(), reason: Box::new(reason) })
                }
            }),
            (Finder::Text, source) => {
                text.match_indices(source.text()).try_for_each(|(at, found)| emit(at..at + found.len()))
            }
        }
    }
}

impl Source {
    fn text(&self) -> &str {
        match self {
            Source::Text(text) | Source::Regex(text) => text,
        }
    }
}
