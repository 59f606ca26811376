//! The threads of a pool beside the caller's, from rayon.

use std::sync::Arc;

use super::board::Board;
use super::reentry::Entered;

/// Threads that sleep until they are called to a board.
pub(super) struct Helpers {
    threads: rayon::ThreadPool,
}

impl Helpers {
    /// Starts `count` threads.
    pub(super) fn new(count: usize) -> Result<Helpers, String> {
        let builder =
            rayon::ThreadPoolBuilder::new().num_threads(count).thread_name(|i| format!("glassbox-{}", i + 1));
        Ok(Helpers { threads: builder.build().map_err(|error| error.to_string())? })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.threads.current_num_threads()
    }

    /// Calls all of them to serve `board` until it is closed. One that comes late finds it closed.
    pub(super) fn call(&self, board: &Arc<Board>, entered: &Entered) {
        let (board, pools) = (Arc::clone(board), entered.all());
        self.threads.spawn_broadcast(move |thread| {
            let _entered = Entered::help(&pools);
            board.serve(1 + thread.index());
        });
    }
}
