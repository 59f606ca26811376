//! Rewriting text before it is cut: Unicode normal forms, replacements, case.

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
    /// Puts a text in the place of whatever a pattern matches.
    Replace {
        /// What to look for.
        pattern: Pattern,
        /// What takes its place.
        content: String,
    },
    /// Puts a text in front, unless the piece is empty.
    Prepend(String),
    /// Takes white space from the ends.
    Strip {
        /// From the start.
        left: bool,
        /// From the end.
        right: bool,
    },
    /// Small letters only.
    Lowercase,
    /// Writes the bytes of the text in the [byte alphabet](crate::byte_alphabet).
    ByteLevel,
}

impl Normalizer {
    /// How many bytes one byte of a text can become.
    pub(crate) fn growth(&self) -> usize {
        match self {
            // U+FDFA is the extreme: three bytes, thirty-three when it is decomposed.
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
                        new.put(content, found);
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
            new.put(&written, at..at + c.len_utf8());
        }
    })
}

impl Form {
    fn apply<'t>(self, piece: Piece<'t>) -> Piece<'t> {
        if self.quick(piece.as_str()) {
            return piece;
        }
        piece.rewrite(|new| {
            for part in self.parts(piece.as_str()) {
                let text = &piece.as_str()[part.clone()];
                let normal = self.of(text);
                if normal == text {
                    new.keep(part);
                } else {
                    new.put(&normal, part);
                }
            }
        })
    }

    /// The normal form of a text.
    fn of(self, text: &str) -> Cow<'_, str> {
        if self.quick(text) {
            return Cow::Borrowed(text);
        }
        Cow::Owned(match self {
            Form::Nfc => text.nfc().collect(),
            Form::Nfd => text.nfd().collect(),
            Form::Nfkc => text.nfkc().collect(),
            Form::Nfkd => text.nfkd().collect(),
        })
    }

    /// Whether a look at each character is enough to say that the text is in this form.
    fn quick(self, text: &str) -> bool {
        let answer = match self {
            Form::Nfc => is_nfc_quick(text.chars()),
            Form::Nfd => is_nfd_quick(text.chars()),
            Form::Nfkc => is_nfkc_quick(text.chars()),
            Form::Nfkd => is_nfkd_quick(text.chars()),
        };
        answer == IsNormalized::Yes
    }

    /// Cuts a text where no character reaches across: in front of those that neither combine nor change.
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
    fn origins_follow_the_characters() {
        let text = "e\u{301}x";
        let piece = Form::Nfc.apply(Piece::new(text, 0));
        assert_eq!(piece.as_str(), "éx");
        assert_eq!((piece.origin(0..2), piece.origin(2..3)), (0..3, 3..4));
    }

    proptest! {
        #[test]
        fn part_by_part_is_the_same_as_at_once(text in "(\\PC|[\u{300}-\u{36f}가-힣ᄀ-ᇿ\u{f71}-\u{f84}ÅﬁⅣ]){0,24}") {
            prop_assert_eq!(normal(Form::Nfc, &text), text.nfc().collect::<String>());
            prop_assert_eq!(normal(Form::Nfd, &text), text.nfd().collect::<String>());
            prop_assert_eq!(normal(Form::Nfkc, &text), text.nfkc().collect::<String>());
            prop_assert_eq!(normal(Form::Nfkd, &text), text.nfkd().collect::<String>());
        }
    }
}
