//! Where the job in hand is announced, and how its parts find a thread.
//!
//! Each thread has a slot with a range of parts, which it works on in order. One that has none left, and has waited a
//! while, takes parts from the slots of others, so that a thread which lags behind (because another program has its
//! core, or because the core is a slow one) is helped. Until then no thread touches another's slot: on a machine whose
//! cores are far apart, each touch costs as much as a thousand multiply-adds.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use super::sync::{AtomicBool, AtomicU32, AtomicU64, UnsafeCell, spin_loop, yield_now};

/// A job: computes the part of that number.
type Job<'a> = &'a (dyn Fn(usize) + Sync);

/// The job in hand and who works on what.
pub(super) struct Board {
    /// One for each thread; the first is that of the thread which announces jobs.
    slots: Box<[Slot]>,
    /// Set while a job is in hand.
    busy: AtomicBool,
    /// The first panic of a part.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// A thread's parts of the job in hand. It has two cache lines to itself, for processors fetch them in pairs.
#[repr(align(128))]
struct Slot {
    /// Where the parts end (high half) and the next one to claim (low half). All are claimed when equal.
    ticket: AtomicU64,
    /// How many of the parts are finished.
    done: AtomicU32,
    /// Set when no more jobs will come.
    closed: AtomicBool,
    /// The job in hand; only written while no part is unfinished, only read by the claimant of a part.
    job: UnsafeCell<Option<Job<'static>>>,
}

// SAFETY: every field but `job` is `Sync`. `job` is written by `Board::run` alone, which `busy` lets in one at a time,
// before the Release store that opens the slot's ticket and after all parts of the job before are done; it is read only
// by a thread that has claimed a part of this slot with an Acquire, and `run` does not return before that part is
// counted as done.
unsafe impl Sync for Slot {}

impl Slot {
    fn new() -> Slot {
        Slot {
            ticket: AtomicU64::new(0),
            done: AtomicU32::new(0),
            closed: AtomicBool::new(false),
            job: UnsafeCell::new(None),
        }
    }

    /// Whether a part is left to claim.
    fn has_parts(&self) -> bool {
        let ticket = self.ticket.load(Ordering::Acquire);
        (ticket as u32) < (ticket >> 32) as u32
    }

    /// Claims a part, if there is one: its number and the job.
    fn claim(&self) -> Option<(u32, Job<'static>)> {
        let claimed = self.ticket.fetch_update(Ordering::Acquire, Ordering::Relaxed, |ticket| {
            ((ticket as u32) < (ticket >> 32) as u32).then_some(ticket + 1)
        });
        let part = claimed.ok()? as u32;
        // SAFETY: this thread has claimed a part that is not done, so `run` has written the cell before the ticket
        // was opened and will not write it again before the part is counted as done.
        let job = self.job.with(|job| unsafe { *job });
        job.map(|job| (part, job))
    }
}

impl Board {
    /// A board for `threads` threads.
    pub(super) fn new(threads: usize) -> Board {
        Board {
            slots: (0..threads).map(|_| Slot::new()).collect(),
            busy: AtomicBool::new(false),
            panic: Mutex::new(None),
        }
    }

    /// Announces a job, works on it and waits for its last part. A job announced by a part of another is done on the
    /// spot instead.
    pub(super) fn run(&self, parts: usize, job: Job<'_>) {
        if self.busy.swap(true, Ordering::Acquire) {
            return (0..parts).for_each(job);
        }
        // SAFETY: only the lifetime changes. The reference is used by claimants of a part, and this function returns
        // only after every part is done, so `job` outlives all uses.
        let job: Job<'static> = unsafe { std::mem::transmute::<Job<'_>, Job<'static>>(job) };
        let parts = u64::from(u32::try_from(parts).expect("fewer than 2³² parts"));
        let threads = self.slots.len() as u64;
        let first = |thread: usize| parts * thread as u64 / threads;
        // One's own parts can wait.
        for (thread, slot) in self.slots.iter().enumerate().rev() {
            slot.done.store(0, Ordering::Relaxed);
            // SAFETY: `busy` lets one job in at a time, all parts of the one before are done and this slot's ticket is
            // not open, so nobody reads or writes the cell.
            slot.job.with_mut(|cell| unsafe { *cell = Some(job) });
            slot.ticket.store(first(thread + 1) << 32 | first(thread), Ordering::Release);
        }
        while self.work(0) {}
        let mut waiting = Waiting::default();
        for (thread, slot) in self.slots.iter().enumerate() {
            let parts = (first(thread + 1) - first(thread)) as u32;
            while slot.done.load(Ordering::Acquire) < parts {
                self.wait_or_help(0, &mut waiting);
            }
        }
        let panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.busy.store(false, Ordering::Release);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Helps with every job until [`Board::close`].
    pub(super) fn serve(&self, thread: usize) {
        let mut waiting = Waiting::default();
        while !self.slots[thread].closed.load(Ordering::Acquire) {
            if self.work(thread) {
                waiting = Waiting::default();
            } else {
                self.wait_or_help(thread, &mut waiting);
            }
        }
    }

    /// Tells all threads that no more jobs will come.
    pub(super) fn close(&self) {
        self.slots.iter().for_each(|slot| slot.closed.store(true, Ordering::Release));
    }

    /// Runs one part from the slot of `thread`, if there is one.
    fn work(&self, thread: usize) -> bool {
        let slot = &self.slots[thread];
        let Some((part, job)) = slot.claim() else { return false };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| job(part as usize))) {
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
        }
        slot.done.fetch_add(1, Ordering::Release);
        true
    }

