//! The threads: entered once per forward pass, after which sharing out an operation costs well under
//! a microsecond.
//!
//! A token passes through some two hundred small operations, and waking threads for each of them would
//! cost more than the work. So [`Pool::enter`] wakes rayon's threads once: one of them runs the body,
//! the others stand by as its [`Team`] until the body ends. [`Team::run`] then publishes a job split
//! into parts, everybody (the caller too) claims parts from one atomic counter, and the call returns
//! when all parts are done.
//!
//! Which thread computes which part is left to chance; *what* a part computes never is. As long as
//! parts write to separate places, any number of threads gives the same bits.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::activations::Activations;
use crate::error::Error;
use crate::simd::Level;

/// What computes the operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The kernels, at a SIMD level.
    Kernels(Level),
    /// The plain loops of [`reference`](mod@crate::reference), on one thread: slow, and easy to trust.
    Reference,
}

impl Engine {
    fn level(self) -> Level {
        match self {
            Engine::Kernels(level) => level,
            Engine::Reference => Level::Scalar,
        }
    }
}

impl From<Level> for Engine {
    fn from(level: Level) -> Engine {
        Engine::Kernels(level)
    }
}

/// A number of threads and the [`Engine`] they compute with.
pub struct Pool {
    engine: Engine,
    activations: Activations,
    /// `None` with one thread: then everything happens on the caller's.
    threads: Option<rayon::ThreadPool>,
    /// One body at a time: two at once would wait for each other's threads.
    entrance: Mutex<()>,
}

impl Pool {
    /// A pool of `threads` threads (at least one) that compute with `engine`, usually a [`Level`].
    ///
    /// # Errors
    /// [`Error::Threads`] if the operating system refuses the threads.
    pub fn new(threads: usize, engine: impl Into<Engine>) -> Result<Pool, Error> {
        let engine = engine.into();
        let threads = match threads {
            0 | 1 => None,
            _ if engine == Engine::Reference => None,
            n => Some(
                rayon::ThreadPoolBuilder::new()
                    .num_threads(n)
                    .thread_name(|i| format!("glassbox-{i}"))
                    .build()
                    .map_err(|e| Error::Threads { wanted: n, reason: e.to_string() })?,
            ),
        };
        Ok(Pool { engine, activations: Activations::F32, threads, entrance: Mutex::new(()) })
    }

    /// Lets inputs meet quantised weights in another number format than `f32`.
    pub fn with_activations(mut self, activations: Activations) -> Pool {
        self.activations = activations;
        self
    }

    /// The number format in which inputs meet quantised weights.
    pub fn activations(&self) -> Activations {
        self.activations
    }

    /// How many threads work together.
    pub fn threads(&self) -> usize {
        self.threads.as_ref().map_or(1, rayon::ThreadPool::current_num_threads)
    }

    /// What computes the operations.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The SIMD level the kernels run at; the plain one for [`Engine::Reference`].
    pub fn level(&self) -> Level {
        self.engine.level()
    }

    /// Gathers the threads, runs `body` with them as its team, and returns what it returns.
    ///
    /// Bodies of several callers run one after the other, so that they never use more threads than
    /// the pool has. A body must not enter the same pool again.
    pub fn enter<R: Send>(&self, body: impl FnOnce(&Team<'_>) -> R + Send) -> R {
        let Some(threads) = &self.threads else {
            return body(&self.team(None));
        };
        let _turn = self.entrance.lock().unwrap_or_else(PoisonError::into_inner);
        let board = Board::new();
        let team = self.team(Some(&board));
        let body = Mutex::new(Some(body));
        let result = Mutex::new(None);
        threads.broadcast(|thread| {
            if thread.index() > 0 {
                return board.serve();
            }
            let body = body.lock().unwrap_or_else(PoisonError::into_inner).take();
            let outcome = catch_unwind(AssertUnwindSafe(|| body.map(|body| body(&team))));
            board.close();
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        });
        match result.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(Ok(Some(value))) => value,
            Some(Err(panic)) => resume_unwind(panic),
            _ => unreachable!("the first thread of the pool runs the body"),
        }
    }

    fn team<'a>(&self, board: Option<&'a Board>) -> Team<'a> {
        Team { engine: self.engine, activations: self.activations, threads: self.threads(), board }
    }
}

