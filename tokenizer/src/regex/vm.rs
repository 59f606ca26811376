//! The matcher: a backtracking machine with a stack of its own and a limit of steps.
//!
//! While a text is easy, it only backtracks. If the steps become many for the length of the text, it begins to
//! remember the states that fail ([`super::memo`]); then time is linear in the length, except for patterns with
//! backreferences, which the limit of steps stops.

use std::ops::Range;

use super::ast::Assertion;
use super::error::RegexError;
use super::fold;
use super::memo::{Known, Memo};
use super::parse::Result;
use super::program::{Inst, Program, Sub};
use super::segment;

/// Steps without remembering: this many, and this many for each byte that was matched.
const EASY_STEPS: (u64, u64) = (20_000, 100);
/// Maximum number of steps: this many, and this many for each byte of the text and branching instruction.
const MAX_STEPS: (u64, u64) = (30_000_000, 40);
/// Maximum number of entries of the stack: this many, and this many for each byte of the text.
const MAX_STACK: (usize, usize) = (4_000_000, 16);
/// A slot without a position.
const UNSET: usize = usize::MAX;
/// The slot for the position of `\K`.
const KEEP: usize = 0;

/// What to do when a path fails.
#[derive(Debug, Clone, Copy)]
enum Frame {
    /// Continue there.
    Branch { pc: usize, at: usize },
    /// Continue behind a run with one character less, down to `least`.
    Run { pc: usize, at: usize, least: usize },
    /// Put back a slot's value.
    Restore { slot: usize, old: usize },
}

/// A state that is being explored, and the height of the stack when that began.
struct Open {
    state: usize,
    at: usize,
    height: usize,
}

/// A matcher of one text.
pub(super) struct Matcher<'p, 't> {
    program: &'p Program,
    text: &'t str,
    stack: Vec<Frame>,
    slots: Vec<usize>,
    search_start: usize,
    /// Where the innermost lookbehind that tries every start began. No character behind it is matched.
    target: usize,
    steps: u64,
    max_steps: u64,
    memo: Memo,
    remembers: bool,
    /// Whether this is a lookbehind that tries every start, in which a state does not decide what follows.
    from_start: bool,
    open: Vec<Open>,
    /// The last run of each unlimited [`Inst::Run`].
    runs: Vec<Range<usize>>,
}

impl<'p, 't> Matcher<'p, 't> {
    pub(super) fn new(program: &'p Program, text: &'t str) -> Matcher<'p, 't> {
        let states = if program.can_memo { program.memos as u64 + 2 } else { 2 };
        Matcher {
            program,
            text,
            stack: Vec::new(),
            slots: vec![UNSET; program.slots],
            search_start: 0,
            target: text.len(),
            steps: 0,
            max_steps: MAX_STEPS.0 + MAX_STEPS.1 * states * text.len() as u64,
            memo: Memo::new(program.memos),
            remembers: false,
            from_start: false,
            open: Vec::new(),
            runs: vec![0..0; program.memos],
        }
    }

    /// The first match that begins at or after byte `from`.
    pub(super) fn find(&mut self, from: usize) -> Result<Option<Range<usize>>> {
        self.search_start = from;
        if self.program.has_search_start {
            self.memo.clear();
        }
        let mut start = from;
        loop {
            if let Some(first) = &self.program.first {
                let rest = &self.text.as_bytes()[start..];
                let Some(skip) = rest.iter().position(|&byte| first.contains(byte)) else { return Ok(None) };
                start += skip;
            }
            self.slots.fill(UNSET);
            if let Some(end) = self.run(0, start, false)? {
                let start = if self.slots[KEEP] == UNSET { start } else { self.slots[KEEP] };
                // What is still open has not failed.
                for open in std::mem::take(&mut self.open) {
                    self.memo.set(open.state, open.at, Known::Nothing);
                }
                self.stack.clear();
                return Ok(Some(start.min(end)..end));
            }
            match self.text[start..].chars().next() {
                Some(c) => start += c.len_utf8(),
                None => return Ok(None),
            }
        }
    }

    fn count(&mut self, steps: usize) -> Result<()> {
        self.steps += steps as u64;
        if self.steps > self.max_steps {
            return Err(RegexError::TooManySteps { max: self.max_steps });
        }
        if !self.remembers && self.program.can_memo {
            let easy = EASY_STEPS.0 + EASY_STEPS.1 * self.search_start as u64;
            self.remembers = self.steps > easy;
        }
        Ok(())
    }

