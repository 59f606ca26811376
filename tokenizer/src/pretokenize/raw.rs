//! Splitting for tokenizers that do not rewrite the text: words are ranges of the text, and nothing is copied.
//!
//! This covers nearly all byte-level tokenizers. `cut` covers every step, and finds the same words.

use std::ops::Range;

use super::scanners::Scanner;
use super::{Behavior, PreTokenizer, Step};
use crate::unicode::Class;

/// A step that only splits.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// At the matches of a well-known pattern; `matches` and `between` say whether the matches and the text between
    /// them become words.
    At { scanner: Scanner, matches: bool, between: bool },
    /// Around numbers: each digit, or runs of digits.
    Numbers { individual: bool },
}

impl PreTokenizer {
    /// The cuts, if all steps only split the text and the words are then taken as bytes.
    pub(crate) fn cuts(&self) -> Option<Vec<Cut>> {
        let (last, before) = self.steps().split_last()?;
        let Step::ByteLevel { add_prefix_space: false, split } = last else { return None };
        let mut cuts = before.iter().map(Step::as_cut).collect::<Option<Vec<Cut>>>()?;
        if let Some(pattern) = split {
            cuts.push(Cut::At { scanner: pattern.scanner()?, matches: true, between: true });
        }
        Some(cuts)
    }
}

impl Step {
    fn as_cut(&self) -> Option<Cut> {
        match self {
            Step::Split { pattern, behavior, invert } => {
                let scanner = pattern.scanner()?;
                match behavior {
                    Behavior::Isolated => Some(Cut::At { scanner, matches: true, between: true }),
                    Behavior::Removed => Some(Cut::At { scanner, matches: *invert, between: !*invert }),
                    _ => None,
                }
            }
            Step::Digits { individual } => Some(Cut::Numbers { individual: *individual }),
            _ => None,
        }
    }
}

/// Calls `emit` with the words of `text[range]`, in order. Words are never empty.
pub(crate) fn each_word(cuts: &[Cut], text: &str, range: Range<usize>, emit: &mut impl FnMut(Range<usize>)) {
    match cuts {
        [] if range.is_empty() => {}
        [] => emit(range),
        [last] => last.each_part(text, range, emit),
        [first, rest @ ..] => first.each_part(text, range, |part| each_word(rest, text, part, emit)),
    }
}

impl Cut {
    #[inline]
    fn each_part(&self, text: &str, range: Range<usize>, mut emit: impl FnMut(Range<usize>)) {
        let (mut done, end) = (range.start, range.end);
        match *self {
            Cut::At { scanner, matches, between } => {
                scanner.each_match(text, range, |found| {
                    if done < found.start && between {
                        emit(done..found.start);
                    }
                    done = found.end;
                    if matches {
                        emit(found);
                    }
                });
                if done < end && between {
                    emit(done..end);
                }
            }
            Cut::Numbers { individual } => {
                let is_number =
                    |c: char| c.is_ascii_digit() || (!c.is_ascii() && Class::of(c).intersects(Class::NUMBER));
                while done < end {
                    let rest = &text[done..end];
                    let length = match rest.chars().next() {
                        Some(c) if is_number(c) && individual => Some(c.len_utf8()),
                        Some(c) if is_number(c) => rest.find(|c| !is_number(c)),
                        _ => rest.find(is_number),
                    };
                    let next = length.map_or(end, |length| done + length);
                    emit(done..next);
                    done = next;
                }
            }
        }
    }
}
