//! The fast path of the whole-text patterns: works on bytes, on eight at a time where possible.
//!
//! [`Words::match_length`] defines what a pattern matches, character by character. Most text is simpler: a word of
//! ASCII letters ends at the first ASCII byte that is not a letter. [`end_of_match`] handles such cases, and words in
//! other scripts; all others, such as punctuation outside ASCII, are left to the rules. It is compiled for each member
//! of the family, so its conditions on the rules are evaluated at compile time.

use super::words::{Contractions, Lead, Letters, Words, contraction_length};
use crate::unicode::Class;

/// A member of the family as a type.
pub(crate) trait Family {
    const RULES: Words;
    /// The ASCII bytes that belong to the punctuation they follow.
    const TAIL: [bool; 128] = tail(&Self::RULES);
}

const fn tail(rules: &Words) -> [bool; 128] {
    let mut table = [false; 128];
    let mut next = 0;
    while next < rules.marks_tail.len() {
        table[rules.marks_tail[next] as usize] = true;
        next += 1;
    }
    table
}

/// The class of a byte for the rules.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letter,
    Digit,
    Space,
    LineEnd,
    /// White space that is neither a space nor a line end.
    OtherWhite,
    /// Everything else in ASCII, including control characters.
    Mark,
    /// A byte of a character outside ASCII.
    NonAscii,
    /// The end of the text.
    End,
}

const KINDS: [Kind; 256] = {
    let mut kinds = [Kind::NonAscii; 256];
    let mut byte = 0;
    while byte < 128 {
        kinds[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' => Kind::Letter,
            b'0'..=b'9' => Kind::Digit,
            b' ' => Kind::Space,
            b'\r' | b'\n' => Kind::LineEnd,
            b'\t' | 0x0b | 0x0c => Kind::OtherWhite,
            _ => Kind::Mark,
        };
        byte += 1;
    }
    kinds
};

#[inline(always)]
fn kind_at(bytes: &[u8], at: usize) -> Kind {
    bytes.get(at).map_or(Kind::End, |&byte| KINDS[usize::from(byte)])
}

/// The end of the match that starts exactly at byte `at`, `None` if there is none.
#[inline(always)]
pub(crate) fn end_of_match<F: Family>(text: &str, at: usize) -> Option<usize> {
    let fast = by_bytes::<F>(text, at);
    if fast.is_some() { fast } else { by_rules::<F>(text, at) }
}

#[inline(never)]
fn by_rules<F: Family>(text: &str, at: usize) -> Option<usize> {
    F::RULES.match_length(&text[at..]).map(|length| at + length)
}

/// The end of the match in the cases of the fast path.
#[inline(always)]
fn by_bytes<F: Family>(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    // DeepSeek has different rules for punctuation.
    let common_marks = !F::RULES.ascii_mark_and_word;
    let marks_lead = common_marks && matches!(F::RULES.lead, Lead::AllBut(_));
    let next = kind_at(bytes, at + 1);
    match kind_at(bytes, at) {
        Kind::Letter => word::<F>(text, at),
        Kind::NonAscii => non_ascii::<F>(text, at),
        Kind::Space => match next {
            Kind::Letter => word::<F>(text, at + 1),
            Kind::Digit if F::RULES.space_before_digits => number::<F>(bytes, at + 1),
            Kind::Mark if common_marks => marks::<F>(bytes, at + 1),
            Kind::Space | Kind::LineEnd | Kind::OtherWhite => white_space::<F>(bytes, at),
            Kind::Digit | Kind::End => Some(at + 1),
            Kind::Mark | Kind::NonAscii => None,
        },
        Kind::Mark if common_marks => {
            if bytes[at] == b'\'' && leads_contractions(&F::RULES) {
                if next == Kind::NonAscii {
                    return None;
                }
                let any_case = F::RULES.contractions == Contractions::AnyCase;
                if let Some(length) = contraction_length(&text[at..], any_case) {
                    return Some(at + length);
                }
            }
            match next {
                Kind::Letter if marks_lead => word::<F>(text, at + 1),
                Kind::NonAscii => None,
                _ => marks::<F>(bytes, at),
            }
        }
        Kind::Digit if F::RULES.digits > 0 => number::<F>(bytes, at),
        Kind::OtherWhite if matches!(F::RULES.lead, Lead::AllBut(_)) => match next {
            Kind::Letter => word::<F>(text, at + 1),
            _ => white_space::<F>(bytes, at),
        },
        Kind::LineEnd | Kind::OtherWhite => white_space::<F>(bytes, at),
        Kind::Mark | Kind::Digit | Kind::End => None,
    }
}

const fn leads_contractions(rules: &Words) -> bool {
    matches!(rules.contractions, Contractions::Lower | Contractions::AnyCase)
}

