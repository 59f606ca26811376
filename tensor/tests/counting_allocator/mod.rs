//! The system's allocator, counting what each thread has and the most it had: for tests of files that lie about sizes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    let now = NOW.get() + change;
    NOW.set(now);
    MOST.set(MOST.get().max(now));
}

// SAFETY: every call goes to the system's allocator as it is; counting touches two integers and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `work` and returns the most memory that this thread had at a time during it, in bytes.
pub(crate) fn memory_of(work: impl FnOnce()) -> isize {
    let before = NOW.get();
    MOST.set(before);
    work();
    MOST.get() - before
}

#[test]
fn memory_is_counted() {
    let memory = memory_of(|| drop(std::hint::black_box(vec![0u8; 1_000_000])));
    assert!((1_000_000..1_001_000).contains(&memory), "{memory}");
}
