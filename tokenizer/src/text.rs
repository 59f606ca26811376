//! A piece of text that remembers which bytes of the original each of its bytes came from.
//!
//! Most pieces are plain slices of the input, for which a start is enough. A normalizer may rewrite the text; then
//! every byte of the new text carries the range of original bytes that it stands for.

use std::borrow::Cow;
use std::ops::Range;

#[derive(Debug, Clone)]
pub(crate) struct Piece<'t> {
    text: Cow<'t, str>,
    origin: Origin,
}

#[derive(Debug, Clone)]
enum Origin {
    /// Unchanged text that begins at this byte of the original.
    Start(usize),
    /// For each byte of the text the original bytes behind it.
    Each(Vec<(usize, usize)>),
}

impl<'t> Piece<'t> {
    /// A slice of the original that begins at byte `start`.
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

    /// The bytes of the original behind a range of this text's bytes.
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

    /// The original byte that this piece begins with.
    pub(crate) fn start(&self) -> usize {
        match &self.origin {
            Origin::Start(start) => *start,
            Origin::Each(spans) => spans.first().map_or(0, |span| span.0),
        }
    }

    /// A new text, told by `write`, which keeps and puts parts in order.
    pub(crate) fn rewrite(&self, write: impl FnOnce(&mut Rewrite<'_, '_>)) -> Piece<'static> {
        let size = self.text.len() + self.text.len() / 2;
        let mut rewrite =
            Rewrite { from: self, text: String::with_capacity(size), spans: Vec::with_capacity(size) };
        write(&mut rewrite);
        Piece { text: Cow::Owned(rewrite.text), origin: Origin::Each(rewrite.spans) }
    }

    /// The text with `prefix` in front, which stands for no byte of the original.
    pub(crate) fn prepend(&self, prefix: &str) -> Piece<'static> {
        self.rewrite(|new| {
            new.put(prefix, 0..0);
            new.keep(0..self.text.len());
        })
    }
}

/// A text in the making: see [`Piece::rewrite`].
pub(crate) struct Rewrite<'p, 't> {
    from: &'p Piece<'t>,
    text: String,
    spans: Vec<(usize, usize)>,
}

impl Rewrite<'_, '_> {
    /// Takes over a part of the old text as it is.
    pub(crate) fn keep(&mut self, range: Range<usize>) {
        self.text.push_str(&self.from.text[range.clone()]);
        match &self.from.origin {
            Origin::Start(start) => self.spans.extend(range.map(|at| (start + at, start + at + 1))),
            Origin::Each(spans) => self.spans.extend_from_slice(&spans[range]),
        }
    }

    /// Writes `text` in the place of a part of the old text; an empty part makes it an insertion.
    pub(crate) fn put(&mut self, text: &str, instead_of: Range<usize>) {
        let origin = if instead_of.is_empty() {
            let at = match self.from.text.len() {
                length if instead_of.start < length => {
                    self.from.origin(instead_of.start..instead_of.start + 1).start
                }
                length => self.from.origin(0..length).end,
            };
            at..at
        } else {
            self.from.origin(instead_of)
        };
        self.text.push_str(text);
        self.spans.extend(std::iter::repeat_n((origin.start, origin.end), text.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_keep_their_place_in_the_original() {
        let piece = Piece::new("hello world", 10).slice(6..11);
        assert_eq!(piece.as_str(), "world");
        assert_eq!((piece.start(), piece.origin(1..3)), (16, 17..19));
    }

    #[test]
    fn rewritten_text_points_to_what_it_replaced() {
        let piece = Piece::new("a bc", 5).rewrite(|new| {
            new.put("▁", 0..0);
            new.keep(0..1);
            new.put("▁", 1..2);
            new.keep(2..4);
        });
        assert_eq!(piece.as_str(), "▁a▁bc");
        assert_eq!(piece.origin(0..3), 5..5);
        assert_eq!(piece.origin(0..4), 5..6);
        assert_eq!(piece.origin(4..7), 6..7);
        assert_eq!(piece.slice(4..9).origin(3..5), 7..9);
    }
}
