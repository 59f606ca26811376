//! Normalization: rewriting text before it is split. Unicode normal forms, replacements, case.

use std::borrow::Cow;
use std::ops::Range;

use unicode_normalization::{IsNormalized, UnicodeNormalization, char::canonical_combining_class};
use unicode_normalization::{is_nfc_quick, is_nfd_quick, is_nfkc_quick, is_nfkd_quick};

use crate::error::Result;
use crate::pretokenize::Pattern;
use crate::text::Piece;

/// A Unicode normal form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Canonical decomposition, then composition.
    Nfc,
    /// Canonical decomposition.
    Nfd,
    /// Compatibility decomposition, then composition.
    Nfkc,
    /// Compatibility decomposition.
    Nfkd,
}

/// One step of normalization.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Normalizer {
    /// A Unicode normal form.
    Unicode(Form),
    /// Replaces the matches of a pattern.
    Replace {
        /// The pattern.
        pattern: Pattern,
        /// The replacement.
        content: String,
    },
    /// Adds a prefix, unless the piece is empty.
    Prepend(String),
    /// Removes white space from the ends.
    Strip {
        /// At the start.
        left: bool,
        /// At the end.
        right: bool,
    },
    /// Converts to lower case.
    Lowercase,
    /// Writes the text's bytes in the [byte alphabet](crate::byte_alphabet).
    ByteLevel,
}

impl Normalizer {
    /// The maximum number of bytes that one byte of a text becomes.
    pub(crate) fn growth(&self) -> usize {
        match self {
            // The maximum is U+FDFA: three bytes, thirty-three when decomposed.
            Normalizer::Unicode(_) => 11,
            Normalizer::Replace { pattern, content } => pattern.growth(content),
            Normalizer::Prepend(prefix) => prefix.len().saturating_add(1),
            Normalizer::Strip { .. } => 1,
            Normalizer::Lowercase => 3,
            Normalizer::ByteLevel => 2,
        }
    }

    /// The piece after this step.
    pub(crate) fn apply<'t>(&self, piece: Piece<'t>) -> Result<Piece<'t>> {
        let text = piece.as_str();
        Ok(match self {
            Normalizer::Unicode(form) => form.apply(piece),
            Normalizer::Replace { pattern, content } => {
                let matches = pattern.find_all(text)?;
                if matches.is_empty() {
                    return Ok(piece);
                }
                piece.rewrite(|new| {
                    let mut done = 0;
                    for found in matches {
                        new.keep(done..found.start);
                        done = found.end;
                        new.replace(content, found);
                    }
                    new.keep(done..text.len());
                })
            }
            Normalizer::Prepend(prefix) if text.is_empty() || prefix.is_empty() => piece,
            Normalizer::Prepend(prefix) => piece.prepend(prefix),
            Normalizer::Strip { left, right } => {
                let start = if *left { text.len() - text.trim_start().len() } else { 0 };
                let end = if *right { text.trim_end().len() } else { text.len() };
                piece.slice(start..end.max(start))
            }
            Normalizer::Lowercase => by_char(piece, |c, out| out.extend(c.to_lowercase())),
            Normalizer::ByteLevel => by_char(piece, |c, out| {
                let mut buffer = [0; 4];
                out.push_str(&crate::byte_alphabet::encode(c.encode_utf8(&mut buffer).as_bytes()));
            }),
        })
    }
}

fn by_char<'t>(piece: Piece<'t>, write: impl Fn(char, &mut String)) -> Piece<'t> {
    let mut written = String::new();
    piece.rewrite(|new| {
        for (at, c) in piece.as_str().char_indices() {
            written.clear();
            write(c, &mut written);
            new.replace(&written, at..at + c.len_utf8());
        }
    })
}

impl Form {
    fn apply<'t>(self, piece: Piece<'t>) -> Piece<'t> {
        if self.is_normal(piece.as_str()) {
            return piece;
        }
        piece.rewrite(|new| {
            for part in self.parts(piece.as_str()) {
                let text = &piece.as_str()[part.clone()];
                let normal = self.of(text);
                if normal == text {
                    new.keep(part);
                } else {
                    new.replace(&normal, part);
                }
            }
        })
    }

    /// The normal form of a text.
    fn of(self, text: &str) -> Cow<'_, str> {
        if self.is_normal(text) {
            return Cow::Borrowed(text);
        }
        Cow::Owned(match self {
            Form::Nfc => text.nfc().collect(),
            Form::Nfd => text.nfd().collect(),
            Form::Nfkc => text.nfkc().collect(),
            Form::Nfkd => text.nfkd().collect(),
        })
    }

    /// Whether the quick check already shows that the text is in this form.
    fn is_normal(self, text: &str) -> bool {
        let answer = match self {
            Form::Nfc => is_nfc_quick(text.chars()),
            Form::Nfd => is_nfd_quick(text.chars()),
            Form::Nfkc => is_nfkc_quick(text.chars()),
            Form::Nfkd => is_nfkd_quick(text.chars()),
        };
        answer == IsNormalized::Yes
    }

    /// Splits a text into parts that can be normalized independently: before characters that neither combine nor
    /// change.
    fn parts(self, text: &str) -> impl Iterator<Item = Range<usize>> {
        let stands_alone = move |c: char| {
            canonical_combining_class(c) == 0
                && match self {
                    Form::Nfc | Form::Nfd => is_nfc_quick(std::iter::once(c)),
                    Form::Nfkc | Form::Nfkd => is_nfkc_quick(std::iter::once(c)),
                } == IsNormalized::Yes
        };
        let mut start = 0;
        std::iter::from_fn(move || {
            let mut chars = text[start..].char_indices();
            chars.next()?;
            let length = chars.find(|&(_, c)| stands_alone(c)).map_or(text.len() - start, |(at, _)| at);
            start += length;
            Some(start - length..start)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn normal(form: Form, text: &str) -> String {
        form.apply(Piece::new(text, 0)).as_str().to_owned()
    }

    #[test]
    fn origins_map_to_the_original_characters() {
        let text = "e\u{301}x";
        let piece = Form::Nfc.apply(Piece::new(text, 0));
        assert_eq!(piece.as_str(), "éx");
        assert_eq!((piece.origin(0..2), piece.origin(2..3)), (0..3, 3..4));
    }

    proptest! {
        #[test]
        fn normalizing_by_parts_equals_normalizing_at_once(text in "(\\PC|[\u{300}-\u{36f}가-힣ᄀ-ᇿ\u{f71}-\u{f84}ÅﬁⅣ]){0,24}") {
            prop_assert_eq!(normal(Form::Nfc, &text), text.nfc().collect::<String>());
            prop_assert_eq!(normal(Form::Nfd, &text), text.nfd().collect::<String>());
            prop_assert_eq!(normal(Form::Nfkc, &text), text.nfkc().collect::<String>());
            prop_assert_eq!(normal(Form::Nfkd, &text), text.nfkd().collect::<String>());
        }
    }
}
