//! Number and string literals.

use super::ast::Span;
use super::fault::{Fault, FaultKind, Result, fail, fault};
use super::lexer::Token;

/// The number at the start of `text`, and its length. `after_dot` allows integers only.
pub(super) fn number(text: &str, after_dot: bool) -> Result<(Token, usize)> {
    if let Some(length) = float(text).filter(|_| !after_dot) {
        let value = text[..length].replace('_', "").parse().unwrap_or(f64::NAN);
        return Ok((Token::Float(value), length));
    }
    for (prefix, radix) in [("0b", 2), ("0o", 8), ("0x", 16)] {
        if text.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(prefix)) {
            let length = digits(&text[2..], radix, true);
            if length > 0 {
                return Ok((integer(&text[2..2 + length], radix)?, 2 + length));
            }
        }
    }
    let length = if text.starts_with('0') {
        let zeros = text.find(|c| c != '0' && c != '_').unwrap_or(text.len());
        text[..zeros].trim_end_matches('_').len()
    } else {
        digits(text, 10, false)
    };
    Ok((integer(&text[..length], 10)?, length))
}

fn integer(digits: &str, radix: u32) -> Result<Token> {
    match i128::from_str_radix(&digits.replace('_', ""), radix) {
        Ok(value) => Ok(Token::Int(value)),
        Err(_) => fail(FaultKind::Unsupported, "an integer of more than 127 bits"),
    }
}

/// The length of a run of digits with single underscores between them, or first if `leading`.
fn digits(text: &str, radix: u32, leading: bool) -> usize {
    let mut length = 0;
    let mut underscore = !leading;
    for c in text.chars() {
        if c.is_digit(radix) {
            underscore = false;
        } else if c == '_' && !underscore {
            underscore = true;
        } else {
            break;
        }
        length += 1;
    }
    text[..length].trim_end_matches('_').len()
}

/// The length of a float: digits, then a fraction, an exponent or both.
fn float(text: &str) -> Option<usize> {
    let whole = digits(text, 10, false);
    let mut length = whole;
    if let Some(rest) = text[length..].strip_prefix('.') {
        let fraction = digits(rest, 10, false);
        if fraction == 0 {
            return None;
        }
        length += 1 + fraction;
    }
    let rest = &text[length..];
    if rest.starts_with(['e', 'E']) {
        let sign = usize::from(rest[1..].starts_with(['+', '-']));
        let exponent = digits(&rest[1 + sign..], 10, false);
        if exponent > 0 {
            length += 1 + sign + exponent;
        }
    }
    (whole > 0 && length > whole).then_some(length)
}

/// The text of the string literal at `start`, and the position after it. Escapes are Python's `unicode-escape`.
pub(super) fn string(source: &str, start: usize) -> Result<(String, usize)> {
    let quote = source.as_bytes()[start];
    let place = Span { start, end: source.len().min(start + 1) };
    let mut text = String::new();
    let mut characters = source[start + 1..].char_indices();
    while let Some((at, c)) = characters.next() {
        if c == char::from(quote) {
            return Ok((text, start + 1 + at + 1));
        }
        if c != '\\' {
            text.push(c);
            continue;
        }
        let Some((_, escaped)) = characters.next() else { break };
        match escaped {
            '\n' => {}
            '\\' | '\'' | '"' => text.push(escaped),
            'a' => text.push('\u{7}'),
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'v' => text.push('\u{b}'),
            'x' | 'u' | 'U' => {
                let width = match escaped {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                let digits: String = characters.by_ref().take(width).map(|(_, c)| c).collect();
                text.push(code_point(&digits, width).map_err(|fault| fault.at(place))?);
            }
            '0'..='7' => {
                let mut value = escaped.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(digit) = characters.as_str().chars().next().and_then(|c| c.to_digit(8)) else {
                        break;
                    };
                    value = value * 8 + digit;
                    characters.next();
                }
                text.extend(char::from_u32(value));
            }
            'N' => {
                return fail(FaultKind::Unsupported, "\\N{…} in a string")
                    .map_err(|fault: Box<Fault>| fault.at(place));
            }
            other => text.extend(['\\', other]),
        }
    }
    fail(FaultKind::Syntax, "this string has no end").map_err(|fault: Box<Fault>| fault.at(place))
}

fn code_point(digits: &str, width: usize) -> Result<char> {
    let invalid = || {
        fault(FaultKind::Syntax, format!("invalid escape in a string: {width} hexadecimal digits expected"))
    };
    if digits.len() != width || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(invalid());
    }
    let value = u32::from_str_radix(digits, 16).map_err(|_| invalid())?;
    if (0xd800..0xe000).contains(&value) {
        return fail(FaultKind::Unsupported, "half of a surrogate pair in a string");
    }
    char::from_u32(value).ok_or_else(invalid)
}