    fn push(&mut self, frame: Frame) -> Result<()> {
        if self.stack.len() >= MAX_STACK.0 + MAX_STACK.1 * self.text.len() {
            return Err(RegexError::TooManySteps { max: self.max_steps });
        }
        self.stack.push(frame);
        Ok(())
    }

    fn store(&mut self, slot: usize, value: usize) -> Result<()> {
        let old = std::mem::replace(&mut self.slots[slot], value);
        self.push(Frame::Restore { slot, old })
    }

    /// The character at a position in this direction, and the position behind it.
    #[inline]
    fn char_at(&self, at: usize, backward: bool) -> Option<(char, usize)> {
        if backward {
            let c = self.text[..at].chars().next_back()?;
            return Some((c, at - c.len_utf8()));
        }
        if at >= self.target {
            return None;
        }
        let byte = self.text.as_bytes()[at];
        if byte < 0x80 {
            return Some((char::from(byte), at + 1));
        }
        let c = self.text[at..].chars().next()?;
        Some((c, at + c.len_utf8()))
    }

    /// Matches from an instruction to [`Inst::Match`] or [`Inst::EndSub`], and returns the position reached.
    fn run(&mut self, pc: usize, at: usize, backward: bool) -> Result<Option<usize>> {
        let base = self.stack.len();
        let open_base = self.open.len();
        let (mut pc, mut at) = (pc, at);
        loop {
            self.count(1)?;
            let next = match &self.program.insts[pc] {
                Inst::Match | Inst::EndSub => {
                    self.succeed(base, open_base, at);
                    return Ok(Some(at));
                }
                Inst::Char(expected) => {
                    self.char_at(at, backward).filter(|(c, _)| c == expected).map(|(_, end)| (pc + 1, end))
                }
                Inst::Set(set) => {
                    let set = &self.program.sets[*set];
                    self.char_at(at, backward).filter(|(c, _)| set.contains(*c)).map(|(_, end)| (pc + 1, end))
                }
                Inst::Jump(to) => Some((*to, at)),
                Inst::Split { first, second, guard, memo } => {
                    let (first, second, memo) = (*first, *second, *memo);
                    let excluded = guard.is_some_and(|guard| {
                        let guard = &self.program.guards[guard];
                        self.text.as_bytes().get(at).is_none_or(|&byte| !guard.contains(byte))
                    });
                    if excluded {
                        Some((second, at))
                    } else {
                        match self.enter(memo, at) {
                            Known::Nothing => {
                                self.push(Frame::Branch { pc: second, at })?;
                                Some((first, at))
                            }
                            Known::Fails => None,
                            Known::Ends(end) => {
                                self.succeed(base, open_base, end);
                                return Ok(Some(end));
                            }
                        }
                    }
                }
                Inst::Run { max: u32::MAX, possessive: false, .. } if self.remembers && !self.from_start => {
                    match self.enter_run(pc, at, backward)? {
                        Entered::At(at) => Some((pc + 1, at)),
                        Entered::Failed => None,
                        Entered::Ends(end) => {
                            self.succeed(base, open_base, end);
                            return Ok(Some(end));
                        }
                    }
                }
                Inst::Run { .. } => self.whole_run(pc, at, backward)?.map(|end| (pc + 1, end)),
                Inst::Enter { slot, other } => {
                    self.store(*other, UNSET)?;
                    self.store(*slot, at)?;
                    Some((pc + 1, at))
                }
                Inst::Save(slot) => {
                    self.store(*slot, at)?;
                    Some((pc + 1, at))
                }
                Inst::LeaveIfEmpty { slot, to } => {
                    Some((if self.slots[*slot] == at { *to } else { pc + 1 }, at))
                }
                Inst::Assert(assertion) => self.holds(*assertion, at).then_some((pc + 1, at)),
                Inst::Sub { kind, next } => self.sub(*kind, pc + 1, *next, at, backward)?,
                Inst::AtTarget => (at == self.target).then_some((pc + 1, at)),
                Inst::BackReference { groups, fold } => {
                    self.back_reference(groups, *fold, at, backward)?.map(|end| (pc + 1, end))
                }
                Inst::UnlessGroup { groups, to } => {
                    let matched = groups.iter().any(|&group| self.group(group).is_some());
                    Some((if matched { pc + 1 } else { *to }, at))
                }
                Inst::Keep => {
                    self.store(KEEP, at)?;
                    Some((pc + 1, at))
                }
            };
            match next.or_else(|| self.backtrack(base, backward)) {
                Some(next) => (pc, at) = next,
                None => {
                    self.open.truncate(open_base);
                    return Ok(None);
                }
            }
        }
    }