    /// Waits a moment; every so often takes a part from another thread instead.
    fn wait_or_help(&self, thread: usize, waiting: &mut Waiting) {
        waiting.pause();
        if waiting.is_time_to_help() {
            let threads = self.slots.len();
            let mut others = (1..threads).map(|i| (thread + i) % threads);
            // A job may have come just now: then one's own parts, announced before those of the threads in front, are
            // first.
            if others.any(|other| self.slots[other].has_parts() && (self.work(thread) || self.work(other))) {
                *waiting = Waiting::default();
            }
        }
    }
}

/// Waits by spinning, and after a few microseconds lets other processes have the core in between.
#[derive(Default)]
struct Waiting {
    turns: u32,
}

impl Waiting {
    fn pause(&mut self) {
        self.turns = self.turns.wrapping_add(1);
        if self.is_long() { yield_now() } else { spin_loop() }
    }

    fn is_long(&self) -> bool {
        self.turns >= 2000
    }

    /// Every microsecond or so; on a busy machine, each time that the core comes back.
    fn is_time_to_help(&self) -> bool {
        // Loom tries every order, so each turn is as good as the sixty-fourth.
        cfg!(all(test, loom)) || self.is_long() || self.turns.is_multiple_of(64)
    }
}

#[cfg(all(test, loom))]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A number for each part, written without a lock: loom fails if two threads could touch one at the same time, or
    /// if one would not see what the other wrote.
    struct Numbers(Vec<UnsafeCell<usize>>);

    // SAFETY: loom checks each access.
    unsafe impl Sync for Numbers {}

    /// Runs jobs of so many parts, one after the other, on a board whose other threads do `help`, in every order that
    /// has at most `preemptions` interruptions of a thread where it does not wait.
    fn hand_over(threads: usize, jobs: &'static [usize], preemptions: usize, help: fn(&Board, usize)) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(preemptions);
        model.check(move || {
            let board = Arc::new(Board::new(threads));
            let serve = |thread| {
                let board = Arc::clone(&board);
                loom::thread::spawn(move || help(&board, thread))
            };
            let helpers: Vec<_> = (1..threads).map(serve).collect();
            let most = jobs.iter().copied().max().unwrap_or(0);
            let numbers = Numbers((0..most).map(|_| UnsafeCell::new(0)).collect());
            let mut expected = vec![0; most];
            for &parts in jobs {
                let numbers = &numbers;
                board.run(parts, &|part| {
                    // SAFETY: a part is run by one thread, once, which is what loom checks here.
                    numbers.0[part].with_mut(|number| unsafe { *number += 1 });
                });
                expected[..parts].iter_mut().for_each(|number| *number += 1);
                for (number, expected) in numbers.0.iter().zip(&expected) {
                    // SAFETY: the job is over; loom checks that it is.
                    assert_eq!(number.with(|number| unsafe { *number }), *expected);
                }
            }
            board.close();
            helpers.into_iter().for_each(|helper| helper.join().unwrap());
        });
    }

    #[test]
    fn jobs_are_handed_over_between_two_threads() {
        hand_over(2, &[2, 3], 2, Board::serve);
    }

    #[test]
    fn three_threads_claim_parts_of_the_same_slots() {
        // Two that wait in a loop would let each other wait for ever, so these look at each slot once.
        hand_over(3, &[4, 2], 2, |board, thread| {
            board.work(thread);
            board.work(0);
        });
    }

    #[test]
    fn a_helper_that_comes_late_finds_the_board_closed() {
        hand_over(2, &[], 3, Board::serve);
    }
}
