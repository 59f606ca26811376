//! Ignoring case, with full case folding: `ß` equals `ss`, and `ﬃ` equals `FFI`.
//!
//! Characters that fold to the same single character are equal. In a literal, up to three characters may also equal
//! one whose full folding they are, and the other way round. Source of the foldings: Unicode's `CaseFolding.txt`,
//! statuses C and F, here derived from the standard library's mappings (a test of the goldens covers all of them).

use std::collections::HashMap;
use std::sync::LazyLock;

use super::ast::{Node, Set, set};

/// Full foldings to several characters.
static LONG: LazyLock<HashMap<char, Vec<char>>> = LazyLock::new(|| {
    let candidates = ('\0'..'\u{2000}').chain('\u{fb00}'..'\u{fb18}');
    candidates.filter_map(|c| Some((c, long_folding(c)?))).collect()
});

/// The characters of each folding in [`LONG`].
static SHORT: LazyLock<HashMap<Vec<char>, Vec<char>>> = LazyLock::new(|| {
    let mut short: HashMap<Vec<char>, Vec<char>> = HashMap::new();
    LONG.iter().for_each(|(&c, folding)| short.entry(folding.clone()).or_default().push(c));
    short
});

fn long_folding(c: char) -> Option<Vec<char>> {
    let lower: Vec<char> = c.to_lowercase().collect();
    let upper: Vec<char> = lower.iter().flat_map(|c| c.to_uppercase()).collect();
    let folding: Vec<char> =
        if lower.len() > 1 { lower } else { upper.iter().flat_map(|c| c.to_lowercase()).collect() };
    (folding.len() > 1).then_some(folding)
}

/// The characters that equal one of the members, as single characters.
pub(super) fn closure(mut members: Set) -> Set {
    members.case_fold_simple();
    let same: Vec<(char, char)> = SHORT
        .values()
        .filter(|chars| chars.iter().any(|&c| contains(&members, c)))
        .flat_map(|chars| chars.iter().map(|&c| (c, c)))
        .collect();
    members.union(&set(&same));
    members
}

fn contains(members: &Set, c: char) -> bool {
    members.ranges().iter().any(|range| range.start() <= c && c <= range.end())
}

fn equal_to(c: char) -> Set {
    let mut equal = set(&[(c, c)]);
    equal.case_fold_simple();
    equal
}

fn sequence(folding: &[char]) -> Node {
    Node::concat(folding.iter().map(|&c| Node::Set(equal_to(c))).collect())
}

/// A class that ignores case.
pub(super) fn class(members: Set) -> Node {
    let members = closure(members);
    let mut sequences: Vec<&Vec<char>> = SHORT
        .iter()
        .filter(|(_, chars)| chars.iter().any(|&c| contains(&members, c)))
        .map(|(folding, _)| folding)
        .collect();
    if sequences.is_empty() {
        return Node::Set(members);
    }
    sequences.sort_by_key(|folding| (folding.len(), (*folding).clone()));
    let sequences = sequences.into_iter().map(|folding| sequence(folding));
    Node::Alternatives(std::iter::once(Node::Set(members)).chain(sequences).collect())
}

/// A literal that ignores case. In a lookbehind, every character is matched by one.
pub(super) fn literal(text: &[char], behind: bool) -> Node {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(&first) = rest.first() {
        let folded: Vec<char> = rest.iter().take(3).map(|&c| simple(c)).collect();
        let several =
            (2..=folded.len()).rev().find(|&length| !behind && SHORT.contains_key(&folded[..length]));
        let (length, node) = match several {
            Some(length) => (length, alternatives(&folded[..length])),
            None => match LONG.get(&first).filter(|_| !behind) {
                Some(folding) => (1, alternatives(folding)),
                None => (1, Node::Set(closure(set(&[(first, first)])))),
            },
        };
        parts.push(node);
        rest = &rest[length..];
    }
    Node::concat(parts)
}

/// A folding to several characters, or one of the characters that have it.
fn alternatives(folding: &[char]) -> Node {
    let single: Vec<(char, char)> = SHORT.get(folding).into_iter().flatten().map(|&c| (c, c)).collect();
    Node::Alternatives(vec![sequence(folding), Node::Set(set(&single))])
}

/// The folding of a character to a single one; itself if it has none.
pub(super) fn simple(c: char) -> char {
    if LONG.contains_key(&c) {
        return c;
    }
    let mut lower = c.to_lowercase();
    let (Some(first), None) = (lower.next(), lower.next()) else { return c };
    let mut upper = first.to_uppercase();
    let (Some(upper), None) = (upper.next(), upper.next()) else { return first };
    let mut folded = upper.to_lowercase();
    match (folded.next(), folded.next()) {
        (Some(folded), None) => folded,
        _ => first,
    }
}

/// The full folding of a character, to compare texts with.
pub(super) fn full(c: char) -> Vec<char> {
    LONG.get(&c).cloned().unwrap_or_else(|| vec![simple(c)])
}
