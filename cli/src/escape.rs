//! Printable tokens: one line, no control characters, visible white space at both ends.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The bytes of a token for a table: spaces at its ends as `␣`, control and invisible characters as escapes, bytes of
/// incomplete characters as `\xNN`.
pub(crate) fn visible(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || is_invisible(c) {
                shown.extend(c.escape_default());
            } else {
                shown.push(c);
            }
        }
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    let leading = shown.len() - shown.trim_start_matches(' ').len();
    if leading == shown.len() {
        return "␣".repeat(leading);
    }
    let trailing = shown.len() - shown.trim_end_matches(' ').len();
    let inner = &shown[leading..shown.len() - trailing];
    format!("{}{inner}{}", "␣".repeat(leading), "␣".repeat(trailing))
}

/// Characters that are invisible on a terminal, or that change the direction of others.
fn is_invisible(c: char) -> bool {
    (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// `text` in exactly `columns` columns, truncated or padded.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    let width = text.width();
    if width <= columns {
        return format!("{text}{}", " ".repeat(columns - width));
    }
    let mut cut = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide + 1 > columns {
            break;
        }
        used += wide;
        cut.push(c);
    }
    cut.push('…');
    format!("{cut}{}", " ".repeat(columns.saturating_sub(used + 1)))
}

/// The width of `text` in columns.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_controls_and_partial_characters_are_visible() {
        let cases: [(&[u8], &str); 8] = [
            (b" the", "␣the"),
            (b"a b ", "a b␣"),
            (b"   ", "␣␣␣"),
            (b"\n\t", "\\n\\t"),
            (b"\x1b[2J", "\\u{1b}[2J"),
            ("\u{200d}\u{202e}".as_bytes(), "\\u{200d}\\u{202e}"),
            (b"\xe4\xbd", "\\xe4\\xbd"),
            ("你".as_bytes(), "你"),
        ];
        for (bytes, shown) in cases {
            assert_eq!(visible(bytes), shown);
        }
    }

    #[test]
    fn cells_have_exactly_the_requested_width() {
        for (text, fitted) in
            [("ab", "ab  "), ("abcd", "abcd"), ("abcde", "abc…"), ("你好吗", "你… "), ("", "    ")]
        {
            assert_eq!(fit(text, 4), fitted);
            assert_eq!(width(&fit(text, 4)), 4);
        }
    }
}
