//! The whole-text patterns on bytes: what ASCII alone decides is decided here, eight bytes at a time where it can be.
//!
//! [`Words::match_length`] says what a pattern matches, one character after the other. Most text asks for less: a word of
//! ASCII letters ends at the first ASCII byte that is no letter. [`end_of_match`] knows those cases, and words in other
//! scripts, and leaves all others, such as punctuation outside ASCII, to the plain rules. It is compiled for every member of the family, so that
//! the questions about the rules are answered before it runs.

use super::words::{Contractions, Lead, Letters, Words, contraction_length};
use crate::unicode::Class;

/// A member of the family as a type.
pub(crate) trait Family {
    const RULES: Words;
    /// Which ASCII bytes may follow punctuation and belong to it.
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

/// What a byte is to the rules.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letter,
    Digit,
    Space,
    LineEnd,
    /// White space that is neither a space nor a line end.
    OtherWhite,
    /// Everything else in ASCII, controls too.
    Mark,
    /// A byte of a character outside ASCII.
    Foreign,
    /// There is no byte: the text has ended.
    End,
}

const KINDS: [Kind; 256] = {
    let mut kinds = [Kind::Foreign; 256];
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

/// The end of the match that begins exactly at byte `at`, `None` where the pattern matches nothing there.
#[inline(always)]
pub(crate) fn end_of_match<F: Family>(text: &str, at: usize) -> Option<usize> {
    let quick = in_ascii::<F>(text, at);
    if quick.is_some() { quick } else { by_the_rules::<F>(text, at) }
}

#[inline(never)]
fn by_the_rules<F: Family>(text: &str, at: usize) -> Option<usize> {
    F::RULES.match_length(&text[at..]).map(|length| at + length)
}

/// The end of a match that ASCII bytes alone decide.
#[inline(always)]
fn in_ascii<F: Family>(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    // DeepSeek's rules for punctuation are its own.
    let common_marks = !F::RULES.ascii_mark_and_word;
    let marks_lead = common_marks && matches!(F::RULES.lead, Lead::AllBut(_));
    let next = kind_at(bytes, at + 1);
    match kind_at(bytes, at) {
        Kind::Letter => word::<F>(text, at),
        Kind::Foreign => foreign::<F>(text, at),
        Kind::Space => match next {
            Kind::Letter => word::<F>(text, at + 1),
            Kind::Digit if F::RULES.space_before_digits => number::<F>(bytes, at + 1),
            Kind::Mark if common_marks => marks::<F>(bytes, at + 1),
            Kind::Space | Kind::LineEnd | Kind::OtherWhite => white_space::<F>(bytes, at),
            Kind::Digit | Kind::End => Some(at + 1),
            Kind::Mark | Kind::Foreign => None,
        },
        Kind::Mark if common_marks => {
            if bytes[at] == b'\'' && leads_contractions(&F::RULES) {
                if next == Kind::Foreign {
                    return None;
                }
                let any_case = F::RULES.contractions == Contractions::AnyCase;
                if let Some(length) = contraction_length(&text[at..], any_case) {
                    return Some(at + length);
                }
            }
            match next {
                Kind::Letter if marks_lead => word::<F>(text, at + 1),
                Kind::Foreign => None,
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
    matches!(rules.contractions, Contractions::Small | Contractions::AnyCase)
}

/// A match that begins outside ASCII, where it is a word that does not look at cases.
#[inline(always)]
fn foreign<F: Family>(text: &str, at: usize) -> Option<usize> {
    let Letters::Of(letters) = F::RULES.letters else { return None };
    let mut chars = text[at..].chars();
    let first = chars.next()?;
    if Class::of(first).meets(Class::LETTER) {
        return Some(end_of_word(text, at, letters));
    }
    let Lead::AllBut(classes) = F::RULES.lead else { return None };
    let leads =
        !Class::of(first).meets(classes) && chars.next().is_some_and(|c| Class::of(c).meets(Class::LETTER));
    leads.then(|| end_of_word(text, at + first.len_utf8(), letters))
}

/// A word whose first letter, in ASCII, is at `at`.
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
            (kind_at(bytes, end) != Kind::Foreign && !suffix).then_some(end)
        }
    }
}

/// The end of a run of letters.
#[inline(always)]
fn end_of_word(text: &str, at: usize, letters: Class) -> usize {
    let bytes = text.as_bytes();
    let end = end_of_letters(bytes, at);
    if kind_at(bytes, end) == Kind::Foreign { end_of_foreign_word(text, end, letters) } else { end }
}

fn end_of_foreign_word(text: &str, mut at: usize, letters: Class) -> usize {
    let bytes = text.as_bytes();
    while let Some(&byte) = bytes.get(at) {
        match byte {
            // U+5000 to U+8FFF: Chinese characters all.
            0xe5..=0xe8 => at += 3,
            0x80.. => match text[at..].chars().next() {
                Some(c) if Class::of(c).meets(letters) => at += c.len_utf8(),
                _ => break,
            },
            _ if byte.is_ascii_alphabetic() => at += 1,
            _ => break,
        }
    }
    at
}

/// The first byte from `at` on that is no ASCII letter.
#[inline(always)]
fn end_of_letters(bytes: &[u8], mut at: usize) -> usize {
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let others = not_letters(u64::from_le_bytes(*eight));
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

/// The top bit of each of eight bytes that is no ASCII letter.
#[inline(always)]
const fn not_letters(eight: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const TOP: u64 = 0x80 * EACH;
    // Small letters all; then the top bit tells whether a sum has gone past `a`, or past `z`.
    let small = (eight | (0x20 * EACH)) & !TOP;
    let from_a = small + (0x80 - b'a' as u64) * EACH;
    let past_z = small + (0x7f - b'z' as u64) * EACH;
    !(from_a & !past_z & !eight) & TOP
}

/// A number whose first digit is at `at`.
#[inline(always)]
fn number<F: Family>(bytes: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    while end - at < F::RULES.digits {
        match kind_at(bytes, end) {
            Kind::Digit => end += 1,
            Kind::Foreign => return None,
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
    if kind_at(bytes, end) == Kind::Foreign {
        return None;
    }
    let is_tail = |byte: &u8| *F::TAIL.get(usize::from(*byte)).unwrap_or(&false);
    while bytes.get(end).is_some_and(is_tail) {
        end += 1;
    }
    Some(end)
}

/// White space from `at` on, where no word takes any of it but the last.
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
            Kind::Foreign => return None,
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
    fn eight_letters_are_told_from_all_other_bytes() {
        for byte in 0..=255u8 {
            for place in 0..8 {
                let mut eight = [b'q'; 8];
                eight[place] = byte;
                let expected = if byte.is_ascii_alphabetic() { 0 } else { 0x80 << (8 * place) };
                assert_eq!(not_letters(u64::from_le_bytes(eight)), expected, "{byte} at {place}");
            }
        }
    }
}
