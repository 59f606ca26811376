//! Text files: a byte order mark at the head of a file is no part of its text.
//!
//! Some editors write the character U+FEFF at the head of UTF-8 files, to say that they are UTF-8. The Unicode
//! Standard, section 23.8, calls it a signature there. Elsewhere in a text the character stays.

use std::fs;
use std::io;
use std::path::Path;

/// The byte order mark in UTF-8.
pub const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A text without the byte order mark at its head, if it has one.
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// The bytes of a text file, without a byte order mark.
///
/// # Errors
/// If the file cannot be read.
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut bytes = fs::read(path)?;
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(bytes)
}

/// The text of a UTF-8 file, without a byte order mark.
///
/// # Errors
/// If the file cannot be read, or is not UTF-8.
pub fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    String::from_utf8(read(path)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_mark_at_the_head_is_removed() {
        for (text, expected) in
            [("\u{feff}a", "a"), ("a\u{feff}", "a\u{feff}"), ("\u{feff}\u{feff}", "\u{feff}"), ("", "")]
        {
            assert_eq!(without_mark(text.as_bytes()), expected.as_bytes());
        }
        assert_eq!(without_mark(&[0xef, 0xbb]), [0xef, 0xbb]);
    }
}
