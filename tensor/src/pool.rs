//! The threads: entered once per forward pass, after which sharing out an operation costs well under
//! a microsecond.
//!
//! A token passes through some two hundred small operations, and waking threads for each of them would
//! cost more than the work. So [`Pool::enter`] wakes the threads once: they stand by as a [`Team`] until the body ends,
//! which runs on the caller's thread. [`Team::run`] then publishes a job split into parts on a board, everybody (the
//! caller too) works on it, and the call returns when all parts are done.
//!
//! Which thread computes which part may change from run to run; *what* a part computes never does. As long as
//! parts write to separate places, any number of threads gives the same bits.

mod board;
#[cfg(feature = "rayon")]
mod helpers_rayon;
#[cfg(not(feature = "rayon"))]
mod helpers_std;
pub(crate) mod parts;
mod reentry;
mod sync;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use self::board::Board;
#[cfg(feature = "rayon")]
use self::helpers_rayon::Helpers;
#[cfg(not(feature = "rayon"))]
use self::helpers_std::Helpers;
use self::parts::Pieces;
use self::reentry::PoolId;
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
    id: PoolId,
    engine: Engine,
    activations: Activations,
    /// The threads beside the caller's, if there are any.
    helpers: Option<Helpers>,
    /// One body at a time: two at once would use more threads than the pool has.
    entrance: Mutex<()>,
}

impl Pool {
    /// A pool of `threads` threads (at least one) that compute with `engine`, usually a [`Level`]. The caller of
    /// [`Pool::enter`] is one of them; the others are started here.
    ///
    /// # Errors
    /// [`Error::Threads`] if the operating system refuses the threads.
    pub fn new(threads: usize, engine: impl Into<Engine>) -> Result<Pool, Error> {
        let engine = engine.into();
        let helpers = match threads {
            0 | 1 => None,
            _ if engine == Engine::Reference => None,
            n => {
                let failed = |reason| Error::Threads { wanted: n, reason };
                Some(Helpers::new(n - 1).map_err(failed)?)
            }
        };
        let (id, activations) = (PoolId::new(), Activations::F32);
        Ok(Pool { id, engine, activations, helpers, entrance: Mutex::new(()) })
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
        1 + self.helpers.as_ref().map_or(0, Helpers::count)
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
    /// the pool has.
    ///
    /// # Panics
    /// If a body or a part of the same pool calls this: it would wait for itself. That is noticed on every thread that
    /// works for this pool, and for a pool entered from there; not on a thread that the body starts itself.
    pub fn enter<R: Send>(&self, body: impl FnOnce(&Team<'_>) -> R + Send) -> R {
        let entered = self.id.enter();
        let _turn = self.entrance.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(helpers) = &self.helpers else {
            return body(&self.team(None));
        };
        let board = Arc::new(Board::new(self.threads()));
        let _closes = CloseOnDrop(&board);
        helpers.call(&board, &entered);
        body(&self.team(Some(&board)))
    }

    fn team<'a>(&self, board: Option<&'a Board>) -> Team<'a> {
        Team { engine: self.engine, activations: self.activations, threads: self.threads(), board }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("threads", &self.threads())
            .field("engine", &self.engine)
            .field("activations", &self.activations)
            .finish_non_exhaustive()
    }
}

/// Closes the board when the body has ended, by a panic too.
struct CloseOnDrop<'a>(&'a Board);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The gathered threads, lent to the body of [`Pool::enter`].
pub struct Team<'a> {
    engine: Engine,
    activations: Activations,
    threads: usize,
    board: Option<&'a Board>,
}

impl fmt::Debug for Team<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Team")
            .field("threads", &self.threads)
            .field("engine", &self.engine)
            .field("activations", &self.activations)
            .finish_non_exhaustive()
    }
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

    /// What computes the operations.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// How many threads work together.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `part(0)`, …, `part(parts - 1)`, split over the team, and returns when all are done.
    ///
    /// Every thread begins with parts of its own, equally many that follow one another: if jobs cut their data alike,
    /// what a thread wrote in one job is what it reads in the next, and need not travel from core to core.
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
    /// `part(index, piece)` on each, split over the team.
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
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
    fn a_pool_entered_from_inside_itself_panics() {
        let other = Pool::new(2, Level::Scalar).unwrap();
        for threads in [1, 3] {
            let pool = Pool::new(threads, Level::Scalar).unwrap();
            let again = || pool.enter(|_| {});
            let ways: [(&str, &(dyn Fn() + Sync)); 5] = [
                ("the body", &|| pool.enter(|_| again())),
                ("a part", &|| pool.enter(|team| team.run(8, |_| again()))),
                ("another pool's body", &|| pool.enter(|_| other.enter(|_| again()))),
                ("another pool's part", &|| pool.enter(|_| other.enter(|team| team.run(8, |_| again())))),
                ("a part's other pool", &|| pool.enter(|team| team.run(8, |_| other.enter(|_| again())))),
            ];
            for (way, enter) in ways {
                let panic = catch_unwind(AssertUnwindSafe(enter)).unwrap_err();
                let message = panic.downcast_ref::<&str>().unwrap();
                assert!(message.contains("Pool::enter was called inside"), "{way}: {message}");
                assert_eq!(pool.enter(|team| team.threads()), threads, "after {way}");
                assert_eq!(other.enter(|team| team.threads()), 2, "after {way}");
            }
        }
    }

    #[test]
    fn pools_may_be_entered_from_each_other_and_by_several_threads() {
        let (a, b) = (Pool::new(2, Level::Scalar).unwrap(), Pool::new(1, Level::Scalar).unwrap());
        assert_eq!(a.enter(|_| b.enter(|team| team.threads())), 1);
        assert_eq!(b.enter(|_| a.enter(|team| team.threads())), 2);
        a.enter(|_| {
            // It waits for its turn, which comes.
            std::thread::scope(|scope| drop(scope.spawn(|| b.enter(|team| team.threads()))));
        });
    }

    #[test]
    fn a_panic_in_the_body_sends_the_helpers_home() {
        let pool = Pool::new(3, Level::Scalar).unwrap();
        for _ in 0..20 {
            let result = catch_unwind(AssertUnwindSafe(|| pool.enter(|_| panic!("the body"))));
            assert!(result.is_err());
        }
        assert_eq!(pool.enter(|team| team.threads()), 3);
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
