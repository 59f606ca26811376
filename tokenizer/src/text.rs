//! A piece of text that maps each of its bytes to the bytes of the original text.
//!
//! Most pieces are slices of the input, for which a start offset suffices. If a normalizer rewrites the text, every
//! byte of the new text has the range of original bytes that it came from.

use std::borrow::Cow;
use std::ops::Range;

#[derive(Debug, Clone)]
pub(crate) struct Piece<'t> {
    text: Cow<'t, str>,
    origin: Origin,
}

#[derive(Debug, Clone)]
enum Origin {
    /// Unchanged text that starts at this byte of the original.
    Start(usize),
    /// The range of original bytes for each byte of the text.
    Each(Vec<(usize, usize)>),
}

impl<'t> Piece<'t> {
    /// A slice of the original that starts at byte `start`.
    pub(crate) fn new(text: &'t str, start: usize) -> Piece<'t> {
        Piece { text: Cow::Borrowed(text), origin: Origin::Start(start) }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn slice(&self, range: Range<usize>) -> Piece<'t> {
        let text = match &self.text {
            Cow::Borrowed(text) => Cow::Borrowed(&text[range.clone()]),
            Cow::Owned(text) => Cow::Owned(text[range.clone()].to_owned()),
        };
        let origin = match &self.origin {
            Origin::Start(start) => Origin::Start(start + range.start),
            Origin::Each(spans) => Origin::Each(spans[range].to_vec()),
        };
        Piece { text, origin }
    }

    /// The original bytes for a range of this text's bytes.
    pub(crate) fn origin(&self, range: Range<usize>) -> Range<usize> {
        match &self.origin {
            Origin::Start(start) => start + range.start..start + range.end,
            Origin::Each(spans) => match &spans[range] {
                [] => 0..0,
                [one] => one.0..one.1,
                [first, .., last] => first.0..last.1,
            },
        }
    }

    /// The original byte at which this piece starts.
    pub(crate) fn start(&self) -> usize {
        match &self.origin {
            Origin::Start(start) => *start,
            Origin::Each(spans) => spans.first().map_or(0, |span| span.0),
        }
    }

    /// A new text, built by `write`, which keeps or replaces parts in order.
    pub(crate) fn rewrite(&self, write: impl FnOnce(&mut Rewrite<'_, '_>)) -> Piece<'static> {
        let size = self.text.len() + self.text.len() / 2;
        let mut rewrite =
            Rewrite { from: self, text: String::with_capacity(size), spans: Vec::with_capacity(size) };
        write(&mut rewrite);
        Piece { text: Cow::Owned(rewrite.text), origin: Origin::Each(rewrite.spans) }
    }

    /// The text with `prefix` in front, which has an empty range in the original.
    pub(crate) fn prepend(&self, prefix: &str) -> Piece<'static> {
        self.rewrite(|new| {
            new.replace(prefix, 0..0);
            new.keep(0..self.text.len());
        })
    }
}

/// A text under construction: see [`Piece::rewrite`].
pub(crate) struct Rewrite<'p, 't> {
    from: &'p Piece<'t>,
    text: String,
    spans: Vec<(usize, usize)>,
}

impl Rewrite<'_, '_> {
    /// Copies a part of the old text unchanged.
    pub(crate) fn keep(&mut self, range: Range<usize>) {
        self.text.push_str(&self.from.text[range.clone()]);
        match &self.from.origin {
            Origin::Start(start) => self.spans.extend(range.map(|at| (start + at, start + at + 1))),
            Origin::Each(spans) => self.spans.extend_from_slice(&spans[range]),
        }
    }

    /// Writes `text` in place of a part of the old text; for an empty part it is an insertion.
    pub(crate) fn replace(&mut self, text: &str, old: Range<usize>) {
        let origin = if old.is_empty() {
            let at = match self.from.text.len() {
                length if old.start < length => self.from.origin(old.start..old.start + 1).start,
                length => self.from.origin(0..length).end,
            };
            at..at
        } else {
            self.from.origin(old)
        };
        self.text.push_str(text);
        self.spans.extend(std::iter::repeat_n((origin.start, origin.end), text.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_keep_their_offset_in_the_original() {
        let piece = Piece::new("hello world", 10).slice(6..11);
        assert_eq!(piece.as_str(), "world");
        assert_eq!((piece.start(), piece.origin(1..3)), (16, 17..19));
    }

    #[test]
    fn rewritten_text_maps_to_what_it_replaced() {
        let piece = Piece::new("a bc", 5).rewrite(|new| {
            new.replace("▁", 0..0);
            new.keep(0..1);
            new.replace("▁", 1..2);
            new.keep(2..4);
        });
        assert_eq!(piece.as_str(), "▁a▁bc");
        assert_eq!(piece.origin(0..3), 5..5);
        assert_eq!(piece.origin(0..4), 5..6);
        assert_eq!(piece.origin(4..7), 6..7);
        assert_eq!(piece.slice(4..9).origin(3..5), 7..9);
    }
}
