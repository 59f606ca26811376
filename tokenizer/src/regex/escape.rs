//! What follows a backslash outside of a class.

use super::ast::{Assertion, Node, all, complement, set};
use super::class;
use super::error::RegexError;
use super::parse::{Parser, Result};
use super::quantifier::Quantifier;

/// A number that stands for a character.
pub(super) enum Code {
    /// A byte of UTF-8: `\xC3`, `\303`.
    Byte(u8, Radix),
    /// Characters: `\x{41 42}`, `\u0041`.
    Chars(Vec<char>),
    /// A character that stands for itself.
    Itself(char),
}

/// How a byte is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Radix {
    Octal,
    Hexadecimal,
}

impl Parser<'_> {
    /// What follows a backslash.
    pub(super) fn escape(&mut self) -> Result<Node> {
        let c = self.peek().ok_or_else(|| self.syntax("a backslash at the end"))?;
        let options = self.options;
        let node = match c {
            'w' => Node::Set(class::word(options)),
            'W' => Node::Set(complement(class::word(options))),
            'd' | 'D' | 's' | 'S' | 'h' | 'H' => {
                let named = class::shorthand(c.to_ascii_lowercase(), options);
                Node::Set(if c.is_ascii_uppercase() { complement(named) } else { named })
            }
            'b' => Node::Assert(Assertion::WordBoundary {
                ascii: options.ascii_word || options.ascii_posix,
                negated: false,
            }),
            'B' => Node::Assert(Assertion::WordBoundary {
                ascii: options.ascii_word || options.ascii_posix,
                negated: true,
            }),
            'y' => Node::Assert(Assertion::GraphemeBoundary { negated: false }),
            'Y' => Node::Assert(Assertion::GraphemeBoundary { negated: true }),
            'A' => Node::Assert(Assertion::TextStart),
            'z' | 'Z' => {
                self.check_behind("the end of the text in a lookbehind")?;
                Node::Assert(if c == 'z' { Assertion::TextEnd } else { Assertion::LastLineEnd })
            }
            'G' => Node::Assert(Assertion::SearchStart),
            'K' | 'R' | 'X' if self.is_behind() => {
                return Err(RegexError::Unsupported { what: "\\K, \\R or \\X in a lookbehind" });
            }
            'K' => Node::Keep,
            'N' => Node::Set(complement(set(&[('\n', '\n')]))),
            'O' => Node::Set(all()),
            'R' => general_newline(),
            'X' => grapheme(),
            'p' | 'P' if self.chars.get(self.at + 1) == Some(&'{') => {
                self.at += 1;
                let (set, negated) = self.property(c == 'P', true)?;
                return Ok(Node::Set(if negated { complement(set) } else { set }));
            }
            'k' if matches!(self.chars.get(self.at + 1), Some('<' | '\'')) => {
                let end = if self.chars[self.at + 1] == '<' { '>' } else { '\'' };
                self.at += 2;
                let name = self.name(end)?;
                let groups = self.groups_named(&name)?;
                return Ok(Node::BackReference { groups, fold: options.ignore_case });
            }
            'g' if matches!(self.chars.get(self.at + 1), Some('<' | '\'')) => {
                return Err(RegexError::Unsupported { what: "a call of a group (\\g)" });
            }
            '1'..='9' => {
                if let Some(node) = self.numbered_reference()? {
                    return Ok(node);
                }
                return self.coded();
            }
            _ => return self.coded(),
        };
        self.at += 1;
        Ok(node)
    }

    /// `\1`; `None` if it is an octal number.
    fn numbered_reference(&mut self) -> Result<Option<Node>> {
        let digits = self.chars[self.at..].iter().take_while(|c| c.is_ascii_digit()).count();
        let text: String = self.chars[self.at..self.at + digits].iter().collect();
        match text.parse::<usize>() {
            Ok(group) if group <= 1000 && (group <= self.groups || group <= 9) => {
                self.at += digits;
                let groups = self.groups_named(&text)?;
                Ok(Some(Node::BackReference { groups, fold: self.options.ignore_case }))
            }
            _ => Ok(None),
        }
    }

    /// The groups of a name or a number, which may be relative: `-1` is the last group opened.
    pub(super) fn groups_named(&mut self, name: &str) -> Result<Vec<usize>> {
        let is_number = name.trim_start_matches(['-', '+']).chars().all(|c| c.is_ascii_digit());
        if !is_number {
            let groups: Vec<usize> =
                self.names.iter().filter(|named| named.0 == name).map(|named| named.1).collect();
            return match () {
                () if !groups.is_empty() => Ok(groups),
                () if name.contains(['-', '+']) => {
                    Err(RegexError::Unsupported { what: "a reference with a nesting level" })
                }
                () => Err(self.syntax("a reference to a name that is not defined")),
            };
        }
        let invalid = self.syntax("a reference to a group that does not exist");
        let number: i64 = name.parse().map_err(|_| invalid.clone())?;
        let opened = self.groups as i64;
        let group = match name.as_bytes()[0] {
            b'-' => opened + 1 + number,
            b'+' => opened + number,
            _ => number,
        };
        let group = usize::try_from(group).ok().filter(|group| *group > 0).ok_or(invalid)?;
        if self.numbered.is_none_or(|(highest, _)| group > highest) {
            self.numbered = Some((group, self.at));
        }
        Ok(vec![group])
    }

    /// A character given by its number, or itself.
    fn coded(&mut self) -> Result<Node> {
        match self.code()? {
            Code::Itself(c) => Ok(self.literal(c)),
            Code::Chars(text) => {
                let parts = text.into_iter().map(|c| self.literal(c));
                Ok(Node::concat(parts.collect()))
            }
            Code::Byte(first, _) => {
                let mut bytes = vec![first];
                while str::from_utf8(&bytes).is_err() {
                    if bytes.len() == 4 || self.peek() != Some('\\') {
                        return Err(self.syntax("a byte that is not UTF-8"));
                    }
                    self.at += 1;
                    let Code::Byte(next, _) = self.code()? else {
                        return Err(self.syntax("a byte that is not UTF-8"));
                    };
                    bytes.push(next);
                }
                let text = String::from_utf8_lossy(&bytes);
                Ok(Node::concat(text.chars().map(|c| self.literal(c)).collect()))
            }
        }
    }

    /// The character that an escape stands for; the backslash is skipped already.
    pub(super) fn code(&mut self) -> Result<Code> {
        let c = self.next().ok_or_else(|| self.syntax("a backslash at the end"))?;
        Ok(match c {
            'x' if self.peek() == Some('{') => return self.braced(16, 8, c),
            'o' if self.peek() == Some('{') => return self.braced(8, 11, c),
            'x' if self.peek().is_some() => Code::Byte(self.digits(16, 0, 2)? as u8, Radix::Hexadecimal),
            'u' if self.peek().is_some() => {
                let code = self.digits(16, 4, 4)?;
                Code::Chars(vec![
                    char::from_u32(code).ok_or_else(|| self.syntax("not a character's number"))?,
                ])
            }
            '0' => Code::Byte(self.digits(8, 0, 2)? as u8, Radix::Octal),
            '1'..='7' => {
                self.at -= 1;
                let code = self.digits(8, 0, 3)?;
                let byte = u8::try_from(code).map_err(|_| self.syntax("an octal number above 377"))?;
                Code::Byte(byte, Radix::Octal)
            }
            't' => Code::Itself('\t'),
            'n' => Code::Itself('\n'),
            'r' => Code::Itself('\r'),
            'f' => Code::Itself('\x0c'),
            'v' => Code::Itself('\x0b'),
            'a' => Code::Itself('\x07'),
            'b' => Code::Itself('\x08'),
            'e' => Code::Itself('\x1b'),
            'c' => self.control()?,
            'C' if self.eat('-') => self.control()?,
            'C' | 'M' => return Err(RegexError::Unsupported { what: "the escapes \\M- and \\C without -" }),
            c => Code::Itself(c),
        })
    }

    fn control(&mut self) -> Result<Code> {
        match self.next() {
            None => Err(self.syntax("a control character without a letter")),
            Some('?') => Ok(Code::Itself('\x7f')),
            Some('\\') => Err(RegexError::Unsupported { what: "an escape after \\c" }),
            Some(c) => {
                let code = char::from_u32(u32::from(c) & 0x9f);
                code.map(Code::Itself).ok_or_else(|| self.syntax("not a control character"))
            }
        }
    }

    /// Up to `max` digits.
    fn digits(&mut self, radix: u32, min: usize, max: usize) -> Result<u32> {
        let start = self.at;
        let mut code = 0u32;
        while self.at - start < max
            && let Some(digit) = self.peek().and_then(|c| c.to_digit(radix))
        {
            self.at += 1;
            code = code
                .checked_mul(radix)
                .and_then(|code| code.checked_add(digit))
                .ok_or_else(|| self.syntax("a number that is too large"))?;
        }
        if self.at - start < min {
            return Err(self.syntax("too few digits"));
        }
        Ok(code)
    }

    /// `{41}` or `{41 42}`. Without digits, `letter` stands for itself.
    fn braced(&mut self, radix: u32, max: usize, letter: char) -> Result<Code> {
        let start = self.at;
        self.at += 1;
        let mut chars = Vec::new();
        loop {
            let from = self.at;
            let code = self.digits(radix, 0, max)?;
            if self.at == from && chars.is_empty() {
                self.at = start;
                return Ok(Code::Itself(letter));
            }
            if self.at == from {
                return Err(self.syntax("not a character's number"));
            }
            chars.push(char::from_u32(code).ok_or_else(|| self.syntax("not a character's number"))?);
            let gap = self.at;
            while matches!(self.peek(), Some(' ' | '\n')) {
                self.at += 1;
            }
            if self.eat('}') {
                return Ok(Code::Chars(chars));
            }
            if gap == self.at {
                return Err(self.syntax("not a character's number"));
            }
        }
    }
}

/// `\R`: a line break of any kind; `\r\n` is one.
fn general_newline() -> Node {
    let pair = Node::Literal { text: vec!['\r', '\n'], fold: false };
    let single = Node::Set(set(&[('\n', '\r'), ('\u{85}', '\u{85}'), ('\u{2028}', '\u{2029}')]));
    Node::Atomic(Box::new(Node::Alternatives(vec![pair, single])))
}

/// `\X`: a grapheme cluster.
fn grapheme() -> Node {
    let inside = Node::Assert(Assertion::GraphemeBoundary { negated: true });
    let more = Node::concat(vec![inside, Node::Set(all())]);
    let star = Quantifier { min: 0, max: None, greedy: true, possessive: false };
    Node::Atomic(Box::new(Node::concat(vec![Node::Set(all()), star.apply(more)])))
}
