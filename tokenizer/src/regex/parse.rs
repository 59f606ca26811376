//! The parser: groups, branches and quantifiers. Escapes are in [`super::escape`], classes in [`super::class`].

use super::ast::{Assertion, Condition, Node, all, complement, set};
use super::error::RegexError;
use super::quantifier::Quantifier;

pub(super) type Result<T, E = RegexError> = std::result::Result<T, E>;

/// Maximum nesting of groups, classes and quantifiers.
const MAX_DEPTH: usize = 100;
/// Maximum number in an interval.
const MAX_REPEAT: u32 = 100_000;

/// The options that `(?imxWDSP)` switch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Options {
    pub ignore_case: bool,
    /// Whether `.` matches a line feed, too.
    pub dot_matches_all: bool,
    /// Whether white space and comments are skipped.
    pub extended: bool,
    pub ascii_word: bool,
    pub ascii_digit: bool,
    pub ascii_space: bool,
    pub ascii_posix: bool,
    /// Whether plain parentheses do not capture.
    pub no_captures: bool,
}

/// A parsed pattern.
pub(super) struct Parsed {
    pub root: Node,
    /// The number of the highest group.
    pub groups: usize,
}

pub(super) struct Parser<'p> {
    pub chars: &'p [char],
    pub at: usize,
    pub options: Options,
    /// The number of groups opened so far.
    pub groups: usize,
    /// The named groups.
    pub names: Vec<(String, usize)>,
    /// Groups without a name.
    unnamed: Vec<usize>,
    /// The highest number of a group that is referred to by number, and where.
    pub numbered: Option<(usize, usize)>,
    depth: usize,
    in_absent: bool,
    /// Whether each of the enclosing lookbehinds is negative.
    lookbehinds: Vec<bool>,
    /// The first named and the first unnamed group in a negative lookbehind, where they are not allowed.
    captures_behind: [Option<usize>; 2],
}

/// Parses a pattern.
pub(super) fn parse(pattern: &str) -> Result<Parsed> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut parser = Parser {
        chars: &chars,
        at: 0,
        options: Options::default(),
        groups: 0,
        names: Vec::new(),
        unnamed: Vec::new(),
        numbered: None,
        depth: 0,
        in_absent: false,
        lookbehinds: Vec::new(),
        captures_behind: [None, None],
    };
    let parts = parser.alternatives()?;
    if parser.at < chars.len() {
        return Err(parser.syntax("a closing parenthesis has no opening one"));
    }
    let mut root = one_of(parts);
    if let Some((highest, at)) = parser.numbered {
        if highest > parser.groups {
            return Err(RegexError::Syntax { at, reason: "a reference to a group that does not exist" });
        }
        if !parser.names.is_empty() {
            let reason = "with named groups, references by number are not allowed";
            return Err(RegexError::Syntax { at, reason });
        }
    }
    let [named, unnamed] = parser.captures_behind;
    if let Some(at) = named.or(unnamed.filter(|_| parser.names.is_empty())) {
        return Err(RegexError::Syntax { at, reason: "a capture in a negative lookbehind" });
    }
    // Beside named groups, the others do not capture.
    let captures = |node: &Node| match node {
        Node::BackReference { groups, .. } => groups.clone(),
        Node::If { condition: Condition::Groups(groups), .. } => groups.clone(),
        _ => Vec::new(),
    };
    let mut used = Vec::new();
    collect(&root, &captures, &mut used);
    if !parser.names.is_empty() {
        used.retain(|group| !parser.unnamed.contains(group));
    }
    drop_captures(&mut root, &used);
    Ok(Parsed { root, groups: parser.groups })
}

fn collect(node: &Node, of: &dyn Fn(&Node) -> Vec<usize>, out: &mut Vec<usize>) {
    out.extend(of(node));
    node.children().into_iter().for_each(|child| collect(child, of, out));
}

