//! What happens to the matches of a splitting pattern and to the text between them.

use std::ops::Range;

/// What a split does with the matches of its pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behavior {
    /// The matches are dropped.
    Removed,
    /// Every match is a separate piece.
    Isolated,
    /// A match is joined to the piece before it.
    MergedWithPrevious,
    /// A match is joined to the piece after it.
    MergedWithNext,
    /// Adjacent matches are one piece.
    Contiguous,
}

impl Behavior {
    /// All behaviors with their names in tokenizer.json.
    pub(crate) const NAMES: [(&'static str, Behavior); 5] = [
        ("Removed", Behavior::Removed),
        ("Isolated", Behavior::Isolated),
        ("MergedWithPrevious", Behavior::MergedWithPrevious),
        ("MergedWithNext", Behavior::MergedWithNext),
        ("Contiguous", Behavior::Contiguous),
    ];

    /// The pieces of a text of `length` bytes, given the matches in order. With `invert`, the text between the matches
    /// is treated as the matches. Pieces may be empty.
    pub(crate) fn pieces(self, matches: &[Range<usize>], length: usize, invert: bool) -> Vec<Range<usize>> {
        let mut parts: Vec<(Range<usize>, bool)> = Vec::with_capacity(matches.len() * 2 + 1);
        let mut done = 0;
        for found in matches {
            if done != found.start {
                parts.push((done..found.start, invert));
            }
            parts.push((found.clone(), !invert));
            done = found.end;
        }
        if done != length {
            parts.push((done..length, invert));
        }
        match self {
            Behavior::Removed => parts.into_iter().filter(|part| !part.1).map(|part| part.0).collect(),
            Behavior::Isolated => parts.into_iter().map(|part| part.0).collect(),
            Behavior::Contiguous => join(parts.into_iter(), |is_match, before| is_match == before),
            Behavior::MergedWithPrevious => join(parts.into_iter(), |is_match, before| is_match && !before),
            Behavior::MergedWithNext => {
                let mut pieces = join(parts.into_iter().rev(), |is_match, before| is_match && !before);
                pieces.reverse();
                pieces
            }
        }
    }
}

/// Joins each part to the one before it if `joins(is_match, was_match)`.
fn join(
    parts: impl Iterator<Item = (Range<usize>, bool)>,
    joins: impl Fn(bool, bool) -> bool,
) -> Vec<Range<usize>> {
    let mut pieces: Vec<Range<usize>> = Vec::new();
    let mut before = false;
    for (part, is_match) in parts {
        match pieces.last_mut() {
            Some(last) if joins(is_match, before) => {
                *last = last.start.min(part.start)..last.end.max(part.end);
            }
            _ => pieces.push(part),
        }
        before = is_match;
    }
    pieces
}
