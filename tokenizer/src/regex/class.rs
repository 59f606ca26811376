//! Character classes: `[a-z&&[^aeiou]]`, POSIX brackets, and the escapes that stand for classes.

use super::ast::{Node, Set, complement, set};
use super::error::RegexError;
use super::escape::{Code, Radix};
use super::fold;
use super::parse::{Options, Parser, Result};
use super::property;

/// A token inside of a class.
#[derive(Debug, Clone)]
enum Token {
    Char(char),
    Set(Set),
    /// `-`
    Range,
    /// `[`
    Open,
    /// `&&`
    And,
    /// `]`
    Close,
}

/// What the class has read last.
enum State {
    /// Nothing.
    Start,
    /// A character, which may begin a range.
    Char(char),
    /// A set.
    Set,
    /// A character and `-`.
    Range(char),
    /// A range or a nested class.
    Complete,
}

/// `\w` outside of a class. Up to U+00FF the reference has a table of its own, in which `²³¹¼½¾` are words.
pub(super) fn word(options: Options) -> Set {
    let mut word = property::posix("word").unwrap_or_else(|| set(&[]));
    word.union(&set(&[('²', '³'), ('¹', '¹'), ('¼', '¾')]));
    ascii_if(options.ascii_word || options.ascii_posix, word)
}

/// `\w`, `\d`, `\s`, `\h`, as in a class.
pub(super) fn shorthand(letter: char, options: Options) -> Set {
    let (name, ascii) = match letter {
        'w' => ("word", options.ascii_word),
        'd' => ("digit", options.ascii_digit),
        's' => ("space", options.ascii_space),
        _ => ("xdigit", false),
    };
    ascii_if(ascii || options.ascii_posix, property::posix(name).unwrap_or_else(|| set(&[])))
}

fn ascii_if(ascii: bool, mut of: Set) -> Set {
    if ascii {
        of.intersect(&set(&[('\0', '\x7f')]));
    }
    of
}