/// Removes the captures of groups that nothing refers to.
fn drop_captures(node: &mut Node, used: &[usize]) {
    while let Node::Capture(group, body) = node {
        if used.contains(group) {
            break;
        }
        *node = Node::Scope(std::mem::replace(body, Box::new(Node::Empty)));
    }
    match node {
        Node::Concat(parts) | Node::Alternatives(parts) => {
            parts.iter_mut().for_each(|part| drop_captures(part, used));
        }
        Node::Repeat(repeat) => drop_captures(&mut repeat.body, used),
        Node::Scope(body) | Node::Capture(_, body) | Node::Atomic(body) | Node::Look { body, .. } => {
            drop_captures(body, used);
        }
        Node::If { condition, then, otherwise } => {
            if let Condition::Matches(condition) = condition {
                drop_captures(condition, used);
            }
            drop_captures(then, used);
            drop_captures(otherwise, used);
        }
        _ => {}
    }
}

fn one_of(mut parts: Vec<Node>) -> Node {
    if parts.len() == 1 { parts.remove(0) } else { Node::Alternatives(parts) }
}

impl Parser<'_> {
    pub(super) fn syntax(&self, reason: &'static str) -> RegexError {
        RegexError::Syntax { at: self.at, reason }
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    /// Skips `c` if it is next.
    pub(super) fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        self.at += usize::from(found);
        found
    }

    pub(super) fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return Err(RegexError::Unsupported { what: "nesting deeper than 100" });
        }
        self.depth += 1;
        let parsed = parse(self)?;
        self.depth -= 1;
        Ok(parsed)
    }

    /// Alternatives up to a closing parenthesis or the end. Options that they switch end with them.
    fn alternatives(&mut self) -> Result<Vec<Node>> {
        self.deeper(|parser| {
            let options = parser.options;
            let mut parts = vec![parser.branch()?];
            while parser.eat('|') {
                parts.push(parser.branch()?);
            }
            parser.options = options;
            Ok(parts)
        })
    }

    /// Alternatives and the closing parenthesis.
    fn rest_of_group(&mut self) -> Result<Node> {
        let parts = self.alternatives()?;
        self.close()?;
        Ok(one_of(parts))
    }

    fn close(&mut self) -> Result<()> {
        if self.eat(')') { Ok(()) } else { Err(self.syntax("a closing parenthesis is missing")) }
    }

    fn branch(&mut self) -> Result<Node> {
        let mut parts = Vec::new();
        loop {
            self.skip_ignored()?;
            if matches!(self.peek(), None | Some('|' | ')')) {
                return Ok(Node::concat(parts));
            }
            let mut atom = self.atom()?;
            for count in 0.. {
                self.skip_ignored()?;
                let at = self.at;
                let Some(quantifier) = self.quantifier()? else { break };
                if atom.cannot_be_repeated() {
                    let reason = "an assertion, or a choice with one, cannot be repeated";
                    return Err(RegexError::Syntax { at, reason });
                }
                if count == MAX_DEPTH {
                    return Err(RegexError::Unsupported { what: "more than 100 quantifiers in a row" });
                }
                let choice = |node: &Node| matches!(node, Node::If { condition: Condition::Matches(_), .. });
                if atom.any(&choice) {
                    let what = "a repeated conditional whose condition is a pattern";
                    return Err(RegexError::Unsupported { what });
                }
                if atom.any(&|node| *node == Node::Assert(Assertion::SearchStart)) {
                    return Err(RegexError::Unsupported { what: "a repeated \\G" });
                }
                atom = quantifier.apply(atom);
            }
            parts.push(atom);
        }
    }

    /// Skips comments and, in extended mode, white space.
    fn skip_ignored(&mut self) -> Result<()> {
        loop {
            match self.peek() {
                Some('(') if self.chars[self.at..].starts_with(&['(', '?', '#']) => {
                    self.at += 3;
                    loop {
                        match self.next() {
                            None => return Err(self.syntax("a comment without an end")),
                            Some('\\') => drop(self.next()),
                            Some(')') => break,
                            Some(_) => {}
                        }
                    }
                }
                Some('#') if self.options.extended => while !matches!(self.next(), None | Some('\n')) {},
                Some(' ' | '\t' | '\n' | '\r' | '\x0c') if self.options.extended => self.at += 1,
                _ => return Ok(()),
            }
        }
    }

    fn quantifier(&mut self) -> Result<Option<Quantifier>> {
        let (min, max) = match self.peek() {
            Some('?') => (0, Some(1)),
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('{') => return self.interval(),
            _ => return Ok(None),
        };
        self.at += 1;
        let lazy = self.eat('?');
        let possessive = !lazy && self.eat('+');
        Ok(Some(Quantifier { min, max, greedy: !lazy, possessive }))
    }

    /// `{n}`, `{n,}`, `{,m}`, `{n,m}`; `None` if the brace is a character like any other.
    fn interval(&mut self) -> Result<Option<Quantifier>> {
        let start = self.at;
        self.at += 1;
        let low = self.number()?;
        let comma = self.eat(',');
        let high = if comma { self.number()? } else { low };
        if (low, high) == (None, None) || !self.eat('}') {
            self.at = start;
            return Ok(None);
        }
        let mut quantifier = Quantifier { min: low.unwrap_or(0), max: high, greedy: true, possessive: false };
        if let Some(max) = high.filter(|max| *max < quantifier.min) {
            (quantifier.max, quantifier.min) = (Some(quantifier.min), max);
            quantifier.possessive = true;
        } else if comma && self.eat('?') {
            quantifier.greedy = false;
        }
        Ok(Some(quantifier))
    }

    fn number(&mut self) -> Result<Option<u32>> {
        let start = self.at;
        let mut number = 0u32;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
            self.at += 1;
            number = number.saturating_mul(10).saturating_add(digit);
        }
        if number > MAX_REPEAT {
            return Err(self.syntax("a repetition of more than 100000 times"));
        }
        Ok((self.at > start).then_some(number))
    }

    fn atom(&mut self) -> Result<Node> {
        let c = self.next().unwrap_or_default();
        Ok(match c {
            '(' => return self.group(),
            '[' => return self.class_node(),
            '\\' => return self.escape(),
            '.' if self.options.dot_matches_all => Node::Set(all()),
            '.' => Node::Set(complement(set(&[('\n', '\n')]))),
            '^' => Node::Assert(Assertion::LineStart),
            '$' => Node::Assert(Assertion::LineEnd),
            '?' | '*' | '+' => {
                self.at -= 1;
                return Err(self.syntax("nothing to repeat"));
            }
            '{' => {
                self.at -= 1;
                if self.interval()?.is_some() {
                    return Err(self.syntax("nothing to repeat"));
                }
                self.at += 1;
                self.literal('{')
            }
            c => self.literal(c),
        })
    }

    pub(super) fn literal(&self, c: char) -> Node {
        Node::Literal { text: vec![c], fold: self.options.ignore_case }
    }

    /// What follows an opening parenthesis.
    fn group(&mut self) -> Result<Node> {
        if self.peek() == Some('*') {
            return Err(RegexError::Unsupported { what: "a callout" });
        }
        if !self.eat('?') {
            if self.options.no_captures {
                return self.rest_of_group();
            }
            self.groups += 1;
            let group = self.groups;
            self.unnamed.push(group);
            self.note_capture(1);
            return Ok(Node::Capture(group, Box::new(self.rest_of_group()?)));
        }
        let look = |behind, negative, body| Node::Look { behind, negative, body };
        match self.next() {
            Some(':') => self.rest_of_group(),
            Some(c @ ('=' | '!')) => {
                self.check_behind("a lookahead in a lookbehind")?;
                Ok(look(false, c == '!', Box::new(self.rest_of_group()?)))
            }
            Some('>') => Ok(Node::Atomic(Box::new(self.rest_of_group()?))),
            Some('<') if self.eat('=') => self.lookbehind(false),
            Some('<') if self.eat('!') => self.lookbehind(true),
            Some('<') => self.named_group('>'),
            Some('\'') => self.named_group('\''),
            Some('~') => self.absent(),
            Some('(') => self.conditional(),
            Some('{') => Err(RegexError::Unsupported { what: "a callout" }),
            Some(_) => {
                self.at -= 1;
                self.options_group()
            }
            None => Err(self.syntax("a group without an end")),
        }
    }

    fn lookbehind(&mut self, negative: bool) -> Result<Node> {
        if negative && self.lookbehinds.contains(&false) {
            return Err(self.syntax("a negative lookbehind in a lookbehind"));
        }
        self.lookbehinds.push(negative);
        let body = Box::new(self.rest_of_group()?);
        self.lookbehinds.pop();
        if self.is_behind() && body.may_be_empty() {
            return Err(RegexError::Unsupported { what: "an empty lookbehind in another" });
        }
        Ok(Node::Look { behind: true, negative, body })
    }

    /// Refuses what is not allowed in a lookbehind, if this is one.
    pub(super) fn check_behind(&self, reason: &'static str) -> Result<()> {
        if self.is_behind() { Err(self.syntax(reason)) } else { Ok(()) }
    }

    pub(super) fn is_behind(&self) -> bool {
        !self.lookbehinds.is_empty()
    }

    fn note_capture(&mut self, kind: usize) {
        if self.lookbehinds.contains(&true) {
            self.captures_behind[kind].get_or_insert(self.at);
        }
    }

    fn named_group(&mut self, end: char) -> Result<Node> {
        let name = self.name(end)?;
        if name.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            return Err(self.syntax("a name cannot begin with a digit"));
        }
        self.groups += 1;
        let group = self.groups;
        self.names.push((name, group));
        self.note_capture(0);
        Ok(Node::Capture(group, Box::new(self.rest_of_group()?)))
    }

    /// A name up to `end`, which is skipped.
    pub(super) fn name(&mut self, end: char) -> Result<String> {
        let start = self.at;
        while let Some(c) = self.next() {
            if c == end {
                let name: String = self.chars[start..self.at - 1].iter().collect();
                let is_name = !name.is_empty()
                    && name.chars().all(|c| c == '-' || c == '+' || crate::unicode::is_word(c));
                return if is_name { Ok(name) } else { Err(self.syntax("a group's name is invalid")) };
            }
            if c == ')' {
                break;
            }
        }
        Err(self.syntax("a group's name without an end"))
    }

    /// `(?~absent)` matches as far as no match of `absent` begins; `(?~|absent|body)` limits `body` in this way.
    fn absent(&mut self) -> Result<Node> {
        if std::mem::replace(&mut self.in_absent, true) {
            return Err(RegexError::Unsupported { what: "an absent operator in another" });
        }
        let limits = self.eat('|');
        let mut parts = self.alternatives()?;
        self.close()?;
        self.in_absent = false;
        let unsupported = Err(RegexError::Unsupported { what: "an absent operator other than (?~absent)" });
        let (absent, body) = match (limits, parts.len()) {
            (false, _) => {
                let body = Quantifier { min: 0, max: None, greedy: true, possessive: false };
                (one_of(parts), body.apply(Node::Set(all())))
            }
            (true, 2..) => {
                let body = parts.split_off(1);
                (one_of(parts), one_of(body))
            }
            (true, _) => return unsupported,
        };
        // The body is one character, repeated; the condition holds in front of each.
        let (node, is_atomic) = match body {
            Node::Atomic(body) => (*body, true),
            body => (body, false),
        };
        let Node::Repeat(mut repeat) = node else { return unsupported };
        let is_char = match &*repeat.body {
            Node::Set(_) => true,
            Node::Literal { text, fold } => text.len() == 1 && !fold,
            _ => false,
        };
        if !is_char {
            return unsupported;
        }
        let not_here = Node::Look { behind: false, negative: true, body: Box::new(absent) };
        repeat.body = Box::new(Node::concat(vec![not_here, *repeat.body]));
        let node = Box::new(Node::Repeat(repeat));
        Ok(if is_atomic { Node::Atomic(node) } else { Node::Scope(node) })
    }

    /// What follows `(?(`.
    fn conditional(&mut self) -> Result<Node> {
        let condition = match self.group_condition()? {
            Some(groups) => Condition::Groups(groups),
            None => Condition::Matches(Box::new(self.rest_of_group()?)),
        };
        if self.eat(')') {
            return match condition {
                Condition::Groups(_) => {
                    let otherwise = Box::new(Node::Set(set(&[])));
                    Ok(Node::If { condition, then: Box::new(Node::Empty), otherwise })
                }
                Condition::Matches(_) => Err(self.syntax("a condition without anything to match")),
            };
        }
        let has_no_then = self.eat('|');
        let mut parts = self.alternatives()?;
        self.close()?;
        let (then, otherwise) = if has_no_then {
            (Node::Empty, one_of(parts))
        } else {
            let rest = parts.split_off(1);
            (parts.remove(0), if rest.is_empty() { Node::Empty } else { one_of(rest) })
        };
        Ok(Node::If { condition, then: Box::new(then), otherwise: Box::new(otherwise) })
    }

    /// The condition `1)`, `-1)`, `<name>)`, `'name')`: that a group has matched.
    fn group_condition(&mut self) -> Result<Option<Vec<usize>>> {
        let start = self.at;
        let (end, is_enclosed) = match self.peek() {
            Some('<') => ('>', true),
            Some('\'') => ('\'', true),
            Some(c) if c.is_ascii_digit() || c == '-' || c == '+' => (')', false),
            _ => return Ok(None),
        };
        if is_enclosed {
            self.at += 1;
            let name = self.name(end)?;
            let groups = self.groups_named(&name)?;
            self.close()?;
            return Ok(Some(groups));
        }
        let length = self.chars[start..].iter().position(|&c| c == ')').unwrap_or(0);
        let text: String = self.chars[start..start + length].iter().collect();
        if text.parse::<i64>().is_err() {
            return Ok(None);
        }
        self.at += length + 1;
        self.groups_named(&text).map(Some)
    }

    /// `i-m:…)` and the like, or `i-m)`, which holds to the end of the enclosing group.
    fn options_group(&mut self) -> Result<Node> {
        let before = self.options;
        let mut options = before;
        let mut on = true;
        loop {
            match self.next() {
                Some('-') => on = false,
                Some('x') => options.extended = on,
                Some('i') => options.ignore_case = on,
                Some('m') => options.dot_matches_all = on,
                Some('W') => options.ascii_word = on,
                Some('D') => options.ascii_digit = on,
                Some('S') => options.ascii_space = on,
                Some('P') => {
                    options.ascii_posix = on;
                }
                Some('C') if on => options.no_captures = true,
                Some('I') => {
                    return Err(RegexError::Unsupported { what: "the option I, case of ASCII only" });
                }
                Some('L') => return Err(RegexError::Unsupported { what: "the option L, the longest match" }),
                Some('y') => return Err(RegexError::Unsupported { what: "the option y, text segments" }),
                Some(')') if self.chars[self.at - 2] != '?' => {
                    self.options = options;
                    let rest = self.alternatives()?;
                    self.options = before;
                    return Ok(Node::Scope(Box::new(one_of(rest))));
                }
                Some(':') => {
                    self.options = options;
                    let body = self.rest_of_group()?;
                    self.options = before;
                    return Ok(Node::Scope(Box::new(body)));
                }
                _ => return Err(self.syntax("an unknown option of a group")),
            }
        }
    }
}
