//! Many sequences on one model: they arrive at any time, share each forward pass, and leave at any time.
//!
//! A thread of its own runs the model, one step after another. A step is one forward pass: a row for each sequence that
//! generates, and as many rows of prompts as fit the rest of the step's budget, so nobody waits for another's long
//! prompt. Weights are read once per step, however many sequences it serves.
//!
//! **An answer does not depend on who else is served.** A row's result has one order of summation, whatever other rows
//! the pass has, so every sequence gets the bits that it would get alone.
//!
//! - [`Limits`]: sequences at a time, length of the queue, rows per step, memory for keys and values.
//! - [`Request`]: a prompt and its [`Continuation`], which chooses the tokens. [`Scheduler::submit`] takes it or
//!   refuses it at once ([`Refused`]); the answer is a [`Ticket`], which cancels.
//! - Waiting requests are admitted as memory allows, fairly by client: the client that has been served the fewest
//!   tokens comes next (`queue.rs`).
//! - Prompts with a common prefix share its keys and values (`prefix_cache.rs`).
//!
//! Kwon et al., "Efficient memory management for large language model serving with PagedAttention" (2023); Agrawal et
//! al., "Taming throughput-latency tradeoff in LLM inference with Sarathi-Serve" (2024).

mod limits;
mod prefix_cache;
mod queue;
mod request;
mod steps;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

pub use limits::{Limits, Refused};
pub use request::{Choice, Continuation, Outcome, Request};

use crate::runtime::Runtime;
use request::Submitted;
use steps::{Progress, Steps};

/// How long the model's thread sleeps while all sequences wait for their readers.
const PAUSE: Duration = Duration::from_millis(1);

/// A model that serves many sequences. Dropping it cancels all requests and waits for the model's thread.
pub struct Scheduler {
    runtime: Runtime,
    limits: Limits,
    shared: Arc<Shared>,
    /// `None` once the scheduler is being dropped.
    sender: Option<Sender<Submitted>>,
    thread: Option<JoinHandle<()>>,
}

/// What the model's thread and the handles both see.
#[derive(Default)]
struct Shared {
    /// Requests that were submitted and not admitted yet.
    queued: AtomicUsize,
    status: Mutex<Status>,
}

/// Counts since the scheduler began, and its present state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Requests in the queue.
    pub queued: usize,
    /// Sequences in progress.
    pub active: usize,
    /// Bytes of keys and values that are reserved for sequences in progress.
    pub reserved_bytes: usize,
    /// Bytes of keys and values that are kept for later prompts with the same prefix.
    pub cached_bytes: usize,
    /// Forward passes.
    pub steps: u64,
    /// Prompt tokens that were computed.
    pub prompt_tokens: u64,
    /// Prompt tokens whose keys and values were in the prefix cache.
    pub reused_tokens: u64,
    /// Generated tokens.
    pub generated_tokens: u64,
    /// Requests that ended by themselves.
    pub finished: u64,
    /// Requests that were cancelled, in the queue or in progress.
    pub cancelled: u64,
}

/// A submitted request. Dropping it cancels the request.
#[derive(Debug)]
pub struct Ticket {
    cancelled: Arc<AtomicBool>,
}

impl Ticket {
    /// Ends the request at the next step, if it has not ended.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler")
            .field("limits", &self.limits)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl Scheduler {
    /// Starts a thread that serves `runtime`'s model. The runtime's cache format holds for all sequences, its adapter
    /// and interventions for none: each request names its own adapter.
    ///
    /// # Errors
    /// The operating system's, if it starts no thread.
    pub fn start(runtime: Runtime, limits: Limits) -> std::io::Result<Scheduler> {
        let limits = limits.for_model(&runtime);
        let shared = Arc::new(Shared::default());
        let (sender, receiver) = channel();
        let steps = Steps::new(runtime.clone(), limits, shared.clone());
        let thread =
            std::thread::Builder::new().name("model".into()).spawn(move || serve(steps, &receiver))?;
        Ok(Scheduler { runtime, limits, shared, sender: Some(sender), thread: Some(thread) })
    }

    /// The model that is served.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The limits, none larger than the model or its memory allow.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes a request, to be served as soon as its turn comes.
    ///
    /// # Errors
    /// [`Refused`]: the request can never be served, or the queue is full. Nothing of the request has been called then.
    pub fn submit(&self, request: Request) -> Result<Ticket, Refused> {
        let positions = self.limits.check(&self.runtime, &request)?;
        let counted = self.shared.queued.fetch_update(Ordering::AcqRel, Ordering::Acquire, |queued| {
            (queued < self.limits.queue).then_some(queued + 1)
        });
        if counted.is_err() {
            return Err(Refused::QueueFull { limit: self.limits.queue });
        }
        let cancelled = Arc::new(AtomicBool::new(false));
        let submitted = Submitted { request, positions, cancelled: cancelled.clone() };
        match self.sender.as_ref().map(|sender| sender.send(submitted)) {
            Some(Ok(())) => Ok(Ticket { cancelled }),
            _ => Err(Refused::Stopped),
        }
    }

    /// The present state.
    pub fn status(&self) -> Status {
        let queued = self.shared.queued.load(Ordering::Acquire);
        Status { queued, ..*self.shared.status.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // It ends without a panic: those of continuations are caught.
            let _ = thread.join();
        }
    }
}

/// The model's thread: takes requests and runs steps until all handles are gone.
fn serve(mut steps: Steps, receiver: &Receiver<Submitted>) {
    let mut progress = Progress::Idle;
    loop {
        // Without work, wait for some; otherwise take what has come.
        let first = match progress {
            Progress::Idle => receiver.recv().map_err(|_| TryRecvError::Disconnected),
            Progress::Paused => receiver.recv_timeout(PAUSE).map_err(|error| match error {
                RecvTimeoutError::Timeout => TryRecvError::Empty,
                RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
            }),
            Progress::Stepped => receiver.try_recv(),
        };
        let mut next = first;
        loop {
            match next {
                Ok(submitted) => steps.queue(submitted),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return steps.cancel_all(),
            }
            next = receiver.try_recv();
        }
        progress = steps.step();
    }
}