/// The gathered threads, lent to the body of [`Pool::enter`].
pub struct Team<'a> {
    engine: Engine,
    activations: Activations,
    threads: usize,
    board: Option<&'a Board>,
}

impl Team<'_> {
    /// The SIMD level the kernels run at; the plain one for [`Engine::Reference`].
    pub fn level(&self) -> Level {
        self.engine.level()
    }

    /// The number format in which inputs meet quantised weights.
    pub fn activations(&self) -> Activations {
        self.activations
    }

    /// Whether operations are to be computed by [`reference`](mod@crate::reference).
    pub(crate) fn is_reference(&self) -> bool {
        self.engine == Engine::Reference
    }

    /// How many threads work together.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `part(0)`, …, `part(parts - 1)`, shared out over the team, and returns when all are done.
    ///
    /// # Panics
    /// If a part panics.
    pub fn run(&self, parts: usize, part: impl Fn(usize) + Sync) {
        match self.board {
            Some(board) if parts > 1 => board.run(parts, &part),
            _ => (0..parts).for_each(part),
        }
    }

    /// Splits `data` into pieces of `piece` elements (the last may be shorter) and runs
    /// `part(index, piece)` on each, shared out over the team.
    ///
    /// # Panics
    /// If `piece` is zero.
    pub fn run_on_pieces<T: Send>(
        &self,
        data: &mut [T],
        piece: usize,
        part: impl Fn(usize, &mut [T]) + Sync,
    ) {
        assert!(piece > 0, "a piece has at least one element");
        let (len, start) = (data.len(), SendPointer(data.as_mut_ptr()));
        self.run(len.div_ceil(piece), |i| {
            let from = i * piece;
            // SAFETY: piece `i` covers `from..from + piece` cut at `len`: inside `data`, which is borrowed
            // mutably for the whole call, and disjoint from every other piece, each run exactly once.
            let piece =
                unsafe { std::slice::from_raw_parts_mut(start.get().add(from), piece.min(len - from)) };
            part(i, piece);
        });
    }

    /// How many of `items` equal items one part should take, so that threads which lag can be helped:
    /// about four parts a thread, each a multiple of `multiple`.
    pub fn share(&self, items: usize, multiple: usize) -> usize {
        items.div_ceil(4 * self.threads).next_multiple_of(multiple.max(1)).max(1)
    }
}

/// A pointer that may cross threads; what makes its use sound is said where it is used.
struct SendPointer<T>(*mut T);

impl<T> SendPointer<T> {
    fn get(&self) -> *mut T {
        self.0
    }
}

// SAFETY: it is only dereferenced in `run_on_pieces`, on disjoint ranges of a slice of `T: Send`.
unsafe impl<T: Send> Sync for SendPointer<T> {}

type Part<'a> = &'a (dyn Fn(usize) + Sync);

/// Where the job in hand is announced and its parts are claimed.
struct Board {
    /// The number of parts (high half) and the next one to claim (low half). All are claimed when equal.
    ticket: AtomicU64,
    /// Parts finished so far.
    done: AtomicU32,
    /// Set while a job is in hand.
    busy: AtomicBool,
    /// Set when the body has ended.
    closed: AtomicBool,
    /// The job in hand; only written while no part is unfinished, only read by the claimant of a part.
    job: UnsafeCell<Option<Part<'static>>>,
    /// The first panic of a part.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: every field but `job` is `Sync`. `job` is written by `run` alone, which `busy` lets in one at a
// time, before the Release store that opens the tickets and after the previous job's parts are all done; it is read only by a thread that has
// claimed a part with an Acquire, and `run` does not return before that part is counted as done.
unsafe impl Sync for Board {}

impl Board {
    fn new() -> Board {
        Board {
            ticket: AtomicU64::new(0),
            done: AtomicU32::new(0),
            busy: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            job: UnsafeCell::new(None),
            panic: Mutex::new(None),
        }
    }

