//! The threads: entered once per forward pass, after which sharing out an operation costs well under
//! a microsecond.
//!
//! A token passes through some two hundred small operations, and waking threads for each of them would
//! cost more than the work. So [`Pool::enter`] wakes rayon's threads once: one of them runs the body,
//! the others stand by as its [`Team`] until the body ends. [`Team::run`] then publishes a job split
//! into parts on a board, everybody (the caller too) works on it, and the call returns when all parts are done.
//!
//! Which thread computes which part may change from run to run; *what* a part computes never does. As long as
//! parts write to separate places, any number of threads gives the same bits.

mod board;
pub(crate) mod parts;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError};

use self::board::Board;
use self::parts::Pieces;
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
        let board = Board::new(self.threads());
        let team = self.team(Some(&board));
        let body = Mutex::new(Some(body));
        let result = Mutex::new(None);
        threads.broadcast(|thread| {
            if thread.index() > 0 {
                return board.serve(thread.index());
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
    /// Every thread begins with parts of its own, equally many that follow one another: if jobs cut their data alike, what
    /// a thread wrote in one job is what it reads in the next, and need not travel from core to core.
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
        self.run_on_parts(Pieces::new(data, piece), part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

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
    fn every_thread_begins_with_parts_of_its_own() {
        let pool = Pool::new(2, Level::Scalar).unwrap();
        let begun = Mutex::new(Vec::new());
        pool.enter(|team| {
            // A part is not over before two have begun, so these two are what the two threads began with.
            team.run(10, |i| {
                begun.lock().unwrap().push(i);
                while begun.lock().unwrap().len() < 2 {
                    std::thread::yield_now();
                }
            });
        });
        let mut begun = begun.into_inner().unwrap();
        begun[..2].sort_unstable();
        assert_eq!(begun[..2], [0, 5]);
        begun.sort_unstable();
        assert_eq!(begun, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn a_thread_that_lags_behind_is_helped() {
        let pool = Pool::new(2, Level::Scalar).unwrap();
        let finished = AtomicUsize::new(0);
        pool.enter(|team| {
            // Whoever takes part 0 waits for all others, so another thread must have run them.
            team.run(8, |i| {
                while i == 0 && finished.load(Ordering::SeqCst) < 7 {
                    std::thread::yield_now();
                }
                finished.fetch_add(1, Ordering::SeqCst);
            });
        });
        assert_eq!(finished.into_inner(), 8);
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
