//! Breaks streamed text at spaces, so that a terminal does not break it inside words.

use unicode_width::UnicodeWidthChar;

/// Text for a terminal of a given width. A word is held back until it is complete.
pub(super) struct Wrap {
    /// `None` changes nothing.
    width: Option<usize>,
    column: usize,
    /// White space before the word.
    spaces: String,
    word: String,
}

impl Wrap {
    pub(super) fn new(width: Option<usize>) -> Wrap {
        Wrap { width, column: 0, spaces: String::new(), word: String::new() }
    }

    /// Takes a piece of text and returns what can be shown.
    pub(super) fn push(&mut self, text: &str) -> String {
        if self.width.is_none() {
            return text.to_owned();
        }
        let mut out = String::new();
        for c in text.chars() {
            match c {
                '\n' => {
                    self.end_word(&mut out);
                    self.end_spaces(&mut out);
                    out.push('\n');
                    self.column = 0;
                }
                ' ' | '\t' => {
                    self.end_word(&mut out);
                    self.spaces.push(c);
                }
                // Between wide characters, such as ideographs, a line may break.
                _ if c.width() == Some(2) => {
                    self.end_word(&mut out);
                    self.word.push(c);
                    self.end_word(&mut out);
                }
                _ => self.word.push(c),
            }
        }
        out
    }

    /// Returns what was held back; no more text follows.
    pub(super) fn finish(&mut self) -> String {
        let mut out = String::new();
        self.end_word(&mut out);
        self.end_spaces(&mut out);
        out
    }

    /// Shows white space at the end of a line, unless it would begin the next.
    fn end_spaces(&mut self, out: &mut String) {
        if self.column + self.spaces.len() < self.width.unwrap_or(usize::MAX) {
            out.push_str(&self.spaces);
        }
        self.spaces.clear();
    }

    fn end_word(&mut self, out: &mut String) {
        if self.word.is_empty() {
            return;
        }
        let limit = self.width.unwrap_or(usize::MAX);
        let spaces: usize = self.spaces.chars().map(|c| if c == '\t' { 8 } else { 1 }).sum();
        let word: usize = self.word.chars().map(|c| c.width().unwrap_or(0)).sum();
        if self.column > 0 && self.column + spaces + word > limit {
            out.push('\n');
            self.column = word % limit;
        } else {
            out.push_str(&self.spaces);
            self.column = (self.column + spaces + word) % limit.max(1);
            // A line that is exactly full continues at its end.
            if self.column == 0 {
                self.column = limit;
            }
        }
        out.push_str(&self.word);
        self.spaces.clear();
        self.word.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::Wrap;

    fn wrapped(text: &str, width: Option<usize>, size: usize) -> String {
        let mut wrap = Wrap::new(width);
        let characters: Vec<char> = text.chars().collect();
        let pieces = characters.chunks(size.max(1)).map(|piece| piece.iter().collect::<String>());
        let shown: String = pieces.map(|piece| wrap.push(&piece)).collect();
        shown + &wrap.finish()
    }

    #[test]
    fn words_stay_whole_however_the_text_arrives() {
        for (text, shown) in [
            ("the quick brown fox", "the quick\nbrown fox"),
            ("exactly te n", "exactly te\nn"),
            ("a  b\n\n  indented code", "a  b\n\n  indented\ncode"),
            // The terminal breaks it twice; one column of the third line is then used.
            ("averyveryverylongword x", "averyveryverylongword x"),
            ("日本語日本語", "日本語日本\n語"),
            ("one \ntwo  ", "one \ntwo  "),
            ("exactly te   \n", "exactly te\n"),
            ("", ""),
        ] {
            for size in 1..=text.chars().count().max(1) {
                assert_eq!(wrapped(text, Some(10), size), shown, "{text:?} by {size}");
            }
        }
        assert_eq!(wrapped("the quick brown fox ", None, 3), "the quick brown fox ");
    }
}
