//! Quantifiers, and what a quantifier on a quantifier means.
//!
//! `+` after `?`, `*` and `+` makes them possessive. After an interval it does not: `a{1,3}+` repeats `a{1,3}`, and so
//! does `?` after `{n}`. Of two adjacent quantifiers that are each one of `? * + ?? *? +?`, most pairs become one.

use super::ast::{Node, Repeat};

/// A quantifier as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quantifier {
    pub min: u32,
    pub max: Option<u32>,
    pub greedy: bool,
    pub possessive: bool,
}

/// The quantifiers that are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Popular {
    Optional,
    Star,
    Plus,
    LazyOptional,
    LazyStar,
    LazyPlus,
}

fn popular(min: u32, max: Option<u32>, greedy: bool) -> Option<Popular> {
    Some(match (min, max, greedy) {
        (0, Some(1), true) => Popular::Optional,
        (0, None, true) => Popular::Star,
        (1, None, true) => Popular::Plus,
        (0, Some(1), false) => Popular::LazyOptional,
        (0, None, false) => Popular::LazyStar,
        (1, None, false) => Popular::LazyPlus,
        _ => return None,
    })
}

/// What two adjacent quantifiers become.
enum Joined {
    Inner,
    Both,
    One(Popular),
    /// `(?:body+)??`
    LazyOptionalPlus,
}

fn joined(inner: Popular, outer: Popular) -> Joined {
    use Popular::{LazyOptional, LazyPlus, LazyStar, Optional, Plus, Star};
    match (inner, outer) {
        (Optional, Optional) | (Star, Optional | Star | Plus | LazyPlus) => Joined::Inner,
        (Plus, Plus | LazyPlus) | (LazyOptional, Optional | LazyOptional) => Joined::Inner,
        (LazyStar, _) | (LazyPlus, LazyPlus) => Joined::Inner,
        (Optional, Star | Plus) | (Plus, Optional | Star) | (LazyPlus, Star) => Joined::One(Star),
        (Optional, LazyOptional) => Joined::One(LazyOptional),
        (LazyPlus, Plus) => Joined::One(Plus),
        (Optional, LazyStar) | (LazyOptional, _) | (LazyPlus, LazyOptional | LazyStar) => {
            Joined::One(LazyStar)
        }
        (Star, LazyOptional | LazyStar) | (Plus, LazyStar) => Joined::LazyOptionalPlus,
        (Optional, LazyPlus) | (Plus, LazyOptional) | (LazyPlus, Optional) => Joined::Both,
    }
}

fn repeat(body: Box<Node>, kind: Popular) -> Node {
    let (min, max, greedy) = match kind {
        Popular::Optional => (0, Some(1), true),
        Popular::Star => (0, None, true),
        Popular::Plus => (1, None, true),
        Popular::LazyOptional => (0, Some(1), false),
        Popular::LazyStar => (0, None, false),
        Popular::LazyPlus => (1, None, false),
    };
    Node::Repeat(Repeat { body, min, max, greedy })
}

impl Quantifier {
    /// The quantified node.
    pub(super) fn apply(self, body: Node) -> Node {
        let Quantifier { min, max, greedy, possessive } = self;
        if (min, max) == (1, Some(1)) {
            return body;
        }
        let node = match body {
            Node::Repeat(inner) => Quantifier::join(self, inner),
            body => Node::Repeat(Repeat { body: Box::new(body), min, max, greedy }),
        };
        if possessive { Node::Atomic(Box::new(node)) } else { node }
    }

    fn join(self, inner: Repeat) -> Node {
        let Quantifier { min, max, greedy, .. } = self;
        match (popular(inner.min, inner.max, inner.greedy), popular(min, max, greedy)) {
            (Some(first), Some(second)) => match joined(first, second) {
                Joined::Inner => Node::Repeat(inner),
                Joined::One(kind) => repeat(inner.body, kind),
                Joined::LazyOptionalPlus => {
                    repeat(Box::new(repeat(inner.body, Popular::Plus)), Popular::LazyOptional)
                }
                Joined::Both => repeat(Box::new(Node::Repeat(inner)), second),
            },
            // What is left for the second repetition of `(?:a*){n,m}` is empty.
            (Some(Popular::Star | Popular::Plus), None) if greedy && max.is_some_and(|max| max > 1) => {
                Node::Repeat(Repeat {
                    body: Box::new(Node::Repeat(inner)),
                    min,
                    max: Some(min.max(1)),
                    greedy,
                })
            }
            _ => Node::Repeat(Repeat { body: Box::new(Node::Repeat(inner)), min, max, greedy }),
        }
    }
}
