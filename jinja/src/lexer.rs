//! Splits a template into text and the tokens between delimiters, with Jinja's white space control.
//!
//! As configured in transformers: the first line break after a block or comment is removed (`trim_blocks`), and so is
//! white space between a line's start and a block or comment (`lstrip_blocks`). A `-` removes all white space on its
//! side, a `+` keeps it. One line break at the end of the template is removed.

use std::ops::Range;

use super::ast::Span;
use super::fault::{FaultKind, Result, fail};
use super::unicode;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Text(String),
    VariableBegin,
    VariableEnd,
    BlockBegin,
    BlockEnd,
    Name(String),
    Str(String),
    Int(i128),
    Float(f64),
    /// An operator or bracket.
    Op(&'static str),
    End,
}

/// A token and where it stands.
pub(super) type Spanned = (Token, Span);

const OPERATORS: [&str; 28] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<",
    "=", ".", ":", "|", ",", ";", "!", "$",
];

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    tokens: Vec<Spanned>,
    /// Whether the text at `at` starts a line.
    line_starting: bool,
}

/// The tokens of a source with `\n` line ends.
pub(super) fn tokens(source: &str) -> Result<Vec<Spanned>> {
    let source = source.strip_suffix('\n').unwrap_or(source);
    let mut lexer = Lexer { source, at: 0, tokens: Vec::new(), line_starting: true };
    while lexer.at < source.len() {
        lexer.root()?;
    }
    lexer.push(Token::End, source.len()..source.len());
    Ok(lexer.tokens)
}

