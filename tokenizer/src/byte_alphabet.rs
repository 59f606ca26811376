//! GPT-2's byte alphabet: one printable character for each of the 256 bytes.
//!
//! Byte-level BPE works on bytes, but its vocabulary files contain text. So GPT-2 writes each byte as a printable
//! character: printable Latin-1 characters as themselves, the others in order as U+0100, U+0101 and so on. A space is
//! `Ġ` (U+0120), a line feed is `Ċ` (U+010A).

/// Whether a byte is written as itself: printable ASCII and printable Latin-1 except the soft hyphen.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff)
}

const CHARS: [char; 256] = {
    let mut chars = ['\0'; 256];
    let mut next = 0x100u32;
    let mut byte = 0;
    while byte < 256 {
        chars[byte] = if is_plain(byte as u8) {
            byte as u8 as char
        } else {
            next += 1;
            match char::from_u32(next - 1) {
                Some(c) => c,
                None => panic!("the alphabet ends at U+0143"),
            }
        };
        byte += 1;
    }
    chars
};

/// The bytes of the characters U+0000..=U+0143, `None` for a character outside the alphabet.
const BYTES: [Option<u8>; 0x144] = {
    let mut bytes = [None; 0x144];
    let mut byte = 0;
    while byte < 256 {
        bytes[CHARS[byte] as usize] = Some(byte as u8);
        byte += 1;
    }
    bytes
};

/// The character of a byte.
pub const fn byte_to_char(byte: u8) -> char {
    CHARS[byte as usize]
}

/// The byte of a character, `None` if it is not in the alphabet.
pub fn char_to_byte(c: char) -> Option<u8> {
    BYTES.get(c as usize).copied().flatten()
}

/// Bytes written in the alphabet.
///
/// ```
/// assert_eq!(glassbox_tokenizer::byte_alphabet::encode(b" hello\n"), "ĠhelloĊ");
/// ```
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    text.extend(bytes.iter().map(|&byte| byte_to_char(byte)));
    text
}

/// The bytes of a text in the alphabet, `None` if a character is not in it.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    text.chars().map(char_to_byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_character() {
        let all: Vec<u8> = (0..=255).collect();
        let text = encode(&all);
        assert_eq!(text.chars().collect::<std::collections::BTreeSet<_>>().len(), 256);
        assert_eq!(decode(&text), Some(all));
        assert_eq!(text.chars().max(), Some('\u{143}'));
    }

    #[test]
    fn characters_outside_the_alphabet_have_no_byte() {
        assert_eq!(char_to_byte(' '), None);
        assert_eq!(char_to_byte('\u{ad}'), None);
        assert_eq!(char_to_byte('\u{144}'), None);
        assert_eq!(decode("a b"), None);
    }
}