    /// Ends a nested match: there is no way back into it, but what it stored may have to be put back.
    fn succeed(&mut self, base: usize, open_base: usize, end: usize) {
        if base == 0 {
            return;
        }
        for open in self.open.drain(open_base..) {
            self.memo.set(open.state, open.at, Known::Ends(end));
        }
        let mut kept = base;
        for at in base..self.stack.len() {
            if matches!(self.stack[at], Frame::Restore { .. }) {
                self.stack[kept] = self.stack[at];
                kept += 1;
            }
        }
        self.stack.truncate(kept);
    }

    /// Takes up the last alternative, if one is left.
    fn backtrack(&mut self, base: usize, backward: bool) -> Option<(usize, usize)> {
        while self.stack.len() > base {
            let frame = self.stack.pop()?;
            match frame {
                Frame::Restore { slot, old } => self.slots[slot] = old,
                Frame::Branch { pc, at } => {
                    self.close_above(self.stack.len());
                    return Some((pc, at));
                }
                Frame::Run { pc, at, least } => {
                    let (_, shorter) = self.char_at(at, !backward)?;
                    if shorter != least {
                        self.stack.push(Frame::Run { pc, at: shorter, least });
                    }
                    self.close_above(self.stack.len());
                    return Some((pc, shorter));
                }
            }
        }
        None
    }

    /// What was begun at a greater height of the stack has failed.
    fn close_above(&mut self, height: usize) {
        while self.open.last().is_some_and(|open| open.height > height) {
            self.open.pop();
        }
    }

    /// What is known of a state; if nothing, its exploration begins.
    fn enter(&mut self, state: usize, at: usize) -> Known {
        // At the start, what follows may depend on the target of a lookbehind.
        if !self.remembers || self.from_start || at == 0 {
            return Known::Nothing;
        }
        let known = self.memo.get(state, at);
        if known == Known::Nothing {
            self.memo.set(state, at, Known::Fails);
            self.open.push(Open { state, at, height: self.stack.len() });
        }
        known
    }

    fn holds(&self, assertion: Assertion, at: usize) -> bool {
        let bytes = self.text.as_bytes();
        match assertion {
            Assertion::TextStart => at == 0,
            Assertion::TextEnd => at == bytes.len(),
            Assertion::LastLineEnd => &bytes[at..] == b"\n" || at == bytes.len(),
            Assertion::LineStart => at == 0 || (bytes[at - 1] == b'\n' && at < bytes.len()),
            Assertion::LineEnd => at == bytes.len() || bytes[at] == b'\n',
            Assertion::SearchStart => at == self.search_start,
            // What a lookbehind of variable length may not match, the reference does not look at here.
            Assertion::WordBoundary { negated, .. } if at == 0 && self.target == 0 => negated,
            Assertion::WordBoundary { ascii, negated } => {
                let is_word =
                    |c: Option<char>| c.is_some_and(|c| (!ascii || c.is_ascii()) && super::is_word(c));
                let before = is_word(self.text[..at].chars().next_back());
                (before != is_word(self.text[at..].chars().next())) != negated
            }
            Assertion::GraphemeBoundary { negated } => segment::is_boundary(self.text, at) != negated,
        }
    }
}

/// The result of entering a run character by character.
enum Entered {
    At(usize),
    Failed,
    Ends(usize),
}

impl Matcher<'_, '_> {
    /// The end of a run of at most `max` characters, and how many it has.
    fn run_end(&mut self, set: usize, at: usize, max: u32, backward: bool) -> Result<(usize, u32)> {
        let (mut end, mut count) = (at, 0);
        let members = &self.program.sets[set];
        while count < max
            && let Some((c, next)) = self.char_at(end, backward)
            && members.contains(c)
        {
            (end, count) = (next, count + 1);
        }
        self.count(count as usize)?;
        Ok((end, count))
    }

    /// All characters of a run at once. The ends of shorter ones are left on the stack.
    fn whole_run(&mut self, pc: usize, at: usize, backward: bool) -> Result<Option<usize>> {
        let Inst::Run { set, min, max, possessive, memo } = self.program.insts[pc] else { return Ok(None) };
        let (least, count) = self.run_end(set, at, min, backward)?;
        if count < min {
            return Ok(None);
        }
        let end = if max == u32::MAX && self.target == self.text.len() {
            let known = self.runs[memo].clone();
            let is_inside = known.start <= least && least <= known.end && known.start < known.end;
            let end = match is_inside {
                true if backward => known.start,
                true => known.end,
                false => self.run_end(set, least, max, backward)?.0,
            };
            self.runs[memo] = least.min(end)..least.max(end);
            if is_inside {
                self.runs[memo] = known;
            }
            end
        } else {
            self.run_end(set, least, max.saturating_sub(min), backward)?.0
        };
        if !possessive && end != least {
            self.push(Frame::Run { pc: pc + 1, at: end, least })?;
        }
        Ok(Some(end))
    }

