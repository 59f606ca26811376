//! The syntax tree of a pattern.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

/// A set of characters.
pub(super) type Set = ClassUnicode;

/// The set of the characters in these ranges.
pub(super) fn set(ranges: &[(char, char)]) -> Set {
    Set::new(ranges.iter().map(|&(first, last)| ClassUnicodeRange::new(first, last)))
}

/// All characters.
pub(super) fn all() -> Set {
    set(&[('\0', char::MAX)])
}

/// The characters that are not in `set`.
pub(super) fn complement(mut set: Set) -> Set {
    set.negate();
    set
}

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// The empty text.
    Empty,
    /// These characters. With `fold`, in any case; folding is expanded by [`super::fold`].
    Literal { text: Vec<char>, fold: bool },
    /// One character of a set.
    Set(Set),
    /// One after the other.
    Concat(Vec<Node>),
    /// The first that leads to a match.
    Alternatives(Vec<Node>),
    /// Repetitions.
    Repeat(Repeat),
    /// A part whose literals are not joined to those around it.
    Scope(Box<Node>),
    /// A numbered group.
    Capture(usize, Box<Node>),
    /// A group that is not entered again once it has matched.
    Atomic(Box<Node>),
    /// A condition on the text around this position.
    Look { behind: bool, negative: bool, body: Box<Node> },
    /// A condition on this position.
    Assert(Assertion),
    /// The text of the last of these groups that has matched.
    BackReference { groups: Vec<usize>, fold: bool },
    /// `\K`: the match begins here.
    Keep,
    /// `(?(condition)then|otherwise)`
    If { condition: Condition, then: Box<Node>, otherwise: Box<Node> },
}

/// `body{min,max}`
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Repeat {
    pub body: Box<Node>,
    pub min: u32,
    /// `None` is no limit.
    pub max: Option<u32>,
    pub greedy: bool,
}

/// The condition of [`Node::If`].
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    /// One of these groups has matched.
    Groups(Vec<usize>),
    /// This matches here, and is consumed.
    Matches(Box<Node>),
}

/// A condition on a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Assertion {
    /// `\A`
    TextStart,
    /// `\z`
    TextEnd,
    /// `\Z`: the end, or in front of a line feed at the end.
    LastLineEnd,
    /// `^`
    LineStart,
    /// `$`
    LineEnd,
    /// `\G`: where the search began.
    SearchStart,
    /// `\b`, or with `ascii` `(?W:\b)`; `negated` is `\B`.
    WordBoundary { ascii: bool, negated: bool },
    /// `\y`; `negated` is `\Y`.
    GraphemeBoundary { negated: bool },
}

impl Node {
    /// The nodes one after the other; concatenations among them are flattened, adjacent literals are joined.
    pub(super) fn concat(parts: Vec<Node>) -> Node {
        let mut flat: Vec<Node> = Vec::with_capacity(parts.len());
        let mut add = |part: Node| match (flat.last_mut(), part) {
            (_, Node::Empty) => {}
            (Some(Node::Literal { text, fold }), Node::Literal { text: more, fold: same })
                if *fold == same =>
            {
                text.extend(more);
            }
            (_, part) => flat.push(part),
        };
        for part in parts {
            match part {
                Node::Concat(inner) => inner.into_iter().for_each(&mut add),
                part => add(part),
            }
        }
        match flat.len() {
            0 => Node::Empty,
            1 => flat.remove(0),
            _ => Node::Concat(flat),
        }
    }

    /// Whether the reference refuses to repeat this.
    pub(super) fn cannot_be_repeated(&self) -> bool {
        match self {
            Node::Look { .. } | Node::Assert(_) | Node::Keep => true,
            Node::Alternatives(parts) => parts.iter().any(Node::cannot_be_repeated),
            _ => false,
        }
    }

    /// Whether this can match the empty text.
    pub(super) fn may_be_empty(&self) -> bool {
        match self {
            Node::Literal { text, .. } => text.is_empty(),
            Node::Set(_) => false,
            Node::Concat(parts) => parts.iter().all(Node::may_be_empty),
            Node::Alternatives(parts) => parts.iter().any(Node::may_be_empty),
            Node::Repeat(repeat) => repeat.min == 0 || repeat.body.may_be_empty(),
            Node::Scope(body) | Node::Capture(_, body) | Node::Atomic(body) => body.may_be_empty(),
            Node::Empty
            | Node::Look { .. }
            | Node::Assert(_)
            | Node::BackReference { .. }
            | Node::Keep
            | Node::If { .. } => true,
        }
    }

    /// The minimum and the maximum number of characters that this matches in a lookbehind, if there is a maximum.
    pub(super) fn length(&self) -> (u64, Option<u64>) {
        let add = |left: (u64, Option<u64>), right: (u64, Option<u64>)| {
            let max = left.1.zip(right.1).map(|(left, right)| left.saturating_add(right));
            (left.0.saturating_add(right.0), max)
        };
        let either = |left: (u64, Option<u64>), right: (u64, Option<u64>)| {
            (left.0.min(right.0), left.1.zip(right.1).map(|(left, right)| left.max(right)))
        };
        match self {
            Node::Literal { text, .. } => (text.len() as u64, Some(text.len() as u64)),
            Node::Set(_) => (1, Some(1)),
            Node::Concat(parts) => parts.iter().map(Node::length).fold((0, Some(0)), add),
            Node::Alternatives(parts) => {
                parts.iter().map(Node::length).reduce(either).unwrap_or((0, Some(0)))
            }
            Node::Repeat(Repeat { body, min, max, .. }) => {
                let (least, most) = body.length();
                let most = match (most, max) {
                    (Some(0), _) => Some(0),
                    (most, max) => most.zip(*max).map(|(most, max)| most.saturating_mul(u64::from(max))),
                };
                (least.saturating_mul(u64::from(*min)), most)
            }
            Node::Scope(body) | Node::Capture(_, body) | Node::Atomic(body) => body.length(),
            Node::If { condition, then, otherwise } => {
                let condition = match condition {
                    Condition::Matches(condition) => condition.length(),
                    Condition::Groups(_) => (0, Some(0)),
                };
                either(add(condition, then.length()), otherwise.length())
            }
            Node::BackReference { .. } => (0, None),
            Node::Empty | Node::Look { .. } | Node::Assert(_) | Node::Keep => (0, Some(0)),
        }
    }

    /// The nodes directly below this one.
    pub(super) fn children(&self) -> Vec<&Node> {
        match self {
            Node::Concat(parts) | Node::Alternatives(parts) => parts.iter().collect(),
            Node::Repeat(repeat) => vec![&repeat.body],
            Node::Scope(body) | Node::Capture(_, body) | Node::Atomic(body) | Node::Look { body, .. } => {
                vec![body]
            }
            Node::If { condition: Condition::Matches(condition), then, otherwise } => {
                vec![condition, then, otherwise]
            }
            Node::If { condition: Condition::Groups(_), then, otherwise } => vec![then, otherwise],
            _ => Vec::new(),
        }
    }

    /// Whether `test` holds for this node or one below it.
    pub(super) fn any(&self, test: &dyn Fn(&Node) -> bool) -> bool {
        test(self) || self.children().into_iter().any(|child| child.any(test))
    }
}
