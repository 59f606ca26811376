//! Text of the views: explanations in plain words above a table, and bars beside numbers.

use crate::escape;
use crate::output::{Out, note};

/// Columns of a line: those of the terminal, or 80.
pub(super) fn columns(out: &Out) -> usize {
    out.width().unwrap_or(80)
}

/// Writes a paragraph, wrapped to the line.
pub(super) fn paragraph(out: &mut Out, text: &str) -> anyhow::Result<()> {
    for line in wrapped(text, columns(out).min(100)) {
        out.line(out.paint(2, &line))?;
    }
    Ok(())
}

/// Writes a paragraph to stderr, wrapped to the line.
pub(super) fn aside(out: &Out, text: &str) {
    for line in wrapped(text, columns(out).min(100)) {
        note(line);
    }
}

/// The words of `text` in lines of at most `columns` columns; a longer word has a line of its own.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if escape::width(line) + 1 + escape::width(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The width of the widest of some cells, at least `least` and at most `most`.
pub(super) fn widest<'a>(cells: impl IntoIterator<Item = &'a str>, least: usize, most: usize) -> usize {
    cells.into_iter().map(escape::width).max().unwrap_or(0).clamp(least, most.max(least))
}

/// As many of `items` as fit into `columns` columns, separated by two spaces; the first one always.
pub(super) fn fitting(items: impl IntoIterator<Item = String>, columns: usize) -> String {
    let mut line = String::new();
    for item in items {
        if line.is_empty() {
            line = item;
        } else if escape::width(&line) + 2 + escape::width(&item) <= columns {
            line.push_str("  ");
            line.push_str(&item);
        } else {
            break;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_not_longer_than_the_terminal() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("extraordinary is", 7), ["extraordinary", "is"]);
        assert_eq!(fitting(["ab", "cd", "e"].map(String::from), 6), "ab  cd");
        assert_eq!(fitting(["abcdefgh", "x"].map(String::from), 6), "abcdefgh");
    }
}
