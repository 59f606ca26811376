//! Notices that a pool is entered from inside its own body or parts, which would wait for itself for ever.
//!
//! Every thread keeps a list of the pools that it works for. A helper takes over the list of the caller that it helps,
//! so that a pool entered by way of another is noticed too.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    /// The pools that this thread works for, the innermost last.
    static ENTERED: RefCell<Vec<PoolId>> = const { RefCell::new(Vec::new()) };
}

/// What tells a pool from every other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct PoolId(u64);

impl PoolId {
    pub(super) fn new() -> PoolId {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        PoolId(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Puts this pool on the thread's list until the result is dropped.
    ///
    /// # Panics
    /// If it is there already.
    pub(super) fn enter(self) -> Entered {
        ENTERED.with_borrow_mut(|entered| {
            assert!(
                !entered.contains(&self),
                "Pool::enter was called inside the body or a part of the same pool, which would wait for itself for ever; \
                 pass the team on instead, or use another pool"
            );
            entered.push(self);
        });
        Entered { count: 1, of_this_thread: PhantomData }
    }
}

/// Pools on the list of this thread, which come off it when this is dropped.
pub(super) struct Entered {
    count: usize,
    of_this_thread: PhantomData<*const ()>,
}

impl Entered {
    /// All pools on the list of this thread, for a helper.
    pub(super) fn all(&self) -> Arc<[PoolId]> {
        ENTERED.with_borrow(|entered| Arc::from(entered.as_slice()))
    }

    /// Puts a caller's pools on the list of this thread.
    pub(super) fn help(pools: &[PoolId]) -> Entered {
        ENTERED.with_borrow_mut(|entered| entered.extend(pools));
        Entered { count: pools.len(), of_this_thread: PhantomData }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        ENTERED.with_borrow_mut(|entered| entered.truncate(entered.len() - self.count));
    }
}
