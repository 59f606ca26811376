//! What Python's string methods know about characters.

use super::unicode_tables::{ALPHA, DECIMAL, DIGIT, FOLD, NO_PART, NO_START, NUMERIC, PART, START, TITLE};

fn within(table: &[(u32, u32)], c: char) -> bool {
    let after = table.partition_point(|&(first, _)| first <= c as u32);
    after.checked_sub(1).is_some_and(|at| c as u32 <= table[at].1)
}

fn mapped(table: &'static [(char, &str)], c: char) -> Option<&'static str> {
    table.binary_search_by_key(&c, |&(from, _)| from).ok().map(|at| table[at].1)
}

/// `str.isspace`: Unicode's white space, and the four information separators.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Whether `str.splitlines` ends a line at the character.
pub(super) fn ends_line(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// `str.isalpha`: letters.
pub(super) fn is_alpha(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphabetic() } else { within(&ALPHA, c) }
}

/// `str.isdecimal`: digits of decimal systems.
pub(super) fn is_decimal(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_digit() } else { within(&DECIMAL, c) }
}

/// `str.isdigit`: also superscript and circled digits.
pub(super) fn is_digit(c: char) -> bool {
    is_decimal(c) || within(&DIGIT, c)
}

/// `str.isnumeric`: also fractions and ideographs for numbers.
pub(super) fn is_numeric(c: char) -> bool {
    is_digit(c) || within(&NUMERIC, c)
}

/// The value of a decimal digit of any script. Each script's digits are ten consecutive characters.
pub(super) fn decimal_value(c: char) -> Option<u32> {
    let after = DECIMAL.partition_point(|&(first, _)| first <= c as u32);
    let (first, last) = DECIMAL[after.checked_sub(1)?];
    (c as u32 <= last).then(|| (c as u32 - first) % 10)
}

/// Whether a character may stand in an identifier.
pub(super) fn is_identifier_part(c: char) -> bool {
    if c.is_ascii() {
        return c == '_' || c.is_ascii_alphanumeric();
    }
    (is_alpha(c) && !within(&NO_PART, c)) || is_decimal(c) || within(&START, c) || within(&PART, c)
}

/// `str.isidentifier`.
pub(super) fn is_identifier(text: &str) -> bool {
    let start = |c: char| {
        let letter = is_alpha(c) && !within(&NO_PART, c) && !within(&NO_START, c);
        letter || within(&START, c)
    };
    text.starts_with(start) && text.chars().all(is_identifier_part)
}

/// A title case letter such as `ǅ`.
pub(super) fn is_title(c: char) -> bool {
    mapped(&TITLE, c).is_some_and(|title| title.chars().eq([c]))
}

pub(super) fn is_cased(c: char) -> bool {
    c.is_lowercase() || c.is_uppercase() || is_title(c)
}

/// Appends the title case of a character.
pub(super) fn push_title(c: char, out: &mut String) {
    match mapped(&TITLE, c) {
        Some(title) => out.push_str(title),
        None => out.extend(c.to_uppercase()),
    }
}

/// `str.casefold`.
pub(super) fn casefold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match mapped(&FOLD, c) {
            Some(folded) => out.push_str(folded),
            None => out.extend(c.to_lowercase()),
        }
    }
    out
}

/// The lower case of each character of a text. A capital sigma's depends on its neighbours.
fn lower_each(text: &str) -> impl Iterator<Item = (char, String)> {
    let lower: Vec<char> = text.to_lowercase().chars().collect();
    let mut at = 0;
    text.chars().map(move |c| {
        let length = c.to_lowercase().count();
        at += length;
        (c, lower[at - length..at].iter().collect())
    })
}

/// `str.capitalize`.
pub(super) fn capitalize(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (i, (c, lower)) in lower_each(text).enumerate() {
        if i == 0 { push_title(c, &mut out) } else { out.push_str(&lower) }
    }
    out
}

/// `str.title`: the first letter of each run of letters in title case, the others in lower case.
pub(super) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    for (c, lower) in lower_each(text) {
        if in_word {
            out.push_str(&lower)
        } else {
            push_title(c, &mut out)
        }
        in_word = is_cased(c);
    }
    out
}

/// `str.swapcase`.
pub(super) fn swapcase(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (c, lower) in lower_each(text) {
        if c.is_uppercase() {
            out.push_str(&lower);
        } else if c.is_lowercase() {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
    }
    out
}

/// Whether `repr` writes the character unescaped: not control or format characters, separators other than the space, or
/// unassigned code points. Rust's debug output makes the same choice for a character that is not the first.
pub(super) fn is_printable(c: char) -> bool {
    let pair: String = ['a', c].iter().collect();
    matches!(c, '\'' | '"' | '\\') || pair.escape_debug().nth(1) == Some(c)
}
