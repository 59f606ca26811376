//! From the syntax tree to a [`Program`].
//!
//! Lookbehinds are compiled from right to left, so that they need no length. Those whose meaning depends on the
//! direction (with captures that are used, atomic groups, backreferences) try every start instead.

use regex_syntax::hir::ClassUnicode;

use super::ast::{Assertion, Condition, Node, Repeat, Set, set};
use super::error::RegexError;
use super::fold;
use super::parse::{Parsed, Result};
use super::program::{Bytes, Inst, Members, Program, Sub};

/// Maximum number of instructions.
const MAX_INSTRUCTIONS: usize = 1 << 16;

struct Compiler {
    insts: Vec<Inst>,
    sets: Vec<Set>,
    guards: Vec<Bytes>,
    slots: usize,
    memos: usize,
}

/// The direction in which a part is matched, and whether it is in a lookbehind.
#[derive(Debug, Clone, Copy)]
struct Way {
    backward: bool,
    behind: bool,
}

/// Compiles a pattern.
pub(super) fn compile(parsed: &Parsed) -> Result<Program> {
    let root = &parsed.root;
    let depends_on_groups = root.any(&|node| {
        matches!(node, Node::BackReference { .. } | Node::If { condition: Condition::Groups(_), .. })
    });
    let mut compiler = Compiler {
        insts: Vec::new(),
        sets: Vec::new(),
        guards: Vec::new(),
        slots: 2 * (parsed.groups + 1),
        memos: 0,
    };
    compiler.node(root, Way { backward: false, behind: false })?;
    compiler.push(Inst::Match)?;
    let (first, may_be_empty) = first_bytes(root);
    Ok(Program {
        insts: compiler.insts,
        sets: compiler.sets.iter().map(Members::new).collect(),
        guards: compiler.guards,
        first: (!may_be_empty).then_some(first),
        slots: compiler.slots,
        memos: compiler.memos,
        can_memo: !depends_on_groups,
        has_search_start: root.any(&|node| *node == Node::Assert(Assertion::SearchStart)),
    })
}

impl Compiler {
    fn push(&mut self, inst: Inst) -> Result<usize> {
        if self.insts.len() == MAX_INSTRUCTIONS {
            return Err(RegexError::TooLarge { max: MAX_INSTRUCTIONS });
        }
        self.insts.push(inst);
        Ok(self.insts.len() - 1)
    }

    fn set(&mut self, set: &Set) -> usize {
        self.sets.iter().position(|known| known == set).unwrap_or_else(|| {
            self.sets.push(set.clone());
            self.sets.len() - 1
        })
    }

    fn memo(&mut self) -> usize {
        self.memos += 1;
        self.memos - 1
    }

    fn slot(&mut self) -> usize {
        self.slots += 1;
        self.slots - 1
    }

    /// A split whose targets are set later.
    fn split(&mut self, guard: Option<usize>) -> Result<usize> {
        let memo = self.memo();
        self.push(Inst::Split { first: 0, second: 0, guard, memo })
    }

    fn set_targets(&mut self, split: usize, to_first: usize, to_second: usize) {
        if let Inst::Split { first, second, .. } = &mut self.insts[split] {
            (*first, *second) = (to_first, to_second);
        }
    }

    fn node(&mut self, node: &Node, way: Way) -> Result<()> {
        match node {
            Node::Empty => {}
            Node::Literal { text, fold: true } => {
                let folded = fold::literal(text, way.behind);
                return self.node(&folded, way);
            }
            Node::Literal { text, .. } => {
                let ordered: Vec<char> =
                    if way.backward { text.iter().rev().copied().collect() } else { text.clone() };
                for c in ordered {
                    self.push(Inst::Char(c))?;
                }
            }
            Node::Set(set) => {
                let set = self.set(set);
                self.push(Inst::Set(set))?;
            }
            Node::Concat(parts) if way.backward => {
                return parts.iter().rev().try_for_each(|part| self.node(part, way));
            }
            Node::Concat(parts) => return parts.iter().try_for_each(|part| self.node(part, way)),
            Node::Alternatives(parts) => return self.alternatives(parts, way),
            Node::Repeat(repeat) => return self.repeat(repeat, way),
            Node::Scope(body) => return self.node(body, way),
            Node::Capture(group, body) => {
                let (start, end) = (2 * group, 2 * group + 1);
                let (slot, other) = if way.backward { (end, start) } else { (start, end) };
                self.push(Inst::Enter { slot, other })?;
                self.node(body, way)?;
                self.push(Inst::Save(other))?;
            }
            Node::Atomic(body) => return self.atomic(body, way),
            Node::Look { behind: false, negative, body } => {
                let kind = Sub::Look { negative: *negative, backward: false, limited: false };
                self.sub(kind, body, Way { backward: false, ..way }, false)?;
            }
            Node::Look { behind: true, negative, body } => return self.lookbehind(body, *negative),
            Node::Assert(assertion) => drop(self.push(Inst::Assert(*assertion))?),
            Node::BackReference { groups, fold } => {
                self.push(Inst::BackReference { groups: groups.clone(), fold: *fold })?;
            }
            Node::Keep => drop(self.push(Inst::Keep)?),
            Node::If { condition, then, otherwise } => {
                return self.conditional(condition, then, otherwise, way);
            }
        }
        Ok(())
    }