impl Parser<'_> {
    /// A class, after its opening bracket, as a node. If case is ignored, it may match several characters.
    pub(super) fn class_node(&mut self) -> Result<Node> {
        let (members, negated) = self.class()?;
        Ok(match (self.options.ignore_case, negated) {
            (false, false) => Node::Set(members),
            (false, true) => Node::Set(complement(members)),
            (true, true) => Node::Set(complement(fold::closure(members))),
            (true, false) => fold::class(members),
        })
    }

    /// A class after its opening bracket: its members and whether they are negated.
    fn class(&mut self) -> Result<(Set, bool)> {
        self.deeper(|parser| {
            let negated = parser.eat('^');
            let mut first = true;
            // The sets joined by `&&`, and the one that is being read.
            let mut all: Option<Set> = None;
            let mut members = set(&[]);
            let mut state = State::Start;
            let mut held: Option<Token> = None;
            loop {
                let token = match held.take() {
                    Some(token) => token,
                    None => parser.class_token()?,
                };
                let token = match token {
                    Token::Close if first => {
                        if !parser.closes_later() {
                            return Err(parser.syntax("an empty class"));
                        }
                        Token::Char(']')
                    }
                    token => token,
                };
                first = false;
                match token {
                    Token::Close => break,
                    Token::And => {
                        add_pending(&mut members, &state);
                        state = State::Start;
                        let read = std::mem::replace(&mut members, set(&[]));
                        all = Some(intersection(all, read));
                    }
                    Token::Open => {
                        // A character in front of `-[` is dropped.
                        if !matches!(state, State::Range(_)) {
                            add_pending(&mut members, &state);
                        }
                        let (inner, negated) = parser.class()?;
                        members.union(&if negated { complement(inner) } else { inner });
                        state = State::Complete;
                    }
                    Token::Set(named) => {
                        if matches!(state, State::Range(_)) {
                            return Err(parser.syntax("a range that ends in a class"));
                        }
                        add_pending(&mut members, &state);
                        members.union(&named);
                        state = State::Set;
                    }
                    Token::Char(c) => state = parser.next_char(&mut members, state, c)?,
                    Token::Range => {
                        let next = match state {
                            State::Range(_) => None,
                            _ => Some(parser.class_token()?),
                        };
                        let at_the_end = matches!(next, Some(Token::Close | Token::And));
                        match state {
                            State::Char(from) if !at_the_end => state = State::Range(from),
                            State::Set if !at_the_end => {
                                return Err(parser.syntax("a range that begins with a class"));
                            }
                            state_before => state = parser.next_char(&mut members, state_before, '-')?,
                        }
                        held = next;
                    }
                }
            }
            add_pending(&mut members, &state);
            Ok((intersection(all, members), negated))
        })
    }

    fn next_char(&mut self, members: &mut Set, state: State, c: char) -> Result<State> {
        let State::Range(from) = state else {
            add_pending(members, &state);
            return Ok(State::Char(c));
        };
        if from > c {
            return Err(self.syntax("an empty range"));
        }
        members.union(&set(&[(from, c)]));
        Ok(State::Complete)
    }

    /// Whether another closing bracket follows.
    fn closes_later(&self) -> bool {
        let mut escaped = false;
        self.chars[self.at..].iter().any(|&c| {
            let closes = c == ']' && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        })
    }

    fn class_token(&mut self) -> Result<Token> {
        let c = self.next().ok_or_else(|| self.syntax("a class without an end"))?;
        Ok(match c {
            ']' => Token::Close,
            '-' => Token::Range,
            '&' if self.eat('&') => Token::And,
            '[' if self.peek() == Some(':') && self.is_posix_bracket() => Token::Set(self.posix_bracket()?),
            '[' => Token::Open,
            '\\' => self.class_escape()?,
            c => Token::Char(c),
        })
    }

    /// Whether `:]` comes before any other `]`.
    fn is_posix_bracket(&self) -> bool {
        let mut escaped = false;
        for pair in self.chars[self.at + 1..].windows(2) {
            if escaped {
                escaped = false;
            } else if pair == [':', ']'] {
                return true;
            } else if pair[0] == ']' {
                return false;
            } else {
                escaped = pair[0] == '\\';
            }
        }
        false
    }

    fn posix_bracket(&mut self) -> Result<Set> {
        self.at += 1;
        let negated = self.eat('^');
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_alphabetic()) {
            self.at += 1;
        }
        let name: String = self.chars[start..self.at].iter().collect();
        let named = property::posix(&name).filter(|_| self.eat(':') && self.eat(']'));
        let named = named.ok_or_else(|| self.syntax("an unknown POSIX bracket"))?;
        let ascii = self.options.ascii_posix
            || match name.as_str() {
                "word" => self.options.ascii_word,
                "digit" => self.options.ascii_digit,
                "space" => self.options.ascii_space,
                _ => false,
            };
        let named = ascii_if(ascii, named);
        Ok(if negated { complement(named) } else { named })
    }

    fn class_escape(&mut self) -> Result<Token> {
        let c = self.peek().ok_or_else(|| self.syntax("a backslash at the end"))?;
        match c {
            'w' | 'd' | 's' | 'h' | 'W' | 'D' | 'S' | 'H' => {
                self.at += 1;
                let named = shorthand(c.to_ascii_lowercase(), self.options);
                Ok(Token::Set(if c.is_ascii_uppercase() { complement(named) } else { named }))
            }
            'p' | 'P' if self.chars.get(self.at + 1) == Some(&'{') => {
                self.at += 1;
                let (named, negated) = self.property(c == 'P', false)?;
                Ok(Token::Set(if negated { complement(named) } else { named }))
            }
            // Backreferences do not exist in a class.
            '8' | '9' => {
                self.at += 1;
                Ok(Token::Char(c))
            }
            _ => match self.code()? {
                Code::Itself(c) => Ok(Token::Char(c)),
                Code::Chars(chars) if chars.len() == 1 => Ok(Token::Char(chars[0])),
                Code::Chars(_) => {
                    Err(RegexError::Unsupported { what: "several numbers in one \\x{} of a class" })
                }
                Code::Byte(first, radix) => self.class_bytes(first, radix),
            },
        }
    }

    /// A character written as bytes.
    fn class_bytes(&mut self, first: u8, radix: Radix) -> Result<Token> {
        let length = match first {
            0..0x80 => return Ok(Token::Char(char::from(first))),
            0xc2..0xe0 => 2,
            0xe0..0xf0 => 3,
            0xf0..0xf5 => 4,
            _ => return Err(self.syntax("a byte that is not UTF-8")),
        };
        let mut bytes = vec![first];
        while bytes.len() < length {
            let follows = self.eat('\\');
            match self.code() {
                Ok(Code::Byte(byte, same)) if follows && same == radix => bytes.push(byte),
                _ => return Err(self.syntax("a byte that is not UTF-8")),
            }
        }
        let c = str::from_utf8(&bytes).ok().and_then(|text| text.chars().next());
        c.map(Token::Char).ok_or_else(|| self.syntax("a byte that is not UTF-8"))
    }

    /// `{name}` or `{^name}` of `\p`: the set and whether it is negated.
    pub(super) fn property(&mut self, negated: bool, outside: bool) -> Result<(Set, bool)> {
        self.at += 1;
        let negated = negated != self.eat('^');
        let start = self.at;
        loop {
            match self.next() {
                Some('}') => break,
                Some('(' | ')' | '{' | '|') | None => {
                    return Err(self.syntax("a character property without an end"));
                }
                Some(_) => {}
            }
        }
        let name: String = self.chars[start..self.at - 1].iter().collect();
        let loose = property::loose(&name);
        let options = self.options;
        if loose == "word" && outside {
            return Ok((word(options), negated));
        }
        let ascii = options.ascii_posix && loose != "ascii"
            || match loose.as_str() {
                "word" => options.ascii_word,
                "digit" => options.ascii_digit,
                "space" => options.ascii_space,
                _ => false,
            };
        if let Some(named) = property::posix(&loose).filter(|_| loose != "punct") {
            return Ok((ascii_if(ascii, named), negated));
        }
        let named = property::named(&loose).ok_or(RegexError::UnknownProperty { name })?;
        Ok((named, negated))
    }
}

fn add_pending(members: &mut Set, state: &State) {
    if let State::Char(c) = state {
        members.union(&set(&[(*c, *c)]));
    }
}

fn intersection(all: Option<Set>, read: Set) -> Set {
    match all {
        None => read,
        Some(mut all) => {
            all.intersect(&read);
            all
        }
    }
}