/// A match that starts outside ASCII, if it is a word of rules that ignore case.
#[inline(always)]
fn non_ascii<F: Family>(text: &str, at: usize) -> Option<usize> {
    let Letters::Of(letters) = F::RULES.letters else { return None };
    let mut chars = text[at..].chars();
    let first = chars.next()?;
    if Class::of(first).intersects(Class::LETTER) {
        return Some(end_of_word(text, at, letters));
    }
    let Lead::AllBut(classes) = F::RULES.lead else { return None };
    let leads = !Class::of(first).intersects(classes)
        && chars.next().is_some_and(|c| Class::of(c).intersects(Class::LETTER));
    leads.then(|| end_of_word(text, at + first.len_utf8(), letters))
}

/// A word whose first letter, an ASCII letter, is at `at`.
#[inline(always)]
fn word<F: Family>(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    match F::RULES.letters {
        Letters::Of(letters) => Some(end_of_word(text, at, letters)),
        Letters::Cased => {
            let run = |from, keep: fn(&u8) -> bool| {
                from + bytes[from..].iter().position(|byte| !keep(byte)).unwrap_or(bytes.len() - from)
            };
            let end = run(run(at, u8::is_ascii_uppercase), u8::is_ascii_lowercase);
            let suffix = F::RULES.contractions == Contractions::Suffix && bytes.get(end) == Some(&b'\'');
            (kind_at(bytes, end) != Kind::NonAscii && !suffix).then_some(end)
        }
    }
}

/// The end of a run of letters.
#[inline(always)]
fn end_of_word(text: &str, at: usize, letters: Class) -> usize {
    let bytes = text.as_bytes();
    let end = end_of_letters(bytes, at);
    if kind_at(bytes, end) == Kind::NonAscii { end_of_non_ascii_word(text, end, letters) } else { end }
}

fn end_of_non_ascii_word(text: &str, mut at: usize, letters: Class) -> usize {
    let bytes = text.as_bytes();
    while let Some(&byte) = bytes.get(at) {
        match byte {
            // U+5000 to U+8FFF are all Chinese characters.
            0xe5..=0xe8 => at += 3,
            0x80.. => match text[at..].chars().next() {
                Some(c) if Class::of(c).intersects(letters) => at += c.len_utf8(),
                _ => break,
            },
            _ if byte.is_ascii_alphabetic() => at += 1,
            _ => break,
        }
    }
    at
}

/// The first byte at or after `at` that is not an ASCII letter.
#[inline(always)]
fn end_of_letters(bytes: &[u8], mut at: usize) -> usize {
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let others = non_letters(u64::from_le_bytes(*eight));
        if others != 0 {
            return at + others.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while kind_at(bytes, at) == Kind::Letter {
        at += 1;
    }
    at
}

/// A mask with the top bit of each byte that is not an ASCII letter.
#[inline(always)]
const fn non_letters(eight: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const TOP: u64 = 0x80 * EACH;
    // Convert to lower case; then the top bit of each sum shows whether the byte is at least `a`, or above `z`.
    let lower = (eight | (0x20 * EACH)) & !TOP;
    let from_a = lower + (0x80 - b'a' as u64) * EACH;
    let past_z = lower + (0x7f - b'z' as u64) * EACH;
    !(from_a & !past_z & !eight) & TOP
}

/// A number whose first digit is at `at`.
#[inline(always)]
fn number<F: Family>(bytes: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    while end - at < F::RULES.digits {
        match kind_at(bytes, end) {
            Kind::Digit => end += 1,
            Kind::NonAscii => return None,
            _ => break,
        }
    }
    Some(end)
}

/// Punctuation whose first mark is at `at`.
#[inline(always)]
fn marks<F: Family>(bytes: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    while kind_at(bytes, end) == Kind::Mark {
        end += 1;
    }
    if kind_at(bytes, end) == Kind::NonAscii {
        return None;
    }
    let is_tail = |byte: &u8| *F::TAIL.get(usize::from(*byte)).unwrap_or(&false);
    while bytes.get(end).is_some_and(is_tail) {
        end += 1;
    }
    Some(end)
}

/// White space that starts at `at`, of which a following word takes at most the last character.
#[inline(always)]
fn white_space<F: Family>(bytes: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    let mut line_end = None;
    loop {
        match kind_at(bytes, end) {
            Kind::Space | Kind::OtherWhite => end += 1,
            Kind::LineEnd => {
                end += 1;
                line_end = Some(end);
            }
            Kind::NonAscii => return None,
            Kind::End => return Some(line_end.filter(|_| F::RULES.line_ends).unwrap_or(end)),
            _ => break,
        }
    }
    match line_end {
        Some(line_end) if F::RULES.line_ends => Some(line_end),
        _ if end - at > 1 => Some(end - 1),
        _ => Some(end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_marks_exactly_the_non_letters() {
        for byte in 0..=255u8 {
            for index in 0..8 {
                let mut eight = [b'q'; 8];
                eight[index] = byte;
                let expected = if byte.is_ascii_alphabetic() { 0 } else { 0x80 << (8 * index) };
                assert_eq!(non_letters(u64::from_le_bytes(eight)), expected, "{byte} at {index}");
            }
        }
    }
}
