//! The threads of a pool beside the caller's, from the standard library.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle};

use super::board::Board;
use super::reentry::{Entered, PoolId};

/// A board to serve, and the pools that its caller works for.
type Call = (Arc<Board>, Arc<[PoolId]>);

/// Threads that sleep until they are called to a board.
pub(super) struct Helpers {
    threads: Vec<(Sender<Call>, JoinHandle<()>)>,
}

impl Helpers {
    /// Starts `count` threads.
    pub(super) fn new(count: usize) -> Result<Helpers, String> {
        let mut helpers = Helpers { threads: Vec::with_capacity(count) };
        for thread in 1..=count {
            let (sender, calls) = channel::<Call>();
            let serve = move || {
                for (board, pools) in calls {
                    let _entered = Entered::help(&pools);
                    board.serve(thread);
                }
            };
            let started = Builder::new().name(format!("glassbox-{thread}")).spawn(serve);
            helpers.threads.push((sender, started.map_err(|error| error.to_string())?));
        }
        Ok(helpers)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.threads.len()
    }

    /// Calls all of them to serve `board` until it is closed. One that comes late finds it closed.
    pub(super) fn call(&self, board: &Arc<Board>, entered: &Entered) {
        let pools = entered.all();
        for (sender, _) in &self.threads {
            // A thread ends with its sender only, so there is somebody to receive it.
            let _ = sender.send((Arc::clone(board), Arc::clone(&pools)));
        }
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        for (sender, thread) in self.threads.drain(..) {
            drop(sender);
            // It has caught every panic of a part, and what it served is closed.
            let _ = thread.join();
        }
    }
}
