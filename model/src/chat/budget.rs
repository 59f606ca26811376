//! The work budget of a template.
//!
//! minijinja counts one unit per instruction and per 64 bytes of output. Real templates need a few hundred units, about
//! a hundred more per message, and a few copies of the conversation. The budget is several times that, and limits a
//! hostile template to a moment and a few megabytes.
//!
//! Some work is not counted. Nested expressions are parsed recursively, and nested lists are compared and dropped
//! recursively, so the stack must be deep enough for what the source and the budget allow. A list that contains one
//! list twice, which contains one list twice, and so on, is small in memory but takes exponential time to compare or
//! print, so there is a time limit too. The source is limited in length.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::error::Error;

const BASE: u64 = 20_000;
const PER_BYTE: u64 = 4;
const MOST: u64 = 2_000_000;

/// Maximum length of the source in bytes, about four times that of the longest templates in use.
pub(super) const LONGEST: usize = 1 << 17;

/// An assignment in a loop takes about seven units and can nest a list one level deeper; recursion through a level
/// takes less than a kilobyte of stack.
const STACK_PER_UNIT: usize = 160;
/// The worst case is `a()()()…`, with about four kilobytes per two bytes in unoptimised builds.
const STACK_PER_BYTE: usize = 2560;
const STACK: usize = 2 << 20;

const TIME: Duration = Duration::from_secs(3);

/// The budget for a template and a conversation of these sizes in bytes.
pub(super) fn fuel(template_bytes: usize, conversation_bytes: usize) -> u64 {
    let bytes = (template_bytes as u64).saturating_add(conversation_bytes as u64);
    BASE.saturating_add(bytes.saturating_mul(PER_BYTE)).min(MOST)
}

/// Runs the work on a thread whose stack is sufficient for the template's size and the budget. When the time limit
/// expires, the thread is abandoned.
pub(super) fn run<T: Send + 'static>(
    template: &str,
    template_bytes: usize,
    fuel: u64,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let send = move || {
        // The receiver is gone if the time limit expired.
        let _ = sender.send(work());
    };
    let no_thread = |message: String| Error::NoThread { template: template.to_owned(), message };
    thread::Builder::new()
        .name("chat template".to_owned())
        .stack_size(STACK + template_bytes * STACK_PER_BYTE + fuel as usize * STACK_PER_UNIT)
        .spawn(send)
        .map_err(|error| no_thread(error.to_string()))?;
    match receiver.recv_timeout(TIME) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => {
            Err(Error::TooMuchWork { template: template.to_owned(), line: None })
        }
        Err(RecvTimeoutError::Disconnected) => Err(no_thread("it ended without a result".to_owned())),
    }
}