impl Lexer<'_> {
    fn push(&mut self, token: Token, range: Range<usize>) {
        self.tokens.push((token, Span { start: range.start, end: range.end }));
    }

    fn syntax<T>(&self, at: usize, message: impl Into<String>) -> Result<T> {
        let end = self.source[at..].char_indices().nth(1).map_or(self.source.len(), |(i, _)| at + i);
        fail(FaultKind::Syntax, message).map_err(|fault: Box<_>| fault.at(Span { start: at, end }))
    }

    /// Text up to the next delimiter, and what the delimiter opens.
    fn root(&mut self) -> Result<()> {
        let start = self.at;
        let rest = &self.source[start..];
        let openings = rest.match_indices('{').map(|(at, _)| start + at);
        let opening = openings
            .into_iter()
            .find(|&at| matches!(self.source.as_bytes().get(at + 1), Some(b'{' | b'%' | b'#')));
        let Some(open) = opening else {
            self.push(Token::Text(rest.to_owned()), start..self.source.len());
            self.at = self.source.len();
            return Ok(());
        };
        let kind = self.source.as_bytes()[open + 1];
        let (sign, after) = self.sign(open + 2);
        let text = self.text_before(start, open, sign, kind != b'{');
        if !text.is_empty() {
            self.push(Token::Text(text), start..open);
        }
        match kind {
            b'#' => self.comment(open, after),
            b'{' => {
                self.push(Token::VariableBegin, open..after);
                self.at = after;
                self.code(open, false)
            }
            _ => match self.raw(open, after)? {
                true => Ok(()),
                false => {
                    self.push(Token::BlockBegin, open..after);
                    self.at = after;
                    self.code(open, true)
                }
            },
        }
    }

    /// A sign after an opening delimiter, and the position after it.
    fn sign(&self, at: usize) -> (Option<u8>, usize) {
        match self.source.as_bytes().get(at) {
            Some(&sign @ (b'-' | b'+')) => (Some(sign), at + 1),
            _ => (None, at),
        }
    }

    /// The text before a delimiter, after white space control.
    fn text_before(&self, start: usize, end: usize, sign: Option<u8>, lstrip: bool) -> String {
        let text = &self.source[start..end];
        match sign {
            Some(b'-') => return text.trim_end_matches(unicode::is_space).to_owned(),
            None if lstrip => {
                let line = text.rfind('\n').map_or(0, |at| at + 1);
                let blank = !text[line..].is_empty() && text[line..].chars().all(unicode::is_space);
                if (line > 0 || self.line_starting) && blank {
                    return text[..line].to_owned();
                }
            }
            _ => {}
        }
        text.to_owned()
    }

    fn comment(&mut self, open: usize, after: usize) -> Result<()> {
        if after == self.source.len() {
            // As in Jinja, what would only open at the very end is nothing.
            self.at = after;
            return Ok(());
        }
        let Some(close) = self.source[after..].find("#}").map(|at| after + at) else {
            return self.syntax(open, "this comment has no end");
        };
        let sign = self.source[after..close].bytes().last().filter(|sign| matches!(sign, b'-' | b'+'));
        self.close(close + 2, sign, true);
        Ok(())
    }

    /// Moves behind a closing delimiter that ends at `end`.
    fn close(&mut self, end: usize, sign: Option<u8>, trim: bool) {
        let rest = &self.source[end..];
        self.at = match sign {
            Some(b'-') => self.source.len() - rest.trim_start_matches(unicode::is_space).len(),
            None if trim && rest.starts_with('\n') => end + 1,
            _ => end,
        };
        self.line_starting = self.source[..self.at].ends_with('\n');
    }

    /// A raw block that opens at `open`, if it is one.
    fn raw(&mut self, open: usize, after: usize) -> Result<bool> {
        let space = |text: &'_ str| text.len() - text.trim_start_matches(unicode::is_space).len();
        let name = after + space(&self.source[after..]);
        let Some(rest) = self.source[name..].strip_prefix("raw") else { return Ok(false) };
        let close = name + 3 + space(rest);
        let (sign, end) = match &self.source.as_bytes()[close..] {
            [b'-', b'%', b'}', ..] => (Some(b'-'), close + 3),
            [b'%', b'}', ..] => (None, close + 2),
            _ => return Ok(false),
        };
        self.close(end, sign, false);
        let start = self.at;
        if start == self.source.len() {
            return Ok(true);
        }
        let mut at = start;
        while let Some(open) = self.source[at..].find("{%").map(|found| at + found) {
            let (sign, inside) = self.sign(open + 2);
            let name = inside + space(&self.source[inside..]);
            if let Some(rest) = self.source[name..].strip_prefix("endraw") {
                let close = name + 6 + space(rest);
                let (end_sign, width) = match &self.source.as_bytes()[close..] {
                    [sign @ (b'-' | b'+'), b'%', b'}', ..] => (Some(*sign), 3),
                    [b'%', b'}', ..] => (None, 2),
                    _ => (None, 0),
                };
                if width > 0 {
                    let text = self.text_before(start, open, sign, true);
                    self.push(Token::Text(text), start..open);
                    self.close(close + width, end_sign, true);
                    return Ok(true);
                }
            }
            at = open + 2;
        }
        self.syntax(open, "this raw block has no end")
    }

    /// The tokens of an expression or a block, up to its end.
    fn code(&mut self, open: usize, block: bool) -> Result<()> {
        let (delimiter, end) = if block { ("%}", Token::BlockEnd) } else { ("}}", Token::VariableEnd) };
        let mut brackets: Vec<char> = Vec::new();
        loop {
            let rest = &self.source[self.at..];
            let Some(c) = rest.chars().next() else {
                return self.syntax(open, format!("no {delimiter} ends this"));
            };
            let start = self.at;
            if brackets.is_empty() {
                let (sign, after) = match c {
                    '-' => (Some(b'-'), &rest[1..]),
                    '+' if block => (Some(b'+'), &rest[1..]),
                    _ => (None, rest),
                };
                if after.starts_with(delimiter) {
                    let close = self.source.len() - after.len() + 2;
                    self.push(end, start..close);
                    self.close(close, sign, block);
                    return Ok(());
                }
            }
            if unicode::is_space(c) {
                self.at += c.len_utf8();
            } else if c.is_ascii_digit() {
                self.number()?;
            } else if unicode::is_identifier_part(c) {
                let length = rest.find(|c| !unicode::is_identifier_part(c)).unwrap_or(rest.len());
                if !unicode::is_identifier(&rest[..length]) {
                    return self.syntax(start, "a name cannot start with this character");
                }
                self.push(Token::Name(rest[..length].to_owned()), start..start + length);
                self.at += length;
            } else if c == '\'' || c == '"' {
                let (text, end) = super::literals::string(self.source, start)?;
                self.push(Token::Str(text), start..end);
                self.at = end;
            } else if let Some(operator) = OPERATORS.iter().find(|operator| rest.starts_with(**operator)) {
                match c {
                    '(' => brackets.push(')'),
                    '[' => brackets.push(']'),
                    '{' => brackets.push('}'),
                    ')' | ']' | '}' if brackets.pop() != Some(c) => {
                        return self.syntax(start, format!("unexpected {c:?}"));
                    }
                    _ => {}
                }
                self.push(Token::Op(operator), start..start + operator.len());
                self.at += operator.len();
            } else {
                return self.syntax(start, format!("unexpected character {c:?}"));
            }
        }
    }

    fn number(&mut self) -> Result<()> {
        let start = self.at;
        // After a dot, `1.2` is two item numbers.
        let after_dot = self.source[..start].ends_with('.');
        let (token, length) = super::literals::number(&self.source[start..], after_dot)
            .map_err(|fault| fault.at(Span { start, end: start + 1 }))?;
        self.push(token, start..start + length);
        self.at += length;
        Ok(())
    }
}