    /// Announces a job, works on it and waits for its last part. A job announced by a part of another is
    /// done on the spot instead.
    fn run(&self, parts: usize, part: Part<'_>) {
        if self.busy.swap(true, Ordering::Acquire) {
            return (0..parts).for_each(part);
        }
        let parts = u32::try_from(parts).expect("fewer than 2³² parts");
        // SAFETY: only the lifetime changes. The reference is used by claimants of a part, and this
        // function returns only after every part is done, so `part` outlives all uses.
        let part: Part<'static> = unsafe { std::mem::transmute::<Part<'_>, Part<'static>>(part) };
        // SAFETY: `busy` lets one job in at a time, the previous one's parts are all done and no ticket is
        // open, so nobody reads or writes the cell.
        unsafe { *self.job.get() = Some(part) };
        self.done.store(0, Ordering::Relaxed);
        self.ticket.store(u64::from(parts) << 32, Ordering::Release);
        while self.work() {}
        let mut waiting = Waiting::default();
        while self.done.load(Ordering::Acquire) < parts {
            waiting.pause();
        }
        let panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.busy.store(false, Ordering::Release);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Claims and runs one part, if there is one to claim.
    fn work(&self) -> bool {
        let claimed = self.ticket.fetch_update(Ordering::Acquire, Ordering::Relaxed, |ticket| {
            ((ticket & 0xffff_ffff) < (ticket >> 32)).then_some(ticket + 1)
        });
        let Ok(ticket) = claimed else { return false };
        // SAFETY: this thread has claimed a part that is not done, so `run` has written the cell before
        // the ticket was opened and will not write it again before `done` is counted below.
        let job = unsafe { *self.job.get() };
        if let Some(part) = job
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| part(ticket as u32 as usize)))
        {
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
        }
        self.done.fetch_add(1, Ordering::Release);
        true
    }

    /// Helps with every job until the body has ended.
    fn serve(&self) {
        let mut waiting = Waiting::default();
        while !self.closed.load(Ordering::Acquire) {
            if self.work() {
                waiting = Waiting::default();
            } else {
                waiting.pause();
            }
        }
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

/// Waits by spinning, and after a few microseconds lets other processes have the core in between.
#[derive(Default)]
struct Waiting {
    turns: u32,
}

impl Waiting {
    fn pause(&mut self) {
        if self.turns < 2000 {
            self.turns += 1;
            std::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn every_part_runs_exactly_once() {
        for threads in [1, 2, 4] {
            let pool = Pool::new(threads, Level::Scalar).unwrap();
            pool.enter(|team| {
                for parts in [0, 1, 2, 3, 17, 1000] {
                    let counts: Vec<_> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
                    team.run(parts, |i| {
                        counts[i].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
                }
            });
        }
    }

    #[test]
    fn pieces_cover_the_slice() {
        let pool = Pool::new(2, Level::Scalar).unwrap();
        let mut data = vec![0usize; 1003];
        pool.enter(|team| {
            team.run_on_pieces(&mut data, 10, |i, piece| piece.iter_mut().for_each(|x| *x += i + 1));
        });
        assert!(data.iter().enumerate().all(|(i, &x)| x == i / 10 + 1));
    }

    #[test]
    fn a_part_may_share_out_work_of_its_own() {
        let pool = Pool::new(3, Level::Scalar).unwrap();
        let sum = AtomicUsize::new(0);
        pool.enter(|team| {
            team.run(20, |i| {
                team.run(10, |j| {
                    sum.fetch_add(10 * i + j, Ordering::Relaxed);
                });
            });
        });
        assert_eq!(sum.into_inner(), (0..200).sum::<usize>());
    }

    #[test]
    fn a_panic_in_a_part_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(2, Level::Scalar).unwrap();
        let result = catch_unwind(AssertUnwindSafe(|| {
            pool.enter(|team| team.run(8, |i| assert!(i != 5, "part five")));
        }));
        assert!(result.is_err());
        assert_eq!(pool.enter(|team| team.threads()), 2);
    }

    #[test]
    fn two_callers_take_turns() {
        let pool = Pool::new(2, Level::Scalar).unwrap();
        let sum = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        pool.enter(|team| {
                            team.run(10, |i| {
                                sum.fetch_add(i, Ordering::Relaxed);
                            })
                        });
                    }
                });
            }
        });
        assert_eq!(sum.into_inner(), 4 * 50 * 45);
    }
}