    fn alternatives(&mut self, parts: &[Node], way: Way) -> Result<()> {
        let mut ends = Vec::new();
        let Some((last, before)) = parts.split_last() else { return Ok(()) };
        for part in before {
            let guard = match first_bytes(part) {
                (first, false) if !way.backward => Some(self.guard(first)),
                _ => None,
            };
            let split = self.split(guard)?;
            self.node(part, way)?;
            ends.push(self.push(Inst::Jump(0))?);
            let next = self.insts.len();
            self.set_targets(split, split + 1, next);
        }
        self.node(last, way)?;
        let end = self.insts.len();
        ends.into_iter().for_each(|jump| self.insts[jump] = Inst::Jump(end));
        Ok(())
    }

    fn guard(&mut self, first: Bytes) -> usize {
        self.guards.iter().position(|known| *known == first).unwrap_or_else(|| {
            self.guards.push(first);
            self.guards.len() - 1
        })
    }

    /// The set of a node that always matches one character.
    fn one_char(&mut self, node: &Node) -> Option<usize> {
        match node {
            Node::Scope(body) => self.one_char(body),
            Node::Set(set) => Some(self.set(set)),
            Node::Literal { text, fold: false } if text.len() == 1 => {
                Some(self.set(&set(&[(text[0], text[0])])))
            }
            Node::Literal { text, fold: true } if text.len() == 1 => match fold::literal(text, false) {
                Node::Set(set) => Some(self.set(&set)),
                _ => None,
            },
            _ => None,
        }
    }

    fn run(&mut self, repeat: &Repeat, possessive: bool) -> Result<bool> {
        let Some(set) = self.one_char(&repeat.body).filter(|_| repeat.greedy) else { return Ok(false) };
        let max = repeat.max.unwrap_or(u32::MAX);
        let memo = self.memo();
        self.push(Inst::Run { set, min: repeat.min, max, possessive, memo })?;
        Ok(true)
    }

    fn repeat(&mut self, repeat: &Repeat, way: Way) -> Result<()> {
        if self.run(repeat, false)? {
            return Ok(());
        }
        let Repeat { body, min, max, greedy } = repeat;
        if *max == Some(0) {
            return Ok(());
        }
        let may_be_empty = body.may_be_empty();
        // `x+` needs no copy of `x`.
        let copies = if max.is_none() && *min > 0 { min - 1 } else { *min };
        for _ in 0..copies {
            let start = self.insts.len();
            self.node(body, way)?;
            if self.insts.len() == start {
                return Ok(());
            }
        }
        let order = |split: usize, body: usize, end: usize| {
            if *greedy { (split, body, end) } else { (split, end, body) }
        };
        let Some(max) = max else {
            let slot = may_be_empty.then(|| self.slot());
            let head = if *min == 0 { Some(self.split(None)?) } else { None };
            let start = self.insts.len();
            if let Some(slot) = slot {
                self.push(Inst::Save(slot))?;
            }
            self.node(body, way)?;
            let leave = match slot {
                Some(slot) => Some((slot, self.push(Inst::LeaveIfEmpty { slot, to: 0 })?)),
                None => None,
            };
            match head {
                Some(head) => {
                    self.push(Inst::Jump(head))?;
                    let (split, first, second) = order(head, start, self.insts.len());
                    self.set_targets(split, first, second);
                }
                None => {
                    let tail = self.split(None)?;
                    let (split, first, second) = order(tail, start, self.insts.len());
                    self.set_targets(split, first, second);
                }
            }
            if let Some((slot, at)) = leave {
                self.insts[at] = Inst::LeaveIfEmpty { slot, to: self.insts.len() };
            }
            return Ok(());
        };
        let mut splits = Vec::new();
        for _ in *min..*max {
            splits.push(self.split(None)?);
            let start = self.insts.len();
            self.node(body, way)?;
            if self.insts.len() == start {
                break;
            }
        }
        let end = self.insts.len();
        for split in splits {
            let (split, first, second) = order(split, split + 1, end);
            self.set_targets(split, first, second);
        }
        Ok(())
    }

