//! The effect of each step on a piece of text.
//!
//! Each piece passes through all steps before the next one, so no list of all words is needed.

use super::{Behavior, Pattern, PreTokenizer, PrependScheme, Step};
use crate::byte_alphabet::byte_to_char;
use crate::error::Result;
use crate::text::Piece;
use crate::unicode::{Class, is_word};

/// Receives the parts of a piece.
type Emit<'e, 't> = &'e mut dyn FnMut(Piece<'t>) -> Result<()>;

impl PreTokenizer {
    /// Calls `emit` with the words of a piece, in order. Words are never empty.
    pub(crate) fn words<'t>(&self, piece: Piece<'t>, emit: &mut dyn FnMut(Piece<'t>)) -> Result<()> {
        descend(self.steps(), piece, emit)
    }
}

fn descend<'t>(steps: &[Step], piece: Piece<'t>, emit: &mut dyn FnMut(Piece<'t>)) -> Result<()> {
    if piece.as_str().is_empty() {
        return Ok(());
    }
    let Some((step, rest)) = steps.split_first() else {
        emit(piece);
        return Ok(());
    };
    let writes_bytes = matches!(step, Step::ByteLevel { .. }) && !rest.is_empty();
    step.cut(piece, &mut |part| {
        let part = if writes_bytes { in_byte_alphabet(&part) } else { part };
        descend(rest, part, emit)
    })
}

fn in_byte_alphabet(piece: &Piece<'_>) -> Piece<'static> {
    piece.rewrite(|new| {
        for (at, c) in piece.as_str().char_indices() {
            let mut buffer = [0; 4];
            for byte in c.encode_utf8(&mut buffer).bytes() {
                new.replace(byte_to_char(byte).encode_utf8(&mut [0; 4]), at..at + c.len_utf8());
            }
        }
    })
}

impl Step {
    /// Splits a non-empty piece. Parts may be empty.
    fn cut<'t>(&self, piece: Piece<'t>, emit: Emit<'_, 't>) -> Result<()> {
        match self {
            Step::ByteLevel { add_prefix_space, split } => {
                let lacks_space = *add_prefix_space && !piece.as_str().starts_with(' ');
                let piece = if lacks_space { piece.prepend(" ") } else { piece };
                match split {
                    Some(pattern) => cut_at(&piece, pattern, Behavior::Isolated, false, emit),
                    None => emit(piece),
                }
            }
            Step::Split { pattern, behavior, invert } => cut_at(&piece, pattern, *behavior, *invert, emit),
            Step::Digits { individual } => {
                let behavior = if *individual { Behavior::Isolated } else { Behavior::Contiguous };
                cut_chars(&piece, |c| Class::of(c).intersects(Class::NUMBER), behavior, emit)
            }
            Step::Metaspace { replacement, prepend, split } => {
                let piece = metaspace(piece, *replacement, *prepend);
                match split {
                    true => cut_chars(&piece, |c| c == *replacement, Behavior::MergedWithNext, emit),
                    false => emit(piece),
                }
            }
            Step::Whitespace => cut_words(&piece, emit),
            Step::WhitespaceSplit => cut_chars(&piece, char::is_whitespace, Behavior::Removed, emit),
            Step::Punctuation { behavior } => {
                let is_punctuation =
                    |c: char| c.is_ascii_punctuation() || Class::of(c).intersects(Class::PUNCTUATION);
                cut_chars(&piece, is_punctuation, *behavior, emit)
            }
        }
    }
}

fn cut_at<'t>(
    piece: &Piece<'t>,
    pattern: &Pattern,
    behavior: Behavior,
    invert: bool,
    emit: Emit<'_, 't>,
) -> Result<()> {
    let length = piece.as_str().len();
    if !matches!(behavior, Behavior::Isolated | Behavior::Removed) {
        let parts = behavior.pieces(&pattern.find_all(piece.as_str())?, length, invert);
        return parts.into_iter().try_for_each(|part| emit(piece.slice(part)));
    }
    // These two behaviors do not depend on the following part.
    let keeps = |is_match: bool| behavior == Behavior::Isolated || is_match == invert;
    let mut done = 0;
    pattern.each_match(piece.as_str(), &mut |found| {
        if done < found.start && keeps(false) {
            emit(piece.slice(done..found.start))?;
        }
        done = found.end;
        if keeps(true) { emit(piece.slice(found)) } else { Ok(()) }
    })?;
    if done < length && keeps(false) { emit(piece.slice(done..length)) } else { Ok(()) }
}

fn cut_chars<'t>(
    piece: &Piece<'t>,
    is_match: impl Fn(char) -> bool,
    behavior: Behavior,
    emit: Emit<'_, 't>,
) -> Result<()> {
    let text = piece.as_str();
    let matches: Vec<_> = text.match_indices(is_match).map(|(at, found)| at..at + found.len()).collect();
    behavior.pieces(&matches, text.len(), false).into_iter().try_for_each(|part| emit(piece.slice(part)))
}

/// Splits into runs of `\w` and runs of other visible characters.
fn cut_words<'t>(piece: &Piece<'t>, emit: Emit<'_, 't>) -> Result<()> {
    let text = piece.as_str();
    let kind = |c: char| (is_word(c), c.is_whitespace());
    let mut start = 0;
    while let Some(first) = text[start..].chars().next() {
        let end = text[start..].find(|c| kind(c) != kind(first)).map_or(text.len(), |length| start + length);
        if kind(first) != (false, true) {
            emit(piece.slice(start..end))?;
        }
        start = end;
    }
    Ok(())
}

/// Replaces spaces by marks, and adds one in front if the scheme requires it.
fn metaspace<'t>(piece: Piece<'t>, mark: char, scheme: PrependScheme) -> Piece<'t> {
    let text = piece.as_str();
    let mut buffer = [0; 4];
    let written = &*mark.encode_utf8(&mut buffer);
    let wants_mark = match scheme {
        PrependScheme::Always => true,
        PrependScheme::First => piece.start() == 0,
        PrependScheme::Never => false,
    };
    let adds_mark = wants_mark && !text.starts_with([mark, ' ']);
    if !adds_mark && !text.contains(' ') {
        return piece;
    }
    piece.rewrite(|new| {
        if adds_mark {
            new.replace(written, 0..0);
        }
        let mut done = 0;
        for (at, _) in text.match_indices(' ') {
            new.keep(done..at);
            new.replace(written, at..at + 1);
            done = at + 1;
        }
        new.keep(done..text.len());
    })
}
