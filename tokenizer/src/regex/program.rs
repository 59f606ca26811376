//! The instructions that a pattern is compiled to.

use super::ast::{Assertion, Set};

/// One instruction. Jumps are indices of instructions.
#[derive(Debug, Clone)]
pub(super) enum Inst {
    /// This character.
    Char(char),
    /// A character of this set.
    Set(usize),
    /// Tries `first`, then `second`. If the next byte is not in `guard`, `first` cannot match.
    Split {
        first: usize,
        second: usize,
        guard: Option<usize>,
        memo: usize,
    },
    Jump(usize),
    /// As many characters of a set as possible, from `min` to `max`. One that is not possessive gives them back.
    Run {
        set: usize,
        min: u32,
        max: u32,
        possessive: bool,
        memo: usize,
    },
    /// Stores the position as one end of a group. It has not matched until its other end is reached.
    Enter {
        slot: usize,
        other: usize,
    },
    /// Stores the position.
    Save(usize),
    /// Continues if the position is no longer the one stored in this slot, else jumps.
    LeaveIfEmpty {
        slot: usize,
        to: usize,
    },
    Assert(Assertion),
    /// Matches what follows up to [`Inst::EndSub`], by itself, and then continues at `next`.
    Sub {
        kind: Sub,
        next: usize,
    },
    /// The end of a [`Inst::Sub`].
    EndSub,
    /// Continues at the next instruction if this is where the lookbehind began.
    AtTarget,
    BackReference {
        groups: Vec<usize>,
        fold: bool,
    },
    /// Jumps unless one of the groups has matched.
    UnlessGroup {
        groups: Vec<usize>,
        to: usize,
    },
    Keep,
    Match,
}

/// What a nested match is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sub {
    /// Its end is where matching continues.
    Atomic,
    /// As [`Sub::Atomic`]; if it fails, matching continues there, at the same position.
    Condition { otherwise: usize },
    /// A condition. `backward` matches from this position to the left; with `limited`, `\b` does not see what is to the
    /// right of it at the start of the text.
    Look { negative: bool, backward: bool, limited: bool },
    /// A lookbehind that must be matched from left to right: every start up to this position is tried.
    LookFromStart { negative: bool },
}

/// A set of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bytes([u64; 4]);

impl Bytes {
    pub(super) const ALL: Bytes = Bytes([u64::MAX; 4]);

    pub(super) fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    pub(super) fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }

    pub(super) fn union(self, other: Bytes) -> Bytes {
        Bytes(std::array::from_fn(|at| self.0[at] | other.0[at]))
    }
}

/// A set of characters for fast tests.
#[derive(Debug, Clone)]
pub(super) struct Members {
    ascii: u128,
    /// The ranges outside of ASCII, in order.
    ranges: Vec<(char, char)>,
    /// Whether every character outside of ASCII is a member.
    all_others: bool,
}

impl Members {
    pub(super) fn new(set: &Set) -> Members {
        let mut members = Members { ascii: 0, ranges: Vec::new(), all_others: false };
        for range in set.ranges() {
            for code in u32::from(range.start())..=u32::from(range.end()).min(127) {
                members.ascii |= 1 << code;
            }
            if range.end() > '\x7f' {
                members.ranges.push((range.start().max('\u{80}'), range.end()));
            }
        }
        members.all_others = members.ranges == [('\u{80}', char::MAX)];
        members
    }

    #[inline]
    pub(super) fn contains(&self, c: char) -> bool {
        if c.is_ascii() {
            return self.ascii >> (c as u32) & 1 == 1;
        }
        if self.all_others {
            return true;
        }
        let after = self.ranges.partition_point(|range| range.0 <= c);
        after > 0 && c <= self.ranges[after - 1].1
    }
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub insts: Vec<Inst>,
    pub sets: Vec<Members>,
    pub guards: Vec<Bytes>,
    /// The bytes that a match can begin with; `None` if it may be empty.
    pub first: Option<Bytes>,
    /// The number of slots for positions.
    pub slots: usize,
    /// The number of states per position whose failure is remembered.
    pub memos: usize,
    /// Whether failures can be remembered: not if they depend on what groups have matched.
    pub can_memo: bool,
    /// Whether `\G` makes failures depend on where the search began.
    pub has_search_start: bool,
}
