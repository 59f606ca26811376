//! Patterns that are a run of one class of characters, with at most one white-space character in front.

use crate::unicode::Class;

/// `\s?[members]{1,max}`
#[derive(Debug)]
pub(crate) struct Run {
    /// Whether one white-space character may be in front.
    pub white_before: bool,
    pub members: fn(char) -> bool,
    pub max: usize,
}

const ANY_LENGTH: Run = Run { white_before: false, members: |_| false, max: usize::MAX };

/// The patterns of DeepSeek's tokenizers, and parts of llama.cpp's rules.
pub(super) const KNOWN: &[(&str, Run)] = &[
    (r"\p{N}", Run { members: is_number, max: 1, ..ANY_LENGTH }),
    (r"\p{N}+", Run { members: is_number, ..ANY_LENGTH }),
    (crate::patterns::DIGITS_BY_THREE, Run { members: is_number, max: 3, ..ANY_LENGTH }),
    (
        crate::patterns::CHINESE_AND_KANA,
        Run {
            members: |c| matches!(c, '一'..='龥' | '\u{3040}'..='\u{309f}' | '゠'..='ヿ'), ..ANY_LENGTH
        },
    ),
    (
        crate::patterns::CHINESE_AND_HANGUL,
        Run { members: |c| matches!(c, '\u{800}'..='龥' | '가'..='\u{d7ff}'), ..ANY_LENGTH },
    ),
    (r"[\r\n]", Run { members: |c| matches!(c, '\r' | '\n'), max: 1, ..ANY_LENGTH }),
    (
        r"\s?\p{L}+",
        Run { white_before: true, members: |c| Class::of(c).intersects(Class::LETTER), ..ANY_LENGTH },
    ),
    (
        r"\s?\p{P}+",
        Run { white_before: true, members: |c| Class::of(c).intersects(Class::PUNCTUATION), ..ANY_LENGTH },
    ),
];

fn is_number(c: char) -> bool {
    Class::of(c).intersects(Class::NUMBER)
}

impl Run {
    /// The length of the match at the start of `text`.
    pub(super) fn match_length(&self, text: &str) -> Option<usize> {
        let first = text.chars().next()?;
        let skip =
            if self.white_before && Class::of(first).intersects(Class::WHITE) { first.len_utf8() } else { 0 };
        let members = text[skip..].chars().take(self.max).take_while(|&c| (self.members)(c));
        let length: usize = members.map(char::len_utf8).sum();
        (length > 0).then_some(skip + length)
    }
}