    fn atomic(&mut self, body: &Node, way: Way) -> Result<()> {
        let mut inner = body;
        while let Node::Scope(scope) = inner {
            inner = scope;
        }
        if let Node::Repeat(repeat) = inner
            && self.run(repeat, true)?
        {
            return Ok(());
        }
        self.sub(Sub::Atomic, body, way, false)
    }

    /// Every alternative is a lookbehind of its own.
    fn lookbehind(&mut self, body: &Node, negative: bool) -> Result<()> {
        match body {
            Node::Alternatives(parts) if negative => {
                return parts.iter().try_for_each(|part| self.lookbehind(part, true));
            }
            Node::Alternatives(parts) => {
                let behind =
                    |part: &Node| Node::Look { behind: true, negative: false, body: Box::new(part.clone()) };
                let parts: Vec<Node> = parts.iter().map(behind).collect();
                return self.alternatives(&parts, Way { backward: false, behind: false });
            }
            _ => {}
        }
        let backward = !body.any(&depends_on_direction);
        let (min, max) = body.length();
        let kind = match backward {
            true => Sub::Look { negative, backward, limited: max != Some(min) },
            false => Sub::LookFromStart { negative },
        };
        self.sub(kind, body, Way { backward, behind: true }, !backward)
    }

    fn sub(&mut self, kind: Sub, body: &Node, way: Way, from_start: bool) -> Result<()> {
        let sub = self.push(Inst::Sub { kind, next: 0 })?;
        self.node(body, way)?;
        if from_start {
            self.push(Inst::AtTarget)?;
        }
        self.push(Inst::EndSub)?;
        self.insts[sub] = Inst::Sub { kind, next: self.insts.len() };
        Ok(())
    }

    fn conditional(&mut self, condition: &Condition, then: &Node, otherwise: &Node, way: Way) -> Result<()> {
        let start = self.insts.len();
        match condition {
            Condition::Groups(groups) => {
                self.push(Inst::UnlessGroup { groups: groups.clone(), to: 0 })?;
            }
            Condition::Matches(condition) => {
                self.sub(Sub::Condition { otherwise: 0 }, condition, way, false)?;
            }
        }
        self.node(then, way)?;
        let jump = self.push(Inst::Jump(0))?;
        let other = self.insts.len();
        self.node(otherwise, way)?;
        self.insts[jump] = Inst::Jump(self.insts.len());
        match &mut self.insts[start] {
            Inst::UnlessGroup { to, .. } => *to = other,
            Inst::Sub { kind, .. } => *kind = Sub::Condition { otherwise: other },
            _ => {}
        }
        Ok(())
    }
}

/// Whether a node may match differently from right to left, or does something besides matching.
fn depends_on_direction(node: &Node) -> bool {
    matches!(
        node,
        Node::Atomic(_) | Node::Capture(..) | Node::BackReference { .. } | Node::Keep | Node::If { .. }
    )
}

/// The bytes that a match of this node can begin with, and whether it may be empty.
fn first_bytes(node: &Node) -> (Bytes, bool) {
    match node {
        Node::Literal { text, fold: true } => first_bytes(&fold::literal(text, false)),
        Node::Literal { text, .. } => match text.first() {
            Some(&c) => (lead_bytes(&set(&[(c, c)])), false),
            None => (Bytes::default(), true),
        },
        Node::Set(set) => (lead_bytes(set), false),
        Node::Concat(parts) => {
            let mut first = Bytes::default();
            for part in parts {
                let (bytes, may_be_empty) = first_bytes(part);
                first = first.union(bytes);
                if !may_be_empty {
                    return (first, false);
                }
            }
            (first, true)
        }
        Node::Alternatives(parts) => parts
            .iter()
            .map(first_bytes)
            .fold((Bytes::default(), false), |(first, empty), (bytes, may_be_empty)| {
                (first.union(bytes), empty || may_be_empty)
            }),
        Node::Repeat(Repeat { body, min, max, .. }) => {
            let (first, may_be_empty) = first_bytes(body);
            if *max == Some(0) { (Bytes::default(), true) } else { (first, may_be_empty || *min == 0) }
        }
        Node::Scope(body) | Node::Capture(_, body) | Node::Atomic(body) => first_bytes(body),
        Node::Empty | Node::Look { .. } | Node::Assert(_) | Node::Keep => (Bytes::default(), true),
        Node::BackReference { .. } | Node::If { .. } => (Bytes::ALL, true),
    }
}

fn lead_bytes(set: &ClassUnicode) -> Bytes {
    let lead = |c: char| c.encode_utf8(&mut [0; 4]).as_bytes()[0];
    let mut bytes = Bytes::default();
    for range in set.ranges() {
        // Between ASCII and the first bytes of longer characters are those inside of characters.
        let leads = (lead(range.start())..=lead(range.end())).filter(|byte| !(0x80..0xc0).contains(byte));
        leads.for_each(|byte| bytes.insert(byte));
    }
    bytes
}