    /// The characters of an unlimited run one by one, so that each state is explored once.
    fn enter_run(&mut self, pc: usize, at: usize, backward: bool) -> Result<Entered> {
        let Inst::Run { set, min, memo, .. } = self.program.insts[pc] else { return Ok(Entered::Failed) };
        let (mut at, count) = self.run_end(set, at, min, backward)?;
        if count < min {
            return Ok(Entered::Failed);
        }
        loop {
            self.count(1)?;
            match self.enter(memo, at) {
                Known::Nothing => {}
                Known::Fails => return Ok(Entered::Failed),
                Known::Ends(end) => return Ok(Entered::Ends(end)),
            }
            match self.char_at(at, backward) {
                Some((c, next)) if self.program.sets[set].contains(c) => {
                    self.push(Frame::Branch { pc: pc + 1, at })?;
                    at = next;
                }
                _ => return Ok(Entered::At(at)),
            }
        }
    }

    /// Runs a nested match; returns where to continue.
    fn sub(
        &mut self,
        kind: Sub,
        body: usize,
        next: usize,
        at: usize,
        backward: bool,
    ) -> Result<Option<(usize, usize)>> {
        // The lowest entry of the stack separates a nested match from the outermost one.
        if self.stack.is_empty() {
            self.push(Frame::Restore { slot: KEEP, old: self.slots[KEEP] })?;
        }
        let here = |matched: bool, negative: bool| (matched != negative).then_some((next, at));
        Ok(match kind {
            Sub::Atomic => self.run(body, at, backward)?.map(|end| (next, end)),
            Sub::Condition { otherwise } => match self.run(body, at, backward)? {
                Some(end) => Some((next, end)),
                None => Some((otherwise, at)),
            },
            Sub::Look { negative, backward, limited } => {
                let base = self.stack.len();
                let target = self.target;
                self.target = if limited { at } else { self.target };
                let matched = self.run(body, at, backward)?.is_some();
                self.target = target;
                if matched && negative {
                    self.undo(base);
                }
                here(matched, negative)
            }
            Sub::LookFromStart { negative } => {
                let base = self.stack.len();
                let target = std::mem::replace(&mut self.target, at);
                let from_start = std::mem::replace(&mut self.from_start, true);
                let mut start = Some(at);
                let mut matched = false;
                while let Some(from) = start.filter(|_| !matched) {
                    matched = self.run(body, from, false)?.is_some();
                    start = self.char_at(from, true).map(|(_, before)| before);
                }
                (self.target, self.from_start) = (target, from_start);
                if matched && negative {
                    self.undo(base);
                }
                here(matched, negative)
            }
        })
    }

    /// Puts back what a nested match has stored.
    fn undo(&mut self, base: usize) {
        while self.stack.len() > base {
            if let Some(Frame::Restore { slot, old }) = self.stack.pop() {
                self.slots[slot] = old;
            }
        }
    }

    fn group(&self, group: usize) -> Option<Range<usize>> {
        let (start, end) = (*self.slots.get(2 * group)?, *self.slots.get(2 * group + 1)?);
        (start != UNSET && end != UNSET && start <= end).then_some(start..end)
    }

    /// The end of a repetition of the last of these groups that has matched.
    fn back_reference(
        &mut self,
        groups: &[usize],
        fold: bool,
        at: usize,
        backward: bool,
    ) -> Result<Option<usize>> {
        for &group in groups.iter().rev() {
            let Some(range) = self.group(group) else { continue };
            self.count(range.len())?;
            let (captured, text) = (&self.text[range], &self.text[..self.target.max(at)]);
            if backward {
                return Ok(text[..at].ends_with(captured).then(|| at - captured.len()));
            }
            if !fold {
                return Ok(text[at..].starts_with(captured).then(|| at + captured.len()));
            }
            let mut rest = text[at..].chars();
            let same =
                captured.chars().all(|c| rest.next().is_some_and(|other| fold::full(c) == fold::full(other)));
            return Ok(same.then(|| text.len() - rest.as_str().len()));
        }
        Ok(None)
    }
}
